"""Hubs store published models. A model is referred to by a name, a path or an address.

    address       names, paths and addresses, and how they are parsed
    protocol      the methods of a hub
    schemes       opens a hub by the scheme of its address
    local         a folder as a hub: `file:PATH`
    hugging_face  the Hugging Face Hub: `hf://namespace`
    catalogue     the folder hub that ships with the package
    resolve       resolves a reference to a published model; fetches and checks its files
    publish       publishes a model folder to a hub, and copies a published model to a folder
    listing       lists the models of plugins and hubs
    info          describes a model and its revisions
    imported      converts weights of other authors
    repositories  reads repositories of other libraries
    download      downloads files by URL, and keeps them in a cache
    http          repeats failed requests, and explains HTTP errors

A plugin with another kind of hub imports the names below (docs/hubs.md).
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
