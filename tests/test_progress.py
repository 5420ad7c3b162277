from __future__ import annotations

import io

from rich.console import Console

from zoo.record.types import EpochRow
from zoo.training.progress import Bar, Lines


def row(epoch: int) -> EpochRow:
    return EpochRow(epoch=epoch, lr=0.1, train_loss=1.0, train_top1=50.0, train_seconds=0.1)


def test_the_bar_moves_also_where_an_epoch_is_over_before_a_glance() -> None:
    bar = Bar(Console(file=io.StringIO(), force_terminal=True))
    bar.start(epochs=10, images=100, finished=0)
    for epoch in (1, 2, 3):
        bar.epoch(row(epoch))
    task = bar._bar.tasks[0]
    bar.finish()
    assert (task.completed, task.total) == (300, 1000)


def test_the_bar_says_nothing_of_a_loss_before_there_is_one() -> None:
    text = io.StringIO()
    bar = Bar(Console(file=text, force_terminal=True, width=120))
    bar.start(epochs=10, images=100, finished=0)
    bar.finish()
    assert "starting" in text.getvalue()
    assert "nan" not in text.getvalue()
    assert "loss" not in text.getvalue()


def test_a_log_has_a_line_an_epoch_and_what_is_worth_noting() -> None:
    text = io.StringIO()
    lines = Lines(Console(file=text, width=200))
    lines.note("compile none (asked for)")
    lines.start(epochs=2, images=100, finished=0)
    lines.step(1, 50, 0.1, 2.0)
    lines.epoch(row(1))
    lines.finish()
    note, epoch = text.getvalue().splitlines()
    assert note == "compile none (asked for)"
    assert epoch.startswith("epoch 1/2  lr 0.1  train loss 1.0000 top-1 50.00%  0.1 s  1,000 images/s  left ")
