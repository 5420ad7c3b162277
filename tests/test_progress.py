from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from zoo import api
from zoo.errors import HubError, TrainingError
from zoo.record import store
from zoo.record.types import EpochRow
from zoo.training.reporting import Bar, Lines, Report


def row(epoch: int) -> EpochRow:
    return EpochRow(epoch=epoch, lr=0.1, train_loss=1.0, train_top1=50.0, train_seconds=0.1)


def test_the_progress_bar_shows_no_loss_before_the_first_step() -> None:
    text = io.StringIO()
    bar = Bar(Console(file=text, force_terminal=True, width=120))
    bar.start(epochs=10, images=100, finished=0)
    bar.finish()
    assert "starting" in text.getvalue()
    assert "nan" not in text.getvalue()
    assert "loss" not in text.getvalue()


@pytest.mark.parametrize("val", [None, 99.99])
def test_an_epoch_is_one_line_of_at_most_80_columns(val: float | None) -> None:
    text = io.StringIO()
    lines = Lines(Console(file=text, width=200))
    lines.start(epochs=1_000, images=50_000, finished=0)
    lines.step(1, 50, 0.1, 2.0)
    lines.epoch(EpochRow(1, 0.1, 10.1234, 99.99, 12_345.6, test_loss=1.0, test_top1=99.99, val_loss=1.0, val_top1=val))
    lines.finish()
    (line,) = text.getvalue().splitlines()
    part = "train" if val is None else "val"
    assert line.startswith(f"epoch    1/1000  loss 10.123  {part} 99.99%  test 99.99%  12345.6 s  left ")
    assert line.endswith("left 142.7 d")  # 999 epochs
    assert len(line) <= 80


def test_the_time_left_after_a_resumed_epoch_counts_the_whole_epoch() -> None:
    text = io.StringIO()
    lines = Lines(Console(file=text, width=200))
    lines.start(epochs=10, images=100, finished=4)
    for epoch in (5, 6):  # epoch 5 took 60 s, most of them before the resume; epoch 6 ends right after it
        lines.epoch(EpochRow(epoch, 0.1, 1.0, 50.0, 60.0))
    assert [line.rpartition("left ")[2] for line in text.getvalue().splitlines()[1:]] == ["0:05:00", "0:02:00"]


class Notes(Report):
    """A report that keeps the notes of a training."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_the_first_note_describes_the_training(tmp_path: Path) -> None:
    report, out = Notes(), tmp_path / "out"
    api.train("resnet8", epochs=2, limit_train=100, limit_test=50, amp=False, out=out, report=report, device="cpu")
    assert report.notes[0] == (
        "training resnet8_digits, recipe quick: 2 epochs × 2 steps per epoch, batch 64, 100 images and tested on 50, "
        f"cpu in fp32, to {out}"
    )
    assert report.notes[1].startswith("compile none (")


def test_a_limited_test_set_is_recorded_and_its_accuracy_not_published(tmp_path: Path) -> None:
    done = api.train("resnet8", epochs=2, limit_train=64, limit_test=50, amp=False, out=tmp_path / "out")
    assert done.config.results.test_images == 50
    card = (done.folder / store.README).read_text()
    assert "Accuracy after the last epoch on the first 50 of 360 test images of" in card
    with pytest.raises(HubError, match="was tested on 50 of 360 test images, which is not its accuracy"):
        api.push(done.folder, hub=f"file:{tmp_path / 'hub'}")
    with pytest.raises(TrainingError, match="tested with limit_test can't be published; leave out limit_test or push"):
        api.train("resnet8", limit_test=50, push=True, out=tmp_path / "pushed")
