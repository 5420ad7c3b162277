"""`zoo data`: report on your own images before a training."""

from collections import Counter
from typing import Annotated

import msgspec
import typer

from zoo import api
from zoo.cli import options
from zoo.cli.printing import print_json, print_table, say, telling
from zoo.spec import FEW

MAX_LINES = 20  # of each kind of message


def data(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="folder:PATH, or torchvision:NAME.")],
    test_part: options.TestPart = None,
    skip_bad: options.SkipBad = False,
    root: options.Data = None,
    as_json: options.Json = False,
) -> None:
    """Report on your own images: classes, counts, sizes, problems.

    Problems are unreadable files, and copies of an image in both splits.

    Put the images of each class into a folder, in train/ and test/ (or val/, valid/). If you have no test set, put the
    class folders directly into the folder, and hold out a fraction with --test-part 0.2. Images are chosen by their
    bytes, so an image stays in its split when others are added.
    """
    surveyed = api.survey(
        address, test_part=test_part, skip_bad=skip_bad, data=root, tell=None if as_json else telling()
    )
    sizes = Counter(image.size for image in (*surveyed.train, *surveyed.test))
    if as_json:
        print_json(
            {
                "name": surveyed.collection.name,
                **msgspec.structs.asdict(surveyed.summary),
                "classes": [{"name": name, "train": train, "test": test} for name, train, test in surveyed.counts()],
                "sizes": [{"width": w, "height": h, "images": count} for (w, h), count in sizes.most_common()],
                "channels": surveyed.channels,
                "copies": [{"train": train.name, "test": test.name} for train, test in surveyed.copies],
                "other_files": dict(surveyed.collection.other_files),
                "unreadable": [{"name": image.name, "reason": image.error} for image in surveyed.unreadable],
            }
        )
        return
    say(f"{surveyed.collection.name}: {len(surveyed.train):,} training images, {len(surveyed.test):,} test images")
    say(f"SHA-256 of the dataset: {surveyed.summary.sha256}")
    rows = [(name, f"{train:,}", f"{test:,}") for name, train, test in surveyed.counts()]
    print_table(("class", "train", "test"), rows, right=(1, 2))
    _say_sizes(sizes, surveyed.channels)
    if few := surveyed.few:
        say(f"fewer than {FEW} test images, too few for a meaningful accuracy: {_first(few)}")
    for remark in surveyed.remarks():
        say(remark)
    for train, test in surveyed.copies[:MAX_LINES]:
        say(f"the same image in both splits: {train.name} and {test.name}")
    _say_rest(len(surveyed.copies), "images in both splits")
    for image in surveyed.unreadable[:MAX_LINES]:
        say(image.error)
    _say_rest(len(surveyed.unreadable), "unreadable images")


def _say_sizes(sizes: Counter[tuple[int, int]], channels: int) -> None:
    colour = "grayscale" if channels == 1 else "color"
    if not sizes:
        return
    if len(sizes) == 1:
        ((width, height),) = sizes
        say(f"all images are {width}×{height}, {colour}")
        return
    widths, heights = ([size[axis] for size in sizes] for axis in (0, 1))
    (width, height), count = sizes.most_common(1)[0]
    say(
        f"width {min(widths)} to {max(widths)} pixels, height {min(heights)} to {max(heights)}, {colour}; "
        f"most frequent size {width}×{height} ({count:,} images)"
    )


def _say_rest(count: int, what: str) -> None:
    if count > MAX_LINES:
        say(f"{count:,} {what} in all; --json lists them")


def _first(names: list[str]) -> str:
    return ", ".join(names[:MAX_LINES]) + (f" and {len(names) - MAX_LINES} more" if len(names) > MAX_LINES else "")
