"""Which kinds of hub there are: the zoo's two, and entry points of the group `zoo.hubs`, named as the scheme.

    [project.entry-points."zoo.hubs"]
    memory = "zoo_memory:MemoryHub"

The value is called with the hub's Address and returns the Hub.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from zoo.errors import HubError
from zoo.hub.address import Address, parse_hub
from zoo.hub.protocol import Hub
from zoo.plugins import Group
from zoo.record.paths import path_of

HUBS: Final = Group[Callable[[Address], Hub]](
    "zoo.hubs",
    "kind of hub",
    "a function or a class that is called with an Address and returns a zoo.plugin.Hub",
    own={"file": "zoo.hub.local:open_folder", "hf": "zoo.hub.hugging_face:open_namespace"},
    unknown=HubError,
)


def open_hub(address: str | Address | None = None) -> Hub:
    """The hub at an address: `file:PATH`, `hf://namespace`, or of a kind that a plugin brings.

    None means what ZOO_HUB says, and `hf://`, the account that is logged in, where it says nothing.
    A model's address opens its hub. Nothing is contacted yet.

    Raises HubError for what is no hub's address, or PluginError.
    """
    address = address or os.environ.get("ZOO_HUB") or "hf://"
    where = parse_hub(address) if isinstance(address, str) else address.hub
    opens = HUBS.load(where.scheme)
    with HUBS.guarded(where.scheme):
        return opens(where)


def open_default() -> Hub | None:
    """Open the hub of ZOO_HUB for reading.

    Returns:
        The hub, or None if ZOO_HUB is not set.

    Raises:
        HubError: ZOO_HUB is no hub's address, or names a folder that does not exist or can't be read.
        PluginError: The plugin of that kind of hub can't be used.
    """
    address = os.environ.get("ZOO_HUB")
    if not address:
        return None
    hub = open_hub(address)
    if hub.address.scheme == "file":
        folder = path_of(hub.address.place)
        try:
            with os.scandir(folder):
                pass
        except OSError as error:
            raise HubError(
                f"ZOO_HUB names {hub.address}, which can't be read ({error.strerror}); "
                "name a folder that exists, or unset ZOO_HUB"
            ) from None
    return hub
