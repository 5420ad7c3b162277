"""Read the models of a hub for their pages: records, logs and files."""

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

BROWSER_FORMAT = "onnx"  # of exported files
MOST_BYTES = 50 * 2**20  # of a file that is copied to the site


@dataclass(frozen=True, eq=False)
class Download:
    """A file that a page links to: at an address, or in the site with this content."""

    file: str
    address: str | None
    content: bytes | None


@dataclass(frozen=True, eq=False)
class ModelPage:
    """The contents of a model's page. Text in the record may be malicious, so the templates escape it."""

    config: Record
    declared: Model | Architecture | None  # None if no plugin declares the architecture
    log: Sequence[EpochRow]
    address: str  # as `zoo.load` takes it
    downloads: tuple[Download, ...]
    onnx: bytes | None  # the exported file, if the model can be tried

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.name

    @property
    def dataset(self) -> Dataset | None:
        """The dataset; None if no plugin declares it."""
        return self.declared.dataset if isinstance(self.declared, Model) else None

    @property
    def description(self) -> str:
        """A sentence about the architecture and the dataset."""
        title = self.dataset.title if self.dataset else self.config.dataset
        if self.declared is None:
            return f"{self.config.architecture}, trained on {title}"
        architecture = self.declared.architecture if isinstance(self.declared, Model) else self.declared
        return architecture.trained_on(title)

    @property
    def command(self) -> str:
        """The command that repeats the training; empty for imported models and without the model's plugin."""
        if not isinstance(self.config, Trained) or self.declared is None:
            return ""
        return command(self.config.job, self.declared, max(1, len(self.config.seeds)))

    @property
    def trained_by(self) -> str:
        """The author of imported weights; else the zoo for the catalogue, or the hub's owner."""
        if isinstance(self.config, Imported):
            return self.config.source.by
        return "the zoo" if self.address == self.name else "this hub's owner"

    @property
    def snippets(self) -> Sequence[Snippet]:
        """Python code that loads the model."""
        return snippets(self.config, self.declared, self.address)

    @property
    def install(self) -> str:
        """The command that installs the zoo and the plugin."""
        return install(self.config)

    @property
    def resizing(self) -> dict[str, object] | None:
        """The resizing of images, for `pixels.js`; None for a plain resize to the model's size."""
        if self.config.resizing.is_plain:
            return None
        border = [round(255 * value) for value in self.config.mean]
        return {**msgspec.structs.asdict(self.config.resizing), "border": border}

    @property
    def obstacle(self) -> str:
        """Why the model can't be tried in a browser; empty if it can."""
        if all(export.format != BROWSER_FORMAT for export in self.config.exports):
            return f"It has no ONNX file; `zoo export {self.name} --to onnx` makes one."
        channels = self.config.input_size[0]
        if channels not in (1, 3):
            return f"It takes images of {channels} channels; a browser reads images of 1 or 3 channels."
        return ""


def read(hub: str | None, *, with_files: bool) -> list[ModelPage]:
    """Read the published models of a hub.

    Args:
        hub: The address of the hub; None for the default hub and the catalogue.
        with_files: Whether to read the ONNX files of models that can be tried.

    Returns:
        The models, sorted by name. A model that can't be read is left out with a HubWarning.

    Raises:
        HubError: The hub can't be read, or has no models.
        PageError: No model can be read.
    """
    rows = listing.overview(pretrained=True, hub=hub)
    if not rows:
        raise listing.no_models(pretrained=True, hub=hub)
    models = []
    for row in rows:
        name = row.name if row.weights in (None, "catalogue") else row.weights
        try:
            models.append(_read_model(name, with_files=with_files))
        except ZooError as error:
            warnings.warn(HubWarning(f"{row.name} is left out: {error}"), stacklevel=2)
    if not models:
        raise PageError(
            f"none of the {len(rows)} models can be read, see the warnings; repair them or name another hub"
        )
    return models


def _read_model(name: str, *, with_files: bool) -> ModelPage:
    model = published(name)
    try:
        declared = model.declared
    except PluginError:
        declared = None
    page = ModelPage(model.config, declared, model.log(), name, tuple(_downloads(model)), None)
    if with_files and not page.obstacle:
        file = next(export.file for export in model.config.exports if export.format == BROWSER_FORMAT)
        page = replace(page, onnx=model.read(file))
    return page


def _downloads(model: Published) -> Iterator[Download]:
    """The weights and exported files: links to the Hugging Face Hub, or copies from a folder."""
    address = model.source.hub.address if isinstance(model.source, InHub) else None
    for file in (store.WEIGHTS, *(export.file for export in model.config.exports)):
        if address is not None and address.scheme == "hf":
            from huggingface_hub import hf_hub_url

            assert isinstance(model.source, InHub)
            url = hf_hub_url(f"{address.location}/{model.config.name}", file, revision=model.source.revision)
            yield Download(file, url, None)
        elif address is not None and address.scheme != "file":
            continue  # the files would have to be downloaded first
        elif (model.folder / file).is_file() and model.config.files[file].bytes <= MOST_BYTES:
            yield Download(file, None, model.read(file))
