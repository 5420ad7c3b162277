"""What a person gets wrong on the command line: a line that says what is wrong and what to do, and the exit code."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CHECKOUT, Run


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (["train", "resnet21"], "did you mean", 1),
        (["train", "resnet8", "--recipe", "paper"], "it has quick", 1),
        (["train", "resnet8", "--set", "nothing_of_it=1"], "the fields are epochs", 1),
        (["train", "resnet8", "--set", "learning_rate=1"], "there is no field 'learning_rate'; did you mean lr?", 1),
        (["train", "resnet8", "--set", "lr=abc"], "lr should be a number, not 'abc'", 1),
        (["train", "resnet8_digit"], "did you mean resnet8_digits", 1),
        (["info", "RESNET8_DIGITS"], "did you mean resnet8_digits", 1),
        (["train", "resnet8", "--dataset", "cifar11"], "did you mean cifar10", 1),
        (["train", "resnet8", "--epochs", "0"], "epochs", 1),
        (["train", "resnet8", "--limit-train", "-5"], "limit_train should be from 1", 1),
        (["train", "resnet8", "--set", "lr"], "FIELD=VALUE", 2),
        (["train", "resnet8", "--push"], "hf auth login", 1),
        (["train", "resnet8", "--hub", "file:hub"], "add push or leave out hub", 1),
        (["import", "resnet8", "x", "--by", "x", "--license", "mit", "--hub", "file:hub"], "add --push", 2),
        (["train", "resnet8", "--device", "tpu"], "there is cpu", 1),
        (["train", "resnet8", "--track", "wandb"], "there is no tracker 'wandb'; there are tensorboard", 1),
        (["info", "nothing"], "no model 'nothing'", 1),
        (["eval", "plain20"], "the catalogue has no weights of plain20_cifar10", 1),
        (["info", "model"], "./model is a folder here: give ./model to mean it", 1),
        (["predict", "./model/model.safetensors", "photo.png"], "is a file, and no model folder", 1),
        (["predict", "./nowhere", "photo.png"], "there is no folder nowhere", 1),
        (["predict", "resnet8", "nowhere.png"], "nowhere.png", 1),
        (["predict", "resnet32", "photo.png"], "the catalogue has no weights of resnet32_cifar10", 1),
        (["predict", "resnet8"], "IMAGE", 2),
        (["eval", "./model", "--weights", "photo.png"], "photo.png is not a safetensors file", 1),
        (["eval", "model", "--weights", "photo.png"], "./model is a folder here: give ./model to mean it", 1),
        (["plot", "./nowhere"], "there is no folder nowhere", 1),
        (["list", "nosuch"], "the zoo has no model 'nosuch'", 1),
        (["list", "--dataset", "cifar"], "did you mean cifar10 or cifar100?", 1),
        (["list", "--hub", "file:nosuch"], "there is no such folder", 1),
        (["pull", "resnet8", "--hub", "model"], "expected file:PATH or hf://namespace", 1),
        (["lst"], "no such command 'lst'. Did you mean 'list'? See: zoo -h", 2),
        (["nothing"], "no such command 'nothing'. See: zoo -h", 2),
        (["list", "--jsn"], "no such option: --jsn (Possible options: --json). See: zoo list -h", 2),
        (["--jsn"], "no such option: --jsn. See: zoo -h", 2),
        (["push", "nowhere"], "there is no folder nowhere", 1),
        (["pull", "resnet8", "--hub", "file:nowhere"], "has no model resnet8_digits", 1),
        (["list", "--hub", "ftp://x"], "there is no kind of hub 'ftp'; there are file, hf", 1),
        (["train", "resnet8", "--epochs", "many"], "--epochs", 2),
        (["train", "resnet8", "--seeds", "0"], "seeds should be at least 1", 1),
        (["train", "resnet8", "--seeds", str(10**12)], "seeds should be at least 1 and up to 1,000", 1),
        (["train", "resnet8", "--seed", str(10**30)], f"seed should be from 0 to {2**63 - 1}", 1),
        (["train", "resnet8", "--threads", str(10**9)], "threads should be at least 1 and up to 1,024", 1),
        (["reproduce", "resnet8", "--seed", str(10**30)], f"seed should be from 0 to {2**63 - 1}", 1),
        (["eval", "resnet8", "--weights", "none"], "none can't be read", 1),
        (["plot", "resnet8", "--out", "plot.gif"], "should end in .svg", 1),
        (["plot", "plain20"], "the catalogue has no weights of plain20_cifar10", 1),
        (["predict", "resnet8", "empty"], "there is no picture in empty", 1),
        (["compare", "resnet8", "resnet20"], "errors on digits and cifar10 are not to be compared", 1),
        (["compare", "plain21"], "did you mean", 1),
        (["verify"], "name models, or give --all", 2),
        (["verify", "plain20"], "the catalogue has no weights of plain20_cifar10", 1),
        (["reproduce", "plain20"], "the catalogue has no weights of plain20_cifar10", 1),
    ],
)
def test_a_mistake_is_one_line_and_a_non_zero_exit(
    run_here: Run, tmp_path: Path, words: list[str], message: str, code: int
) -> None:
    work = tmp_path / "work"
    shutil.copytree(CHECKOUT / "hub_cards" / "resnet8_digits", work / "model")
    shutil.copy(CHECKOUT / "tests" / "photo.png", work)
    (work / "empty").mkdir()
    finished = run_here(*words)
    assert finished.returncode == code
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stderr.startswith("zoo: ")
    assert finished.stderr.count("\n") == 1


# Lets the process have no more memory than it has at its first step, and a little.
POOR = """
import resource, sys
from pathlib import Path
from zoo.training.learner import Learner
step = Learner.step
def poor(self, number):
    status = Path("/proc/self/status").read_text().splitlines()
    used = 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmData:"))
    resource.setrlimit(resource.RLIMIT_DATA, (used + 2**24, used + 2**24))
    return step(self, number)
Learner.step = poor
from zoo.__main__ import main
sys.argv[0] = "zoo"
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_batches_that_the_memory_is_too_small_for_are_one_line(tmp_path: Path) -> None:
    words = ["train", "resnet8", "--set", "batch_size=1437", "--epochs", "1", "--compile", "none", "-q"]
    finished = subprocess.run([sys.executable, "-c", POOR, *words], capture_output=True, text=True, cwd=tmp_path)
    assert finished.returncode == 1
    assert finished.stderr.splitlines()[0] == (
        "zoo: cpu has too little memory for resnet8_digits with batch_size 1,437; "
        "take smaller batches (batch_size), or recompute activations (grad_checkpointing)"
    )
    assert "Traceback" not in finished.stderr


def test_a_terminal_that_has_not_all_characters_gets_question_marks_for_those(run_zoo: Run) -> None:
    finished = run_zoo("list", "resnet20b*", PYTHONIOENCODING="ascii")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "?" in finished.stdout


def test_a_folder_can_be_evaluated_with_other_weights(run_here: Run) -> None:
    own = CHECKOUT / "hub_cards" / "resnet8_digits"
    finished = run_here("eval", own, "--weights", own / "model.safetensors")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("resnet8_digits   now: top-1 98.06%")
