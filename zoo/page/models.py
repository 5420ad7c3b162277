"""What the pages show: every model of a hub, with all that its folder says and its plugin knows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from zoo.errors import HubWarning, PageError, PluginError, ZooError
from zoo.hub import listing
from zoo.hub.resolve import Published, published
from zoo.record.card import Snippet, command, snippets
from zoo.record.types import EpochRow, Record, Trained
from zoo.spec import Architecture, Dataset, Model

TRIED = "onnx"  # the format that a browser runs


@dataclass(frozen=True, eq=False)
class Shown:
    """A model of a hub, as its page has it. What is in it may be a stranger's: it is escaped where it is written."""

    config: Record
    known: Model | Architecture | None  # None where no plugin here has its architecture
    log: Sequence[EpochRow]
    onnx: bytes | None  # its exported file, where it can be tried

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.name

    @property
    def dataset(self) -> Dataset | None:
        """Its data set, where a plugin declares it."""
        return self.known.dataset if isinstance(self.known, Model) else None

    @property
    def description(self) -> str:
        """What it is, in a sentence."""
        title = self.dataset.title if self.dataset else self.config.dataset
        if self.known is None:
            return f"{self.config.architecture}, trained on {title}"
        architecture = self.known.architecture if isinstance(self.known, Model) else self.known
        return architecture.trained_on(title)

    @property
    def command(self) -> str:
        """The command that trains the same; empty where the zoo didn't train it, or can't here."""
        if not isinstance(self.config, Trained) or self.known is None:
            return ""
        return command(self.config.job, self.known, max(1, len(self.config.seeds)))

    @property
    def snippets(self) -> Sequence[Snippet]:
        """How it is loaded."""
        return snippets(self.config, self.known)


def shown(hub: str | None, *, with_files: bool) -> list[Shown]:
    """The models that are published in a hub (the catalogue, and ZOO_HUB's, where None), by name.

    With `with_files`, exported files are fetched too, hashes checked. What is damaged is passed over with a warning.
    Raises NotFound where there is no model, PageError where none can be read, or HubError.
    """
    rows = listing.overview(pretrained=True, hub=hub)
    if not rows:
        raise listing.nothing(pretrained=True, hub=hub)
    found = []
    for row in rows:
        name = row.name if row.weights in (None, "catalogue") else row.weights
        try:
            found.append(_of(published(name), with_files=with_files))
        except ZooError as error:
            warnings.warn(HubWarning(f"{row.name} is left out: {error}"), stacklevel=2)
    if not found:
        raise PageError(
            f"none of the {len(rows)} models can be read, each for the reason above: there is nothing to show"
        )
    return found


def _of(found: Published, *, with_files: bool) -> Shown:
    try:
        known = found.known
    except PluginError:
        known = None
    return Shown(found.config, known, found.log(), _onnx(found) if with_files else None)


def _onnx(found: Published) -> bytes | None:
    """The exported file that a browser runs, where the page can make of a picture what the model is to see."""
    config = found.config
    files = [one.file for one in config.exports if one.format == TRIED]
    if not files or config.input_size[0] not in (1, 3) or not config.resizing.is_plain:
        return None
    return found.read(files[0])
