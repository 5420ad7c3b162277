"""Import the published weights of other authors to the catalogue.

python examples/import_others.py [--files FOLDER] [--out hub_cards]

Each file is imported and evaluated as by `zoo import`. It is read from FOLDER, or else downloaded; a file that can't be
downloaded is left out. FOLDER may have re-saved copies, without the hash in their names: then the record has a hash of
the tensors. The catalogue gets no weights: they are downloaded from their author, checked and converted when a model
is first loaded.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# Import the zoo of this checkout, installed or not.
sys.path.append(str(Path(__file__).resolve().parent.parent))


from zoo import api
from zoo.errors import HubError
from zoo.hub.imported import Normalisation
from zoo.record import store
from zoo.record.replace import written_aside

IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# From the authors' configurations; the std is the mean of the std of each image.
CIFAR10: Normalisation = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
CIFAR100: Normalisation = ((0.5070, 0.4865, 0.4409), (0.2673, 0.2564, 0.2761))


@dataclass(frozen=True)
class Author:
    """An author's collection of files."""

    by: str
    license: str
    folder: str  # the start of the files' addresses
    citation: str
    revision: str = ""
    meaning: str = ""  # of the claimed accuracies


@dataclass(frozen=True)
class Entry:
    """A file of a collection, with its model and the top-1 that its author claims, in percent."""

    model: str
    author: Author
    file: str
    test_top1: float
    normalisation: Normalisation

    @property
    def name(self) -> str:
        """The name of the imported model."""
        return f"{self.model}.{self.author.by}"

    @property
    def address(self) -> str:
        """The address of the file."""
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
    """The path of the author's file, or of a re-saved copy, if the folder has it; else its address."""
    copy = f"{re.sub(r'-[0-9a-f]{8}$', '', Path(entry.file).stem)}.pth"
    local = [path for name in (entry.file, copy) if files is not None and (path := files / name).is_file()]
    return local[0] if local else entry.address


def import_entry(entry: Entry, files: Path | None, data: Path | None, target: Path) -> str:
    """Import an entry into the folder `target`, without its weights; returns the outcome as text."""
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
        with written_aside(target) as aside:
            store.copy_files(folder, aside, weights=False)
    return f"top-1 {config.results.test_top1:.2f}%" if config.results else "not evaluated, the dataset is missing"


def main() -> None:
    """Import the entries."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="models to import, such as resnet20_cifar10.akamaster [default: all]"
    )
    parser.add_argument("--files", type=Path, help="a folder with downloaded files")
    parser.add_argument("--data", type=Path, help="the data folder")
    parser.add_argument("--out", type=Path, default=Path("hub_cards"), help="the catalogue")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - {entry.name for entry in ENTRIES}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected names such as {ENTRIES[0].name}")
    for entry in ENTRIES:
        if not arguments.names or entry.name in arguments.names:
            outcome = import_entry(entry, arguments.files, arguments.data, arguments.out / entry.name)
            print(f"{entry.name}: {outcome}", flush=True)


if __name__ == "__main__":
    main()
