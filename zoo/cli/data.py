"""`zoo data`: what is in somebody's own pictures, before anything is trained on them."""

from collections import Counter
from typing import Annotated

import msgspec
import typer

from zoo import api
from zoo.cli import options
from zoo.cli.printing import print_json, print_table, say, telling
from zoo.spec import FEW

MOST = 20  # lines of a kind; the rest is counted


def data(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="folder:PATH, or torchvision:NAME.")],
    test_part: options.TestPart = None,
    skip_bad: options.SkipBad = False,
    root: options.Data = None,
    as_json: options.Json = False,
) -> None:
    """Look at pictures of your own: classes, counts, sizes, copies across the split, what can't be read and why.

    The pictures are in a folder a class, in train/ and test/ (or val/, valid/); or in the classes' folders alone, and
    --test-part 0.2 takes a part as the test set, chosen by each picture's bytes: it never changes sides.
    """
    surveyed = api.survey(
        address, test_part=test_part, skip_bad=skip_bad, data=root, tell=None if as_json else telling()
    )
    sizes = Counter(picture.size for picture in (*surveyed.train, *surveyed.test))
    if as_json:
        print_json(
            {
                "name": surveyed.collection.name,
                **msgspec.structs.asdict(surveyed.pictures),
                "classes": [{"name": name, "train": train, "test": test} for name, train, test in surveyed.counts()],
                "sizes": [{"width": w, "height": h, "pictures": count} for (w, h), count in sizes.most_common()],
                "channels": surveyed.channels,
                "copies": [{"train": one.name, "test": other.name} for one, other in surveyed.copies],
                "other_files": dict(surveyed.collection.other_files),
                "unreadable": [{"name": one.name, "reason": one.error} for one in surveyed.unreadable],
            }
        )
        return
    say(
        f"{surveyed.collection.name}: {len(surveyed.train):,} pictures to train on, {len(surveyed.test):,} to test with"
    )
    say(f"SHA-256 of all of them {surveyed.pictures.sha256}")
    rows = [(name, f"{train:,}", f"{test:,}") for name, train, test in surveyed.counts()]
    print_table(("class", "train", "test"), rows, right=(1, 2))
    _say_sizes(sizes, surveyed.channels)
    if few := surveyed.few:
        say(f"fewer than {FEW} test pictures, which say little: {_some(few)}")
    for remark in surveyed.remarks():
        say(remark)
    for one, other in surveyed.copies[:MOST]:
        say(f"a copy on both sides: {one.name} and {other.name}")
    _say_rest(len(surveyed.copies), "copies on both sides")
    for bad in surveyed.unreadable[:MOST]:
        say(bad.error)
    _say_rest(len(surveyed.unreadable), "pictures that can't be read")


def _say_sizes(sizes: Counter[tuple[int, int]], channels: int) -> None:
    colour = "grey" if channels == 1 else "in colour"
    if not sizes:
        return
    if len(sizes) == 1:
        ((width, height),) = sizes
        say(f"all of them {width}×{height}, {colour}")
        return
    widths, heights = ([size[axis] for size in sizes] for axis in (0, 1))
    (width, height), count = sizes.most_common(1)[0]
    say(
        f"from {min(widths)} to {max(widths)} pixels wide, {min(heights)} to {max(heights)} high, {colour}; "
        f"{width}×{height} most often ({count:,} times)"
    )


def _say_rest(count: int, what: str) -> None:
    if count > MOST:
        say(f"{count:,} {what}; the others are in --json")


def _some(names: list[str]) -> str:
    return ", ".join(names[:MOST]) + (f" and {len(names) - MOST} more" if len(names) > MOST else "")
