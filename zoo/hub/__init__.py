"""Where is it? Hubs, which hold published model folders, and the way from a name or an address to one.

    address       where a hub is, and where a model is in one
    protocol      what a hub has to do
    schemes       which kinds of hub there are, opened by the scheme of their address
    local         a folder as a hub: `file:PATH`
    hugging_face  the Hugging Face Hub: `hf://namespace`; its faults in lines for people: `faults`
    catalogue     the folder hub that ships with the zoo
    paths         the paths that a person gives
    find          from a name, a path or an address to a model folder on this machine
    listing       what there is

The names below are what a plugin that brings a kind of hub needs (docs/hubs.md).
"""

from __future__ import annotations

from zoo.hub.address import Address, not_a_hub
from zoo.hub.protocol import Hub, Listed, Pushed, Searchable, Selecting
from zoo.hub.schemes import open_hub

__all__ = [
    "Address",
    "Hub",
    "Listed",
    "Pushed",
    "Searchable",
    "Selecting",
    "not_a_hub",
    "open_hub",
]
