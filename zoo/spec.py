"""Data sets, recipes, architectures and models, as immutable values; nothing here imports torch."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Protocol, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from zoo.decoding import Count, Line, Positive, SchemaError, Sha256, explain, parse
from zoo.errors import PluginError, RecipeError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import nn

API: Final = 1  # the version of `zoo.plugin`; raised when plugins have to be changed
NAME: Final = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")

InputSize = tuple[int, int, int]  # channels, height, width


def require_api(version: int) -> None:
    """Check that this zoo supports the version of `zoo.plugin` that a plugin is written for; raises PluginError.

    A plugin calls this first: values of another version may have fields that this one does not accept.
    """
    if version != API:
        advice = "update residual-zoo" if version > API else "update the plugin"
        raise PluginError(f"it is written for version {version} of zoo.plugin, this zoo knows {API}; {advice}")


class Builder(Protocol):
    """Makes an untrained net for images `[N, *input_size]` with logits `[N, num_classes]`."""

    def __call__(self, input_size: InputSize, num_classes: int) -> nn.Module:
        """Build it on the default device with its published initialisation.

        A net that works at any size looks at the channels only.
        """


class Reader(Protocol):
    """Reads one half of a data set."""

    def __call__(self, root: Path, *, train: bool) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Return images `[N, H, W, C]` (uint8, 0 to 255) and labels `[N]`; raises DataError."""


class Resizing(Struct, frozen=True, forbid_unknown_fields=True):
    """How a picture of any size becomes `input_size`, in timm's words and with timm's results.

    The picture is first made larger than the net's size by 1 / `crop_pct`, then cut down to that in the middle.
    """

    crop_pct: float = 1.0  # the part of each side that is kept, 0.05 to 1
    interpolation: Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"] = "bilinear"
    # squash: to that height and width, whatever its own were; center: its shorter side, what juts out is cut off;
    # border: its longer side, with a border in the colour of the mean
    crop_mode: Literal["squash", "center", "border"] = "squash"

    def __post_init__(self) -> None:
        if not 0.05 <= self.crop_pct <= 1:
            raise SchemaError(f"crop_pct should be from 0.05 to 1, not {self.crop_pct!r}")

    @property
    def is_plain(self) -> bool:
        """Whether it is the default: straight to the net's height and width."""
        return self == PLAIN


PLAIN: Final = Resizing()

Test = Callable[[Path], bool]  # whether a data set is complete, given the folder that data sets are in


@dataclass(frozen=True)
class Half:
    """Half of a collection: each picture is a file's bytes, in a format that Pillow decodes itself."""

    names: tuple[str, ...]  # what a person finds each of them by
    labels: tuple[int, ...]  # the class of each
    read: Callable[[int], bytes] = field(repr=False)  # the bytes of one; raises OSError

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Collection:
    """Pictures of any size with their classes, as somebody keeps them; none is looked at yet.

    An entry point of the group `zoo.datasets` is a function `(rest: str, root: Path) -> Collection` that opens what
    is addressed as `KIND:REST`; `root` is the folder that data sets are in. It raises DataError.
    """

    name: str  # of the data set that they become, of lower-case letters, digits, '.', '_' and '-'
    title: str  # as a person calls it
    classes: tuple[str, ...]  # by label
    train: Half
    test: Half | None  # None where nobody has set any apart
    stamp: str  # a text that differs if any picture may differ
    license: str = ""  # of the pictures, as the Hub spells it, for the card
    homepage: str = ""  # a URL, for the card
    hub_id: str = ""  # of the dataset on the Hugging Face Hub, for the card
    other_files: tuple[tuple[str, int], ...] = ()  # left out for their endings: an ending, and how many files


FEW: Final = 10  # test pictures of a class: below that its accuracy says little


class Pictures(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pictures of a data set that was read from an address, and how many were left out."""

    address: Line  # as it is opened, without the way to it: "folder:flowers"
    title: Line  # as a person calls it
    sha256: Sha256  # of all of them, in their order and halves, with their classes
    train_images: Positive
    test_images: Positive
    fewest: Positive  # test pictures of the class that has the fewest
    skipped: Count = 0  # could not be read, and were left out
    # Of them that are the test set, where nobody had set any apart.
    test_part: Annotated[float, Meta(gt=0, lt=1)] | None = None
    license: Line = ""  # of the pictures
    homepage: Line = ""
    hub_id: Line = ""  # on the Hugging Face Hub


@dataclass(frozen=True)
class Dataset:
    """A classification data set: images of one size, a training and a test set.

    `is_whole` says whether `folder` is complete, so that `read` downloads nothing; None where it never does.
    """

    name: str  # of lower-case letters, digits, '.', '_' and '-'
    title: str  # as a person calls it
    classes: tuple[str, ...]  # their names, by label
    input_size: InputSize  # channels, height, width
    mean: tuple[float, ...]  # of the training set, from 0 to 1, a number a channel
    std: tuple[float, ...]  # likewise
    train_images: int  # how many `read` gives of its training half
    test_images: int  # of its test half
    hub_id: str = ""  # on the Hugging Face Hub, for the card
    folder: str | None = field(default=None, kw_only=True)  # what `read` needs in its root; None for nothing
    is_whole: Test | None = field(default=None, kw_only=True, repr=False)  # whether it is whole there
    read: Reader = field(kw_only=True, repr=False)  # the function that reads it
    license: str = field(default="", kw_only=True)  # as the Hub spells it, for the card
    homepage: str = field(default="", kw_only=True)  # a URL, for the card
    resizing: Resizing = field(default=PLAIN, kw_only=True)  # of pictures of any other size
    pictures: Pictures | None = field(default=None, kw_only=True)  # where it was found by looking, and not declared
    margin: int = field(default=0, kw_only=True)  # pixels that training images are larger by, to be cropped

    def __post_init__(self) -> None:
        _require_name("data set", self.name)
        channels = self.input_size[0]
        for name in ("mean", "std"):
            values = getattr(self, name)
            self._require(len(values) == channels, name, one_a_channel(channels), len(values))
            self._require(all(map(math.isfinite, values)), name, "finite", values)
        self._require(min(self.std) > 0, "std", "above 0", self.std)
        self._require(len(self.classes) > 0, "classes", "at least one", 0)
        twice = [name for name in self.classes if self.classes.count(name) > 1][:1]
        self._require(not twice, "classes", "all different", twice)
        for name in ("train_images", "test_images"):
            self._require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        self._require(min(self.input_size) >= 1, "input_size", "at least 1 a side", self.input_size)

    def _require(self, condition: bool, name: str, expected: str, value: object) -> None:
        if not condition:
            raise PluginError(f"data set {self.name}: {name} should be {expected}, not {value}")


# Bounds of a recipe's fields, which determine memory and run time.
Epochs = Annotated[int, Meta(ge=0, le=1_000_000)]
Pixels = Annotated[int, Meta(ge=0, le=4096)]
Number = Annotated[float, Meta(ge=0)]
Rate = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Ratio = Annotated[float, Meta(ge=0.01, le=100)]
Milestones = Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(max_length=1000)]
Weight = Annotated[float, Meta(ge=0, le=1000)]
Decay = Annotated[float, Meta(gt=0, lt=1)]


class Recipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The hyper-parameters that train a model, under timm's and torch's names; durations are in epochs."""

    epochs: Annotated[int, Meta(ge=1, le=1_000_000)]  # how often every image is seen
    batch_size: Annotated[int, Meta(ge=1, le=1_000_000)] = 128  # images a step

    opt: Literal["sgd", "adam", "adamw"] = "sgd"  # the optimizer
    lr: Rate = 0.1  # the highest of the schedule
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.9  # sgd's momentum, adam's first beta
    nesterov: bool = False  # sgd's momentum looks ahead
    weight_decay: Number = 0.0  # L2

    sched: Literal["constant", "multistep", "cosine", "onecycle", "plateau"] = "constant"  # how lr moves
    sched_on_updates: bool = False  # move the rate every step, not every epoch
    decay_milestones: Milestones = ()  # multistep: epochs after which lr is multiplied by decay_rate
    decay_rate: Rate = 0.1  # plateau's too
    patience_epochs: Epochs = 10  # plateau: epochs in a row in which the validation error may fail to fall
    min_lr: Number = 0.0  # cosine: where it ends
    pct_start: Annotated[float, Meta(gt=0, lt=1)] = 0.3  # onecycle: the part of the run in which the rate rises
    div_factor: Rate = 25.0  # onecycle: starts at lr / div_factor
    final_div_factor: Rate = 1e4  # onecycle: ends at lr / div_factor / final_div_factor
    cycle_momentum: bool = False  # onecycle: momentum runs against the rate, 0.95 to 0.85
    val_images: Annotated[int, Meta(ge=0, le=10**9)] = 0  # the last of the training set, held out and never trained on
    warmup_epochs: Epochs = 0  # before the schedule
    warmup_lr: float = 0.0  # where the warm-up starts, or stays
    warmup_mode: Literal["linear", "constant"] = "linear"  # rising from warmup_lr, or staying there

    clip_grad: Rate | None = None  # the most that a gradient may be
    clip_mode: Literal["norm", "value"] = "norm"  # of all together, or each by itself
    smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.0  # of the labels

    crop_padding: Annotated[int, Meta(ge=0, le=512)] = 0  # pixels of black around an image before a random crop
    hflip: Fraction = 0.0  # probability
    mixup: Weight = 0.0  # α of its Beta(α, α); 0 for none
    cutmix: Weight = 0.0  # α
    mixup_prob: Fraction = 1.0  # of an image to be mixed, by either
    mixup_switch_prob: Fraction = 0.5  # of cutmix, where there are both
    cutout: Pixels = 0  # pixels, the side of the square that is blackened

    # An architecture's name means the one that knows the student's own data set.
    teacher: Line | None = None  # whose logits are learned too: a model's name or address, or an architecture's name
    distill: Fraction = 0.9  # the weight of the teacher's part of the loss; the labels' is the rest, with dkd always 1
    temperature: Rate = 4.0  # that both logits are divided by, for it
    distill_type: Literal["kd", "dkd"] = "kd"  # Hinton's, or decoupled (arXiv:2203.08679, with distill=1)
    dkd_alpha: Weight = 1.0  # dkd: the weight of the target class against all others
    dkd_beta: Weight = 8.0  # dkd: the weight of the others among themselves
    distill_warmup_epochs: Epochs = 0  # in which the teacher's part grows from nothing, step by step
    mean: tuple[float, ...] | None = None  # the data set's own where None
    std: tuple[Rate, ...] | None = None  # likewise

    img_size: Annotated[int, Meta(ge=1, le=4096)] | None = None  # pixels a side; the data set's own where None
    scale: tuple[Rate, Fraction] | None = None  # random resized crop: least and most part of the area, 0.08 to 1
    ratio: tuple[Ratio, Ratio] = (0.75, 4 / 3)  # likewise: width by height
    color_jitter: Fraction = 0.0  # brightness, contrast, saturation: each from 1 - it to 1 + it times
    rand_augment: Annotated[int, Meta(ge=0, le=20)] = 0  # RandAugment (arXiv:1909.13719): how many changes in a row
    rand_magnitude: Annotated[int, Meta(ge=0, le=30)] = 9  # of 30, how strong they are
    class_weight: Literal["none", "balanced"] = "none"  # cross entropy × n / (classes · n of its class)

    freeze_epochs: Epochs = 0  # at the beginning, in which the head alone learns
    layer_decay: Annotated[float, Meta(gt=0, le=1)] = 1.0  # the rate is multiplied by it with each layer from the head
    model_ema_decay: Decay | None = None  # publish the average of the weights that keeps so much every step

    def __post_init__(self) -> None:
        self._check_fields()
        self._require_schedule()
        self._require(self.min_lr <= self.lr, "min_lr", "from 0 to lr")
        if self.scale is not None:
            self._require(self.scale[0] <= self.scale[1], "scale", "the least part, then the most")
        self._require(self.ratio[0] <= self.ratio[1], "ratio", "the least ratio, then the most")
        if self.mixup or self.cutmix:  # of two classes, neither of which is the target
            self._require(self.distill_type == "kd", "distill_type", "kd with mixup or cutmix")
        for name in ("freeze_epochs", "distill_warmup_epochs", "warmup_epochs"):
            self._require(getattr(self, name) <= self.epochs, name, f"from 0 to epochs, which are {self.epochs}")
        if self.nesterov:
            self._require(self.opt == "sgd" and self.momentum > 0, "nesterov", "false without sgd and momentum")

    def _check_fields(self) -> None:
        """Check every field's type and bounds, which msgspec does only when it decodes; lr=1 becomes 1.0."""
        values = msgspec.structs.asdict(self)
        for name, value in values.items():
            for number in value if isinstance(value, tuple | list) else (value,):
                self._require(not isinstance(number, float) or math.isfinite(number), name, "finite")
        try:
            checked = msgspec.convert(values, _fields())
        except msgspec.ValidationError as error:
            raise RecipeError(f"recipe: {self._explained(error)}") from None
        for name, value in msgspec.structs.asdict(checked).items():
            msgspec.structs.force_setattr(self, name, value)

    def _explained(self, error: msgspec.ValidationError) -> str:
        said = explain(error).partition(", not ")[0]
        name = re.split(r"\W", said, maxsplit=1)[0]
        choices = get_args(_kinds()[name]) if get_origin(_kinds()[name]) is Literal else ()
        expected = f"{name} should be one of {', '.join(map(str, choices))}" if choices else said
        return f"{expected}, not {getattr(self, name)!r:.100}"

    def _require_schedule(self) -> None:
        if self.sched == "plateau":
            self._require(self.val_images > 0, "val_images", "above 0 with plateau, which watches them")
            self._require(not self.sched_on_updates, "sched_on_updates", "false with plateau")
            self._require(self.warmup_epochs == 0, "warmup_epochs", "0 with plateau")
        if self.warmup_epochs:
            self._require(0 < self.warmup_lr <= self.lr, "warmup_lr", "above 0 and up to lr in a warm-up")
            self._require(self.sched != "onecycle", "warmup_epochs", "0 with onecycle, which warms up itself")
            first = min(self.decay_milestones, default=self.warmup_epochs + 1)
            self._require(first > self.warmup_epochs, "decay_milestones", "after the warm-up")

    def _require(self, condition: bool, name: str, expected: str) -> None:
        if not condition:
            raise RecipeError(f"recipe: {name} should be {expected}, not {getattr(self, name)!r:.100}")

    def replace(self, **changes: object) -> Recipe:
        """Return a copy with other values in some fields; raises RecipeError."""
        _require_fields(changes)
        return msgspec.structs.replace(self, **changes)

    def changed(self, settings: Mapping[str, str]) -> Recipe:
        """Return a copy with fields set from text (`{"lr": "0.05"}`); raises RecipeError.

        Where the head alone learns to the end it does so to the end of other epochs, too.
        """
        _require_fields(settings)
        values: dict[str, Any] = {}
        for name, text in settings.items():
            try:
                values[name] = parse(get_type_hints(Recipe)[name], text)  # without bounds, which the copy checks
            except SchemaError as error:
                raise RecipeError(f"recipe: {name} {error}") from None
        if self.freeze_epochs == self.epochs and "epochs" in values:
            values = {"freeze_epochs": values["epochs"], **values}
        return self.replace(**values)

    def every(self) -> dict[str, object]:
        """All fields, as JSON types."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in msgspec.structs.asdict(self).items()}

    def to_json(self) -> dict[str, object]:
        """All fields but those of LATER that have their default, so that the hashes of older recipes stay."""
        defaults = {field.name: field.default for field in msgspec.structs.fields(Recipe)}
        unused = {name for name in LATER if getattr(self, name) == defaults[name]}
        return {name: value for name, value in self.every().items() if name not in unused}

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> Recipe:
        """Read back what `to_json` wrote; raises RecipeError for a field this version doesn't know."""
        _require_fields(fields)
        try:
            return msgspec.convert(fields, cls)
        except msgspec.ValidationError as error:
            raise RecipeError(f"recipe: {explain(error)}") from None

    def sha256(self) -> str:
        """Identify the recipe: SHA-256 of its JSON, sorted, under a version; 64 hex digits.

        A recipe gets another hash if a default changes, or if it sets a field of LATER.
        """
        import hashlib

        return hashlib.sha256(json.dumps({"v": 2, **self.to_json()}, sort_keys=True).encode()).hexdigest()


# Fields that were added since recipes are hashed (`Recipe.to_json`).
LATER: Final = (
    "distill_type", "dkd_alpha", "dkd_beta", "distill_warmup_epochs", "img_size", "scale", "ratio", "color_jitter",
    "rand_augment", "rand_magnitude", "class_weight", "freeze_epochs", "layer_decay", "model_ema_decay",
)  # fmt: skip


@functools.cache
def _kinds() -> Mapping[str, Any]:
    """The types of a recipe's fields, with their bounds."""
    return get_type_hints(Recipe, include_extras=True)


@functools.cache
def _fields() -> type[Struct]:
    """The fields of a recipe without its rules across fields."""
    return msgspec.defstruct("Fields", list(_kinds().items()))


def _require_fields(names: Iterable[str]) -> None:
    """Raise RecipeError, with a suggestion, for a name that is no field of a recipe."""
    import difflib

    fields = list(_kinds())
    for name in names:
        if name not in fields:
            # difflib prefers decay_rate.
            close = ["lr"] if name.lower() == "learning_rate" else difflib.get_close_matches(name, fields, n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else f"the fields are {', '.join(fields)}"
            raise RecipeError(f"recipe: there is no field {name!r}; {hint}")


@dataclass(frozen=True)
class Reported:
    """An accuracy that somebody published for a model."""

    test_top1: float  # percent
    by: str  # who says so
    kind: Literal["paper", "reproduction"]  # whether the author says so or somebody who trained it again
    remark: str = ""  # "best over test epochs"


@dataclass(frozen=True)
class Renaming:
    """Rules, as `re.sub` takes them, that turn another author's names of tensors into those of the net, in order."""

    by: str  # the author: "akamaster"
    rules: tuple[tuple[str, str], ...]  # patterns and replacements

    def __post_init__(self) -> None:
        for pattern, _ in self.rules:
            _require_pattern(f"{self.by}'s names", pattern)


@dataclass(frozen=True)
class Deepening:
    """Shallower architectures that a deeper net can start from and compute the same (Net2DeeperNet, arXiv:1511.05641).

    The deeper net has all tensors of the shallower one, under the same names. Its other tensors are initialized from
    the seed, or are 0 where `zeroed` matches the name, so that the block is the identity.
    """

    shallower: tuple[str, ...]  # architectures
    zeroed: str  # a regular expression, as `re.search` takes it

    def __post_init__(self) -> None:
        _require_pattern("zeroed", self.zeroed)


@dataclass(frozen=True)
class Architecture:
    """A net of one depth, and the recipes that train it on any data set; the first recipe is the default."""

    name: str  # of lower-case letters, digits, '.', '_' and '-'
    build: Builder = field(repr=False)  # the function that makes the net
    recipes: Mapping[str, Recipe]  # by name, the default first
    paper: str = ""  # where it comes from, a URL
    description: str = ""  # one sentence about the net, for the card
    license: str = "apache-2.0"  # of its weights, as the Hub spells it
    renamings: tuple[Renaming, ...] = ()  # names of its tensors in weights by others
    tags: tuple[str, ...] = ()  # tags of its models on the Hub: "resnet"
    deepening: Deepening | None = None  # shallower architectures that it can start from
    citation: str = ""  # of the paper as BibTeX, for the card

    def __post_init__(self) -> None:
        _require_name("architecture", self.name)
        if not self.recipes:
            raise ValueError(f"architecture {self.name} has no recipe; give it at least one")

    def trained_on(self, title: str) -> str:
        """One sentence: what the net is, and the title of the data set that it is trained on."""
        net = self.description.removesuffix(".") or f"The architecture {self.name}"
        return f"{net}, trained on {title}."


@dataclass(frozen=True)
class Model:
    """An architecture on a data set: the unit of the registry and of model folders.

    `recipes` has the recipes of this pair, then the architecture's others; the first is the default.
    """

    architecture: Architecture  # of this plugin or of another
    dataset: Dataset  # of this plugin, of another or of the zoo
    parameters: int | None  # trainable values, None if they were not counted
    recipes: Mapping[str, Recipe] = field(default_factory=dict)  # of this pair, the default first
    reported: tuple[Reported, ...] = ()  # what others published for it
    default: bool = False  # whether the bare architecture name means this one

    def __post_init__(self) -> None:
        for name, kind in (("architecture", Architecture), ("dataset", Dataset)):
            if not isinstance(getattr(self, name), kind):
                given = type(getattr(self, name)).__name__
                raise PluginError(f"a model's {name} should be a zoo.spec.{kind.__name__}, not of the type {given}")
        if self.parameters is not None and not (isinstance(self.parameters, int) and self.parameters >= 1):
            raise PluginError(f"model {self.name}: parameters should be at least 1, or None, not {self.parameters!r}")
        own = self.recipes
        object.__setattr__(self, "recipes", {**own, **self.architecture.recipes, **own})  # own first, and own at last

    @property
    def name(self) -> str:
        """The architecture's and the data set's: `resnet20_cifar10`."""
        return f"{self.architecture.name}_{self.dataset.name}"

    @property
    def description(self) -> str:
        """One sentence: what the net is, and what it is trained on."""
        return self.architecture.trained_on(self.dataset.title)

    def normalisation(self, recipe: Recipe | None = None) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The mean and std that images are normalised with: the recipe's own, else the data set's."""
        mean, std = (recipe.mean, recipe.std) if recipe else (None, None)
        return mean or self.dataset.mean, std or self.dataset.std

    @property
    def default_recipe(self) -> str:
        """The name of the first recipe."""
        return next(iter(self.recipes))


def _require_pattern(what: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{what}: {pattern!r} is no regular expression ({error})") from None


def one_a_channel(channels: int) -> str:
    """The number of values in a mean or std, in words."""
    return f"{'1 number' if channels == 1 else f'{channels} numbers'}, one a channel"


def _require_name(what: str, name: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f"{what} name {name!r} should be of lower-case letters, digits, '.', '_' and '-'")
