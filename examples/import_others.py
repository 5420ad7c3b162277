"""What the catalogue has of other people: published weights for the zoo's nets, each with whose it is and from where.

python examples/import_others.py [--files FOLDER] [--out hub_cards]

A file that is in FOLDER, or can be fetched, is imported and measured (`zoo import`); one that can't be had is left out.
FOLDER may have copies that were saved anew, without the digits in their names: then the record has a hash of the
tensors. No weights enter the catalogue: they stay where their authors put them, and are fetched, hashed and converted
when somebody first loads them.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# A plain checkout is enough: nothing of it has to be installed.
sys.path.append(str(Path(__file__).resolve().parent.parent))


from zoo import api
from zoo.errors import HubError
from zoo.hub.imported import Normalisation
from zoo.record import store
from zoo.record.replace import written_aside

IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# The deviations are means of per-image ones; both as the authors' own configuration has them.
CIFAR10: Normalisation = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
CIFAR100: Normalisation = ((0.5070, 0.4865, 0.4409), (0.2673, 0.2564, 0.2761))


@dataclass(frozen=True)
class Author:
    """Somebody's collection: whose it is, and where its files are."""

    by: str
    license: str
    folder: str  # of the files' addresses
    citation: str
    revision: str = ""
    meaning: str = ""  # of the accuracies that are claimed


@dataclass(frozen=True)
class Entry:
    """A file of a collection: for which model, and what its author says that it scores."""

    model: str
    author: Author
    file: str
    test_top1: float
    normalisation: Normalisation

    @property
    def name(self) -> str:
        """The variant's."""
        return f"{self.model}.{self.author.by}"

    @property
    def address(self) -> str:
        """The author's address of the file."""
        return f"{self.author.folder}/{self.file}"


AKAMASTER = Author(
    by="akamaster",
    license="bsd-2-clause",
    folder="https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models",
    citation="Yerlan Idelbayev: Proper ResNet Implementation for CIFAR10/CIFAR100 in PyTorch, "
    "https://github.com/akamaster/pytorch_resnet_cifar10",
    revision="d5489e8",
    meaning="the best over test epochs",
)
CHENYAOFO = Author(
    by="chenyaofo",
    license="bsd-3-clause",
    folder="https://github.com/chenyaofo/pytorch-cifar-models/releases/download/resnet",
    citation="Yaofo Chen: PyTorch CIFAR Models, https://github.com/chenyaofo/pytorch-cifar-models",
    revision="resnet",
)
ENTRIES = (
    Entry("resnet20_cifar10", AKAMASTER, "resnet20-12fca82f.th", 91.73, IMAGENET),
    Entry("resnet32_cifar10", AKAMASTER, "resnet32-d509ac18.th", 92.63, IMAGENET),
    Entry("resnet44_cifar10", AKAMASTER, "resnet44-014dd654.th", 93.10, IMAGENET),
    Entry("resnet56_cifar10", AKAMASTER, "resnet56-4bfd9763.th", 93.39, IMAGENET),
    Entry("resnet20b_cifar10", CHENYAOFO, "cifar10_resnet20-4118986f.pt", 92.60, CIFAR10),
    Entry("resnet32b_cifar10", CHENYAOFO, "cifar10_resnet32-ef93fc4d.pt", 93.53, CIFAR10),
    Entry("resnet44b_cifar10", CHENYAOFO, "cifar10_resnet44-2a3cabcb.pt", 94.01, CIFAR10),
    Entry("resnet56b_cifar10", CHENYAOFO, "cifar10_resnet56-187c023a.pt", 94.37, CIFAR10),
    Entry("resnet20b_cifar100", CHENYAOFO, "cifar100_resnet20-23dac2f1.pt", 68.83, CIFAR100),
    Entry("resnet32b_cifar100", CHENYAOFO, "cifar100_resnet32-84213ce6.pt", 70.16, CIFAR100),
    Entry("resnet44b_cifar100", CHENYAOFO, "cifar100_resnet44-ffe32858.pt", 71.63, CIFAR100),
    Entry("resnet56b_cifar100", CHENYAOFO, "cifar100_resnet56-f2eff4c8.pt", 72.63, CIFAR100),
)


def source_of(entry: Entry, files: Path | None) -> Path | str:
    """The author's file where it is in the folder, or a copy of it that was saved anew, else its address."""
    copy = f"{re.sub(r'-[0-9a-f]{8}$', '', Path(entry.file).stem)}.pth"
    local = [path for name in (entry.file, copy) if files is not None and (path := files / name).is_file()]
    return local[0] if local else entry.address


def take_in(entry: Entry, files: Path | None, data: Path | None, place: Path) -> str:
    """Write an entry's folder at `place`, without its weights; what came of it, in a phrase."""
    author, (mean, std) = entry.author, entry.normalisation
    with tempfile.TemporaryDirectory() as scratch:
        try:
            folder, config = api.import_model(
                entry.model,
                source_of(entry, files),
                by=author.by,
                license=author.license,
                address=entry.address,
                revision=author.revision,
                citation=author.citation,
                claim=entry.test_top1,
                claim_means=author.meaning,
                mean=mean,
                std=std,
                data=data,
                out=Path(scratch) / "whole",
            )
        except HubError as error:
            return f"left out ({error})"
        with written_aside(place) as aside:
            store.copy_files(folder, aside, weights=False)
    return f"top-1 {config.results.test_top1:.2f}%" if config.results else "not measured here, the data is not there"


def main() -> None:
    """Take in all that is declared above."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these, as resnet20_cifar10.akamaster")
    parser.add_argument("--files", type=Path, help="a folder with files that were fetched already")
    parser.add_argument("--data", type=Path, help="where the data sets are")
    parser.add_argument("--out", type=Path, default=Path("hub_cards"), help="the catalogue")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - {entry.name for entry in ENTRIES}:
        parser.error(f"not declared: {', '.join(sorted(unknown))}")
    for entry in ENTRIES:
        if not arguments.names or entry.name in arguments.names:
            place = arguments.out / entry.name
            print(f"{entry.name}: {take_in(entry, arguments.files, arguments.data, place)}", flush=True)


if __name__ == "__main__":
    main()
