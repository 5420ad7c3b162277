"""The contents of the pages: every model of a hub with its record, its log and its files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from zoo.errors import HubWarning, PageError, PluginError, ZooError
from zoo.hub import listing
from zoo.hub.protocol import InHub
from zoo.hub.resolve import Published, published
from zoo.record import store
from zoo.record.card import Snippet, command, install, snippets
from zoo.record.types import EpochRow, Imported, Record, Trained
from zoo.spec import Architecture, Dataset, Model

TRIED = "onnx"  # the format that a browser runs
MOST_BYTES = 50 * 2**20  # of a file that is copied into the site


@dataclass(frozen=True, eq=False)
class Download:
    """A file of a model that its page offers: at an address, or with its content in the site itself."""

    file: str
    address: str | None
    content: bytes | None


@dataclass(frozen=True, eq=False)
class Shown:
    """A model of a hub, for its page. Its texts may be a stranger's: the templates escape them."""

    config: Record
    known: Model | Architecture | None  # None if no plugin here has its architecture
    log: Sequence[EpochRow]
    address: str  # as `zoo.load` takes it
    downloads: tuple[Download, ...]
    onnx: bytes | None  # its exported file, if it can be tried

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.name

    @property
    def dataset(self) -> Dataset | None:
        """Its data set, if a plugin declares it."""
        return self.known.dataset if isinstance(self.known, Model) else None

    @property
    def description(self) -> str:
        """A description in one sentence."""
        title = self.dataset.title if self.dataset else self.config.dataset
        if self.known is None:
            return f"{self.config.architecture}, trained on {title}"
        architecture = self.known.architecture if isinstance(self.known, Model) else self.known
        return architecture.trained_on(title)

    @property
    def command(self) -> str:
        """The command that trains it again; empty if the zoo did not train it, or its plugin is missing."""
        if not isinstance(self.config, Trained) or self.known is None:
            return ""
        return command(self.config.job, self.known, max(1, len(self.config.seeds)))

    @property
    def trained_by(self) -> str:
        """Who trained it: the author of imported weights, the zoo for the catalogue, else the hub's owner."""
        if isinstance(self.config, Imported):
            return self.config.source.by
        return "the zoo" if self.address == self.name else "this hub's owner"

    @property
    def snippets(self) -> Sequence[Snippet]:
        """Python that loads it."""
        return snippets(self.config, self.known, self.address)

    @property
    def install(self) -> str:
        """The command that installs the zoo and its plugin."""
        return install(self.config)

    @property
    def resizing(self) -> dict[str, object] | None:
        """How `pixels.js` resizes a picture; None for straight to the size of the model."""
        if self.config.resizing.is_plain:
            return None
        border = [round(255 * value) for value in self.config.mean]
        return {**msgspec.structs.asdict(self.config.resizing), "border": border}

    @property
    def obstacle(self) -> str:
        """Why it can't be tried in a browser; empty where it can."""
        if all(export.format != TRIED for export in self.config.exports):
            return f"It has no ONNX file; `zoo export {self.name} --to onnx` makes one."
        channels = self.config.input_size[0]
        if channels not in (1, 3):
            return f"It takes images of {channels} channels, and a browser's pictures have 1 or 3."
        return ""


def shown(hub: str | None, *, with_files: bool) -> list[Shown]:
    """The published models of a hub, sorted by name, `with_files` of those that can be tried.

    A model that can't be read is left out with a warning. Raises HubError, or PageError if none can be read.
    """
    rows = listing.overview(pretrained=True, hub=hub)
    if not rows:
        raise listing.nothing(pretrained=True, hub=hub)
    found = []
    for row in rows:
        name = row.name if row.weights in (None, "catalogue") else row.weights
        try:
            found.append(_of(name, with_files=with_files))
        except ZooError as error:
            warnings.warn(HubWarning(f"{row.name} is left out: {error}"), stacklevel=2)
    if not found:
        raise PageError(
            f"none of the {len(rows)} models can be read, each for the reason above: there is nothing to show"
        )
    return found


def _of(name: str, *, with_files: bool) -> Shown:
    model = published(name)
    try:
        known = model.declared
    except PluginError:
        known = None
    shown = Shown(model.config, known, model.log(), name, tuple(_downloads(model)), None)
    if with_files and not shown.obstacle:
        file = next(export.file for export in model.config.exports if export.format == TRIED)
        shown = replace(shown, onnx=model.read(file))
    return shown


def _downloads(model: Published) -> Iterator[Download]:
    """The weights and the exported files: copied from a folder, linked to on the Hugging Face Hub."""
    address = model.source.hub.address if isinstance(model.source, InHub) else None
    for file in (store.WEIGHTS, *(export.file for export in model.config.exports)):
        if address is not None and address.scheme == "hf":
            from huggingface_hub import hf_hub_url

            assert isinstance(model.source, InHub)
            url = hf_hub_url(f"{address.place}/{model.config.name}", file, revision=model.source.revision)
            yield Download(file, url, None)
        elif address is not None and address.scheme != "file":
            continue  # its files would have to be fetched for the site
        elif (model.folder / file).is_file() and model.config.files[file].bytes <= MOST_BYTES:
            yield Download(file, None, model.read(file))
