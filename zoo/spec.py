"""The values that plugins declare: datasets, recipes, architectures and models. Imports no torch."""

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
from zoo.errors import PluginError, RecipeError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import nn

API: Final = 1  # version of `zoo.plugin`, increased when plugins have to be changed
NAME: Final = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")

InputSize = tuple[int, int, int]  # channels, height, width


def require_api(version: int) -> None:
    """Check that this zoo supports the version of `zoo.plugin` that a plugin is written for.

    Call it before the plugin's declarations: in another version they may have other fields.

    Args:
        version: The version that the plugin is written for.

    Raises:
        PluginError: This zoo supports another version.

    Examples:
        >>> from zoo.plugin import require_api
        >>> require_api(1)
    """
    if version != API:
        advice = "update residual-zoo" if version > API else "update the plugin"
        raise PluginError(f"it is written for version {version} of zoo.plugin, this zoo supports {API}; {advice}")


class Builder(Protocol):
    """A function that makes an untrained net."""

    def __call__(self, input_size: InputSize, num_classes: int) -> nn.Module:
        """Build the net on torch's default device, with the initialization of its paper.

        Args:
            input_size: Channels, height and width of an image. A net for images of any size uses the channels only.
            num_classes: The number of classes.

        Returns:
            A net from images `[N, *input_size]` float32 to logits `[N, num_classes]`.
        """


class Reader(Protocol):
    """A function that reads the training set or the test set of a dataset."""

    def __call__(self, root: Path, *, train: bool) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Read all images, always in the same order.

        Args:
            root: The directory of datasets.
            train: Read the training set, else the test set.

        Returns:
            Images `[N, H, W, C]`, uint8 from 0 to 255, and labels `[N]`, int64.

        Raises:
            DataError: The files are missing or damaged.
        """


class Resizing(Struct, frozen=True, forbid_unknown_fields=True):
    """How an image of any size is resized to `input_size`, with timm's parameters and results.

    The image is resized to the net's size divided by `crop_pct`, and the center is cropped to the net's size.

    Examples:
        >>> from zoo.plugin import Resizing
        >>> Resizing(crop_pct=0.875, interpolation="bicubic", crop_mode="center").is_plain
        False
    """

    crop_pct: float = 1.0  # the fraction of each side that is kept, 0.05 to 1
    interpolation: Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"] = "bilinear"
    # squash: resize both sides, ignoring the aspect ratio; center: resize the shorter side, and crop the longer one;
    # border: resize the longer side, and pad the shorter one with the mean color
    crop_mode: Literal["squash", "center", "border"] = "squash"

    def __post_init__(self) -> None:
        if not 0.05 <= self.crop_pct <= 1:
            raise SchemaError(f"crop_pct should be from 0.05 to 1, not {self.crop_pct!r}")

    @property
    def is_plain(self) -> bool:
        """Whether it is the default: squash to the net's height and width."""
        return self == PLAIN


PLAIN: Final = Resizing()


@dataclass(frozen=True)
class Split:
    """The training or the test images of a collection.

    `read` returns the bytes of the image at an index, in a file format that Pillow decodes, or raises OSError.

    Examples:
        >>> from zoo.plugin import Split
        >>> files = {"daisy/1.png": b"...", "rose/1.png": b"..."}
        >>> split = Split(names=tuple(files), labels=(0, 1), read=lambda index: list(files.values())[index])
        >>> len(split)
        2
    """

    names: tuple[str, ...]  # names of the images in messages, such as paths
    labels: tuple[int, ...]  # the class of each image
    read: Callable[[int], bytes] = field(repr=False)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Collection:
    """Labeled images of any size, before any of them is read.

    An entry point of the group `zoo.datasets` is a function `(rest: str, root: Path) -> Collection` that opens the
    address `KIND:REST`. `root` is the directory of datasets. The function raises DataError.

    Examples:
        >>> from zoo.plugin import Collection, Split
        >>> train = Split(("daisy/1.png", "rose/1.png"), (0, 1), read=lambda index: b"...")
        >>> flowers = Collection("flowers", "Flowers", ("daisy", "rose"), train, test=None, stamp="version 1")
    """

    name: str  # name of the dataset, in lower-case letters, digits, '.', '_' and '-'
    title: str  # display name: "Oxford Flowers"
    classes: tuple[str, ...]  # names of the classes, by label
    train: Split
    test: Split | None  # None if there is no test set
    stamp: str  # any text that changes when an image changes
    license: str = ""  # license of the images, as an id of the Hugging Face Hub, for the card
    homepage: str = ""  # URL, for the card
    hub_id: str = ""  # id of the dataset on the Hugging Face Hub, for the card
    other_files: tuple[tuple[str, int], ...] = ()  # suffixes of files that are not images, with the number of files


FEW: Final = 10  # test images of a class; with fewer, its accuracy is not meaningful


class Pictures(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A summary of images that were read from an address, as a record stores it."""

    address: Line  # without a local path: "folder:flowers"
    title: Line
    sha256: Sha256  # of the classes, the images and their labels, in order
    train_images: Positive
    test_images: Positive
    fewest: Positive  # number of test images of the class with the fewest
    skipped: Count = 0  # number of unreadable images that were left out
    test_part: Annotated[float, Meta(gt=0, lt=1)] | None = None  # fraction held out; None if there is a test set
    license: Line = ""
    homepage: Line = ""
    hub_id: Line = ""  # id on the Hugging Face Hub


@dataclass(frozen=True)
class Dataset:
    """A classification dataset: images of one size, with a training set and a test set.

    `is_whole` gets the directory of datasets, and returns whether `folder` is complete in it, so that `read` does not
    download anything. It is None for a dataset that is never downloaded.

    Examples:
        >>> import numpy as np
        >>> import zoo
        >>> def read(root, *, train):
        ...     size = 100 if train else 20
        ...     return np.zeros((size, 8, 8, 1), np.uint8), np.arange(size) % 2
        >>> blank = zoo.Dataset("blank", "Blank images", ("even", "odd"), (1, 8, 8), (0.0,), (1.0,), 100, 20, read=read)
    """

    name: str  # lower-case letters, digits, '.', '_' and '-'
    title: str  # display name: "CIFAR-10"
    classes: tuple[str, ...]  # names of the classes, by label
    input_size: InputSize  # channels, height, width
    mean: tuple[float, ...]  # mean of the training set per channel, on the scale 0 to 1
    std: tuple[float, ...]  # standard deviation of the training set per channel
    train_images: int  # number of training images
    test_images: int  # number of test images
    hub_id: str = ""  # id on the Hugging Face Hub, for the card
    folder: str | None = field(default=None, kw_only=True)  # folder in the directory of datasets that `read` needs
    is_whole: Callable[[Path], bool] | None = field(default=None, kw_only=True, repr=False)  # whether it is complete
    read: Reader = field(kw_only=True, repr=False)  # function that reads the images
    license: str = field(default="", kw_only=True)  # license of the images, as an id of the Hugging Face Hub
    homepage: str = field(default="", kw_only=True)  # URL, for the card
    resizing: Resizing = field(default=PLAIN, kw_only=True)  # how images of another size are resized
    pictures: Pictures | None = field(default=None, kw_only=True)  # images read from an address; None for plugins
    margin: int = field(default=0, kw_only=True)  # extra pixels of training images per side, for random crops

    def __post_init__(self) -> None:
        _require_name("dataset", self.name)
        channels = self.input_size[0]
        for name in ("mean", "std"):
            values = getattr(self, name)
            self._require(len(values) == channels, name, one_per_channel(channels), len(values))
            self._require(all(map(math.isfinite, values)), name, "finite", values)
        self._require(min(self.std) > 0, "std", "above 0", self.std)
        self._require(len(self.classes) > 0, "classes", "at least one", 0)
        repeated = [name for name in self.classes if self.classes.count(name) > 1][:1]
        self._require(not repeated, "classes", "all different", repeated)
        for name in ("train_images", "test_images"):
            self._require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        self._require(min(self.input_size) >= 1, "input_size", "at least 1 in each dimension", self.input_size)

    def _require(self, condition: bool, name: str, expected: str, value: object) -> None:
        if not condition:
            raise PluginError(f"dataset {self.name}: {name} should be {expected}, not {value}")


# Upper bounds keep a typo or a hostile record from exhausting memory or time.
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
    """The hyper-parameters of a training, named as in timm and torch. Durations are in epochs.

    Raises:
        RecipeError: A value is impossible, or two fields contradict each other.

    Examples:
        >>> import zoo
        >>> paper = zoo.Recipe(epochs=200, lr=0.1, sched="multistep", decay_milestones=(100, 150))
        >>> paper.replace(lr=0.05).lr
        0.05
    """

    epochs: Annotated[int, Meta(ge=1, le=1_000_000)]  # number of epochs
    batch_size: Annotated[int, Meta(ge=1, le=1_000_000)] = 128  # images per step

    opt: Literal["sgd", "adam", "adamw"] = "sgd"  # optimizer
    lr: Rate = 0.1  # highest learning rate of the schedule
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.9  # sgd: momentum; adam and adamw: the first beta
    nesterov: bool = False  # sgd: use Nesterov momentum
    weight_decay: Number = 0.0  # strength of the weight decay; adamw: decoupled

    sched: Literal["constant", "multistep", "cosine", "onecycle", "plateau"] = "constant"  # learning rate schedule
    sched_on_updates: bool = False  # update the learning rate after every step, not every epoch
    decay_milestones: Milestones = ()  # multistep: epochs after which lr is multiplied by decay_rate
    decay_rate: Rate = 0.1  # multistep and plateau: factor of lr
    patience_epochs: Epochs = 10  # plateau: epochs without a lower validation error before lr decays
    min_lr: Number = 0.0  # cosine: final learning rate
    pct_start: Annotated[float, Meta(gt=0, lt=1)] = 0.3  # onecycle: fraction of the training in which lr rises
    div_factor: Rate = 25.0  # onecycle: the first learning rate is lr / div_factor
    final_div_factor: Rate = 1e4  # onecycle: the last learning rate is lr / div_factor / final_div_factor
    cycle_momentum: bool = False  # onecycle: cycle momentum from 0.95 to 0.85 and back
    val_images: Annotated[int, Meta(ge=0, le=10**9)] = 0  # number of last training images, held out for validation
    warmup_epochs: Epochs = 0  # epochs of warm-up before the schedule
    warmup_lr: float = 0.0  # first learning rate of the warm-up
    warmup_mode: Literal["linear", "constant"] = "linear"  # rise from warmup_lr to lr, or stay at warmup_lr

    clip_grad: Rate | None = None  # largest norm or value of the gradients; None for no clipping
    clip_mode: Literal["norm", "value"] = "norm"  # clip the norm of all gradients, or each value
    smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.0  # label smoothing

    crop_padding: Annotated[int, Meta(ge=0, le=512)] = 0  # black pixels on each side before a random crop
    hflip: Fraction = 0.0  # probability of a horizontal flip
    mixup: Weight = 0.0  # α of Beta(α, α); 0 for no mixup
    cutmix: Weight = 0.0  # α of Beta(α, α); 0 for no CutMix
    mixup_prob: Fraction = 1.0  # probability that mixup or CutMix changes an image
    mixup_switch_prob: Fraction = 0.5  # probability of CutMix, if both are used
    cutout: Pixels = 0  # side of the cutout square in pixels

    # An architecture's name stands for its model on the student's dataset.
    teacher: Line | None = None  # for distillation: a model's name or address, or an architecture's name
    distill: Fraction = 0.9  # weight of the teacher's loss; the labels' loss has weight 1 - distill (kd) or 1 (dkd)
    temperature: Rate = 4.0  # temperature of the distillation
    distill_type: Literal["kd", "dkd"] = "kd"  # Hinton's loss (arXiv:1503.02531), or decoupled (arXiv:2203.08679)
    dkd_alpha: Weight = 1.0  # dkd: weight of the target class
    dkd_beta: Weight = 8.0  # dkd: weight of the other classes
    distill_warmup_epochs: Epochs = 0  # epochs in which the weight of the teacher's loss rises from 0
    mean: tuple[float, ...] | None = None  # mean for normalization; None for the dataset's
    std: tuple[Rate, ...] | None = None  # standard deviation for normalization; None for the dataset's

    img_size: Annotated[int, Meta(ge=1, le=4096)] | None = None  # height and width of images; None for the dataset's
    scale: tuple[Rate, Fraction] | None = None  # random resized crop: smallest and largest fraction of the area
    ratio: tuple[Ratio, Ratio] = (0.75, 4 / 3)  # random resized crop: smallest and largest width / height
    color_jitter: Fraction = 0.0  # brightness, contrast and saturation change by factors in 1 ± color_jitter
    rand_augment: Annotated[int, Meta(ge=0, le=20)] = 0  # RandAugment (arXiv:1909.13719): number of changes
    rand_magnitude: Annotated[int, Meta(ge=0, le=30)] = 9  # RandAugment: magnitude, 0 to 30
    class_weight: Literal["none", "balanced"] = "none"  # balanced: images / (classes · images of the class)

    freeze_epochs: Epochs = 0  # first epochs in which only the head is trained
    layer_decay: Annotated[float, Meta(gt=0, le=1)] = 1.0  # factor of lr for each layer farther from the head
    model_ema_decay: Decay | None = None  # decay of an exponential moving average of the weights, which is published

    def __post_init__(self) -> None:
        self._check_fields()
        self._require_schedule()
        self._require(self.min_lr <= self.lr, "min_lr", "from 0 to lr")
        if self.scale is not None:
            self._require(self.scale[0] <= self.scale[1], "scale", "the smallest fraction, then the largest")
        self._require(self.ratio[0] <= self.ratio[1], "ratio", "the smallest ratio, then the largest")
        if self.mixup or self.cutmix:  # dkd needs one target class per image
            self._require(self.distill_type == "kd", "distill_type", "kd with mixup or cutmix")
        for name in ("freeze_epochs", "distill_warmup_epochs", "warmup_epochs"):
            self._require(getattr(self, name) <= self.epochs, name, f"from 0 to epochs ({self.epochs})")
        if self.nesterov:
            self._require(self.opt == "sgd" and self.momentum > 0, "nesterov", "false without sgd and momentum")

    def _check_fields(self) -> None:
        """Check the types and bounds of all fields: msgspec does so only when it decodes. lr=1 becomes 1.0."""
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
        message = explain(error).partition(", not ")[0]
        name = re.split(r"\W", message, maxsplit=1)[0]
        choices = get_args(_kinds()[name]) if get_origin(_kinds()[name]) is Literal else ()
        expected = f"{name} should be one of {', '.join(map(str, choices))}" if choices else message
        return f"{expected}, not {getattr(self, name)!r:.100}"

    def _require_schedule(self) -> None:
        if self.sched == "plateau":
            self._require(self.val_images > 0, "val_images", "above 0 with plateau: it needs a validation set")
            self._require(not self.sched_on_updates, "sched_on_updates", "false with plateau")
            self._require(self.warmup_epochs == 0, "warmup_epochs", "0 with plateau")
        if self.warmup_epochs:
            self._require(0 < self.warmup_lr <= self.lr, "warmup_lr", "above 0 and at most lr with a warm-up")
            self._require(self.sched != "onecycle", "warmup_epochs", "0 with onecycle, which has its own warm-up")
            first = min(self.decay_milestones, default=self.warmup_epochs + 1)
            self._require(first > self.warmup_epochs, "decay_milestones", "after the warm-up")

    def _require(self, condition: bool, name: str, expected: str) -> None:
        if not condition:
            raise RecipeError(f"recipe: {name} should be {expected}, not {getattr(self, name)!r:.100}")

    def replace(self, **changes: object) -> Recipe:
        """Return a copy with some fields changed; raises RecipeError."""
        _require_fields(changes)
        return msgspec.structs.replace(self, **changes)

    def changed(self, settings: Mapping[str, str]) -> Recipe:
        """Return a copy with fields changed from text (`{"lr": "0.05"}`); raises RecipeError.

        If all epochs train the head only, `freeze_epochs` follows a change of `epochs`.
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
        """Return all fields as JSON values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in msgspec.structs.asdict(self).items()}

    def to_json(self) -> dict[str, object]:
        """Return the fields for JSON, without fields of LATER at their default: old recipes keep their hash."""
        defaults = {field.name: field.default for field in msgspec.structs.fields(Recipe)}
        unused = {name for name in LATER if getattr(self, name) == defaults[name]}
        return {name: value for name, value in self.every().items() if name not in unused}

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> Recipe:
        """Return the recipe that `to_json` wrote; raises RecipeError for an unknown field or an impossible value."""
        _require_fields(fields)
        try:
            return msgspec.convert(fields, cls)
        except msgspec.ValidationError as error:
            raise RecipeError(f"recipe: {explain(error)}") from None

    def sha256(self) -> str:
        """Return the SHA-256 of the recipe's JSON with a version number, as 64 hex digits.

        A recipe gets another hash if a default changes, or if it sets a field of LATER.
        """
        import hashlib

        return hashlib.sha256(json.dumps({"v": 2, **self.to_json()}, sort_keys=True).encode()).hexdigest()


# Fields that were added after the first recipes were hashed (`Recipe.to_json`).
LATER: Final = (
    "distill_type", "dkd_alpha", "dkd_beta", "distill_warmup_epochs", "img_size", "scale", "ratio", "color_jitter",
    "rand_augment", "rand_magnitude", "class_weight", "freeze_epochs", "layer_decay", "model_ema_decay",
)  # fmt: skip


@functools.cache
def _kinds() -> Mapping[str, Any]:
    """Return the types of a recipe's fields, with their bounds."""
    return get_type_hints(Recipe, include_extras=True)


@functools.cache
def _fields() -> type[Struct]:
    """Return a struct with a recipe's fields, without `Recipe.__post_init__`."""
    return msgspec.defstruct("Fields", list(_kinds().items()))


def _require_fields(names: Iterable[str]) -> None:
    """Raise RecipeError, with a suggestion, for a name that is not a field of a recipe."""
    fields = list(_kinds())
    for name in names:
        if name not in fields:
            hint = did_you_mean(name, fields, f"the fields are {', '.join(fields)}")
            if name.lower() == "learning_rate":  # the most similar field is decay_rate
                hint = "did you mean lr?"
            raise RecipeError(f"recipe: there is no field {name!r}; {hint}")


@dataclass(frozen=True)
class Reported:
    """An accuracy of a model in a paper or in another repository.

    Examples:
        >>> from zoo.plugin import Reported
        >>> paper = Reported(91.25, by="He et al. (2015)", kind="paper")
    """

    test_top1: float  # percent
    by: str  # source: "He et al. (2015)"
    kind: Literal["paper", "reproduction"]  # the original paper, or a reproduction
    remark: str = ""  # how it was measured: "best over test epochs"


@dataclass(frozen=True)
class Renaming:
    """Rules that rename the tensors of another implementation to those of the net, as `re.sub` does, in order.

    Examples:
        >>> from zoo.plugin import Renaming
        >>> renaming = Renaming("akamaster", ((r"^linear\\.", "fc."),))
    """

    by: str  # author of the other implementation: "akamaster"
    rules: tuple[tuple[str, str], ...]  # pairs of a regular expression and its replacement

    def __post_init__(self) -> None:
        for pattern, _ in self.rules:
            _require_pattern(f"{self.by}'s names", pattern)


@dataclass(frozen=True)
class Deepening:
    """Shallower architectures that can give a deeper net its initial weights (Net2DeeperNet, arXiv:1511.05641, 2.3).

    The deeper net has all tensors of the shallower one, under the same names. Tensors with names that match `zeroed`
    are set to 0, so that an added block is the identity; other added tensors are initialized from the seed.

    Examples:
        >>> from zoo.plugin import Deepening
        >>> deepening = Deepening(shallower=("resnet20", "resnet32"), zeroed=r"bn2\\.weight$")
    """

    shallower: tuple[str, ...]  # names of architectures
    zeroed: str  # regular expression for `re.search`

    def __post_init__(self) -> None:
        _require_pattern("zeroed", self.zeroed)


@dataclass(frozen=True)
class Architecture:
    """A net with a fixed depth, such as resnet20, and recipes to train it on any dataset.

    Examples:
        >>> import zoo
        >>> def build(input_size, num_classes):
        ...     from torch import nn
        ...
        ...     return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(input_size[0], num_classes))
        >>> tiny = zoo.Architecture("tiny", build, {"quick": zoo.Recipe(epochs=5)}, description="A linear classifier.")
    """

    name: str  # lower-case letters, digits, '.', '_' and '-'
    build: Builder = field(repr=False)  # function that makes the net
    recipes: Mapping[str, Recipe]  # recipes by name, the default first
    paper: str = ""  # URL of the paper
    description: str = ""  # a sentence about the net, for the card
    license: str = "apache-2.0"  # license of the weights, as an id of the Hugging Face Hub
    renamings: tuple[Renaming, ...] = ()  # rules for the weights of other implementations
    tags: tuple[str, ...] = ()  # tags of the models on the Hugging Face Hub: "resnet"
    deepening: Deepening | None = None  # shallower architectures to start from
    citation: str = ""  # BibTeX of the paper, for the card

    def __post_init__(self) -> None:
        _require_name("architecture", self.name)
        if not self.recipes:
            raise ValueError(f"architecture {self.name} has no recipe; give it at least one")

    def trained_on(self, title: str) -> str:
        """Return a sentence about the net, trained on the dataset with this title."""
        net = self.description.removesuffix(".") or f"The architecture {self.name}"
        return f"{net}, trained on {title}."


@dataclass(frozen=True)
class Model:
    """An architecture on a dataset. Its name, such as `resnet20_cifar10`, is the name in the registry and in hubs.

    After construction, `recipes` has the recipes of this model first, then the recipes of the architecture. The first
    recipe is the default.

    Examples:
        >>> import zoo
        >>> from zoo.datasets import CIFAR100
        >>> resnet20 = zoo.info("resnet20").model.architecture
        >>> model = zoo.Model(resnet20, CIFAR100, parameters=None)
        >>> model.name, model.default_recipe
        ('resnet20_cifar100', 'paper')
    """

    architecture: Architecture  # may be that of another plugin
    dataset: Dataset  # may be that of another plugin or of the zoo
    parameters: int | None  # number of trainable parameters; None if unknown
    recipes: Mapping[str, Recipe] = field(default_factory=dict)  # recipes for this model only, the default first
    reported: tuple[Reported, ...] = ()  # published accuracies
    default: bool = False  # whether the architecture's name alone means this model

    def __post_init__(self) -> None:
        for name, kind in (("architecture", Architecture), ("dataset", Dataset)):
            if not isinstance(getattr(self, name), kind):
                given = type(getattr(self, name)).__name__
                raise PluginError(f"a model's {name} should be a zoo.plugin.{kind.__name__}, not a {given}")
        if self.parameters is not None and not (isinstance(self.parameters, int) and self.parameters >= 1):
            raise PluginError(f"model {self.name}: parameters should be at least 1, or None, not {self.parameters!r}")
        own = self.recipes
        object.__setattr__(self, "recipes", {**own, **self.architecture.recipes, **own})  # own ones first, and they win

    @property
    def name(self) -> str:
        """The names of the architecture and the dataset: `resnet20_cifar10`."""
        return f"{self.architecture.name}_{self.dataset.name}"

    @property
    def description(self) -> str:
        """A sentence about the net and its dataset."""
        return self.architecture.trained_on(self.dataset.title)

    def normalisation(self, recipe: Recipe | None = None) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the mean and std that images are normalized with: those of the recipe, else those of the dataset."""
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
        raise ValueError(f"{what}: {pattern!r} is not a regular expression ({error})") from None


def one_per_channel(channels: int) -> str:
    """Return the expected number of values of a mean or std, in words."""
    return f"{'1 number' if channels == 1 else f'{channels} numbers'}, one per channel"


def _require_name(what: str, name: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f"{what} name {name!r} should consist of lower-case letters, digits, '.', '_' and '-'")
