from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from .conftest import CHECKOUT

# For the examples that would take their time; the catalogue's queue has nothing small.
ARGUMENTS = {
    "benchmark_command_line.py": ["--pairs", "1"],
    "benchmark_inference.py": [
        "--model", "resnet8_digits", "--ways", "eager,channels_last,onnx", "--batches", "1,2", "--seconds", "0",
    ],
    "benchmark_race.py": ["--seconds", "1", "--readers", "2"],
    "benchmark_scale.py": ["--models", "20", "--rows", "20", "--pairs", "1"],
    "benchmark_pictures.py": [
        "data", "--size", "16", "--pictures", "40", "--workers", "1", "--rounds", "1", "--compile", "none",
    ],
    "benchmark_training.py": [
        "--images", "192", "--batch-size", "64", "--model", "resnet8_digits", "--json",
        "--only", "zoo, eager fp32", "--only", "DataLoader, 2 workers",
    ],
    "gpu_first_half_hour.py": ["--out", "half_hour", "--list"],
    "own_pictures.py": ["--pictures", "6", "--epochs", "2"],
    "profile_training_step.py": [
        "--device", "cpu", "--only", "eager fp32", "--steps", "2", "--batch-size", "16", "--model", "resnet8_digits",
    ],
    "train_catalogue.py": ["--help"],
}  # fmt: skip

# What their output has in it, and the files that they leave.
OUTPUT = {
    "benchmark_pictures.py": [
        "\n  zoo, resident ",
        "\n  zoo, mapped ",
        "\n  DataLoader, 1 workers ",
        " times the fastest",
    ],
    "benchmark_command_line.py": ["\nzoo list ", "\nbare list ", "\nzoo --help ", "\nbare --help ", "\nratio "],
    "benchmark_inference.py": ["model resnet8_digits, processor ", "\neager ", "\nchannels_last ", "1.00 ×"],
    "benchmark_race.py": ["pushed ", " loaded, ", " pulled, ", " asked, ", " listed: 0 failed, 0 mixed\n"],
    "benchmark_scale.py": [
        "\nzoo list ",
        "\nzoo info resnet2o ",
        "\nzoo list --hub file:hub ",
        "\na log of 20 ",
    ],
    "gpu_first_half_hour.py": ["\ntraining      not run\n", "\nfused graph "],
    "own_pictures.py": [
        "shapes: ",
        "\nquick    from scratch ",
        "\nfinetune from resnet20_cifar10 ",
        "\nlinear   from resnet20_cifar10 ",
        "\nverify: as published\n",
        "\npublished as file:own_pictures/hub/resnet20_shapes\n",
        "\na new triangle: ",
    ],
    "profile_training_step.py": ["\neager fp32 ", " ms a step", "calls a step", " aten::convolution_backward\n"],
}
FILES = {
    "own_pictures.py": ["own_pictures/hub/resnet20_shapes/README.md"],
    "profile_training_step.py": ["runs/profile/resnet8_digits-eager-fp32.json"],
}


# Those that take files that have to be made first, and have a test of their own.
OTHERWISE = {"predict_with_onnxruntime.py"}
NAMES = sorted({path.name for path in (CHECKOUT / "examples").glob("*.py")} - OTHERWISE)
SLOW = {name for name in NAMES if name.startswith("benchmark_")}  # the suite runs two of them below, with --json


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in NAMES])
def test_an_example_runs_from_a_plain_checkout(name: str, bare_python: Path, tmp_path: Path) -> None:
    bare = {variable: value for variable, value in os.environ.items() if variable != "PYTHONPATH"}
    finished = subprocess.run(
        [bare_python, CHECKOUT / "examples" / name, *ARGUMENTS.get(name, [])],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**bare, "ZOO_CACHE": str(tmp_path / "cache")},
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout
    assert all(text in finished.stdout for text in OUTPUT.get(name, [])), finished.stdout
    assert all((tmp_path / file).is_file() for file in FILES.get(name, []))


def test_an_exported_file_is_asked_by_onnxruntime_numpy_and_pillow_alone(tmp_path: Path) -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    from zoo import api

    folder, _ = api.export("resnet8_digits", out=tmp_path / "model")
    for module in ("torch", "torchvision", "zoo"):
        (tmp_path / f"{module}.py").write_text(f"raise RuntimeError('{module} was imported')\n")
    script, picture = CHECKOUT / "examples" / "predict_with_onnxruntime.py", tmp_path / "picture.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    # Of the model's size: Pillow rounds a resized pixel here and there to its neighbour.
    Image.open(CHECKOUT / "tests" / "photo.png").convert("L").resize((8, 8)).save(picture, exif=exif)
    finished = subprocess.run(
        [sys.executable, script, folder / "onnx" / "model.onnx", picture],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert finished.returncode == 0, finished.stderr
    (found,) = api.predict("resnet8_digits", [picture])
    seen = {label: float(share.rstrip("%")) for share, label in map(str.split, finished.stdout.splitlines())}
    expected = {guess.label: 100 * guess.probability for guess in found.guesses}
    assert next(iter(seen)) == next(iter(expected))
    # The last of five may be as improbable as another.
    assert seen == {label: pytest.approx(expected.get(label, 0.0), abs=0.01) for label in seen}


def test_a_benchmark_of_inference_has_a_ratio_of_one_run_for_every_way_as_json(bare_python: Path) -> None:
    script, words = CHECKOUT / "examples" / "benchmark_inference.py", ["--ways", "channels_last", "--seconds", "0"]
    finished = subprocess.run(
        [bare_python, script, "--model", "resnet8_digits", *words, "--batches", "1", "--json"],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    assert [(one["way"], one["batch"]) for one in found["timings"]] == [("eager", 1), ("channels_last", 1)]
    assert found["timings"][0]["ratio"] == 1
    assert {"model", "processor", "threads", "torch"} < set(found)


def test_a_benchmark_of_the_command_line_has_both_commands_and_their_ratio_as_json(bare_python: Path) -> None:
    finished = subprocess.run(
        [bare_python, CHECKOUT / "examples" / "benchmark_command_line.py", "--pairs", "1", "--json"],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    assert [(one["command"], one["bare_command"]) for one in found["commands"]] == [
        ("zoo list", "bare list"),
        ("zoo --help", "bare --help"),
    ]
    for one in found["commands"]:  # of one pair, so the ratio is theirs
        assert one["cpu_ratio"] == one["cpu"] / one["bare_cpu"]
        assert one["wall_ratio"] == one["wall"] / one["bare_wall"]


def test_a_profile_names_its_parts_where_it_is_asked_for_another(bare_python: Path, tmp_path: Path) -> None:
    finished = subprocess.run(
        [bare_python, CHECKOUT / "examples" / "profile_training_step.py", "--device", "cpu", "--only", "backwards"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert finished.returncode == 2
    assert "there is no backwards here; there are eager fp32" in finished.stderr
