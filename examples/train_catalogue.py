"""Fill the catalogue: choose recipes on held-out images, then train each model on all of them and publish it.

python examples/train_catalogue.py tune [MODEL…]     # candidates on 45,000 images, judged by the 5,000 others
python examples/train_catalogue.py tune --epochs 15 --only distilled --only decoupled     # some of them, and shorter
python examples/train_catalogue.py train [MODEL…]    # the queue below, each model into hub_cards/ when it is done
python examples/train_catalogue.py status [MODEL…]   # what is done, what is running and how far, what comes next
python examples/train_catalogue.py plan [MODEL…]     # a command a model that isn't done, for a cluster's scheduler

A queue goes on after a failure, and where it was stopped: what is finished is taken as it is, and what another process
trains is left to it. Seeds are declared here, before any run; the first one's weights are published, and all of them
are on the card. The test set is run once, after the last epoch.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

# A plain checkout is enough: nothing of it has to be installed.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from zoo import api, registry
from zoo.errors import FolderError, Interrupted, ZooError
from zoo.record import lock, store
from zoo.record.types import require_trained
from zoo.spec import Recipe
from zoo.training.environment import keep_memory
from zoo.training.output import Output
from zoo.training.reporting import Lines, clock


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue: how it is trained, from how many seeds, and whether it is what the catalogue gets.

    What is not published is a proof: a system's own recipe, whose number is to be seen in its model folder, where the
    catalogue has weights of that name by a recipe of the zoo's. Which one it has is said here, before either is run.
    Or its weights are too large for the package (`publish=False`).
    """

    model: str
    recipe: str
    seeds: int = 1
    settings: dict[str, str] = field(default_factory=dict)
    start: str | None = None  # the weights that it begins with
    dtype: str = "fp32"  # fp16 where the weights are too large for the package otherwise
    publish: bool = True

    @property
    def train(self) -> Recipe:
        """The recipe itself."""
        return registry.load(self.model).recipes[self.recipe].changed(self.settings)


@dataclass(frozen=True)
class Asked:
    """What is asked for on the command line: which entries, trained how long, into which folder and hub."""

    entries: Sequence[Entry]
    epochs: int | None
    limit_train: int | None
    out: Path
    hub: str

    def output(self, entry: Entry) -> Output:
        """The output of an entry's training."""
        return Output(self.out / f"{entry.model}-{entry.recipe}", resume=True)

    def is_done(self, entry: Entry) -> bool:
        """Whether its model folder is there, with all its seeds."""
        folder = self.output(entry).folder
        if not (folder / store.CONFIG).is_file():
            return False
        return max(1, len(require_trained(store.read_record(folder)).seeds)) >= entry.seeds


# What stands first trains first: the first of its family, which two cores without bf16 finish in two hours; the two
# teachers, the two families that have no weights yet by their own recipes, what the teachers teach. The first teacher
# begins as resnet20, at half its first rate and for 22 epochs: from nothing those two cores take fourteen hours.
# It ended no better than it began; where there is a GPU, a hundred epochs from nothing are to be declared in its place.
QUEUE = (
    Entry("resnet26_wide_cifar100", "quick", settings={"epochs": "10"}, dtype="fp16"),
    Entry(
        "resnet56_cifar10",
        "long",
        settings={"epochs": "22", "lr": "0.05", "warmup_epochs": "1"},
        start="resnet20_cifar10",
    ),
    Entry("resnet56_cifar100", "long"),
    Entry("resnet26_wide_cifar100", "paper", settings={"epochs": "70"}, publish=False),
    Entry("resnet_tied_cifar100", "paper", dtype="fp16", publish=False),  # 15 MB
    Entry("resnet20_cifar100", "distilled"),
    Entry("resnet20_cifar10", "distilled"),
    Entry("resnet32_cifar10", "distilled"),
    Entry("resnet32_cifar100", "distilled"),
    Entry("resnet20b_cifar10", "cosine"),
    Entry("resnet20_cifar10", "paper", publish=False),
    Entry("resnet44_cifar10", "long"),
    Entry("resnet44_cifar100", "long"),
    Entry("resnet110_cifar10", "long"),
    Entry("resnet110_cifar100", "long"),
)


@dataclass(frozen=True)
class Candidate:
    """A recipe that could be the better one, changed in one point."""

    name: str
    recipe: str = "long"
    settings: dict[str, str] = field(default_factory=dict)


# Each is judged on its own and on top of nothing else. The recipe `distilled` is the decoupled one, which has a warm-up
# of 8 of its 100 epochs; the other one is Hinton's.
CANDIDATES = (
    Candidate("as it is"),
    Candidate("lr 0.2", settings={"lr": "0.2"}),
    Candidate("weight decay 2e-4", settings={"weight_decay": "2e-4"}),
    Candidate("weight decay 1e-3", settings={"weight_decay": "1e-3"}),
    Candidate("mixup 0.2", settings={"mixup": "0.2"}),
    Candidate("cutmix on half", settings={"cutmix": "1.0", "mixup_prob": "0.5"}),
    Candidate("cutout 8", settings={"cutout": "8"}),
    Candidate("cutout 16", settings={"cutout": "16"}),
    Candidate("averaged", settings={"model_ema_decay": "0.999"}),
    Candidate("distilled", "distilled", {"distill_type": "kd", "distill": "0.9", "distill_warmup_epochs": "0"}),
    Candidate("decoupled", "distilled", {"distill_warmup_epochs": "1"}),
)
HELD_OUT = 5_000


@dataclass(frozen=True)
class Tuning:
    """What is asked for of `tune`: which candidates on which models, trained how long, from which teacher."""

    models: Sequence[str]
    candidates: Sequence[Candidate]
    epochs: int | None
    limit_train: int | None
    out: Path
    teacher: str | None  # in place of the recipe's

    def settings(self, candidate: Candidate) -> dict[str, str]:
        """Every field in which a candidate is another than its recipe."""
        taught = {"teacher": self.teacher} if self.teacher and candidate.recipe == "distilled" else {}
        return {**candidate.settings, **taught, "val_images": str(HELD_OUT)}


def tune(tuning: Tuning) -> int:
    """Train every candidate on the images that are not held out, and print what those say."""
    failures = 0
    for model in tuning.models:
        for candidate in tuning.candidates:
            place = tuning.out / f"{model}-{candidate.name.replace(' ', '-')}"
            print(f"{model}  {candidate.name}: in {place}", flush=True)
            try:
                done = api.train(
                    model, recipe=candidate.recipe, settings=tuning.settings(candidate), epochs=tuning.epochs,
                    out=place, limit_train=tuning.limit_train, resume=True, eval_every=10**6, save_every=1,
                    report=Lines(Console()),
                )  # fmt: skip
            except Interrupted:
                raise
            except ZooError as error:
                failures += 1
                print(f"{model}  {candidate.name}: {error}", file=sys.stderr, flush=True)
                continue
            last = store.read_log(done.folder)[-1]
            print(
                f"{model}  {candidate.name}: held-out top-1 {last.val_top1:.2f}%, loss {last.val_loss:.4f}", flush=True
            )
    return failures


def train(asked: Asked) -> int:
    """Train what the queue says, and publish each as soon as it is done; what another process trains is left to it."""
    failures = 0
    for entry in asked.entries:
        place = asked.output(entry).folder
        if _left_alone(entry, place):
            continue
        print(f"{entry.model}: recipe {entry.recipe}, {entry.seeds} seeds, in {place}", flush=True)
        try:
            done = api.train(
                entry.model, recipe=entry.recipe, settings=entry.settings, epochs=asked.epochs, seeds=entry.seeds,
                start=entry.start, out=place, limit_train=asked.limit_train, dtype=entry.dtype, resume=True,
                eval_every=10, save_every=1, push=entry.publish,
                hub=asked.hub if entry.publish else None, report=Lines(Console()),
            )  # fmt: skip
        except Interrupted:
            raise
        except ZooError as error:
            if _left_alone(entry, place):  # somebody else was the first
                continue
            failures += 1
            print(f"{entry.model}: {error}", file=sys.stderr, flush=True)
            continue
        print(f"{entry.model}: top-1 {done.config.results.test_top1:.2f}%", flush=True)
    return failures


def _left_alone(entry: Entry, place: Path) -> bool:
    """Whether another process is training it, which is said then."""
    owner = lock.owner(place)
    if owner is not None:
        print(f"{entry.model}: recipe {entry.recipe} is being trained by {owner}, and left to it", flush=True)
    return owner is not None


def status(asked: Asked) -> int:
    """Print a line an entry: done, running and how far, stopped and how far, or waiting; the first of these is next."""
    come_next = "next"
    for entry in asked.entries:
        place, owner = asked.output(entry), lock.owner(asked.output(entry).folder)
        if owner is not None:
            said = f"running by {owner}{_progress(asked, entry)}"
        elif asked.is_done(entry):
            said = f"done, top-1 {require_trained(store.read_record(place.folder)).results.test_top1:.2f}%"
        else:
            said, come_next = f"{come_next}{_progress(asked, entry) if place.run.is_dir() else ''}", "waiting"
        print(f"{entry.model:24} {entry.recipe:10} {said}", flush=True)
    return 0


def _progress(asked: Asked, entry: Entry) -> str:
    """How far a run has come by its log: its last epoch, of how many, and at the pace of that one how long it takes."""
    recipe, dataset = entry.train, registry.load(entry.model).dataset
    epochs = asked.epochs or recipe.epochs
    rows = []
    with contextlib.suppress(FolderError):  # none yet, or in the middle of a line
        rows = store.read_log(asked.output(entry).run)
    if not rows:
        return f", before the end of epoch 1 of {epochs}"
    images, seconds = asked.limit_train or dataset.train_images - recipe.val_images, rows[-1].train_seconds
    left = clock(seconds * (epochs - rows[-1].epoch))
    return f", after epoch {rows[-1].epoch} of {epochs}, {images / max(seconds, 1e-9):,.0f} images/s, left {left}"


def plan(asked: Asked) -> int:
    """Print a command for every entry that isn't done; a teacher of the same queue has to be published before it."""
    coming = {entry.model for entry in QUEUE if entry.publish and not asked.is_done(entry)}
    for entry in asked.entries:
        if asked.is_done(entry):
            continue
        words = ["zoo", "train", entry.model, "--recipe", entry.recipe]
        words += [word for name, value in entry.settings.items() for word in ("--set", f"{name}={value}")]
        words += ["--epochs", str(asked.epochs)] if asked.epochs else []
        words += ["--limit-train", str(asked.limit_train)] if asked.limit_train else []
        words += ["--start", entry.start] if entry.start else []
        words += ["--seeds", str(entry.seeds)] if entry.seeds > 1 else []
        words += ["--dtype", entry.dtype] if entry.dtype != "fp32" else []
        words += ["--out", str(asked.output(entry).folder), "--resume", "--eval-every", "10"]
        words += ["--push", "--hub", asked.hub] if entry.publish else []
        teacher = f"{entry.train.teacher}_{registry.load(entry.model).dataset.name}"
        after = f"  # after {teacher}" if teacher in coming else ""
        print(f"{shlex.join(words)}{after}", flush=True)
    return 0


def main() -> None:
    """Tune, train, or say how it stands; the number of failures is the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("tune", "train", "status", "plan"))
    parser.add_argument("models", nargs="*", help="[default: resnet20_cifar10 to tune, else the whole queue]")
    parser.add_argument("--epochs", type=int, help="[default: the recipe's]")
    parser.add_argument("--limit-train", type=int)
    parser.add_argument("--only", action="append", metavar="CANDIDATE", help="to tune; may be repeated [default: all]")
    parser.add_argument("--teacher", metavar="MODEL", help="of the candidates that have one [default: the recipe's]")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--hub", default="file:hub_cards")
    words = parser.parse_args()
    try:
        if words.what == "tune":
            models, candidates = words.models or ["resnet20_cifar10"], _candidates(words.only)
            for name in models:
                registry.resolve(name)  # a name that is none is refused before anything is trained
            keep_memory()
            out = words.out / "tune"
            sys.exit(tune(Tuning(models, candidates, words.epochs, words.limit_train, out, words.teacher)))
        asked = Asked(_entries(words.models), words.epochs, words.limit_train, words.out, words.hub)
        if words.what == "train":
            keep_memory()
        sys.exit({"train": train, "status": status, "plan": plan}[words.what](asked))
    except Interrupted as stopped:
        print(f"{stopped}, or start this queue again", file=sys.stderr)
        sys.exit(stopped.exit_code)
    except ZooError as error:
        sys.exit(str(error))


def _candidates(names: list[str] | None) -> list[Candidate]:
    """The candidates of these names, in their order; all where none is named."""
    known = [candidate.name for candidate in CANDIDATES]
    if unknown := [one for one in names or () if one not in known]:
        sys.exit(f"{unknown[0]} is no candidate; there are {', '.join(known)}")
    return [candidate for candidate in CANDIDATES if not names or candidate.name in names]


def _entries(models: list[str]) -> list[Entry]:
    """What the queue has of these models, in its order; all of it where none is named."""
    known = list(dict.fromkeys(entry.model for entry in QUEUE))
    if unknown := [one for one in models if one not in known]:
        sys.exit(f"{unknown[0]} is not in the queue; it has {', '.join(known)}")
    return [entry for entry in QUEUE if not models or entry.model in models]


if __name__ == "__main__":
    main()
