"""Train the models of the catalogue: choose recipes on held-out images, then train on all images and publish.

python examples/train_catalogue.py tune [MODEL…]     # train candidates on 45,000 images, evaluate on the other 5,000
python examples/train_catalogue.py tune --epochs 15 --only distilled --only decoupled     # two candidates, fewer epochs
python examples/train_catalogue.py train [MODEL…]    # train the queue, publish each model to hub_cards/
python examples/train_catalogue.py status [MODEL…]   # print which entries are done, running or waiting
python examples/train_catalogue.py plan [MODEL…]     # print a command for each entry that isn't done, for a scheduler
python examples/train_catalogue.py time [MODEL…]     # print seconds per epoch, and the epochs that fit in --hours

The queue continues after a failure. When it is started again, it resumes stopped entries; finished entries are skipped,
and so are those that another process trains. Seeds are declared here, before any run. The weights of the first seed are
published, and the card has the results of all seeds. The test set is evaluated only after the last epoch.
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

# Import the zoo of this checkout, installed or not.
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
    """A training of the queue.

    With `publish=False` the model is trained but not published, because its weights are too large for the package, or
    because the catalogue has the model by another recipe, and this training only reproduces a paper's result.
    """

    model: str
    recipe: str
    settings: dict[str, str] = field(default_factory=dict)
    seeds: int = 1
    dtype: str = "fp32"  # fp16 if fp32 is too large for the package
    publish: bool = True

    @property
    def train(self) -> Recipe:
        """The recipe, with the settings of this entry."""
        return registry.load(self.model).recipes[self.recipe].changed(self.settings)


@dataclass(frozen=True)
class Options:
    """The options of the command line for the queue."""

    entries: Sequence[Entry]
    epochs: int | None
    limit_train: int | None
    out: Path
    hub: str

    def output(self, entry: Entry) -> Output:
        """The output of an entry's training."""
        return Output(self.out / f"{entry.model}-{entry.recipe}", resume=True)

    def is_done(self, entry: Entry) -> bool:
        """Whether the entry's model folder exists, with all seeds."""
        folder = self.output(entry).folder
        if not (folder / store.CONFIG).is_file():
            return False
        return max(1, len(require_trained(store.read_record(folder)).seeds)) >= entry.seeds


# In the order of training: nets taught by chenyaofo's resnet56b, the course report's net by its own recipe, then nets
# without a teacher. resnet26_wide's learning rate is constant, so that 5 epochs are the first 5 of its paper's 500; the
# first 17 epochs of resnet_tied are in the log of a run of 100 that is stopped there.
QUEUE = (
    Entry("resnet56_cifar10", "distilled"),
    # Fewer epochs for two CPU cores; both warm-ups are shortened with them.
    Entry("resnet20_cifar100", "distilled", {"epochs": "40", "warmup_epochs": "2", "distill_warmup_epochs": "3"}),
    Entry("resnet32_cifar10", "distilled"),
    Entry("resnet32_cifar100", "distilled"),
    Entry("resnet56_cifar100", "distilled"),
    Entry("resnet20_cifar10", "distilled"),
    Entry("resnet44_cifar10", "distilled"),
    Entry("resnet44_cifar100", "distilled"),
    Entry("resnet20b_cifar10", "cosine"),
    Entry("resnet_tied_cifar100", "paper", dtype="fp16", publish=False),  # 15 MB
    Entry("resnet26_wide_cifar100", "paper", {"epochs": "5"}, publish=False),
    Entry("resnet26_wide_cifar100", "quick", {"epochs": "10"}, dtype="fp16"),
    Entry("resnet20_cifar10", "paper", publish=False),
    Entry("resnet110_cifar10", "long"),
    Entry("resnet110_cifar100", "long"),
)


@dataclass(frozen=True)
class Candidate:
    """A recipe with changed settings, to compare with the recipe itself."""

    name: str
    recipe: str = "long"
    settings: dict[str, str] = field(default_factory=dict)


# Each candidate changes a single aspect of its recipe. The recipe `distilled` is decoupled distillation, with a warm-up
# of 8 of 100 epochs; the candidate "distilled" is Hinton's distillation.
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
TIMED_STEPS = 20
WITHOUT_WARM_UP = {"epochs": "2", "warmup_epochs": "0", "distill_warmup_epochs": "0"}


@dataclass(frozen=True)
class Tuning:
    """The options of the command line for `tune`."""

    models: Sequence[str]
    candidates: Sequence[Candidate]
    epochs: int | None
    limit_train: int | None
    out: Path
    teacher: str | None  # instead of the recipe's

    def settings(self, candidate: Candidate) -> dict[str, str]:
        """The settings of a candidate, with its teacher and the held-out images."""
        teacher = {"teacher": self.teacher} if self.teacher and candidate.recipe == "distilled" else {}
        return {**candidate.settings, **teacher, "val_images": str(HELD_OUT)}


def tune(tuning: Tuning) -> int:
    """Train every candidate, and print the results on the held-out images; returns the number of failures."""
    failures = 0
    for model in tuning.models:
        for candidate in tuning.candidates:
            folder = tuning.out / f"{model}-{candidate.name.replace(' ', '-')}"
            print(f"{model}  {candidate.name}: in {folder}", flush=True)
            try:
                done = api.train(
                    model, recipe=candidate.recipe, settings=tuning.settings(candidate), epochs=tuning.epochs,
                    out=folder, limit_train=tuning.limit_train, resume=True, eval_every=10**6, save_every=1,
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


def train(options: Options) -> int:
    """Train the entries, and publish each when it is done; returns the number of failures."""
    failures = 0
    for entry in options.entries:
        folder = options.output(entry).folder
        if _is_being_trained(entry, folder):
            continue
        print(f"{entry.model}: recipe {entry.recipe}, {entry.seeds} seeds, in {folder}", flush=True)
        try:
            done = api.train(
                entry.model, recipe=entry.recipe, settings=entry.settings, epochs=options.epochs, seeds=entry.seeds,
                out=folder, limit_train=options.limit_train, dtype=entry.dtype, resume=True,
                eval_every=10, save_every=1, push=entry.publish,
                hub=options.hub if entry.publish else None, report=Lines(Console()),
            )  # fmt: skip
        except Interrupted:
            raise
        except ZooError as error:
            if _is_being_trained(entry, folder):  # another process started it first
                continue
            failures += 1
            print(f"{entry.model}: {error}", file=sys.stderr, flush=True)
            continue
        print(f"{entry.model}: top-1 {done.config.results.test_top1:.2f}%", flush=True)
    return failures


def _is_being_trained(entry: Entry, folder: Path) -> bool:
    """Whether another process is training the entry; prints which process."""
    owner = lock.owner(folder)
    if owner is not None:
        print(f"{entry.model}: recipe {entry.recipe} is being trained by {owner}, skipped", flush=True)
    return owner is not None


def status(options: Options) -> int:
    """Print the state of each entry: done, running, next or waiting, with the progress of unfinished runs."""
    come_next = "next"
    for entry in options.entries:
        output, owner = options.output(entry), lock.owner(options.output(entry).folder)
        if owner is not None:
            state = f"running by {owner}{_progress(options, entry)}"
        elif options.is_done(entry):
            state = f"done, top-1 {require_trained(store.read_record(output.folder)).results.test_top1:.2f}%"
        else:
            state, come_next = f"{come_next}{_progress(options, entry) if output.run.is_dir() else ''}", "waiting"
        print(f"{entry.model:24} {entry.recipe:10} {state}", flush=True)
    return 0


def _progress(options: Options, entry: Entry) -> str:
    """The progress of a run by its log: the last epoch, its speed, and the time left at that speed."""
    recipe, dataset = entry.train, registry.load(entry.model).dataset
    epochs = options.epochs or recipe.epochs
    rows = []
    with contextlib.suppress(FolderError):  # no log yet, or an incomplete line
        rows = store.read_log(options.output(entry).run)
    if not rows:
        return f", before the end of epoch 1 of {epochs}"
    images, seconds = options.limit_train or dataset.train_images - recipe.val_images, rows[-1].train_seconds
    left = clock(seconds * (epochs - rows[-1].epoch))
    return f", after epoch {rows[-1].epoch} of {epochs}, {images / max(seconds, 1e-9):,.0f} images/s, left {left}"


def plan(options: Options) -> int:
    """Print a command for every entry that isn't done."""
    for entry in options.entries:
        if options.is_done(entry):
            continue
        words = ["zoo", "train", entry.model, "--recipe", entry.recipe]
        words += [word for name, value in entry.settings.items() for word in ("--set", f"{name}={value}")]
        words += ["--epochs", str(options.epochs)] if options.epochs else []
        words += ["--limit-train", str(options.limit_train)] if options.limit_train else []
        words += ["--seeds", str(entry.seeds)] if entry.seeds > 1 else []
        words += ["--dtype", entry.dtype] if entry.dtype != "fp32" else []
        words += ["--out", str(options.output(entry).folder), "--resume", "--eval-every", "10"]
        words += ["--push", "--hub", options.hub] if entry.publish else []
        print(shlex.join(words), flush=True)
    return 0


def measure(entries: Sequence[Entry], hours: float, out: Path) -> int:
    """Print seconds per epoch of each entry, and the number of epochs that fit in some hours; returns 0.

    Each entry is trained for two epochs of TIMED_STEPS steps. Only the second is timed.
    """
    for entry in entries:
        batch_size, dataset = entry.train.batch_size, registry.load(entry.model).dataset
        done = api.train(
            entry.model, recipe=entry.recipe, settings={**entry.settings, **WITHOUT_WARM_UP},
            out=out / f"{entry.model}-{entry.recipe}", overwrite=True, limit_train=TIMED_STEPS * batch_size,
            limit_test=batch_size, eval_every=10**6, report=Lines(Console(stderr=True)),
        )  # fmt: skip
        images = min(TIMED_STEPS * batch_size, dataset.train_images)
        seconds = store.read_log(done.folder)[-1].train_seconds * dataset.train_images / images
        fit = int(hours * 3600 / seconds)
        print(f"{entry.model:24} {entry.recipe:10} {seconds:8.1f} s/epoch, {fit} epochs in {hours:g} h", flush=True)
    return 0


def main() -> None:
    """Run the chosen command; the exit code is the number of failures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("tune", "train", "status", "plan", "time"))
    parser.add_argument("models", nargs="*", help="[default: resnet20_cifar10 to tune, else the whole queue]")
    parser.add_argument("--epochs", type=int, help="[default: the recipe's]")
    parser.add_argument("--limit-train", type=int)
    parser.add_argument(
        "--only", action="append", metavar="CANDIDATE", help="a candidate of tune; may be repeated [default: all]"
    )
    parser.add_argument(
        "--teacher", metavar="MODEL", help="the teacher of candidates with distillation [default: the recipe's]"
    )
    parser.add_argument("--hours", type=float, default=2.5, help="of a training, for `time` [default: %(default)s]")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--hub", default="file:hub_cards")
    arguments = parser.parse_args()
    try:
        if arguments.what == "tune":
            models, candidates = arguments.models or ["resnet20_cifar10"], _candidates(arguments.only)
            for name in models:
                registry.resolve(name)  # raises for an unknown name before the first training
            keep_memory()
            out = arguments.out / "tune"
            sys.exit(tune(Tuning(models, candidates, arguments.epochs, arguments.limit_train, out, arguments.teacher)))
        if arguments.what == "time":
            keep_memory()
            sys.exit(measure(_entries(arguments.models), arguments.hours, arguments.out / "time"))
        options = Options(
            _entries(arguments.models), arguments.epochs, arguments.limit_train, arguments.out, arguments.hub
        )
        if arguments.what == "train":
            keep_memory()
        sys.exit({"train": train, "status": status, "plan": plan}[arguments.what](options))
    except Interrupted as stopped:
        print(f"{stopped}, or start this queue again", file=sys.stderr)
        sys.exit(stopped.exit_code)
    except ZooError as error:
        sys.exit(str(error))


def _candidates(names: list[str] | None) -> list[Candidate]:
    """The candidates with these names; all if there are no names."""
    available = [candidate.name for candidate in CANDIDATES]
    if unknown := [name for name in names or () if name not in available]:
        sys.exit(f"{unknown[0]} is not a candidate; the candidates are {', '.join(available)}")
    return [candidate for candidate in CANDIDATES if not names or candidate.name in names]


def _entries(models: list[str]) -> list[Entry]:
    """The queue's entries of these models; all if no models are named."""
    queued = list(dict.fromkeys(entry.model for entry in QUEUE))
    if unknown := [model for model in models if model not in queued]:
        sys.exit(f"{unknown[0]} is not in the queue; it has {', '.join(queued)}")
    return [entry for entry in QUEUE if not models or entry.model in models]


if __name__ == "__main__":
    main()
