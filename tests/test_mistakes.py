"""Mistakes on the command line: one line with the problem and its remedy, and the exit code."""

from __future__ import annotations

import itertools
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo.errors import Interrupted

from .conftest import CHECKOUT, Run
from .images import draw
from .test_train import StopAfter

LARGE = str(10**30)
IMPORT = "import resnet8 model/model.safetensors --by me --license mit"
MISTAKES = {
    "names": [
        ("info nothing", "there is no model 'nothing'"),
        ("train resnet80", "did you mean resnet8 or"),
        ("train resnet8_digit", "did you mean resnet8_digits"),
        ("train 'folder:my pics'", "is an address, not a model's name; images are given as dataset"),
        ("predict photo.png resnet8", "photo.png is a file: name a model before it"),
        ("info resnet8_digits.nobody", "it has no imported weights for resnet8_digits: leave out .nobody"),
        ("info model", "to use the folder of that name, write ./model"),
        ("plot empty", "to use the folder of that name, write ./empty"),
        ("eval model --weights photo.png", "to use the folder of that name, write ./model"),
        ("eval plain20", "set hub or ZOO_HUB to a hub that has them, or train the model: zoo train plain20_cifar10"),
        ("predict resnet32 photo.png", "only imported weights: resnet32_cifar10.akamaster"),
        ("plot plain20", "or train the model: zoo train plain20_cifar10"),
        ("verify plain20", "or train the model: zoo train plain20_cifar10"),
        ("reproduce plain20", "or train the model: zoo train plain20_cifar10"),
        ("compare plain21", "did you mean plain32 or plain20"),
        ("compare resnet8 resnet20", "name models of one dataset"),
        ("train resnet56_cifar10.akamaster", "there is no model 'resnet56_cifar10.akamaster'; did you mean"),
    ],
    "recipes": [
        ("train resnet8 --recipe qick", "it has quick, finetune, linear"),
        ("train resnet8 --set nothing_of_it=1", "the fields are epochs"),
        ("train resnet8 --set learning_rate=1", "did you mean lr?"),
        ("train resnet8 --set lr=abc", "lr should be a number, not 'abc'"),
        ("train resnet8 --set lr=nan", "lr should be a number"),
        ("train resnet8 --set batch_size=0", "batch_size should be at least 1, not 0"),
        ("train resnet8 --epochs 0", "epochs should be at least 1, not 0"),
        ("train resnet8 --recipe finetune --epochs 1", "freeze_epochs should be from 0 to epochs (1), not 2"),
    ],
    "numbers": [
        ("train resnet8 --limit-train -5", "limit_train should be from 1"),
        ("train resnet8 --seeds 0", "seeds should be from 1 to"),
        (f"train resnet8 --seeds {10**12}", "seeds should be from 1 to 1,000"),
        (f"train resnet8 --seed {LARGE}", f"seed should be from 0 to {2**63 - 1}"),
        (f"reproduce resnet8 --seed {LARGE}", f"seed should be from 0 to {2**63 - 1}"),
        (f"train resnet8 --threads {10**9}", "threads should be from 1 to 1,024"),
    ],
    "pictures": [
        ("train resnet8 --dataset CIFAR11", "did you mean cifar10 or cifar100?"),
        ("train resnet8 --dataset 'my pics'", "for your own images set dataset to folder:my pics"),
        (
            "train resnet8 --dataset 'folder:my pics'",
            "or set test_part to hold out a fraction of them, such as 0.2",
        ),
        ("train resnet8 --dataset folder:nowhere", "expected one with a folder of images for each class"),
        ("train resnet8 --test-part 0.2", "need your own images (dataset folder:PATH)"),
        ("train resnet8 --set img_size=16", "img_size should be null, not 16: all images of digits have size 8"),
        ("data 'my pics'", "for a folder use folder:my pics"),
        ("data fodler:flowers", "did you mean folder?"),
        ("data folder:halves", "or rename train/ if it is a class"),
        ("data folder:phone", "no image in phone (left out: .heic 2); expected files such as phone/a/1.jpg"),
        ("predict resnet8 nowhere.png", "nowhere.png can't be read as an image: No such file"),
        ("predict resnet8 broken.png", "expected one of the formats"),
        ("predict resnet8 empty", "there is no image in empty; name files or folders"),
        ("eval resnet8 --dataset cifar10", "name the dataset that the model was trained on"),
    ],
    "files": [
        ("predict ./model/model.safetensors photo.png", "give its folder, model"),
        ("predict ./nowhere photo.png", "for a model in a hub, write hf://namespace/name"),
        ("push nowhere", "there is no folder nowhere"),
        ("plot ./nowhere", "there is no folder nowhere"),
        ("eval ./empty", "is not a model folder: it has no config.json"),
        ("eval ./begun.run", "is not a model folder: it has no config.json"),
        ("eval ./model --weights photo.png", "save its state dict with safetensors.torch.save_file"),
        ("eval resnet8 --weights none", "none can't be read"),
        ("import resnet8 nowhere.pth --by me --license mit", "expected a path, https://… or hf://…"),
        (f"{IMPORT} --mean 0.1,0.2", "mean should have 1 numbers, one per channel, not 2"),
        (f"{IMPORT} --tag 'A B'", "a tag should be of a-z"),
        (f"{IMPORT} --sha256 {'0' * 64}", "has SHA-256"),
        ("train resnet8 --out model", "set out to another folder, or set overwrite to replace it"),
        ("train resnet8 --out begun", "set resume to continue it, or overwrite to start again"),
        (
            "train resnet8 --out begun --resume --seed 3 --epochs 1 --limit-train 64 --set batch_size=16",
            "has seed 0, not 3",
        ),
        ("train resnet8 --out model --resume --epochs 9", "set out to another folder, or set overwrite to replace it"),
        ("plot resnet8 --out plot.gif", "should end in .svg"),
        ("new plugin 'my net'", "expected lower-case letters and digits, as in tiny"),
    ],
    "hubs": [
        ("train resnet8 --push", "hf auth login"),
        ("train resnet8 --hub file:hub", "was given without push; add push, or leave out hub"),
        ("train resnet8 --push --hub file:hub --license MIT2", "license should be a Hugging Face license id"),
        ("list --hub ftp://x", "there is no kind of hub 'ftp'; expected one of file, hf"),
        ("pull resnet8 --hub model", "expected file:PATH or hf://namespace"),
        ("pull resnet8 --hub file:nowhere", "because there is no folder nowhere; check the path"),
        ("pull resnet8 --revision nosuch", "has no revision 'nosuch'; it has 9dee802f38c1"),
        ("page --hub file:nowhere", "push one there with: zoo push FOLDER --hub file:nowhere"),
    ],
    "other software": [
        ("train resnet8 --device tpu", "it has cpu"),
        ("train resnet8 --track neptune", "there is no tracker 'neptune'; expected one of tensorboard"),
        ("train resnet8 --start resnet20_cifar10", "train resnet20, or start from other weights"),
        ("predict resnet8 photo.png --with onnx", "write it with: zoo export resnet8_digits --to onnx"),
        ("export resnet8 --to onxx", "did you mean onnx?"),
        ("page --try nowhere", "get it with: npm pack onnxruntime-web"),
    ],
}
MISUSES = [
    ("lst", "no such command 'lst'. Did you mean 'list'? See: zoo -h"),
    ("nothing", "no such command 'nothing'. See: zoo -h"),
    ("--jsn", "no such option: --jsn. See: zoo -h"),
    ("list --jsn", "no such option: --jsn (Possible options: --json). See: zoo list -h"),
    ("list --sort accuracy", "'--sort': 'accuracy' is not one of 'published', 'name', 'top1', 'parameters'"),
    ("train", "missing argument 'MODEL'. See: zoo train -h"),
    ("train resnet8 --set lr", "FIELD=VALUE"),
    ("train resnet8 --epochs many", "invalid value for '--epochs'"),
    ("train resnet8 --batch-size 32", "no such option: --batch-size. See: zoo train -h"),
    ("predict resnet8", "missing argument 'IMAGE...'"),
    ("predict resnet8 photo.png --top 0", "greater than or equal to 1"),
    ("verify", "name models, or give --all"),
    ("eval resnet8 --out report", "add --report"),
    ("push model --license", "'--license' requires an argument"),
    ("import resnet8 x", "missing option '--by'"),
    ("import resnet8 x --by x", "missing option '--license'"),
    (f"{IMPORT} --mean a,b", "should be numbers separated by commas"),
    ("import resnet8 x --by x --license mit --hub file:hub", "add --push"),
    ("new plugn x", "'plugn' is not one of 'plugin'"),
]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, images and an interrupted training. Not to be written to."""
    work = tmp_path_factory.mktemp("mistakes") / "work"
    shutil.copytree(CHECKOUT / "hub_cards" / "resnet8_digits", work / "model")
    shutil.copy(CHECKOUT / "tests" / "photo.png", work)
    (work / "broken.png").write_text("<html>")
    (work / "empty").mkdir()
    draw(work / "my pics", 2)
    draw(work / "halves" / "train", 2)
    for name in ("a", "b"):
        (work / "phone" / name).mkdir(parents=True)
        (work / "phone" / name / "1.HEIC").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoo.training.loop.REPORT_SECONDS", 0.0)  # a report hears of every step
        with pytest.raises(Interrupted):
            zoo.train(
                "resnet8", out=work / "begun", epochs=1, limit_train=64, settings={"batch_size": 16},
                device="cpu", amp=False, report=StopAfter(2),
            )  # fmt: skip
    return work


@pytest.fixture
def run_there(work: Path, run_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in that folder."""
    (tmp_path / "work").symlink_to(work)
    monkeypatch.setenv("ZOO_CACHE", str(work.parent / "cache"))
    return run_here


@pytest.mark.parametrize(("line", "message"), [*itertools.chain(*MISTAKES.values())])
def test_a_mistake_is_one_line_with_a_remedy_and_exit_1(run_there: Run, work: Path, line: str, message: str) -> None:
    before = sorted(work.rglob("*"))
    finished = run_there(*shlex.split(line))
    assert (finished.returncode, finished.stderr.count("\n")) == (1, 1), finished.stderr
    assert finished.stderr.startswith("zoo: ")
    assert message in finished.stderr
    assert sorted(work.rglob("*")) == before


@pytest.mark.parametrize(("line", "message"), MISUSES)
def test_a_misuse_of_a_command_is_one_line_and_exit_2(run_there: Run, line: str, message: str) -> None:
    finished = run_there(*shlex.split(line))
    assert (finished.returncode, finished.stderr.count("\n")) == (2, 1), finished.stderr
    assert finished.stderr.startswith("zoo: ")
    assert message in finished.stderr


def test_a_typo_is_answered_without_torch(work: Path) -> None:
    lines = [line for line, _ in (*MISTAKES["names"], *MISTAKES["recipes"], *MISUSES)]
    lines += [
        "eval ./nowhere",
        "data folder:nowhere",
        "train resnet8 --push --hub nonsense",
        "plot resnet8 --out a.gif",
    ]
    code = """
import shlex, sys
from zoo.cli.app import main
for line in sys.argv[1:]:
    sys.argv = ["zoo", *shlex.split(line)]
    try:
        main()
    except SystemExit as end:
        assert end.code, line
    assert "torch" not in sys.modules, line
"""
    finished = subprocess.run([sys.executable, "-c", code, *lines], capture_output=True, text=True, cwd=work)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.count("\n") == len(lines)


def test_a_command_without_arguments_shows_the_help(run_here: Run) -> None:
    finished = run_here()
    assert finished.returncode == 2
    assert "Usage: zoo" in finished.stderr + finished.stdout


# Limits memory to a little more than the process has at its first step.
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
def test_too_little_memory_for_a_batch_is_one_line(tmp_path: Path) -> None:
    words = ["train", "resnet8", "--set", "batch_size=1437", "--epochs", "1", "--compile", "none", "-q"]
    finished = subprocess.run([sys.executable, "-c", POOR, *words], capture_output=True, text=True, cwd=tmp_path)
    assert finished.returncode == 1
    assert finished.stderr.splitlines()[0] == (
        "zoo: cpu has too little memory for resnet8_digits with batch_size 1,437; "
        "decrease batch_size, or recompute activations (grad_checkpointing)"
    )
    assert "Traceback" not in finished.stderr


def test_characters_that_a_terminal_lacks_are_question_marks(run_zoo: Run) -> None:
    finished = run_zoo("list", "resnet20b*", PYTHONIOENCODING="ascii")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "?" in finished.stdout


def test_a_folder_can_be_evaluated_with_other_weights(run_here: Run) -> None:
    own = CHECKOUT / "hub_cards" / "resnet8_digits"
    finished = run_here("eval", own, "--weights", own / "model.safetensors")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("resnet8_digits   now: top-1 98.06%")
