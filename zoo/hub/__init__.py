"""Hubs: where published models are kept, and how one is found by a name, a path or an address.

    address       how a model or a hub is named
    protocol      what every hub does
    schemes       the kinds of hub, opened by the scheme of their address
    local         a folder as a hub: `file:PATH`
    hugging_face  the Hugging Face Hub: `hf://namespace`
    catalogue     the folder hub that ships with the zoo
    resolve       from a reference to a published model, whose files are fetched and checked
    publish       into a hub, and out of one
    listing       what a hub has
    imported      other people's weights, as models
    repositories  other libraries' repositories, as models
    download      files by URL, retries, and what HTTP errors mean

The names below are what a plugin that brings a kind of hub needs (docs/hubs.md).
"""

from __future__ import annotations

from zoo.hub.address import Address, not_a_hub
from zoo.hub.protocol import Cards, Hub, Listed, Pushed, Repositories, Revision, Searchable
from zoo.hub.schemes import open_hub

__all__ = [
    "Address",
    "Cards",
    "Hub",
    "Listed",
    "Pushed",
    "Repositories",
    "Revision",
    "Searchable",
    "not_a_hub",
    "open_hub",
]
