"""How a model is loaded, as code to copy: what stands on its card, and on its page."""

from __future__ import annotations

from dataclasses import dataclass

from zoo import plugins
from zoo.record.types import Record
from zoo.spec import Architecture, Model


@dataclass(frozen=True)
class Snippet:
    """A piece of Python, and where it loads from; words between backticks are code."""

    about: str
    code: str


def snippets(config: Record, known: Model | Architecture | None) -> tuple[Snippet, ...]:
    """The ways to load a model: by name, from a checkout by torch.hub, from its folder.

    `known` is the model, its architecture where no plugin declares the data set, None where none has that either.
    """
    channels, height, width = config.input_size
    by_name, bare = '"' + config.name + '"', "nothing installed but torch and safetensors"
    where = 'the zoo\'s catalogue or the hub it was published to (`hub="hf://NAMESPACE"`, `hub="file:PATH"`)'
    if not is_shipped(config):  # which the catalogue has no models of
        by_name, bare = f'"HUB/{config.name}"', f"with `{config.plugin_distribution}` installed"
        where = "the hub it was published to (`hf://NAMESPACE` or `file:PATH`)"
    return (
        Snippet(
            f"By name, from {where}:",
            f"""import zoo

model = zoo.load({by_name}, pretrained=True)  # hash checked, eval mode
preprocess = zoo.transforms({by_name})  # image to tensor [{channels}, {height}, {width}]
""",
        ),
        Snippet(
            f"From a checkout of the zoo, {bare}:",
            f"""import torch

model = torch.hub.load("PATH/TO/CHECKOUT", {_entry(config, known)}, source="local", pretrained=True)
""",
        ),
        Snippet(
            "From this folder, wherever it lies:",
            f"""import zoo

model = zoo.load("PATH/TO/{config.name}", pretrained=True)
""",
        ),
    )


def is_shipped(config: Record) -> bool:
    """Whether its plugin comes with the zoo: the catalogue and torch.hub's door know such models alone."""
    return plugins.normal(config.plugin_distribution) in plugins.SHIPPED


def _entry(config: Record, known: Model | Architecture | None) -> str:
    """What torch.hub is asked for: hubconf.py has a name for every declared model, and a door for the others."""
    declared = isinstance(known, Model) and known.parameters is not None and is_shipped(config)
    return f'"{config.name}"' if declared else f'"load", "PATH/TO/{config.name}"'
