"""Mixup, CutMix and cutout, and the distillation of a teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from zoo import api
from zoo.data import batches
from zoo.data.augmentation import Mixing, draw_mixing, mix
from zoo.data.batches import Batches, Draw
from zoo.data.sources import Split
from zoo.errors import Interrupted, NotFound, RecipeError
from zoo.record import store
from zoo.record.job import Origin
from zoo.spec import Recipe
from zoo.training.objective import Loss, objective
from zoo.training.start import Renormalised

from .test_train import StopAfter

PIXELS = batches.pixels((0.5,), (0.5,), torch.device("cpu"))
IMAGES = torch.stack([torch.full((1, 8, 8), 1.0), torch.full((1, 8, 8), 3.0)])


def recipe(**fields: object) -> Recipe:
    return Recipe(epochs=1).changed({name: str(value) for name, value in fields.items()})


def mixing(
    blend: float = 1.0, box: tuple[float, float, float] = (0, 0, 0), hole: tuple[float, float] = (0, 0)
) -> Mixing:
    return Mixing(torch.full((2,), blend), torch.tensor([list(box)] * 2), torch.tensor([list(hole)] * 2))


def test_mixup_blends_each_image_with_its_partner() -> None:
    mixed, part = mix(IMAGES, mixing(blend=0.75), 0)
    assert set(mixed[0].flatten().tolist()) == {1.5}
    assert set(mixed[1].flatten().tolist()) == {2.5}
    assert part.tolist() == [0.75, 0.75]


def test_cutmix_pastes_a_box_and_weighs_the_label_by_its_area() -> None:
    mixed, part = mix(IMAGES, mixing(box=(0.5, 0.5, 0.25)), 0)
    assert set(mixed[0, 0, 2:6, 2:6].flatten().tolist()) == {3.0}
    assert (mixed[0] == 3).sum() == 16
    assert part.tolist() == [0.75, 0.75]


def test_a_box_over_the_edge_counts_only_its_visible_area() -> None:
    mixed, part = mix(IMAGES, mixing(box=(0.0, 0.0, 0.25)), 0)
    assert (mixed[0] == 3).sum() == 4
    assert part[0] == 1 - 4 / 64


def test_cutout_sets_a_square_to_the_mean() -> None:
    mixed, part = mix(IMAGES, mixing(hole=(0.5, 0.5)), 4)
    assert (mixed[0] == 0).sum() == 16
    assert set(mixed[0, 0, 2:6, 2:6].flatten().tolist()) == {0.0}
    assert part.tolist() == [1.0, 1.0]


def test_lambda_has_the_distribution_of_its_papers() -> None:
    drawn = draw_mixing(100_000, recipe(mixup=0.2), seed=0)
    assert drawn.blend.mean().item() == pytest.approx(0.5, abs=0.01)
    # The variance of Beta(α, α) is 1 / (4 (2 α + 1)).
    assert drawn.blend.var().item() == pytest.approx(1 / (4 * 1.4), rel=0.02)
    boxes = draw_mixing(100_000, recipe(cutmix=1.0), seed=0)
    assert set(boxes.blend.flatten().tolist()) == {1.0}
    assert ((2 * boxes.box[:, 2]) ** 2).mean().item() == pytest.approx(0.5, abs=0.01)  # unclipped area


def test_the_switch_probability_chooses_between_mixup_and_cutmix() -> None:
    drawn = draw_mixing(100_000, recipe(mixup=1.0, cutmix=1.0, mixup_prob=0.8, mixup_switch_prob=0.25), seed=0)
    covered, blended = drawn.box[:, 2] > 0, drawn.blend < 1
    assert not (covered & blended).any()
    assert covered.float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert blended.float().mean().item() == pytest.approx(0.6, abs=0.01)


def test_each_epoch_has_its_own_mixing_and_the_order_does_not_depend_on_it() -> None:
    plain, mixed = (batches.draw(100, changed, seed=0, epoch=1) for changed in (recipe(), recipe(mixup=0.2)))
    assert plain.mixing is None
    assert mixed.mixing is not None
    assert torch.equal(plain.order, mixed.order)
    fresh = batches.draw(100, recipe(mixup=0.2), seed=0, epoch=2)
    batches.redraw(mixed, fresh)
    assert fresh.mixing is not None
    assert torch.equal(mixed.mixing.blend, fresh.mixing.blend)


def unchanged(images: int, mixing: Mixing | None = None) -> Draw:
    """An epoch in order, without crops or flips."""
    zeros = torch.zeros(images, dtype=torch.int64)
    return Draw(torch.arange(images), zeros, zeros, zeros.bool(), mixing)


def linear() -> nn.Module:
    """A linear classifier of images [N, 1, 8, 8]."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def test_the_loss_of_a_mixed_image_is_that_of_its_soft_label() -> None:
    net = linear()
    images, labels = torch.randint(256, (2, 8, 8, 1), dtype=torch.uint8), torch.tensor([3, 7])
    feed = Batches(Split(images, labels), unchanged(2, mixing(blend=0.75)), PIXELS, 0)
    losses, _ = objective(net, feed, Loss(recipe(mixup=1.0)), amp=False, teacher=None)(torch.arange(2))
    mixed, _ = mix(PIXELS.normalise(images), mixing(blend=0.75), 0)
    soft = 0.75 * F.one_hot(labels, 10) + 0.25 * F.one_hot(labels.flip(0), 10)
    assert losses.sum().item() == pytest.approx(F.cross_entropy(net(mixed), soft, reduction="sum").item(), rel=1e-5)


# -- a teacher -------------------------------------------------------------------------------------


def test_the_distillation_loss_is_cross_entropy_and_kl_divergence_at_a_temperature() -> None:
    student, teacher = linear(), linear()
    images, labels = torch.randint(256, (4, 8, 8, 1), dtype=torch.uint8), torch.arange(4)
    taught = recipe(distill=0.7, temperature=3.0)
    feed = Batches(Split(images, labels), unchanged(4), PIXELS, 0)
    losses, _ = objective(student, feed, Loss(taught), amp=False, teacher=teacher)(torch.arange(4))
    x = PIXELS.normalise(images)
    p, q = (F.softmax(net(x) / 3.0, dim=1) for net in (teacher, student))
    expected = 0.3 * F.cross_entropy(student(x), labels, reduction="sum") + 0.7 * 9 * (p * (p / q).log()).sum()
    assert losses.sum().item() == pytest.approx(expected.item(), rel=1e-5)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_distilled_model_records_its_teacher_with_its_hash(trained: Path, tmp_path: Path) -> None:
    hub = f"file:{tmp_path / 'hub'}"
    api.push(trained, hub=hub)
    settings = {"teacher": f"{hub}/resnet8_digits", "temperature": "2"}
    done = api.train("resnet8", settings=settings, epochs=2, out=tmp_path / "student", amp=False)
    address = f"{hub}/resnet8_digits@{store.identity(trained)}"
    assert done.config.job.teacher == Origin(address, store.read_record(trained).weights.sha256)
    text = (done.folder / store.README).read_text()
    assert f"Distilled from `{address}` (SHA-256 of its weights" in text
    assert np.isfinite(done.config.results.test_loss)


@pytest.mark.usefixtures("report_every_step")
def test_a_resumed_run_keeps_the_revision_of_its_teacher(trained: Path, model_folder: Path, tmp_path: Path) -> None:
    hub = f"file:{tmp_path / 'hub'}"
    api.push(trained, hub=hub)
    options: dict[str, Any] = {"settings": {"teacher": f"{hub}/resnet8_digits"}, "epochs": 2, "amp": False}
    whole = api.train("resnet8", out=tmp_path / "whole", limit_train=128, **options).config
    with pytest.raises(Interrupted):
        api.train("resnet8", out=tmp_path / "student", limit_train=128, report=StopAfter(2), **options)
    other = api.train("resnet8", out=model_folder, overwrite=True, epochs=1, limit_train=64, seed=5).folder
    api.push(other, hub=hub)
    resumed = api.train("resnet8", out=tmp_path / "student", limit_train=128, resume=True, **options).config
    assert resumed.weights == whole.weights


def test_a_teacher_given_as_an_architecture_is_its_model_on_the_same_dataset() -> None:
    with pytest.raises(NotFound, match="the catalogue has no weights of resnet20_digits"):
        api.train("resnet8", settings={"teacher": "resnet20"})


def test_an_unknown_teacher_is_named_as_the_teacher() -> None:
    with pytest.raises(RecipeError, match="recipe: teacher resnet21 on digits: there is no model 'resnet21'"):
        api.train("resnet8", settings={"teacher": "resnet21"})


def test_a_teacher_of_other_classes_is_refused() -> None:
    with pytest.raises(RecipeError, match="has other classes than digits"):
        api.train("resnet8", settings={"teacher": "resnet20_cifar10"})


def test_a_teacher_gets_images_with_its_own_normalization() -> None:
    """The student uses another normalization; the logits of the teacher stay the same."""
    net, images = linear(), torch.randint(256, (4, 8, 8, 1), dtype=torch.uint8)
    teachers, students = ((0.3054,), (0.3753,)), ((0.5,), (0.1,))
    expected, given = (
        batches.pixels(*statistics, torch.device("cpu")).normalise(images) for statistics in (teachers, students)
    )
    torch.testing.assert_close(Renormalised(net, students, teachers)(given), net(expected), rtol=1e-5, atol=1e-5)
