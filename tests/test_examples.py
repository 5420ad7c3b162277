from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from zoo.spec import Resizing

from .conftest import CHECKOUT
from .folders import config_of

# Arguments that keep the examples short.
ARGUMENTS = {
    "benchmark_command_line.py": ["--pairs", "1"],
    "benchmark_inference.py": [
        "--model", "resnet8_digits", "--ways", "eager,channels_last,onnx", "--batches", "1,2", "--seconds", "0",
    ],
    "benchmark_race.py": ["--seconds", "1", "--readers", "2"],
    "benchmark_scale.py": ["--models", "20", "--rows", "20", "--pairs", "1"],
    "benchmark_images.py": [
        "data", "--size", "16", "--images", "40", "--workers", "1", "--rounds", "1", "--compile", "none",
    ],
    "benchmark_training.py": [
        "--images", "192", "--batch-size", "64", "--model", "resnet8_digits", "--json",
        "--only", "zoo, eager fp32", "--only", "DataLoader, 2 workers",
    ],
    "gpu_first_half_hour.py": ["--out", "half_hour", "--list"],
    "own_images.py": ["--images", "6", "--epochs", "2"],
    "profile_training_step.py": [
        "--device", "cpu", "--only", "eager fp32", "--steps", "2", "--batch-size", "16", "--model", "resnet8_digits",
    ],
    "train_catalogue.py": ["--help"],
}  # fmt: skip


# Needs an exported file; has its own test below.
NEEDS_A_FILE = {"predict_with_onnxruntime.py"}
NAMES = sorted({path.name for path in (CHECKOUT / "examples").glob("*.py")} - NEEDS_A_FILE)
# A benchmark of inference runs below; test_own_dataset and test_images train on a folder of images.
SLOW = {name for name in NAMES if name.startswith("benchmark_")} | {"own_images.py", "profile_training_step.py"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in NAMES])
def test_an_example_runs_without_an_installed_zoo(name: str, bare_python: Path, tmp_path: Path) -> None:
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


def sideways() -> Image.Image:
    """An image of the model's size with 16 bits per pixel and an EXIF orientation."""
    picture = Image.fromarray(257 * np.asarray(photo().resize((8, 8))).astype(np.uint16))
    picture.getexif()[0x0112] = 6  # rotate by 90 degrees
    return picture


def wide() -> Image.Image:
    """The photo in the middle of a wider black image."""
    picture = Image.new("L", (91, 32))
    picture.paste(photo(), (30, 0))
    return picture


def photo() -> Image.Image:
    with Image.open(CHECKOUT / "tests" / "photo.png") as image:
        return image.convert("L")


# The first image needs no resizing: torchvision and Pillow round some resized pixels differently. The zoo uses Pillow
# for the other two ways of resizing.
@pytest.mark.parametrize(
    ("resizing", "draw"),
    [
        (Resizing(), sideways),
        (Resizing(crop_pct=0.875, interpolation="bicubic", crop_mode="center"), wide),
        (Resizing(crop_pct=0.875, interpolation="bicubic", crop_mode="squash"), wide),
    ],
)
def test_an_exported_file_predicts_with_only_onnxruntime_numpy_and_pillow(
    resizing: Resizing, draw: Callable[[], Image.Image], model_folder: Path, tmp_path: Path
) -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    from zoo import api

    model = config_of(model_folder, resizing=msgspec.structs.asdict(resizing))
    folder, _ = api.export(model, to=["onnx"], out=tmp_path / "exported", data=tmp_path / "none")
    for module in ("torch", "torchvision", "zoo"):
        (tmp_path / f"{module}.py").write_text(f"raise RuntimeError('{module} was imported')\n")
    script, picture = CHECKOUT / "examples" / "predict_with_onnxruntime.py", tmp_path / "picture.png"
    image = draw()
    image.save(picture, exif=image.getexif())
    finished = subprocess.run(
        [sys.executable, script, folder / "onnx" / "model.onnx", picture],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert finished.returncode == 0, finished.stderr
    (prediction,) = api.predict(model, [picture], top=10)
    percentages = {label: float(share.rstrip("%")) for share, label in map(str.split, finished.stdout.splitlines())}
    expected = {guess.label: 100 * guess.probability for guess in prediction.guesses}
    assert next(iter(percentages)) == next(iter(expected))
    assert percentages == {label: pytest.approx(expected[label], abs=0.01) for label in percentages}


def test_the_benchmark_of_inference_prints_json(bare_python: Path) -> None:
    script, words = CHECKOUT / "examples" / "benchmark_inference.py", ["--ways", "channels_last", "--seconds", "0"]
    finished = subprocess.run(
        [bare_python, script, "--model", "resnet8_digits", *words, "--batches", "1", "--json"],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    benchmark = json.loads(finished.stdout)
    assert [(timing["way"], timing["batch"]) for timing in benchmark["timings"]] == [("eager", 1), ("channels_last", 1)]
    assert benchmark["timings"][0]["ratio"] == 1
    assert {"model", "processor", "threads", "torch"} < set(benchmark)
