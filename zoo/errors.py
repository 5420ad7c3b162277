"""What can go wrong for a person, as one tree.

    ZooError
    ├── RegistryError
    │   ├── UnknownModel         no plugin provides a model, an architecture or a data set of that name
    │   └── PluginError          a plugin is there but can't be used
    ├── DeviceError              a device that torch does not have here
    ├── BuildError               a net that can't be built as it is asked for
    ├── RecipeError              a hyper-parameter that does not exist or can't be
    ├── DataError                a data set that is missing, incomplete or corrupted
    ├── ImageError               a file that is no picture
    ├── TrainingError            a run that can't start, go on or be resumed
    │   ├── NonFiniteLoss
    │   └── Interrupted          stopped by Ctrl-C or SIGTERM, after a checkpoint
    ├── FolderError              a model folder that is incomplete or not one
    │   ├── HashMismatch         weights that are not the ones that are spoken of
    │   └── OtherFormat          a repository of another library's, where a model folder is needed
    ├── ExportError              a format that isn't there, a net that can't have it, a runtime that answers otherwise
    ├── PageError                a site that can't be written, or what it takes is not there
    ├── WeightsError             a file of weights from elsewhere that can't be read, or fits no such net
    └── HubError
        ├── HubUnavailable       the hub can't be asked; this machine has an earlier revision
        └── NotFound             the hub is there, that model or revision is not
            └── NotPublished     no hub is named, and the catalogue has no weights of that model

Each message is one line: what is wrong, what was expected, what to do. The command line prints
it and exits with `exit_code`; a traceback is left for bugs of the zoo's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.plain import one_line

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path


class ZooError(Exception):
    """Base of every error that a person can mend."""

    exit_code = 1

    def __str__(self) -> str:
        """Its one line, whoever wrote the names and values in it."""
        return one_line(super().__str__())


class RegistryError(ZooError):
    """A model that can't be found among the plugins."""


class UnknownModel(RegistryError):
    """No plugin provides a model, an architecture or a data set of that name."""


class PluginError(RegistryError):
    """A plugin is declared but can't be used."""


class PluginWarning(UserWarning):
    """A plugin that can't be used was passed over; the others are there."""


class CompileWarning(UserWarning):
    """A step could not be compiled; training goes on without."""


class HubWarning(UserWarning):
    """A damaged model in a hub was passed over; the others are there."""


class NameWarning(UserWarning):
    """A name that was taken for a model's is also that of a folder here."""


class TrackerWarning(UserWarning):
    """A tracker failed and is told nothing more; training goes on."""


class StartWarning(UserWarning):
    """A training is meant for weights that have learned something, and begins with none."""


class DataWarning(UserWarning):
    """A data set that can be trained on, and of which less can be told than it seems."""


class DeviceError(ZooError):
    """A device that torch does not have on this machine."""


class BuildError(ZooError):
    """A net that can't be built as it is asked for."""


class RecipeError(ZooError):
    """A hyper-parameter that does not exist or has an impossible value."""


class DataError(ZooError):
    """A data set that is missing, incomplete or corrupted."""


class ImageError(ZooError):
    """A file that can't be read as a picture."""


class TrainingError(ZooError):
    """A run that can't start, go on or be resumed."""


class NonFiniteLoss(TrainingError):
    """The loss became infinite or not a number."""


class Interrupted(TrainingError):
    """The run was asked to stop and has left a checkpoint."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number  # as a shell reports a process ended by that signal


class FolderError(ZooError):
    """A model folder that is incomplete or not one."""


class HashMismatch(FolderError):
    """Weights whose SHA-256 is not the one that their config.json, their name or their user gives."""


class OtherFormat(FolderError):
    """A repository of another library's, where a model folder was expected; its kind, and where it is on this machine.

    Who can do with any net and its facts reads it (`zoo.formats`); for all else it is this one line.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        super().__init__(
            f"{folder} is a repository of {kind}'s and no model folder, which is needed here; zoo predict, zoo eval "
            "and zoo train --start take it as it is"
        )
        self.kind = kind
        self.folder = folder


class WeightsError(ZooError):
    """A file of weights from elsewhere that can't be read, or does not fit the net."""


class ExportError(ZooError):
    """A format that is not there, a net that can't be exported to it, or a runtime that answers otherwise."""


class PageError(ZooError):
    """A site that can't be written where it is asked for, or without what it takes."""


class HubError(ZooError):
    """A hub that can't be reached, read or written."""


class HubUnavailable(HubError):
    """A hub could not be asked for its newest revision; `revision` is on this machine, downloaded at `date`."""

    def __init__(self, message: str, revision: str, date: date) -> None:
        super().__init__(message)
        self.revision = revision
        self.date = date


class NotFound(HubError):
    """The hub is there, but not that model or that revision."""


class NotPublished(NotFound):
    """No hub is named, and the catalogue has no weights of that model."""
