"""The errors and warnings of the zoo, as one tree.

    ZooError
    ├── RegistryError
    │   ├── UnknownModel         no plugin provides a model, architecture or dataset of that name
    │   └── PluginError          a plugin can't be used
    ├── DeviceError              torch does not have the device
    ├── BuildError               the net can't be built for these classes and channels
    ├── RecipeError              a hyper-parameter does not exist or has an impossible value
    ├── DataError                a dataset is missing, incomplete or damaged
    ├── ImageError               a file can't be read as an image
    ├── TrainingError            a run can't start or continue
    │   ├── NonFiniteLoss
    │   └── Interrupted          stopped by Ctrl-C or SIGTERM, after a checkpoint
    ├── FolderError              a model folder is incomplete, damaged or can't be written
    │   ├── HashMismatch         the SHA-256 of the weights differs from the expected SHA-256
    │   └── OtherFormat          a repository of another library, where a model folder is needed
    ├── ExportError              a format can't be written or run, or gives other results than the net
    ├── PageError                a site can't be written
    ├── WeightsError             a file of weights can't be read or does not fit the net
    └── HubError
        ├── HubUnavailable       the hub can't be reached; this machine has an earlier revision
        └── NotFound             the hub does not have the model or the revision
            └── NotPublished     no hub was given, and the catalogue has no weights of the model

Each message is one line: what is wrong, what was expected, what to do. The command line prints the line and exits
with `exit_code`. Any other exception is a bug.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date
    from pathlib import Path


class ZooError(Exception):
    """Base class of the errors that a user can fix.

    Examples:
        >>> import zoo
        >>> try:
        ...     zoo.load("resnet21")
        ... except zoo.ZooError as error:
        ...     print(error)
        there is no model 'resnet21'; did you mean resnet32 or resnet26 or resnet20? (zoo list shows all)
    """

    exit_code = 1

    def __str__(self) -> str:
        """Return the message as one printable line: it may contain text from files and plugins."""
        return one_line(super().__str__())


class RegistryError(ZooError):
    """A model can't be found or loaded from the plugins."""


class UnknownModel(RegistryError):
    """No plugin provides a model, architecture or dataset of that name."""


class PluginError(RegistryError):
    """A plugin can't be used.

    Examples:
        >>> from zoo.plugin import PluginError, require_api
        >>> try:
        ...     require_api(2)
        ... except PluginError as error:
        ...     print(error)
        it is written for version 2 of zoo.plugin, this zoo supports 1; update residual-zoo
    """


class PluginWarning(UserWarning):
    """A plugin that can't be used was left out."""


class CompileWarning(UserWarning):
    """The training step can't be compiled; training continues without compilation."""


class HubWarning(UserWarning):
    """A damaged model in a hub was left out."""


class NameWarning(UserWarning):
    """A name was read as a model's name, but a folder of that name exists too."""


class TrackerWarning(UserWarning):
    """A tracker failed and is not called again; training continues."""


class StartWarning(UserWarning):
    """A recipe for pretrained weights is used without weights to start from."""


class DataWarning(UserWarning):
    """A dataset can be used, but its accuracy may mean little."""


class DeviceError(ZooError):
    """torch does not have the device on this machine."""


class BuildError(ZooError):
    """The net can't be built for these classes and channels."""


class RecipeError(ZooError):
    """A hyper-parameter does not exist or has an impossible value."""


class DataError(ZooError):
    """A dataset is missing, incomplete or damaged. A reader of a dataset raises it.

    Examples:
        >>> from pathlib import Path
        >>> from zoo.plugin import DataError
        >>> def read(root: Path, *, train: bool):
        ...     path = root / "flowers.npz"
        ...     if not path.is_file():
        ...         raise DataError(f"there is no {path}; download it from https://example.org/flowers.npz")
    """


class ImageError(ZooError):
    """A file can't be read as an image."""


class TrainingError(ZooError):
    """A run can't start or continue."""


class NonFiniteLoss(TrainingError):
    """The loss became infinite or NaN."""


class Interrupted(TrainingError):
    """The run was stopped by a signal, after a checkpoint."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number  # the shells' convention for a process that a signal ended


class FolderError(ZooError):
    """A model folder is incomplete or damaged, or can't be written.

    Examples:
        >>> import zoo
        >>> from zoo.plugin import FolderError
        >>> try:
        ...     zoo.load("./missing", pretrained=True)
        ... except FolderError as error:
        ...     print(error)
        there is no folder missing...
    """


class HashMismatch(FolderError):
    """The SHA-256 of the weights differs from the expected SHA-256."""


class OtherFormat(FolderError):
    """A repository of another library, where a model folder was expected.

    `zoo predict`, `zoo eval` and `zoo train --start` catch it and read the repository with `zoo.formats`.

    Args:
        kind: The library: "timm".
        folder: The copy of the repository on this machine.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        super().__init__(
            f"{folder} is a repository of {kind}, expected a model folder; only zoo predict, zoo eval and the start of "
            "a training can read it"
        )
        self.kind = kind
        self.folder = folder


class WeightsError(ZooError):
    """A file of weights can't be read or does not fit the net."""


class ExportError(ZooError):
    """A format can't be written or run, or gives other results than the net. An exporter raises it.

    Examples:
        >>> import zoo
        >>> from zoo.plugin import ExportError
        >>> try:
        ...     zoo.export("resnet8_digits", to="onxx")
        ... except ExportError as error:
        ...     print(error)
        there is no export format 'onxx'; did you mean onnx?
    """


class PageError(ZooError):
    """A site can't be written."""


class HubError(ZooError):
    """A hub can't be read or written.

    Examples:
        >>> import zoo
        >>> from zoo.plugin import HubError
        >>> try:
        ...     zoo.pull("resnet8_digits", hub="hub")
        ... except HubError as error:
        ...     print(error)
        'hub' is not a hub; expected file:PATH or hf://namespace
    """


class HubUnavailable(HubError):
    """The hub can't be reached; this machine has an earlier revision.

    Args:
        message: The message.
        revision: The revision on this machine.
        date: The day on which it was downloaded.
    """

    def __init__(self, message: str, revision: str, date: date) -> None:
        super().__init__(message)
        self.revision = revision
        self.date = date


class NotFound(HubError):
    """The hub does not have the model or the revision.

    Examples:
        >>> from zoo.plugin import NotFound
        >>> def resolve(name: str, revision: str | None = None):
        ...     raise NotFound(f"there is no model {name} in memory:; zoo list --hub memory: shows its models")
    """


class NotPublished(NotFound):
    """No hub was given, and the catalogue has no weights of the model."""


def did_you_mean(name: str, names: Iterable[str], otherwise: str) -> str:
    """Return the hint of a message about an unknown name: the similar names, or `otherwise` if there are none."""
    close = close_to(name, names)
    return f"did you mean {' or '.join(close)}?" if close else otherwise


def close_to(name: str, names: Iterable[str]) -> list[str]:
    """Return up to three similar names, the closest first. Case is ignored."""
    import difflib
    import heapq

    name = name.lower()
    pairs = {name[start : start + 2] for start in range(max(1, len(name) - 1))}
    # get_close_matches is slow, so it is given only the hundred names that share the most pairs of characters.
    likely = heapq.nlargest(100, sorted(names), key=lambda candidate: sum(map(candidate.__contains__, pairs)))
    return difflib.get_close_matches(name, likely, n=3, cutoff=0.6)
