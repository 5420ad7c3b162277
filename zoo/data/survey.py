"""What a collection of pictures comes to: which of them are trained on, which are the test set, and what is odd.

The test set is a half of the collection, or a part of it that the pictures' own bytes decide: a picture never changes
sides, whatever is added, and copies of one stay together.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from zoo.data.asked import Asked
from zoo.data.look import Seen, Tell, look
from zoo.decoding import LINE
from zoo.errors import DataError
from zoo.record.types import MOST_CLASSES
from zoo.spec import FEW, NAME, Collection, Pictures


@dataclass(frozen=True)
class Survey:
    """All that is known of a collection without a size to bring its pictures to."""

    collection: Collection
    pictures: Pictures
    train: tuple[Seen, ...]
    test: tuple[Seen, ...]
    unreadable: tuple[Seen, ...]

    @property
    def common_size(self) -> tuple[int, int] | None:
        """Width and height, where all pictures have the same."""
        sizes = {one.size for one in (*self.train, *self.test)}
        return next(iter(sizes)) if len(sizes) == 1 else None

    @property
    def channels(self) -> int:
        """1 where every picture is grey, else 3."""
        return 1 if all(one.mode in ("1", "L") or one.mode.startswith("I") for one in (*self.train, *self.test)) else 3

    @property
    def copies(self) -> list[tuple[Seen, Seen]]:
        """Pictures that are trained on and tested with alike: the training one, the test one."""
        trained = {one.sha256: one for one in self.train}
        return [(trained[one.sha256], one) for one in self.test if one.sha256 in trained]

    def counts(self) -> list[tuple[str, int, int]]:
        """The pictures of every class: its name, how many to train on, how many to test with."""
        train, test = (Counter(one.label for one in half) for half in (self.train, self.test))
        return [(name, train[label], test[label]) for label, name in enumerate(self.collection.classes)]

    @property
    def few(self) -> list[str]:
        """The classes with too few test pictures for their accuracy to say much."""
        return [name for name, _, test in self.counts() if test < FEW]


def survey(collection: Collection, asked: Asked, tell: Tell) -> Survey:
    """Look at a collection and part it; raises DataError for what no training can be made of."""
    _require_names(collection, asked.address)
    if collection.test is not None and asked.test_part is not None:
        raise DataError(f"{asked.address} has a test set of its own; leave out --test-part")
    if collection.test is None and asked.test_part is None:
        raise DataError(
            f"{asked.address} has no test set: put pictures apart in train/ and test/, or take a part of them, chosen "
            "by their bytes, with --test-part 0.2"
        )
    if asked.test_part is not None and not 0 < asked.test_part < 1:
        raise DataError(f"--test-part should be between 0 and 1, not {asked.test_part}")
    seen = look(collection, tell)
    # By their hashes, which is as good as by chance: the last are held out, the first are a limit, of every class.
    readable = sorted((one for one in seen if not one.error), key=lambda one: (one.sha256, one.label, one.name))
    unreadable = tuple(one for one in seen if one.error)
    test = tuple(one for one in readable if _is_test(one, asked.test_part))
    train = tuple(one for one in readable if not _is_test(one, asked.test_part))
    least = Counter(one.label for one in test)
    pictures = Pictures(
        address=_public(asked.address, collection),
        title=collection.title,
        sha256=_sha256(collection.classes, train, test),
        train_images=len(train),
        test_images=len(test),
        fewest=min(least[label] for label in range(len(collection.classes))),
        skipped=len(unreadable) if asked.skip_bad else 0,
        test_part=asked.test_part,
        license=collection.license,
        homepage=collection.homepage,
    )
    return Survey(collection, pictures, train, test, unreadable)


def require_usable(found: Survey, asked: Asked) -> None:
    """Refuse what no training can be made of; raises DataError."""
    if found.unreadable and not asked.skip_bad:
        count, first = len(found.unreadable), found.unreadable[0].error
        what = "a picture" if count == 1 else f"{count:,} pictures"
        raise DataError(f"{asked.address}: {what} can't be read ({first}); mend it, or leave it out with --skip-bad")
    if not found.train and not found.test:
        raise DataError(f"{asked.address} has no picture that can be read; expected some of every class")
    if len(found.collection.classes) < 2:
        raise DataError(
            f"{asked.address} has one class, {found.collection.classes[0]}, and there is nothing to tell it from; "
            "expected a folder for each of two classes or more"
        )
    for what, place in (("training", 1), ("test", 2)):
        missing = [counted[0] for counted in found.counts() if not counted[place]]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise DataError(
                f"{asked.address}: there is no {what} picture of the class {missing[0]}{more}; "
                "add some, or take the class out of both halves"
            )


def _require_names(collection: Collection, address: str) -> None:
    if not NAME.fullmatch(collection.name):
        raise DataError(f"{address}: the name {collection.name!r} should be of a-z, 0-9, '.', '_' and '-'")
    if len(collection.classes) > MOST_CLASSES:
        raise DataError(f"{address} has {len(collection.classes):,} classes, expected up to {MOST_CLASSES:,}")
    for name in collection.classes:
        if len(name) > 2_000 or not re.match(LINE, name):
            raise DataError(
                f"{address}: the name of the class {name[:40]!r} should be one line of up to 2,000 characters; "
                "rename its folder"
            )


def _is_test(one: Seen, part: float | None) -> bool:
    """Whether a picture is of the test set: it is in that half, or its bytes fall into the part."""
    return one.half == "test" if part is None else int(one.sha256[:16], 16) < part * 2**64


def _sha256(classes: Sequence[str], train: Sequence[Seen], test: Sequence[Seen]) -> str:
    """Of all that a training sees of the pictures: which they are, of which class, in which order and half."""
    sha256 = hashlib.sha256("\n".join(classes).encode("utf-8", "surrogateescape"))
    for half, pictures in (("train", train), ("test", test)):
        for one in pictures:
            sha256.update(f"\n{half} {one.label} {one.sha256}".encode())
    return sha256.hexdigest()


def _public(address: str, collection: Collection) -> str:
    """The address without the way through this machine: a path's last part."""
    kind, _, rest = address.partition(":")
    return f"{kind}:{collection.title}" if "/" in rest or "\\" in rest or rest in (".", "..", "~") else address
