"""Test the zoo on a new GPU in half an hour, and find the fastest way to train on it.

python examples/gpu_first_half_hour.py --out results [--data DIR] [--minutes 10] [--only NAME] [--list]

The steps run in this order, each in a separate process:
  tests         the tests that need a GPU
  ways          milliseconds and kernels of a training step of resnet20, for every way without compilation
  convolutions  each convolution of resnet20 in both memory layouts, for three, four and eight input channels
  compiled      the same for every way with compilation
  plans         the two fastest ways again, with all plans of cuDNN tried
  deep          a training step of resnet56
  training      200 epochs of resnet20_cifar10 by recipe `paper`, on the real data
  benchmark     the zoo's training loop and others, by benchmark_training.py

A running step writes its output to NAME.log in --out, and NAME.json when it ends. To resume an interrupted command, run
it again with the same --out: completed steps are skipped. --minutes skips steps that might not end in time. At the end,
a table compares the measured milliseconds with estimates for an H100; --list only prints it. The exit code is the
number of failed steps.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
EXAMPLES = CHECKOUT / "examples"
PROFILE = (sys.executable, str(EXAMPLES / "profile_training_step.py"))
BATCHES = 391  # of 128 images, in an epoch of CIFAR
STEP = "ms a step"  # a figure of profile_training_step.py


@dataclass(frozen=True)
class Step:
    """A command, and the minutes that it takes at most."""

    name: str
    command: tuple[str, ...]
    minutes: float


@dataclass(frozen=True)
class Estimate:
    """Milliseconds of a step of resnet20 at batch size 128 on an H100, estimated from kernels and memory traffic."""

    way: str
    lowest: float
    highest: float


ESTIMATES = (
    Estimate("eager graph", 1.0, 1.4),
    Estimate("eager graph fp32", 0.85, 1.2),
    Estimate("fused graph", 0.45, 0.58),
    Estimate("compiled graph", 0.78, 0.98),
    Estimate("compiled graph both", 0.62, 0.75),
)


def steps(out: Path, data: Path | None) -> list[Step]:
    """All steps in order."""
    profile = (*PROFILE, "--out", str(out / "profile"))
    train = (
        sys.executable, "-m", "zoo", "train", "resnet20", "--recipe", "paper", "--eval-every", "10",
        "--save-every", "25", "--out", str(out / "resnet20_cifar10"), *(("--data", str(data)) if data else ()),
    )  # fmt: skip
    tests = (sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "tests")
    eager = "eager,eager graph,eager graph fp32,fused graph"
    compiled = "compiled graph,compiled graph combined kernels,compiled graph early launch,compiled graph both"
    return [
        Step("tests", tests, 4),
        Step("ways", (*profile, "--only", eager), 2),
        Step("convolutions", (*profile, "--only", "draw", "--convolutions"), 2),
        Step("compiled", (*profile, "--only", compiled), 5),
        Step("plans", (*profile, "--only", "fused graph,compiled graph both", "--limit", "0"), 4),
        Step("deep", (*profile, "--model", "resnet56_cifar10", "--only", "fused graph,compiled graph both"), 5),
        Step("training", train, 4),
        Step("benchmark", (sys.executable, str(EXAMPLES / "benchmark_training.py")), 5),
    ]


def run(step: Step, out: Path) -> int:
    """Run a step, write its output to files, and return its exit code."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    started = time.monotonic()
    with (out / f"{step.name}.log").open("w", encoding="utf-8") as log:
        log.write(" ".join(step.command) + "\n")
        log.flush()
        try:
            code = subprocess.run(
                step.command, cwd=CHECKOUT, env=environment, stdout=log, stderr=subprocess.STDOUT,
                timeout=60 * 2 * step.minutes, check=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            code = 124
    seconds = round(time.monotonic() - started, 1)
    (out / f"{step.name}.json").write_text(json.dumps({"name": step.name, "code": code, "seconds": seconds}) + "\n")
    print(f"{step.name:<14}{'done' if code == 0 else f'failed ({code})':<14}{seconds:>8.1f} s", flush=True)
    return code


def table(out: Path) -> str:
    """A table of estimated and measured milliseconds per step, kernels, and seconds for 200 epochs."""
    measured: dict[str, dict[str, float]] = {}  # the fastest measurement of each way
    for file in (out / "profile").glob("resnet20_cifar10-*.json"):
        content = json.loads(file.read_text(encoding="utf-8"))
        way, figures = content["part"], content["figures"]
        if STEP in figures and (way not in measured or figures[STEP] < measured[way][STEP]):
            measured[way] = figures
    lines = [f"{'a step of resnet20':<34}{'estimated ms':>14}{'measured':>10}{'kernels':>9}{'200 epochs':>12}"]
    estimates = {estimate.way: f"{estimate.lowest:.2f}-{estimate.highest:.2f}" for estimate in ESTIMATES}
    for way in dict.fromkeys((*estimates, *measured)):
        figures = measured.get(way, {})
        milliseconds, kernels = figures.get(STEP), figures.get("kernels a step")
        lines.append(
            f"{way:<34}{estimates.get(way, '-'):>14}"
            + (f"{milliseconds:>10.3f}" if milliseconds else f"{'-':>10}")
            + (f"{kernels:>9.0f}" if kernels else f"{'-':>9}")
            + (f"{milliseconds * BATCHES * 200 / 1000:>10.0f} s" if milliseconds else f"{'-':>12}")
        )
    return "\n".join(lines)


def main() -> int:
    """Run the steps that are not done, and return the number of failures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder for results")
    parser.add_argument("--data", type=Path, help="the folder of the real datasets [default: as `zoo train` finds it]")
    parser.add_argument("--minutes", type=float, help="skip steps that might not end within this time")
    parser.add_argument("--only", action="append", metavar="NAME", help="name of a step; may be repeated")
    parser.add_argument(
        "--list", action="store_true", help="print the state of each step and the table, without running steps"
    )
    arguments = parser.parse_args()
    out: Path = arguments.out.resolve()
    all_steps = steps(out, arguments.data and arguments.data.resolve())
    if unknown := set(arguments.only or ()) - {step.name for step in all_steps}:
        parser.error(
            f"no step {', '.join(sorted(unknown))}; the steps are {', '.join(step.name for step in all_steps)}"
        )
    out.mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + 60 * arguments.minutes if arguments.minutes else float("inf")
    failures = 0
    for step in all_steps:
        result = out / f"{step.name}.json"
        if result.is_file() and json.loads(result.read_text(encoding="utf-8"))["code"] == 0:
            print(f"{step.name:<14}done before")
        elif arguments.list or (arguments.only and step.name not in arguments.only):
            print(f"{step.name:<14}not run")
        elif time.monotonic() + 60 * step.minutes > ends:
            print(f"{step.name:<14}no time left: up to {step.minutes:g} min")
        else:
            failures += run(step, out) != 0
    print(table(out))
    return failures


if __name__ == "__main__":
    sys.exit(main())
