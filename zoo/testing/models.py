"""The checks of a model: its net against its declaration, and a short training."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from zoo import registry
from zoo.errors import TrainingError, ZooError
from zoo.nets import weights
from zoo.nets.build import build, count, parameters
from zoo.record import store
from zoo.record.job import Origin
from zoo.spec import Dataset, Model, Recipe
from zoo.testing.require import require
from zoo.training import jobs
from zoo.training import optimizer as optim
from zoo.training.options import TrainOptions
from zoo.training.output import Output
from zoo.training.plan import Plan
from zoo.training.reporting import Reporting
from zoo.training.run import run_seeds
from zoo.training.start import Start, fill

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CPU = torch.device("cpu")


def check_model(model: Model) -> None:
    """Build the net of a model and compare it with the declaration.

    Checks that

    - the number of parameters is the declared one;
    - the logits have the shape [N, classes], also for other numbers of classes and channels;
    - the random seed determines the initial weights, and the state dict contains the whole net;
    - in evaluation mode the logits of an image do not depend on its batch, and no state changes;
    - every recipe can do a first optimizer step, and every parameter gets a gradient;
    - a net that starts from a shallower one (`deepening`) has the logits of that net.

    Args:
        model: The model.

    Raises:
        AssertionError: A check failed.

    Examples:
        >>> import zoo
        >>> from zoo.testing import check_model
        >>> check_model(zoo.info("resnet8_digits").model)
    """
    channels, height, width = model.dataset.input_size
    classes = len(model.dataset.classes)
    torch.manual_seed(0)
    net = build(model.architecture, model.dataset)
    counted, declared = count(net), parameters(model)
    require(counted == declared, f"{model.name} has {counted:,} parameters, but declares {declared:,}")

    images = torch.randn(4, channels, height, width)
    require(net(images).shape == (4, classes), f"{model.name}: logits should be [N, {classes}]")
    other = build(model.architecture, model.dataset, num_classes=classes + 3, in_channels=channels + 1)
    shape = other(torch.randn(2, channels + 1, height, width)).shape
    require(shape == (2, classes + 3), f"{model.name}: build() should respect input_size and num_classes")

    torch.manual_seed(0)
    again = build(model.architecture, model.dataset)
    for name, tensor in again.state_dict().items():
        if "num_batches" not in name and "running" not in name:
            require(torch.equal(tensor, net.state_dict()[name]), f"{model.name}: {name} is not fixed by the seed")
    again.load_state_dict(net.state_dict(), strict=True)
    _check_evaluation(model, net, again, images)

    for recipe in model.recipes.values():
        trained = build(model.architecture, model.dataset).train()
        optimizer = optim.build(recipe, _groups(model, recipe, trained))
        F.cross_entropy(trained(images), torch.arange(4) % classes).backward()  # type: ignore[no-untyped-call]
        for name, parameter in trained.named_parameters():
            require(parameter.grad is not None, f"{model.name}: {name} gets no gradient")
        optimizer.step()
    if model.architecture.deepening is not None:
        for name in model.architecture.deepening.shallower:
            _check_deepening(model, name, images)


def _check_deepening(model: Model, shallower: str, images: torch.Tensor) -> None:
    """Check that a net that starts from a shallower one has the logits of that net."""
    origin = Origin(f"{shallower}_{model.dataset.name}", sha256="", shallower=shallower)
    net = build(model.architecture, model.dataset)
    try:
        other = build(registry.architecture(shallower), model.dataset)
        other(images)  # updates the statistics of batch norm
        tensors, channels = other.state_dict(), model.dataset.input_size[0]
        fill(net, Start(tensors, model.dataset.classes, channels, origin, model.architecture.license), model)
    except ZooError as error:
        raise AssertionError(f"{model.name}: {error}") from None
    torch.testing.assert_close(
        net.eval()(images), other.eval()(images), msg=f"{model.name}: started from {shallower}, it has other logits"
    )


def _groups(model: Model, recipe: Recipe, net: nn.Module) -> list[optim.Group]:
    """The parameter groups of a recipe, some of which need the head and the layers of the net."""
    try:
        head = optim.head(net) if recipe.freeze_epochs else None
        return optim.groups(recipe, net, head)
    except TrainingError as error:
        raise AssertionError(f"{model.name}: {error}") from None


def check_training(model: Model, *, recipe: str | None = None, images: int = 96) -> None:
    """Train a model for two epochs on synthetic images, and write its model folder as `zoo train` does.

    Checks that the second epoch has a lower loss than the first, and that the weights can be loaded from the folder.

    Args:
        model: The model.
        recipe: The name of the recipe; by default the model's default recipe.
        images: The number of training images.

    Raises:
        AssertionError: A check failed.

    Examples:
        >>> import zoo
        >>> from zoo.testing import check_training
        >>> check_training(zoo.info("resnet8_digits").model)
    """
    name = recipe or model.default_recipe
    published = model.recipes[name]
    frozen = 2 if published.freeze_epochs == published.epochs else min(published.freeze_epochs, 1)
    short = published.replace(
        epochs=2, batch_size=images // 6, warmup_epochs=0, val_images=min(published.val_images, images // 3),
        freeze_epochs=frozen, distill_warmup_epochs=min(published.distill_warmup_epochs, 2),
    )  # fmt: skip
    recipes = {**model.recipes, name: short}
    learnable = replace(model, dataset=_learnable(model.dataset, images + short.val_images), recipes=recipes)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / model.name
        job, why = jobs.new(learnable, TrainOptions(recipe=name, amp=False, compile="none"), CPU)
        plan = Plan(
            job=job,
            why=why,
            model=learnable,
            device=CPU,
            data_root=out,
            output=Output(out),
            reporting=Reporting(save_every=2, eval_every=2),
        )
        config = run_seeds([plan])
        first, second = (row.train_loss for row in store.read_log(out))
        require(second < first, f"{model.name}: the loss went from {first:.3f} to {second:.3f}")
        content = store.read_weights(out, config)
        loaded = weights.filled(model.architecture, content, out / store.WEIGHTS, config)
    require(
        count(loaded) == parameters(model), f"{model.name}: the published weights have another number of parameters"
    )


def learning_rates(recipe: Recipe, steps_per_epoch: int) -> list[float]:
    """Return the learning rate of each step of a training; for a plateau schedule, while the error falls.

    Args:
        recipe: The recipe.
        steps_per_epoch: The number of optimizer steps per epoch.

    Returns:
        One value for each of the `epochs * steps_per_epoch` steps.

    Examples:
        >>> from zoo.plugin import Recipe
        >>> from zoo.testing import learning_rates
        >>> learning_rates(Recipe(epochs=2, lr=0.1, sched="constant"), steps_per_epoch=2)
        [0.1, 0.1, 0.1, 0.1]
    """
    optimizer = optim.build(recipe, [nn.Parameter(torch.zeros(1))])
    schedule = optim.schedule(recipe, optimizer, steps_per_epoch)
    rates = []
    for epoch in range(recipe.epochs):
        for _ in range(steps_per_epoch):
            optimizer.step()
            rates.append(float(optimizer.param_groups[0]["lr"]))
            optim.end_step(recipe, schedule)
        optim.end_epoch(recipe, schedule, val_top1=float(epoch))
    return rates


def _check_evaluation(model: Model, net: nn.Module, again: nn.Module, images: torch.Tensor) -> None:
    net.eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    logits = net(images)
    require(torch.equal(logits, again.eval()(images)), f"{model.name}: the state dict does not contain the whole net")
    torch.testing.assert_close(
        net(images[:1]), logits[:1], rtol=1e-3, atol=1e-4,
        msg=f"{model.name}: in evaluation mode an image's logits depend on the batch it is in",
    )  # fmt: skip
    for name, tensor in net.state_dict().items():
        require(torch.equal(tensor, before[name]), f"{model.name}: evaluation changes {name}")


def _learnable(dataset: Dataset, train_images: int) -> Dataset:
    """A synthetic dataset of the same shape: four classes, each a fixed pattern with noise."""
    channels, height, width = dataset.input_size

    def read(root: Path, *, train: bool) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        size = train_images if train else 32
        generator = torch.Generator().manual_seed(int(train))
        labels = torch.arange(size) % min(4, len(dataset.classes))
        patterns = torch.rand(4, height, width, channels, generator=torch.Generator().manual_seed(2))
        images = patterns[labels] * 200 + torch.rand(size, height, width, channels, generator=generator) * 55
        return images.to(torch.uint8).numpy(), labels.numpy()

    return replace(dataset, train_images=train_images, test_images=32, read=read)
