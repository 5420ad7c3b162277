"""Pictures of accuracy against something: where each point, label and tick is, for a template to draw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from zoo.page.models import Shown
from zoo.record.types import Imported

WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 432, 12, 256  # of what is inside the axes
LETTER, LINE = 6.2, 13  # a label's letter and line, about
MANY = 24  # points, above which none has a label


@dataclass(frozen=True)
class Point:
    """What is drawn: a model, or a file of it."""

    label: str
    page: str  # where a click leads
    x: float
    top1: float
    kind: str  # decides its colour


@dataclass(frozen=True)
class Mark:
    """A point on the picture, and where its label stands; none where there is no room for it."""

    point: Point
    x: float
    y: float
    label: tuple[float, float, str] | None  # x, y, and the side of it that this is: start, middle or end


@dataclass(frozen=True)
class Picture:
    """Accuracy against one quantity, for models that may be compared."""

    title: str
    quantity: str
    marks: Sequence[Mark]
    across: Sequence[tuple[float, str]]  # ticks
    up: Sequence[tuple[float, str]]
    kinds: Sequence[str]

    @property
    def present(self) -> set[str]:
        """The kinds that it has a point of."""
        return {mark.point.kind for mark in self.marks}


def by_parameters(models: Iterable[Shown]) -> list[Picture]:
    """Top-1 against parameters, a picture a data set; models that nobody has measured are not in it."""
    groups: dict[str, list[Point]] = {}
    zoos, others = kinds = ("trained by the zoo", "trained by others")
    for one in models:
        config = one.config
        if config.results is not None:
            kind = others if isinstance(config, Imported) else zoos
            label = one.name.replace(f"_{config.dataset}", "")
            point = Point(label, page_of(one), config.parameters, config.results.test_top1, kind)
            groups.setdefault(config.dataset, []).append(point)
    return [drawn(dataset, "parameters", points, kinds) for dataset, points in sorted(groups.items())]


def page_of(one: Shown) -> str:
    """Where a model's page is, from the index."""
    return f"models/{one.name}.html"


def drawn(title: str, quantity: str, points: Sequence[Point], kinds: Sequence[str]) -> Picture:
    """A picture of these points: their quantity on a logarithmic scale, top-1 on a linear one.

    `kinds` are those of all pictures, so that each has one colour.
    """
    left, right = _logarithmic([one.x for one in points])
    low, high = _linear([one.top1 for one in points])

    def x_of(value: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * math.log(value / left) / math.log(right / left), 1)

    def y_of(value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low), 1)

    placed = sorted(((one, x_of(one.x), y_of(one.top1)) for one in points), key=lambda one: (one[1], one[2]))
    labels = _labels([(one.label, x, y) for one, x, y in placed])
    return Picture(
        title=title,
        quantity=quantity,
        marks=[Mark(one, x, y, label) for (one, x, y), label in zip(placed, labels, strict=True)],
        across=[(x_of(value), _short(value)) for value in _ticks_across(left, right)],
        up=[(y_of(value), f"{value:.1f}") for value in _ticks_up(low, high)],
        kinds=kinds,
    )


def _logarithmic(values: Sequence[float]) -> tuple[float, float]:
    """The ends of a logarithmic scale: room at both, more on the right for a label, and no less than a decade."""
    left, right = min(values) / 1.5, max(values) * 2
    more = math.sqrt(max(1.0, 10 * left / right))
    return left / more, right * more


def _linear(values: Sequence[float]) -> tuple[float, float]:
    room = max(0.1 * (max(values) - min(values)), 0.45)
    return min(values) - room, max(values) + room


def _ticks_across(left: float, right: float) -> list[float]:
    from matplotlib.ticker import LogLocator

    steps = (1.0, 2.0, 5.0) if right / left < 200 else (1.0,)
    return [value for value in LogLocator(subs=steps, numticks=99).tick_values(left, right) if left <= value <= right]


def _ticks_up(low: float, high: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    return [value for value in MaxNLocator(6).tick_values(low, high) if low <= value <= high]


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"


def _labels(places: Sequence[tuple[str, float, float]]) -> Iterator[tuple[float, float, str] | None]:
    """A place for each label where it covers no other and no point: right of its own, left, above, below; else none."""
    taken = [(x - 5, y - 5, x + 5, y + 5) for _, x, y in places]
    for text, x, y in places:
        width = LETTER * len(text)
        for at_x, at_y, anchor, left in (
            (x + 8, y + 4, "start", x + 8),
            (x - 8, y + 4, "end", x - 8 - width),
            (x, y - 9, "middle", x - width / 2),
            (x, y + 17, "middle", x - width / 2),
        ):
            box = (left, at_y - LINE + 2, left + width, at_y + 2)
            inside = box[0] >= LEFT and box[2] <= WIDTH and box[1] >= 0 and box[3] <= BOTTOM
            if len(places) <= MANY and inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                yield round(at_x, 1), round(at_y, 1), anchor
                break
        else:
            yield None


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
