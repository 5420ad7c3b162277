"""Image classification datasets of the Hugging Face Hub, loaded with the `datasets` library.

    hf-datasets:OWNER/NAME          a dataset on the Hub, at its newest revision
    hf-datasets:PATH                a folder of Dataset.save_to_disk, or of parquet files
    hf-datasets:NAME?KEY=VALUE&…    with options, the fields of `Request`

The image column and the label column are found by their feature types.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from zoo.plugin import Collection, DataError, Split

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

TRAIN = ("train", "training")
TEST = ("test", "validation", "valid", "val")  # the first that the dataset has
LABELS = ("label", "labels", "fine_label")  # in order of preference, if there are several label columns


@dataclass(frozen=True)
class Request:
    """A parsed address. Empty fields are chosen by the contents of the dataset."""

    path: str  # a repository on the Hub, or a folder
    config: str = ""  # the configuration, also called subset
    revision: str = ""  # a branch, a tag or a commit of the repository
    train: str = ""  # the split to train on
    test: str = ""  # the split to test on
    image: str = ""  # the column of the images
    label: str = ""  # the column of the labels

    @classmethod
    def parse(cls, rest: str) -> Request:
        """Parse the part of an address after `hf-datasets:`; raises DataError for an unknown option."""
        path, _, query = rest.partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        keys = [field.name for field in fields(cls) if field.name != "path"]
        if unknown := [key for key in options if key not in keys]:
            close = difflib.get_close_matches(unknown[0], keys, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(keys)}"
            raise DataError(f"hf-datasets:{path} has no option {unknown[0]!r}; {hint}")
        return cls(path, **options)


def open_dataset(rest: str, root: Path) -> Collection:
    """Open a dataset of the Hub or of a folder.

    Args:
        rest: The part of the address after `hf-datasets:`.
        root: The folder of datasets, which this function doesn't use: the `datasets` library has its own cache.

    Returns:
        The images, which are not read yet.

    Raises:
        DataError: The dataset, split or column does not exist, or the `datasets` library is not installed.
    """
    request = Request.parse(rest)
    splits = _load(request)
    train = _split(splits, request, request.train, TRAIN)
    if train is None:
        raise DataError(f"{_named(request)} has no training split; set ?train= to one of {', '.join(splits)}")
    test = _split(splits, request, request.test, TEST)
    image, label = _columns(train, request)
    classes, numbers = _classes(train, label)
    info = train.info
    is_local = Path(request.path).expanduser().exists()
    return Collection(
        name=re.sub(r"[^a-z0-9]+", "-", Path(request.path).name.lower()).strip("-") or "dataset",
        title=Path(request.path).name,
        classes=classes,
        train=_images(train, "train", image, label, numbers, request),
        test=None if test is None else _images(test, "test", image, label, numbers, request),
        stamp=" ".join(split._fingerprint for split in (train, test) if split is not None),
        license=info.license or "",
        homepage="" if is_local else info.homepage or f"https://huggingface.co/datasets/{request.path}",
        hub_id="" if is_local else request.path,
    )


def _named(request: Request) -> str:
    return f"hf-datasets:{request.path}"


def _load(request: Request) -> DatasetDict:
    """Load all splits; a saved dataset without splits is the training split."""
    try:
        import datasets
    except ImportError:
        raise DataError(f"{_named(request)} needs the datasets library: pip install datasets") from None
    folder = Path(request.path).expanduser()
    try:
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            saved = datasets.load_from_disk(str(folder))
        else:
            path = str(folder) if folder.exists() else request.path
            saved = datasets.load_dataset(path, request.config or None, revision=request.revision or None)
    except Exception as error:  # the library raises many types of errors
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{_named(request)} can't be loaded ({reason}); check its name") from error
    return datasets.DatasetDict({TRAIN[0]: saved}) if isinstance(saved, datasets.Dataset) else saved


def _split(splits: DatasetDict, request: Request, name: str, usual: Sequence[str]) -> Dataset | None:
    if name and name not in splits:
        raise DataError(f"{_named(request)} has no split {name!r}; there are {', '.join(splits)}")
    names = [name] if name else [usual_name for usual_name in usual if usual_name in splits]
    return splits[names[0]] if names else None


def _columns(split: Dataset, request: Request) -> tuple[str, str]:
    """The names of the image and the label column."""
    from datasets import ClassLabel, Image

    features = split.features
    images = [name for name, feature in features.items() if isinstance(feature, Image)]
    labels = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
    if len(labels) != 1:
        labels = [name for name in LABELS if name in (labels or features)]
    image, label = request.image or next(iter(images), ""), request.label or next(iter(labels), "")
    columns = ", ".join(features)
    for what, column, allowed in (("image", image, images), ("label", label, features)):
        if not column:
            raise DataError(f"{_named(request)} has no {what} column; set ?{what}= to one of {columns}")
        if column not in allowed:
            raise DataError(f"{_named(request)} has no {what} column {column!r}; its columns are {columns}")
    return image, label


def _classes(split: Dataset, label: str) -> tuple[tuple[str, ...], dict[object, int]]:
    """The names of the classes, and the class number of each value in the label column."""
    from datasets import ClassLabel

    feature = split.features[label]
    if isinstance(feature, ClassLabel):
        return tuple(feature.names), {number: number for number in range(feature.num_classes)}
    values: list[Any] = sorted(split.unique(label))
    return tuple(map(str, values)), {value: number for number, value in enumerate(values)}


def _images(split: Dataset, name: str, image: str, label: str, numbers: dict[object, int], request: Request) -> Split:
    from datasets import Image

    labels: list[object] = list(split[label])
    if unknown := set(labels) - numbers.keys():
        raise DataError(
            f"{_named(request)}: the {name} split has the label {min(map(str, unknown))}, which is no class of the "
            f"training split; set ?{name}= to another split"
        )
    files = split.select_columns([image]).cast_column(image, Image(decode=False))

    def read(index: int) -> bytes:
        content: dict[str, Any] = files[index][image]
        if content["bytes"] is not None:
            return bytes(content["bytes"])
        return Path(content["path"]).read_bytes()

    return Split(
        tuple(f"{name}[{number}]" for number in range(len(labels))),
        tuple(numbers[value] for value in labels),
        read,
    )
