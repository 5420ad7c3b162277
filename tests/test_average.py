from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zoo import api
from zoo.errors import Interrupted
from zoo.evaluation.evaluate import evaluate
from zoo.nets import weights
from zoo.record import store
from zoo.training import loop
from zoo.training.loop import Training
from zoo.training.optimizer import Average
from zoo.training.reporting import Reporting

from .test_train import RECIPE, Run, StopAfter, begin_digits, job

DECAY = 0.9
AVERAGED = RECIPE.changed({"model_ema_decay": str(DECAY)})
STEPS = 7  # an epoch


def state(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def trained_beside_torchs(run: Path) -> tuple[Training, nn.Module]:
    """An epoch of training, and torch's own average of its steps, begun with the net as it was before."""
    training = begin_digits(job(AVERAGED), run)
    learner = training.learner
    theirs = AveragedModel(learner.net, multi_avg_fn=get_ema_multi_avg_fn(DECAY), use_buffers=True)  # type: ignore[no-untyped-call]
    theirs.update_parameters(learner.net)
    learner.begin(1)
    for number in range(STEPS):
        learner.step(number)
        theirs.update_parameters(learner.net)
    return training, theirs.module


def test_the_average_is_torchs_own_begun_before_the_first_step_batch_norms_statistics_with_it(tmp_path: Path) -> None:
    training, theirs = trained_beside_torchs(tmp_path)
    mine, expected = state(training.learner.published()), state(theirs)
    floats = [name for name, tensor in expected.items() if tensor.is_floating_point()]
    assert any("running_var" in name for name in floats)
    assert all(torch.equal(mine[name], expected[name]) for name in floats)
    assert {int(mine[name]) for name in mine.keys() - set(floats)} == {STEPS}  # batch norm's counts are the net's


def test_averaging_does_not_change_the_training(tmp_path: Path) -> None:
    training, _ = trained_beside_torchs(tmp_path / "averaged")
    plain = begin_digits(job(), tmp_path / "plain")
    plain.learner.begin(1)
    for number in range(STEPS):
        plain.learner.step(number)
    with training.learner._state.counts.restored(), plain.learner._state.counts.restored():
        one, other = state(training.learner.net), state(plain.learner.net)
    assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize("stopped_after", [3, 7])  # in the first epoch, at its end
def test_an_averaged_run_that_was_stopped_and_resumed_has_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_after: int
) -> None:
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    whole = Run(tmp_path / "whole").go(job(AVERAGED))
    stopped = Run(tmp_path / "stopped")
    with pytest.raises(Interrupted):
        stopped.go(job(AVERAGED), report=StopAfter(stopped_after))
    assert stopped.go(job(AVERAGED), resume=True).bytes() == whole.bytes()


def test_an_epoch_is_evaluated_with_the_averaged_weights(tmp_path: Path) -> None:
    training = begin_digits(job(AVERAGED.replace(epochs=2, val_images=300)), tmp_path)
    training.plan = dataclasses.replace(training.plan, reporting=Reporting(eval_every=1))
    rows = loop.train(training)
    assert training.splits.val is not None
    net = training.learner.published()
    assert rows[-1].val_loss == evaluate(net, training.splits.val, training.pixels).test_loss
    assert rows[-1].val_loss != evaluate(training.learner.net, training.splits.val, training.pixels).test_loss
    assert rows[0].test_loss is not None


def test_the_card_says_that_the_published_weights_are_the_average(trained: Path, tmp_path: Path) -> None:
    settings = {"model_ema_decay": "0.9"}
    done = api.train("resnet8_digits", epochs=1, limit_train=64, settings=settings, out=tmp_path / "average")
    said = "Averaged: the weights are the exponential moving average over the steps with decay 0.9;"
    assert said in (done.folder / store.README).read_text()
    assert said not in (trained / store.README).read_text()


def test_an_average_is_whole_where_tensors_are_shared() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    average = Average(net, 0.5)
    with torch.no_grad():
        net[0].weight.zero_()  # type: ignore[operator]
    before = weights.dump(average.net, {})
    average.update()
    assert weights.dump(average.net, {}) != before
    assert average.net[0].weight is average.net[1].weight  # type: ignore[index]


@pytest.mark.gpu
def test_an_average_is_moved_within_a_graph() -> None:
    cuda = torch.device("cuda")
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(cuda)
    average = Average(net, 0.5)
    average.update()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        average.update()
    expected = [tensor.detach().clone() for tensor in average.net.parameters()]
    with torch.no_grad():
        for one in net.parameters():
            one.add_(1.0)
    graph.replay()
    for mine, before in zip(average.net.parameters(), expected, strict=True):
        torch.testing.assert_close(mine, before + 0.5)
