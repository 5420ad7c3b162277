from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zoo import api
from zoo.evaluation.evaluate import evaluate
from zoo.nets import weights
from zoo.record import store
from zoo.training import loop
from zoo.training.loop import Training
from zoo.training.optimizer import Average
from zoo.training.reporting import Reporting

from .test_train import RECIPE, begin_digits, job

DECAY = 0.9
AVERAGED = RECIPE.changed({"model_ema_decay": str(DECAY)})
STEPS = 7  # per epoch


def state(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def trained_with_torchs_average(run: Path) -> tuple[Training, nn.Module]:
    """Train an epoch; returns the training and torch's average of its steps, which starts with the initial net."""
    training = begin_digits(job(AVERAGED), run)
    learner = training.learner
    theirs = AveragedModel(learner.net, multi_avg_fn=get_ema_multi_avg_fn(DECAY), use_buffers=True)  # type: ignore[no-untyped-call]
    theirs.update_parameters(learner.net)
    learner.begin(1)
    for number in range(STEPS):
        learner.step(number)
        theirs.update_parameters(learner.net)
    return training, theirs.module


def test_the_average_equals_torchs_including_batch_norm_statistics(tmp_path: Path) -> None:
    training, theirs = trained_with_torchs_average(tmp_path)
    mine, expected = state(training.learner.published()), state(theirs)
    floats = [name for name, tensor in expected.items() if tensor.is_floating_point()]
    assert any("running_var" in name for name in floats)
    assert all(torch.equal(mine[name], expected[name]) for name in floats)
    assert {int(mine[name]) for name in mine.keys() - set(floats)} == {STEPS}  # steps, which aren't averaged


def test_averaging_does_not_change_the_training(tmp_path: Path) -> None:
    training, _ = trained_with_torchs_average(tmp_path / "averaged")
    plain = begin_digits(job(), tmp_path / "plain")
    plain.learner.begin(1)
    for number in range(STEPS):
        plain.learner.step(number)
    with training.learner._state.counts.restored(), plain.learner._state.counts.restored():
        averaged, unaveraged = state(training.learner.net), state(plain.learner.net)
    assert all(torch.equal(averaged[name], tensor) for name, tensor in unaveraged.items())


def test_an_epoch_is_evaluated_with_the_averaged_weights(tmp_path: Path) -> None:
    training = begin_digits(job(AVERAGED.replace(epochs=2, val_images=300)), tmp_path)
    training.plan = dataclasses.replace(training.plan, reporting=Reporting(eval_every=1))
    rows = loop.train(training)
    assert training.splits.val is not None
    net = training.learner.published()
    assert rows[-1].val_loss == evaluate(net, training.splits.val, training.pixels).test_loss
    assert rows[-1].val_loss != evaluate(training.learner.net, training.splits.val, training.pixels).test_loss
    assert rows[0].test_loss is not None


def test_the_card_says_that_the_weights_are_averaged(trained: Path, tmp_path: Path) -> None:
    settings = {"model_ema_decay": "0.9"}
    done = api.train("resnet8_digits", epochs=1, limit_train=64, settings=settings, out=tmp_path / "average")
    sentence = "Averaged: the weights are the exponential moving average over the steps with decay 0.9;"
    assert sentence in (done.folder / store.README).read_text()
    assert sentence not in (trained / store.README).read_text()


def test_shared_tensors_are_averaged_once() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    average = Average(net, 0.5)
    with torch.no_grad():
        net[0].weight.zero_()  # type: ignore[operator]
    before = weights.dump(average.net, {})
    average.update()
    assert weights.dump(average.net, {}) != before
    assert average.net[0].weight is average.net[1].weight  # type: ignore[index]
