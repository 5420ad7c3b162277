"""Models in the repositories of other libraries, each kind of which a plugin reads.

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

from zoo.decoding import SchemaError as SchemaError
from zoo.decoding import from_json as from_json
from zoo.errors import PluginError
from zoo.plugins import Group
from zoo.spec import Architecture, InputSize, Resizing

UNNAMED: Final = "unnamed"  # the dataset of a repository that names none

Document = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A model of another library, as its config.json describes it.

    Example:
        >>> import zoo
        >>> from zoo.plugin import Foreign, Resizing
        >>> resnet20 = zoo.info("resnet20").model.architecture
        >>> model = Foreign(
        ...     architecture=resnet20, classes=("cat", "dog"), input_size=(3, 64, 64),
        ...     mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), resizing=Resizing(crop_mode="center"),
        ... )
    """

    architecture: Architecture  # builds the net; its state dict has the names of the file of weights
    classes: tuple[str, ...]  # names of the classes, by label
    input_size: InputSize
    mean: tuple[float, ...]  # on the scale 0 to 1, one number per channel
    std: tuple[float, ...]  # standard deviation, like mean
    resizing: Resizing  # of images of another size
    dataset: str = UNNAMED  # that it was trained on, in lower-case letters, digits, '.', '_' and '-'
    license: str = ""  # a license id of the Hugging Face Hub; empty if unknown


@dataclass(frozen=True)
class Format:
    """A kind of repository, which a plugin reads.

    `recognises` returns whether a config.json is of this kind. `read` returns its model, and raises SchemaError with
    one line if a field is invalid.

    Example:
        >>> from zoo.plugin import Document, Foreign, Format
        >>> def read(config: Document) -> Foreign:
        ...     raise NotImplementedError("here the net is looked up by its name in config.json")
        >>> MINE = Format("mine", recognises=lambda config: "mine_version" in config, read=read)
        >>> MINE.recognises({"mine_version": 3, "net": "resnet18"})
        True
    """

    name: str  # of the kind and of the entry point: "timm"
    recognises: Callable[[Document], bool]
    read: Callable[[Document], Foreign]


TIMM_KEYS: Final = {"architecture", "pretrained_cfg"}  # of config.json; known also without the plugin zoo-timm
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
