"""The options of a training, declared once: keyword arguments of `zoo.train` and options of `zoo train`.

Nothing here imports torch or typer. An impossible value is refused when the options are made, before anything heavy is
imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zoo.decoding import as_text
from zoo.errors import RecipeError, TrainingError
from zoo.options import option
from zoo.spec import Architecture, Model, Recipe
from zoo.training.reporting import Report

MOST_SEEDS: Final = 1_000  # of one call
DTYPES: Final = ("fp32", "fp16")
FINETUNE: Final = "finetune"  # the recipe for a training with a start
DATA_HELP: Final = (
    "Directory of data sets, also for downloads. [default: ZOO_DATA, else data/ in ZOO_CACHE, ~/.cache/zoo]"
)
TRACK_HELP: Final = (
    "A tracker: tensorboard (files in OUT.events), wandb, mlflow, trackio, or a plugin's; may be repeated."
)
COMPILE: Final = ("auto", "none", "graph", "default")

BATCHES: Final = 10  # at least so many steps an epoch where the batch size of a fine-tuning is left to the zoo
LEAST_BATCH: Final = 4  # images


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of a training; None leaves a choice to the zoo. Raises TrainingError for an impossible value."""

    recipe: str | None = option(
        None, "Which recipe. [default: the model's first; with --start finetune, if there is one]", "NAME"
    )
    dataset: str | None = option(
        None, "Another data set than the architecture's default; folder:PATH for pictures of your own.", "NAME"
    )
    start: str | Path | None = option(  # noqa: RUF009 - a field
        None, "Start from these weights: a name, ./FOLDER, or hf://namespace/name, timm's too.", "MODEL"
    )
    test_part: float | None = option(None, "The part of your own pictures that is the test set, as in 0.2.", "PART")
    skip_bad: bool = option(False, "Leave out pictures that can't be read.")
    license: str | None = option(
        None, "License of the weights, as a Hugging Face license id. [default: the architecture's]", "ID"
    )
    settings: Mapping[str, object] | None = option(
        None, "Change a field of the recipe; may be repeated.", "FIELD=VALUE", flag="--set"
    )
    epochs: int | None = option(None, "Train this long. [default: the recipe's]")
    seed: int = option(0, "Random seed.")
    seeds: int = option(1, "Train from N seeds; the first one's net is the model, its card has all results.", "N")
    device: str | None = option(None, "cpu, cuda, cuda:N or mps. [default: a GPU if there is one]", "NAME")
    amp: bool | None = option(
        None, "Train in bf16 autocast. [default: if the hardware has bf16]", flag="--amp/--no-amp"
    )
    compile: str = option("auto", "none, graph (CUDA), default (torch.compile) or auto, by device and length.", "HOW")
    deterministic: bool | None = option(
        None, "The same bytes from the same seed. [default: on a CPU]", flag="--deterministic/--fast"
    )
    grad_checkpointing: bool = option(False, "Recompute activations in the backward pass, for less memory.")
    dtype: str = option("fp32", "Store the weights in fp32, or in fp16, rounded before the evaluation.", "TYPE")
    threads: int | None = option(None, "Threads of the processor to compute with. [default: torch's]", "N")
    data: str | Path | None = option(None, DATA_HELP, "FOLDER")  # noqa: RUF009 - a field
    limit_train: int | None = option(None, "Train on the first N images only.", "N")
    limit_test: int | None = option(
        None, "Test on the first N images only, for a trial: such a model can't be published.", "N"
    )
    out: str | Path | None = option(  # noqa: RUF009
        None, "The model folder to make. [default: runs/MODEL-RECIPE-seedN]", "FOLDER"
    )
    resume: bool = option(False, "Continue the run that was stopped there; start it if there is none.")
    overwrite: bool = option(
        False, "Replace an existing run or model folder; with --resume only one of another training."
    )
    save_every: int = option(1, "Epochs between checkpoints.", "N")
    eval_every: int = option(1, "Epochs between evaluations on the test set, for the curve only.", "N")
    push: bool = option(False, "Publish the model folder at the end.")
    hub: str | None = option(
        None,
        "Where to publish: file:PATH for a folder, hf://NAMESPACE for the Hugging Face Hub. "
        "[default: ZOO_HUB, else the account logged in]",
        "HUB",
    )
    track: Sequence[str] | None = option(None, TRACK_HELP, "NAME")
    report: Report | None = None
    tell: Callable[[str, int, int], None] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= 2**63 - self.seeds:
            raise TrainingError(f"seed should be from 0 to {2**63 - self.seeds}, not {self.seed}")
        if not 1 <= self.seeds <= MOST_SEEDS:
            raise TrainingError(f"seeds should be at least 1 and up to {MOST_SEEDS:,}, not {self.seeds}")
        if self.hub is not None and not self.push:
            raise TrainingError(f"hub {self.hub} is for publishing, and push was not given; add push or leave out hub")
        if self.limit_test is not None and self.limit_test < 1:
            raise TrainingError(f"limit_test should be at least 1, not {self.limit_test}")
        if self.limit_test is not None and self.push:
            raise TrainingError("with limit_test the accuracy is not the model's; leave out limit_test, or push")
        if self.dtype not in DTYPES:
            raise TrainingError(f"dtype should be fp32 or fp16, not {self.dtype!r}")
        if self.compile not in COMPILE:
            raise TrainingError(f"compile should be one of {', '.join(COMPILE)}, not {self.compile!r}")
        for name, epochs in (("save_every", self.save_every), ("eval_every", self.eval_every)):
            if epochs < 1:
                raise TrainingError(f"{name} should be at least 1, not {epochs}")

    def recipe_of(self, model: Model | Architecture) -> tuple[str, Recipe]:
        """The name of the chosen recipe, and the recipe with `settings` and `epochs`; raises RecipeError."""
        is_finetuned = self.recipe is None and self.start is not None and FINETUNE in model.recipes
        name = self.recipe or (FINETUNE if is_finetuned else next(iter(model.recipes)))
        if name not in model.recipes:
            raise RecipeError(f"{model.name} has no recipe {name!r}; it has {', '.join(model.recipes)}")
        settings = {**(self.settings or {}), **({} if self.epochs is None else {"epochs": self.epochs})}
        if is_finetuned and self.epochs is not None and model.recipes[name].freeze_epochs >= self.epochs > 0:
            settings.setdefault("freeze_epochs", self.epochs - 1)  # a recipe that nobody has chosen fits any length
        recipe = model.recipes[name].changed({field: as_text(value) for field, value in settings.items()})
        if self._chooses_batch_size and isinstance(model, Model):
            images = min(self.limit_train or math.inf, model.dataset.train_images - recipe.val_images)
            recipe = recipe.replace(batch_size=_batch_size(recipe.batch_size, int(images)))
        return name, recipe

    @property
    def _chooses_batch_size(self) -> bool:
        """Whether the zoo may choose the batch size: when it fine-tunes, and neither recipe nor size are given."""
        return self.start is not None and self.recipe is None and "batch_size" not in (self.settings or {})


def _batch_size(largest: int, images: int) -> int:
    """At most `largest` images a batch, fewer where there would be under ten steps an epoch.

    The last batch never has a single image, which batch norm may be unable to normalize.
    """
    if images >= BATCHES * largest:
        return largest
    size = min(largest, max(LEAST_BATCH, images // BATCHES))
    return size - 1 if images % size == 1 else size


@dataclass(frozen=True, kw_only=True)
class CompareOptions(TrainOptions):
    """Options for training several models."""

    out: str | Path | None = option(  # noqa: RUF009 - a field
        None, "Where the model folders and the plot go. [default: compare]", "FOLDER"
    )
    mixed: bool = option(False, "Also models on different data sets, in the same axes.")


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    """Options for training a published model again; None leaves everything as it was published."""

    epochs: int | None = option(None, "Train this long. [default: as published]")
    seed: int | None = option(None, "Another seed. [default: as published]")
    hub: str | None = option(
        None,
        "Which hub: file:PATH for a folder, hf://NAMESPACE for the Hugging Face Hub. "
        "[default: ZOO_HUB, then the catalogue]",
        "HUB",
    )
    revision: str | None = option(None, "A revision of the model: a commit, tag or branch.", "ID")
    device: str | None = option(None, "cpu, cuda, cuda:N or mps. [default: a GPU if there is one]", "NAME")
    data: str | Path | None = option(None, DATA_HELP, "FOLDER")  # noqa: RUF009 - a field
    dataset: str | None = option(
        None, "Where the pictures are that it was trained on, as in folder:flowers.", "ADDRESS"
    )
    out: str | Path | None = option(None, "What to make. [default: runs/MODEL-reproduced]", "FOLDER")  # noqa: RUF009
    resume: bool = option(False, "Go on with the run that was stopped there.")
    overwrite: bool = option(False, "Replace an existing run or model folder.")
    track: Sequence[str] | None = option(None, TRACK_HELP, "NAME")
    report: Report | None = None
    tell: Callable[[str, int, int], None] | None = None

    def training(self, published_seed: int) -> TrainOptions:
        """The same choices as options of a training."""
        return TrainOptions(
            epochs=self.epochs,
            seed=published_seed if self.seed is None else self.seed,
            device=self.device,
            data=self.data,
            out=self.out,
            resume=self.resume,
            overwrite=self.overwrite,
            track=self.track,
            report=self.report,
        )
