"""The output folder of a training: what it overwrites, resumes or refuses, and the lock on it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zoo import api
from zoo.errors import FolderError, Interrupted, TrainingError, ZooError
from zoo.record import store
from zoo.record.types import obstacles, require_trained
from zoo.training import checkpoint
from zoo.training.checkpoint import Progress
from zoo.training.output import Output

from .test_train import StopAfter

MODES = ["fresh", "resume", "overwrite"]


def quick(out: Path, mode: str = "fresh") -> api.Trained:
    """Train for one epoch of one step."""
    return api.train(
        "resnet8", out=out, epochs=1, limit_train=64, amp=False, resume=mode == "resume", overwrite=mode == "overwrite"
    )


HOLD = """
import sys
from pathlib import Path
from zoo.record.lock import alone

with alone(Path(sys.argv[1]), "trained"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of the folder `m`."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "m")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_which_process_uses_the_folder(tmp_path: Path, held: subprocess.Popen[str]) -> None:
    for mode in MODES:
        with pytest.raises(TrainingError, match=f"m is being trained by pid {held.pid} on "):
            quick(tmp_path / "m", mode)
    with pytest.raises(FolderError, match=f"m is being written by pid {held.pid} on "):
        api.pull("resnet8_digits", out=tmp_path / "m")


def test_a_killed_process_frees_its_folder(tmp_path: Path, held: subprocess.Popen[str]) -> None:
    held.kill()
    held.wait()
    assert quick(tmp_path / "m").folder == tmp_path / "m"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("strange", ["m/notes.txt", "m/pictures/", "m/README.md", "m.run/thesis.tex", "m"])
def test_files_of_the_user_are_never_removed(tmp_path: Path, trained: Path, mode: str, strange: str) -> None:
    if strange in ("m/notes.txt", "m/pictures/"):  # beside a model
        shutil.copytree(trained, tmp_path / "m")
    (tmp_path / strange).parent.mkdir(exist_ok=True)
    (tmp_path / strange).mkdir() if strange.endswith("/") else (tmp_path / strange).write_text("mine")
    with pytest.raises(TrainingError, match=r"which the zoo did not write|is a file, not a"):
        quick(tmp_path / "m", mode)
    assert (tmp_path / strange).exists()


def test_a_damaged_model_folder_may_be_overwritten(model_folder: Path) -> None:
    (model_folder / store.CONFIG).write_text("{")
    assert quick(model_folder, "overwrite").config.training.epochs == 1


def test_resuming_a_finished_training_removes_its_left_over_run(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()  # an empty folder is filled
    first = quick(tmp_path / "m")
    run = Output(tmp_path / "m").run
    run.mkdir()
    checkpoint.save(run, first.config.job, Progress(device="CPU"), {})
    (run / ".checkpoint.pt.123-abcd.aside").write_bytes(b"killed while it was written")
    assert quick(tmp_path / "m", "resume").config == first.config
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def stopped(out: Path, **options: Any) -> None:
    """Start a training that is interrupted in its first epoch."""
    with pytest.raises(Interrupted):
        api.train("resnet8", out=out, limit_train=64, amp=False, report=StopAfter(1), **options)


@pytest.mark.usefixtures("report_every_step")
def test_a_run_of_another_machine_is_continued_if_allowed_and_its_card_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as machine:
        machine.setattr("zoo.training.loop.describe", lambda device: "CPU, Intel 8086")
        stopped(tmp_path / "m", epochs=2, threads=2)
    options: dict[str, Any] = {"out": tmp_path / "m", "epochs": 2, "threads": 1, "limit_train": 64, "amp": False}
    expected = r"in another environment; here: threads 1 instead of 2; .* instead of CPU, Intel 8086\. "
    with pytest.raises(TrainingError, match=expected) as refusal:
        api.train("resnet8", resume=True, **options)
    assert "with allow_other_environment" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    config = api.train("resnet8", resume=True, allow_other_environment=True, **options).config
    assert config.training.continued
    assert [continuation.epoch for continuation in config.training.continued] == [1]
    card = " ".join((tmp_path / "m" / store.README).read_text().split())
    assert "After 1 epoch it was continued in another environment (threads 1 instead of 2; " in card
    assert "so its weights can't be reproduced byte for byte." in card
    assert "continued in another environment" in obstacles(config, config)


def test_a_record_of_an_uninterrupted_run_names_no_continuation(trained: Path) -> None:
    assert "continued" not in (trained / store.CONFIG).read_text()


def test_another_environment_is_allowed_only_with_resume(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="allow_other_environment needs resume"):
        api.train("resnet8", out=tmp_path / "m", allow_other_environment=True)


@pytest.mark.usefixtures("report_every_step")
def test_interrupted_seeds_that_overwrite_others_are_resumed_with_the_same_options(tmp_path: Path) -> None:
    options: dict[str, Any] = {"out": tmp_path / "m", "seeds": 2, "epochs": 1, "limit_train": 64, "amp": False}
    api.train("resnet8", settings={"batch_size": "32"}, **options)
    options |= {"settings": {"batch_size": "16"}, "overwrite": True}
    with pytest.raises(Interrupted, match="to continue, give the same options and resume"):
        api.train("resnet8", report=StopAfter(6), **options)  # in the second seed
    config = api.train("resnet8", resume=True, **options).config
    assert config.job.recipe.batch_size == 16
    assert require_trained(store.check(tmp_path / "m-seed1")).job.recipe.batch_size == 16
    assert [result.seed for result in config.seeds] == [0, 1]


@pytest.mark.usefixtures("report_every_step")
def test_an_overwriting_run_is_resumed_although_the_old_folder_is_damaged(model_folder: Path) -> None:
    options: dict[str, Any] = {"out": model_folder, "epochs": 1, "limit_train": 64, "amp": False}
    options["settings"] = {"batch_size": "16"}
    with pytest.raises(Interrupted):
        api.train("resnet8", overwrite=True, report=StopAfter(1), **options)
    (model_folder / store.WEIGHTS).write_bytes(b"damaged")
    assert api.train("resnet8", resume=True, **options).config.training.epochs == 1


@pytest.mark.parametrize("out", ["/dev/null/m", "/proc/nothing/m", "m" * 300, "link", "link/m"])
def test_an_output_folder_that_cannot_be_written_is_one_line_before_the_first_step(tmp_path: Path, out: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing" / "there")
    with pytest.raises(ZooError, match=r"can't be written \(|is a link|can't be a file's name"):
        quick(tmp_path / out)


@pytest.mark.parametrize("module", ["zoo.cli.app", "torch"])
def test_ctrl_c_during_an_import_is_one_line(module: str, tmp_path: Path) -> None:
    code = f"""
import os, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs without it

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from zoo.__main__ import main
main()
"""
    command = [sys.executable, "-c", code, "train", "resnet8"]
    process = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (process.returncode, process.stderr) == (130, "zoo: stopped by Ctrl-C\n")
