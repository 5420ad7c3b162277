"""Measure the zoo with ten thousand models, declared or in a folder hub, and with a log of 100,000 epochs.

python examples/benchmark_scale.py [--models 10000] [--rows 100000] [--pairs 5]

Times are CPU seconds of separate processes, medians over runs that alternate with the same command without the
additional models. Other work on the machine slows both, so quote the ratios. A command for a single model should take
the same time with and without the other models, except for reading entry points and listing the folders of a hub.

Measured with Python 3.11 on two cores of a server, three pairs: with 10,000 models declared, `zoo list` takes 1.9 times
as long as without (0.43 s); `zoo list` with a pattern, `zoo info` of a model and of an unknown name take 1.1 to 1.2
times as long. Listing a hub of 10,000 models takes 2.0 s; `zoo info` takes the same time for hubs of 10,000 and of 1.
Reading a log of 100,000 rows takes 0.16 s, 0.14 times as long as parsing its lines with the json module.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median

CHECKOUT = Path(__file__).resolve().parent.parent
MODEL = CHECKOUT / "hub_cards" / "resnet8_digits"
sys.path.append(str(CHECKOUT))

from zoo.record import store  # noqa: E402 - imports the zoo of this checkout, installed or not

PLUGIN = """
from zoo.datasets import DIGITS
from zoo.spec import Architecture, Model, Recipe


def build(input_size, num_classes):
    raise NotImplementedError


RECIPES = {{"quick": Recipe(epochs=1)}}
for number in range({models}):
    globals()[f"many{{number}}_digits"] = Model(Architecture(f"many{{number}}", build, RECIPES), DIGITS, parameters=1)
"""
READ = """
import json, sys, time
from pathlib import Path
from zoo.record import store

started = time.process_time()
rows = store.read_log(Path(sys.argv[1]))
read = time.process_time()
alone = [json.loads(line) for line in (Path(sys.argv[1]) / store.LOG).read_text().splitlines()]
assert len(rows) == len(alone)
print(read - started, time.process_time() - read)
"""


def seconds(words: list[str], environment: Mapping[str, str], *, fails: bool = False) -> float:
    """CPU seconds of the command `zoo` with these arguments."""
    command = [sys.executable, "-m", "zoo", *words]
    silent = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=silent, stderr=silent if fails else None) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if (process.returncode != 0) is not fails:
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
    return used.ru_utime + used.ru_stime


def write_plugin(site: Path, models: int) -> None:
    """Write a distribution that declares models, as pip would install it."""
    information = site / "zoo_many-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-many\nVersion: 1.0\n")
    names = [f"many{number}_digits" for number in range(models)]
    declared = "".join(f"{name} = zoo_many:{name}\n" for name in names)
    (information / "entry_points.txt").write_text(f"[zoo.models]\n{declared}")
    (site / "zoo_many.py").write_text(PLUGIN.format(models=models))


def write_hub(hub: Path, models: int) -> None:
    """Write a folder hub of models, with only those files that a listing reads."""
    config = (MODEL / "config.json").read_text()
    for number in range(models):
        folder = hub / f"many{number}_digits"
        named = config.replace('"resnet8_digits"', f'"{folder.name}"').replace('"resnet8"', f'"many{number}"')
        identity = store.identity_of({store.CONFIG: named.encode()})
        (folder / ".revisions" / identity).mkdir(parents=True)
        (folder / ".revisions" / "ids").write_text(f"{identity}\n")
        for path in (folder, folder / ".revisions" / identity):
            (path / store.CONFIG).write_text(named)
            with (path / store.WEIGHTS).open("wb") as file:  # a sparse file: a listing reads only its size
                file.truncate((MODEL / store.WEIGHTS).stat().st_size)


def compare(
    words: list[str], pairs: int, few: Mapping[str, str], many: Mapping[str, str], *, fails: bool = False
) -> None:
    """Print the CPU seconds of a command with few models and with many, and the ratio."""
    seconds(words, many, fails=fails)  # a first run compiles bytecode
    taken = [[seconds(words, environment, fails=fails) for environment in (few, many)] for _ in range(pairs)]
    alone, among = (median(column) for column in zip(*taken, strict=True))
    ratio = median(pair[1] / pair[0] for pair in taken)
    print(f"{' '.join(['zoo', *words]):<42}{alone:>8.2f}{among:>8.2f}{ratio:>8.2f}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
        plain = {**os.environ, "PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(scratch / "compiled")}
        plain.pop("PYTHONDONTWRITEBYTECODE", None)

        write_plugin(scratch / "site", arguments.models)
        many = {**plain, "PYTHONPATH": f"{path}{os.pathsep}{scratch / 'site'}"}
        print(f"{f'{arguments.models:,} more models declared':<42}{'plain':>8}{'many':>8}{'ratio':>8}")
        compare(["list"], arguments.pairs, plain, many)
        compare(["list", "resnet2*"], arguments.pairs, plain, many)
        compare(["info", "resnet20", "--no-layers"], arguments.pairs, plain, many)
        compare(["info", "resnet2o", "--no-layers"], arguments.pairs, plain, many, fails=True)

        for name, models in (("few", 1), ("many", arguments.models)):
            write_hub(scratch / name / "hub", models)
        few, many = {**plain, "ZOO_HUB": f"file:{scratch}/few/hub"}, {**plain, "ZOO_HUB": f"file:{scratch}/many/hub"}
        print(f"\n{f'a hub of 1 and of {arguments.models:,}':<42}{'1':>8}{'many':>8}{'ratio':>8}")
        os.chdir(scratch / "many")
        for words in (["list", "--hub", "file:hub"], ["list", "many0*", "--hub", "file:hub"]):
            again = median(seconds(words, plain) for _ in range(arguments.pairs))
            print(f"{' '.join(['zoo', *words]):<42}{'':>8}{again:>8.2f}", flush=True)
        compare(["info", "many0_digits", "--no-layers"], arguments.pairs, few, many)

        line = (MODEL / "log.jsonl").read_text().splitlines()[0]
        (scratch / "log.jsonl").write_text(
            "".join(json.dumps({**json.loads(line), "epoch": 1 + number}) + "\n" for number in range(arguments.rows))
        )
        command = [sys.executable, "-c", READ, str(scratch)]
        printed = subprocess.run(command, env=plain, capture_output=True, text=True, check=True).stdout
        read, alone = map(float, printed.split())
        print(f"\n{f'a log of {arguments.rows:,} rows':<42}{'JSON':>8}{'read':>8}{'ratio':>8}")
        print(f"{'':<42}{alone:>8.2f}{read:>8.2f}{read / alone:>8.2f}")


if __name__ == "__main__":
    main()
