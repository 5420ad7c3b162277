"""`folder:PATH`: a folder of pictures, a folder a class, as torchvision's ImageFolder has it.

With `train/` and one of `test/`, `val/` and `valid/` in it, whose folders are the classes; or the classes alone.
The name of the data set is the folder's. Hidden files, and files that are not named as pictures, are no pictures.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from zoo import registry
from zoo.data.picture import suffixes
from zoo.errors import DataError, UnknownModel
from zoo.record.paths import path_of
from zoo.spec import Collection, Half

TRAIN = "train"
TESTS = ("test", "val", "valid")  # the first one that is there


def open_folder(rest: str, root: Path) -> Collection:
    """The pictures in a folder, `~` at its beginning as the home folder; `root` is not asked. Raises DataError."""
    folder = path_of(rest)
    try:
        return _opened(folder)
    except OSError as error:
        raise DataError(f"{error.filename or folder} can't be read ({error.strerror}); let it be read") from None


def _opened(folder: Path) -> Collection:
    if not folder.exists():
        raise DataError(f"there is no folder {folder}; name one that has a folder of pictures for each class")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; name the folder that the folders of the classes are in")
    train, test = _halves(folder)
    classes = _folders(train)
    if not classes:
        raise DataError(
            f"{train} has no folders of pictures; give each class a folder, as in {train / 'daisy' / 'one.jpg'}"
        )
    if test is not None and (others := set(_folders(test)) - set(classes)):
        raise DataError(f"{test} has a class that {train} has not: {min(others)}; name them alike")
    first, second = _files(train, classes), _files(test, classes) if test else None
    if not first:
        raise DataError(f"there is no picture in {train}; expected files such as {train / classes[0] / 'one.jpg'}")
    return Collection(
        name=_name(folder),
        title=folder.resolve().name,
        classes=tuple(classes),
        train=_half(folder, first),
        test=None if second is None else _half(folder, second),
        stamp=_stamp(folder, [*first, *(second or [])]),
    )


def _halves(folder: Path) -> tuple[Path, Path | None]:
    """The folders of the training and of the test pictures; where there are none apart, the folder itself."""
    inside = _folders(folder)
    if TRAIN not in inside:
        return folder, None
    tests = [name for name in TESTS if name in inside]
    if not tests:
        raise DataError(
            f"{folder} has {TRAIN}/ and no test/, val/ or valid/ beside it; add one, "
            f"or take a part of {TRAIN}/ with folder:{folder / TRAIN} and --test-part 0.2"
        )
    return folder / TRAIN, folder / tests[0]


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())


def _files(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """The files that are named as pictures, with their classes, in ImageFolder's order: by class, then by name."""
    endings, places = suffixes(), ((folder / name, label) for label, name in enumerate(classes))
    return [(path, label) for place, label in places if place.is_dir() for path in _pictures(place, endings)]


def _pictures(folder: Path, endings: Container[str]) -> Iterator[Path]:
    """All under a folder; raises OSError where a part of it can't be read."""
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    yield from (path for path in inside if path.suffix.lower() in endings and path.is_file())
    for path in inside:
        if path.is_dir():
            yield from _pictures(path, endings)


def _half(folder: Path, files: Sequence[tuple[Path, int]]) -> Half:
    paths = tuple(path for path, _ in files)

    def read(index: int) -> bytes:
        return paths[index].read_bytes()

    return Half(tuple(str(path.relative_to(folder)) for path in paths), tuple(label for _, label in files), read)


def _stamp(folder: Path, files: Sequence[tuple[Path, int]]) -> str:
    """Of where it is, and of each file's name, size and time: no other content goes unnoticed that is written now."""
    sha256 = hashlib.sha256(os.fsencode(folder.resolve()))
    for path, _ in files:
        facts = path.stat()
        sha256.update(os.fsencode(f"\n{path.relative_to(folder)} {facts.st_size} {facts.st_mtime_ns} {facts.st_ino}"))
    return sha256.hexdigest()


def _name(folder: Path) -> str:
    """The data set's name: the folder's, in letters that a name may have, and not that of a declared data set."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "pictures"
    try:
        registry.dataset(name)
    except UnknownModel:
        return name
    return f"{name}-pictures"
