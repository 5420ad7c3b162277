"""A model that is somewhere: its facts at once, its weights when they are needed.

Loading, evaluating, predicting, verifying, reproducing, drawing and teaching all begin here, so that
each finds, reads and resolves in the same way.
"""

from __future__ import annotations

import contextlib
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import registry
from zoo.errors import DataError, HubError, OtherFormat, PluginError, UnknownModel
from zoo.folder import store
from zoo.folder.config import Config, EpochRow
from zoo.hub import find
from zoo.hub.elsewhere import Elsewhere
from zoo.hub.find import Located
from zoo.spec import Architecture, Dataset, Model, Pictures

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torchvision.transforms import v2


# A distribution's name (PEP 508), of a bearable length: what a stranger wrote is not printed as part of a command.
DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


@dataclass(frozen=True, eq=False)
class Published:
    """A handle on a model folder, wherever it lies. Whatever it gives is held against the same `config`."""

    config: Config
    located: Located

    @property
    def place(self) -> str:
        """Where it is: its whole path, or its address in a hub."""
        located = self.located
        if isinstance(located, Elsewhere):
            return located.place
        return str(located.absolute()) if isinstance(located, Path) else str(located.hub.address.model(located.name))

    @functools.cached_property
    def folder(self) -> Path:
        """The folder on this machine, with its weights but where they are pinned.

        Raises FolderError, HashMismatch, NotFound or HubError.
        """
        return find.fetch(self.located)

    @functools.cached_property
    def weights(self) -> Path:
        """The folder on this machine with the weights, its own or the one that it pins; raises as `folder` does."""
        return find.fetch_weights(self.located, self.config)

    @property
    def with_weights(self) -> Config:
        """The facts with the weights' hash; of somebody else's that nobody had yet, the hash they are converted to."""
        return self.config if store.WEIGHTS in self.config.files else store.read_config(self.weights)

    def log(self) -> list[EpochRow]:
        """A row an epoch, none where the zoo did not train it; fetches no weights."""
        return [] if self.config.origin else store.read_log(find.fetch(self.located, weights=False))

    @functools.cached_property
    def architecture(self) -> Architecture:
        """What builds its net; raises PluginError, with the distribution, where no plugin here has it.

        That of the plugin that its config.json names goes before another's of the same name.
        """
        if isinstance(self.located, Elsewhere):
            return self.located.architecture
        named = self.config.plugin_distribution
        with contextlib.suppress(UnknownModel):
            return registry.recorded(self.config.architecture, named)
        by = f"the distribution {named!r}" if DISTRIBUTION.fullmatch(named) else "no distribution that could be one"
        raise PluginError(
            f"{self.config.name} needs the architecture {self.config.architecture}, which no plugin here provides; "
            f"its config.json names {by}: install it where you trust it"
        )

    @functools.cached_property
    def known(self) -> Model | Architecture:
        """The model as the plugins know it; its architecture alone where none declares its data set."""
        architecture = self.architecture
        if self.config.pictures is not None:
            return Model(architecture, self._recalled(self.config.pictures), parameters=None)
        with contextlib.suppress(UnknownModel, PluginError):
            return registry.on(architecture, self.config.dataset)
        return architecture

    @property
    def model(self) -> Model:
        """The model, whose data set is needed; raises DataError where no plugin declares that one."""
        if isinstance(self.known, Architecture):
            raise DataError(
                f"{self.config.name} was trained on {self.config.dataset}, a data set that no plugin here declares; "
                "install the one that does"
            )
        self._require_declared()
        return self.known

    def _recalled(self, pictures: Pictures) -> Dataset:
        """The data set of somebody's pictures, as the folder has it; its images where this machine prepared them."""
        from zoo.data.prepared import margin, recalled

        config = self.config
        extra = margin(config.job.recipe, config.input_size[1]) if config.job else 0
        return recalled(pictures, config.dataset, config.classes, config.input_size, (config.mean, config.std), extra)

    def on(self, dataset: str) -> Model:
        """The model on a data set that is named; raises DataError where its images or classes are others, UnknownModel.

        What that one is called does not matter: somebody else's repository may say nothing of its own.
        """
        named = registry.dataset(dataset)
        if not self.config.fits(named):
            raise DataError(
                f"{self.config.name} takes images of {self.config.input_size} to {len(self.config.classes)} classes, "
                f"and {named.name} has images of {named.input_size} and {len(named.classes)} classes, or others; name "
                "the one that it was trained on"
            )
        return registry.join(self.architecture, named)

    def net(
        self, device: torch.device | str = "cpu", *, num_classes: int | None = None, in_channels: int | None = None
    ) -> nn.Module:
        """Its net with its weights, hash checked, in evaluation mode.

        Its classes and images are those of its data set where a plugin declares that one, but for what is
        asked for otherwise. Raises what `folder` raises, and DataError.
        """
        from zoo.nets import weights

        self._require_declared(num_classes, in_channels)
        return weights.load(self.architecture, self.weights, self.with_weights, num_classes, in_channels).to(device)

    def untrained(
        self, device: torch.device | str = "cpu", *, num_classes: int | None = None, in_channels: int | None = None
    ) -> nn.Module:
        """The same net as its architecture initialises it, in training mode; fetches no weights."""
        from zoo.nets.build import build, require_counted

        self._require_declared(num_classes, in_channels)
        net = build(self.architecture, self.config, num_classes, in_channels)
        if num_classes is None and in_channels is None:
            require_counted(net, self.config, self.config.name)
        return net.to(device)

    def _require_declared(self, num_classes: int | None = None, in_channels: int | None = None) -> None:
        """Hold what its config.json says that it sees against its data set, where a plugin declares that one."""
        if isinstance(self.known, Architecture):
            return
        own, declared = self.config, self.known.dataset
        same_classes = num_classes is not None or own.classes == declared.classes
        first = 0 if in_channels is None else 1  # of channels, height, width
        if not same_classes or own.input_size[first:] != declared.input_size[first:]:
            raise DataError(
                f"{self.config.name} was trained on a data set of other classes or images than {self.config.dataset}, "
                "as it is declared here; install the plugin that declares its own"
            )

    @property
    def preprocess(self) -> v2.Compose:
        """From an image of any size and mode to what the net sees, [C, H, W] float32."""
        from zoo.data.preprocess import preprocessing

        config = self.config
        return preprocessing(config.input_size, config.mean, config.std, config.resizing)


def published(name_or_path_or_hub_id: str | Path, *, hub: str | None = None, revision: str | None = None) -> Published:
    """The model of a name, a path or an address; raises NotFound, HubError, FolderError or UnknownModel.

    A path or an address may be another library's repository, of a kind that a plugin reads.
    """
    located = find.locate(name_or_path_or_hub_id, hub=hub, revision=revision)
    try:
        config = find.facts(located)
    except OtherFormat as found:
        there = find.taken(located, found)
        return Published(there.config, there)
    if isinstance(located, find.InHub) and config.name != located.name:
        raise HubError(
            f"{located.hub.address.model(located.name)} holds the model {config.name}, and not the one of its name"
        )
    return Published(config, located)
