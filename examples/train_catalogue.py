"""Fill the catalogue: choose recipes on held-out images, then train each model on all of them and publish it.

python examples/train_catalogue.py tune [MODEL…]     # candidates on 45,000 images, judged by the 5,000 others
python examples/train_catalogue.py train [MODEL…]    # the queue below, each model into hub_cards/ when it is done

A queue goes on after a failure, and where it was stopped: what is finished is taken as it is. Seeds are declared
here, before any run; the first one's weights are published, and all of them are on the card. The test set is
run once, after the last epoch.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

# A plain checkout is enough: nothing of it has to be installed.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from zoo import api
from zoo.errors import Interrupted, ZooError
from zoo.folder import store
from zoo.training.progress import Lines


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue: how it is trained, and from how many seeds."""

    model: str
    recipe: str
    seeds: int = 1
    settings: dict[str, str] = field(default_factory=dict)


# What stands first trains first: the two teachers, the two families that have no weights yet, what the teachers teach.
QUEUE = (
    Entry("resnet56_cifar10", "long"),
    Entry("resnet56_cifar100", "long"),
    Entry("resnet26_wide_cifar100", "paper", settings={"epochs": "70"}),
    Entry("resnet_tied_cifar100", "paper"),
    Entry("resnet20_cifar100", "distilled"),
    Entry("resnet20_cifar10", "distilled"),
    Entry("resnet32_cifar10", "distilled"),
    Entry("resnet32_cifar100", "distilled"),
    Entry("resnet20b_cifar10", "cosine"),
    Entry("resnet20_cifar10", "paper"),
    Entry("resnet44_cifar10", "long"),
    Entry("resnet44_cifar100", "long"),
    Entry("resnet110_cifar10", "long"),
    Entry("resnet110_cifar100", "long"),
)

# What a longer recipe could change; each is judged on its own and on top of nothing else.
CANDIDATES: dict[str, dict[str, str]] = {
    "as it is": {},
    "lr 0.2": {"lr": "0.2"},
    "weight decay 2e-4": {"weight_decay": "2e-4"},
    "weight decay 1e-3": {"weight_decay": "1e-3"},
    "mixup 0.2": {"mixup": "0.2"},
    "cutmix on half": {"cutmix": "1.0", "mixup_prob": "0.5"},
    "cutout 8": {"cutout": "8"},
    "cutout 16": {"cutout": "16"},
}


def tune(models: list[str], epochs: int | None, limit_train: int | None, out: Path) -> int:
    """Train every candidate on the images that are not held out, and print what those say."""
    failures = 0
    for model in models or ["resnet20_cifar10"]:
        for name, settings in CANDIDATES.items():
            place = out / f"{model}-{name.replace(' ', '-')}"
            try:
                done = api.train(
                    model, recipe="long", settings={**settings, "val_images": "5000"}, epochs=epochs, out=place,
                    limit_train=limit_train, resume=True, eval_every=10**6, save_every=5, report=None,
                )  # fmt: skip
            except Interrupted:
                raise
            except ZooError as error:
                failures += 1
                print(f"{model}  {name}: {error}", file=sys.stderr, flush=True)
                continue
            last = store.read_log(done.folder)[-1]
            print(f"{model}  {name}: held-out top-1 {last.val_top1:.2f}%, loss {last.val_loss:.4f}", flush=True)
    return failures


def train(models: list[str], epochs: int | None, limit_train: int | None, out: Path, hub: str) -> int:
    """Train what the queue says, and publish each as soon as it is done."""
    failures = 0
    for entry in QUEUE:
        if models and entry.model not in models:
            continue
        place = out / f"{entry.model}-{entry.recipe}"
        print(f"{entry.model}: recipe {entry.recipe}, {entry.seeds} seeds, in {place}", flush=True)
        try:
            done = api.train(
                entry.model, recipe=entry.recipe, settings=entry.settings, epochs=epochs, seeds=entry.seeds, out=place,
                limit_train=limit_train, resume=True, eval_every=10, save_every=1, push=True, hub=hub,
                report=Lines(Console()),
            )  # fmt: skip
        except Interrupted:
            raise
        except ZooError as error:
            failures += 1
            print(f"{entry.model}: {error}", file=sys.stderr, flush=True)
            continue
        print(f"{entry.model}: top-1 {done.config.own.results.test_top1:.2f}%", flush=True)
    return failures


def main() -> None:
    """Tune or train; the number of failures is the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("tune", "train"))
    parser.add_argument("models", nargs="*", help="[default: resnet20_cifar10 to tune, the whole queue to train]")
    parser.add_argument("--epochs", type=int, help="[default: the recipe's]")
    parser.add_argument("--limit-train", type=int)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--hub", default="file:hub_cards")
    asked = parser.parse_args()
    try:
        if asked.what == "tune":
            sys.exit(tune(asked.models, asked.epochs, asked.limit_train, asked.out / "tune"))
        sys.exit(train(asked.models, asked.epochs, asked.limit_train, asked.out, asked.hub))
    except Interrupted as stopped:
        print(f"{stopped}, or start this queue again", file=sys.stderr)
        sys.exit(stopped.exit_code)


if __name__ == "__main__":
    main()
