"""Models in the repositories of other libraries, which plugins read.

A repository is a folder with the library's config.json and `model.safetensors`. A plugin declares a `Format` for a kind
of repository as an entry point of the group `zoo.formats`, which has the name of the kind:

    [project.entry-points."zoo.formats"]
    timm = "zoo_timm.repository:TIMM"

`Format.read` gets the decoded config.json and returns a `Foreign`. It opens no file: the zoo builds the net of the
architecture, and compares the file of weights with the net's state dict by names and shapes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from zoo.decoding import SchemaError
from zoo.errors import PluginError
from zoo.plugins import Group
from zoo.spec import Architecture, InputSize, Resizing

UNNAMED: Final = "unnamed"  # the dataset, if the repository does not name it

Document = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A model of another library, as its config.json describes it.

    Examples:
        >>> import zoo
        >>> from zoo.plugin import Foreign, Resizing
        >>> resnet20 = zoo.info("resnet20").model.architecture
        >>> model = Foreign(
        ...     architecture=resnet20, classes=("cat", "dog"), input_size=(3, 64, 64),
        ...     mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), resizing=Resizing(crop_mode="center"),
        ... )
    """

    architecture: Architecture  # a net with the tensor names of `model.safetensors`
    classes: tuple[str, ...]  # names of the classes, by label
    input_size: InputSize
    mean: tuple[float, ...]  # mean for normalization per channel, on the scale 0 to 1
    std: tuple[float, ...]  # standard deviation for normalization per channel
    resizing: Resizing  # how images of another size are resized
    dataset: str = UNNAMED  # dataset of the training: lower-case letters, digits, '.', '_' and '-'
    license: str = ""  # license of the weights, as an id of the Hugging Face Hub; empty if unknown


@dataclass(frozen=True)
class Format:
    """A kind of repository, which a plugin reads.

    `recognises` returns whether a config.json is of this kind. `read` returns the model, or raises SchemaError for an
    invalid field.

    Examples:
        >>> from zoo.plugin import Document, Foreign, Format
        >>> def read(config: Document) -> Foreign:
        ...     raise NotImplementedError("here the net is looked up by its name in config.json")
        >>> MINE = Format("mine", recognises=lambda config: "mine_version" in config, read=read)
        >>> MINE.recognises({"mine_version": 3, "net": "resnet18"})
        True
    """

    name: str  # name of the kind and of the entry point: "timm"
    recognises: Callable[[Document], bool]
    read: Callable[[Document], Foreign]


TIMM_KEYS: Final = {"architecture", "pretrained_cfg"}  # of config.json; recognized without the plugin zoo-timm too
RECORDS: Final = ("trained", "imported")  # `kind` in the zoo's own records, which may have the keys of timm too
FORMATS: Final = Group[Format](
    "zoo.formats",
    "repository format",
    "the zoo.plugin.Format of that name",
    lambda value, name: isinstance(value, Format) and value.name == name,
)


def kind_of(document: Document) -> str | None:
    """Return the kind of repository that has this config.json.

    Args:
        document: The decoded config.json.

    Returns:
        The name of the kind; None for a record of the zoo, or if no installed plugin recognizes it.
    """
    if document.get("kind") in RECORDS:
        return None
    if document.keys() >= TIMM_KEYS:
        return "timm"
    for name in FORMATS.names():
        if name != "timm":
            with contextlib.suppress(Exception):  # a plugin that fails does not recognize the document
                if FORMATS.load(name).recognises(document):
                    return name
    return None


def read(kind: str, document: Document) -> Foreign:
    """Read a config.json with the plugin for its kind.

    Args:
        kind: The name of the kind.
        document: The decoded config.json.

    Returns:
        The model that it describes.

    Raises:
        PluginError: The plugin is not installed, or it fails.
        SchemaError: The plugin refuses a field.
    """
    if kind == "timm" and FORMATS.entry(kind) is None:
        raise PluginError("it is a repository of timm, which the plugin zoo-timm reads: pip install zoo-timm")
    reader = FORMATS.load(kind)
    with FORMATS.guarded(kind, passes=(SchemaError,)):
        return reader.read(document)
