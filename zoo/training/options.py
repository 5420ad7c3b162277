"""Options of a training, declared once for the keyword arguments of `zoo.train` and the options of `zoo train`.

Values are checked when the options are made, before torch is imported.
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

MAX_SEEDS: Final = 1_000
DTYPES: Final = ("fp32", "fp16")
FINETUNE: Final = "finetune"  # the default recipe of a training with a start
DATA_HELP: Final = (
    "Directory of datasets, also for downloads. [default: ZOO_DATA, else data/ in ZOO_CACHE, ~/.cache/zoo]"
)
TRACK_HELP: Final = (
    "A tracker: tensorboard (files in OUT.events), wandb, mlflow, trackio, or a plugin's; may be repeated."
)
COMPILE: Final = ("auto", "none", "graph", "default")

BATCHES: Final = 10  # the least number of batches in an epoch of fine-tuning with a batch size that is chosen here
MIN_BATCH: Final = 4  # images


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of a training; None chooses the default. Raises TrainingError for an impossible value."""

    recipe: str | None = option(
        None, "The recipe. [default: the model's first; with --start, finetune if the model has it]", "NAME"
    )
    dataset: str | None = option(
        None, "The dataset; folder:PATH for your own images. [default: the architecture's]", "NAME"
    )
    start: str | Path | None = option(  # noqa: RUF009 - a field
        None, "Start from pretrained weights: a name, ./FOLDER, or hf://namespace/name (zoo or timm).", "MODEL"
    )
    test_part: float | None = option(
        None, "Fraction of your own images to hold out for testing, for example 0.2.", "FRACTION"
    )
    skip_bad: bool = option(False, "Skip images that can't be read.")
    license: str | None = option(
        None, "License of the weights, as a Hugging Face license id. [default: the architecture's]", "ID"
    )
    settings: Mapping[str, object] | None = option(
        None, "Change a field of the recipe; may be repeated.", "FIELD=VALUE", flag="--set"
    )
    epochs: int | None = option(None, "Number of epochs. [default: the recipe's]")
    seed: int = option(0, "Random seed.")
    seeds: int = option(1, "Train from N seeds. The model of the first seed is kept; its card has all results.", "N")
    device: str | None = option(None, "cpu, cuda, cuda:N or mps. [default: a GPU if there is one]", "NAME")
    amp: bool | None = option(
        None, "Train in bf16 autocast. [default: if the hardware has bf16]", flag="--amp/--no-amp"
    )
    compile: str = option(
        "auto", "none (eager), graph (CUDA graphs), default (torch.compile), or auto (by device and length).", "HOW"
    )
    deterministic: bool | None = option(
        None,
        "Get the same weights from the same seed, byte for byte. [default: on a CPU]",
        flag="--deterministic/--fast",
    )
    grad_checkpointing: bool = option(False, "Recompute activations in the backward pass, to save memory.")
    dtype: str = option("fp32", "Store the weights in fp32 or fp16; they are rounded before the evaluation.", "TYPE")
    threads: int | None = option(None, "Number of CPU threads. [default: torch's]", "N")
    data: str | Path | None = option(None, DATA_HELP, "FOLDER")  # noqa: RUF009 - a field
    limit_train: int | None = option(None, "Train on the first N images only.", "N")
    limit_test: int | None = option(None, "Test on the first N images only; the model can't be published.", "N")
    out: str | Path | None = option(  # noqa: RUF009
        None, "The model folder to write. [default: runs/MODEL-RECIPE-seedN]", "FOLDER"
    )
    resume: bool = option(False, "Continue the unfinished run in the output folder, or start if there is none.")
    overwrite: bool = option(
        False, "Replace an existing run or model folder; with --resume, only if it is of another training."
    )
    allow_other_environment: bool = option(
        False,
        "With --resume, continue a run of another machine, precision or torch version. Its weights can't be "
        "reproduced byte for byte.",
    )
    save_every: int = option(1, "Epochs between checkpoints.", "N")
    eval_every: int = option(1, "Epochs between evaluations on the test set, for the curve only.", "N")
    push: bool = option(False, "Publish the model folder at the end.")
    hub: str | None = option(
        None,
        "The hub to publish to: file:PATH for a folder, hf://NAMESPACE for the Hugging Face Hub. "
        "[default: ZOO_HUB, else the account that is logged in]",
        "HUB",
    )
    track: Sequence[str] | None = option(None, TRACK_HELP, "NAME")
    report: Report | None = None
    tell: Callable[[str, int, int], None] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= 2**63 - self.seeds:
            raise TrainingError(f"seed should be from 0 to {2**63 - self.seeds}, not {self.seed}")
        if not 1 <= self.seeds <= MAX_SEEDS:
            raise TrainingError(f"seeds should be from 1 to {MAX_SEEDS:,}, not {self.seeds}")
        if self.hub is not None and not self.push:
            raise TrainingError(f"hub {self.hub} was given without push; add push, or leave out hub")
        if self.limit_test is not None and self.limit_test < 1:
            raise TrainingError(f"limit_test should be at least 1, not {self.limit_test}")
        if self.limit_test is not None and self.push:
            raise TrainingError("a model tested with limit_test can't be published; leave out limit_test or push")
        if self.allow_other_environment and not self.resume:
            raise TrainingError("allow_other_environment needs resume; add resume, or leave it out")
        if self.dtype not in DTYPES:
            raise TrainingError(f"dtype should be fp32 or fp16, not {self.dtype!r}")
        if self.compile not in COMPILE:
            raise TrainingError(f"compile should be one of {', '.join(COMPILE)}, not {self.compile!r}")
        for name, epochs in (("save_every", self.save_every), ("eval_every", self.eval_every)):
            if epochs < 1:
                raise TrainingError(f"{name} should be at least 1, not {epochs}")

    def recipe_of(self, model: Model | Architecture) -> tuple[str, Recipe]:
        """The recipe to train a model with.

        Args:
            model: The model, or its architecture while the dataset is not known.

        Returns:
            The name of the recipe, and the recipe with `settings` and `epochs` applied.

        Raises:
            RecipeError: The model has no such recipe, or a setting is not possible.
        """
        is_finetuned = self.recipe is None and self.start is not None and FINETUNE in model.recipes
        name = self.recipe or (FINETUNE if is_finetuned else next(iter(model.recipes)))
        if name not in model.recipes:
            raise RecipeError(f"{model.name} has no recipe {name!r}; it has {', '.join(model.recipes)}")
        settings = {**(self.settings or {}), **({} if self.epochs is None else {"epochs": self.epochs})}
        if is_finetuned and self.epochs is not None and model.recipes[name].freeze_epochs >= self.epochs > 0:
            settings.setdefault("freeze_epochs", self.epochs - 1)  # the default recipe works for any number of epochs
        recipe = model.recipes[name].changed({field: as_text(value) for field, value in settings.items()})
        is_chosen = self.start is not None and self.recipe is None and "batch_size" not in (self.settings or {})
        if is_chosen and isinstance(model, Model):  # fine-tuning without a given recipe or batch size
            images = min(self.limit_train or math.inf, model.dataset.train_images - recipe.val_images)
            recipe = recipe.replace(batch_size=_batch_size(recipe.batch_size, int(images)))
        return name, recipe


def _batch_size(largest: int, images: int) -> int:
    """The largest batch size up to `largest` with ten batches an epoch.

    The last batch never has a single image, which batch norm can't normalize.
    """
    if images >= BATCHES * largest:
        return largest
    size = min(largest, max(MIN_BATCH, images // BATCHES))
    return size - 1 if images % size == 1 else size


@dataclass(frozen=True, kw_only=True)
class CompareOptions(TrainOptions):
    """Options for training several models."""

    out: str | Path | None = option(  # noqa: RUF009 - a field
        None, "The folder for the model folders and the plot. [default: compare]", "FOLDER"
    )
    mixed: bool = option(False, "Allow models on different datasets, in one plot.")


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    """Options for training a published model again; None keeps the published value."""

    epochs: int | None = option(None, "Number of epochs. [default: as published]")
    seed: int | None = option(None, "Random seed. [default: as published]")
    hub: str | None = option(
        None,
        "The hub: file:PATH for a folder, hf://NAMESPACE for the Hugging Face Hub. "
        "[default: ZOO_HUB, then the catalogue]",
        "HUB",
    )
    revision: str | None = option(None, "A revision of the model: a commit, tag or branch.", "ID")
    device: str | None = option(None, "cpu, cuda, cuda:N or mps. [default: a GPU if there is one]", "NAME")
    data: str | Path | None = option(None, DATA_HELP, "FOLDER")  # noqa: RUF009 - a field
    dataset: str | None = option(
        None, "The images that the model was trained on, for example folder:flowers.", "ADDRESS"
    )
    out: str | Path | None = option(  # noqa: RUF009
        None, "The model folder to write. [default: runs/MODEL-reproduced]", "FOLDER"
    )
    resume: bool = option(False, "Continue the unfinished run in the output folder, or start if there is none.")
    overwrite: bool = option(False, "Replace an existing run or model folder.")
    track: Sequence[str] | None = option(None, TRACK_HELP, "NAME")
    report: Report | None = None
    tell: Callable[[str, int, int], None] | None = None

    def training(self, published_seed: int) -> TrainOptions:
        """These options as those of a training."""
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
