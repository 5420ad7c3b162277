"""Opens hubs by the scheme of their address: `file` and `hf`, and entry points of the group `zoo.hubs`.

    [project.entry-points."zoo.hubs"]
    memory = "zoo_memory:MemoryHub"

The value of an entry point is called with an Address and returns a Hub.
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
    """Open a hub. Contacts no server.

    Args:
        address: The address of a hub as text, or an Address of a hub or of a model in it. None for ZOO_HUB, or if
            that is not set for `hf://`, the namespace of the account that is logged in.

    Returns:
        The hub.

    Raises:
        HubError: The text is not the address of a hub, or no plugin provides this kind of hub.
        PluginError: The plugin of this kind of hub can't be used.

    Examples:
        >>> from zoo.hub import open_hub
        >>> str(open_hub("hf://me").address)
        'hf://me'
    """
    address = address or os.environ.get("ZOO_HUB") or "hf://"
    hub = parse_hub(address) if isinstance(address, str) else address.hub
    create = HUBS.load(hub.scheme)
    with HUBS.guarded(hub.scheme):
        return create(hub)


def open_default() -> Hub | None:
    """Open the hub in ZOO_HUB for reading.

    Returns:
        The hub, or None if ZOO_HUB is not set.

    Raises:
        HubError: ZOO_HUB is not the address of a hub, or names a folder that does not exist or can't be read.
        PluginError: The plugin of this kind of hub can't be used.
    """
    address = os.environ.get("ZOO_HUB")
    if not address:
        return None
    hub = open_hub(address)
    if hub.address.scheme == "file":
        try:
            os.scandir(path_of(hub.address.location)).close()
        except OSError as error:
            raise HubError(
                f"ZOO_HUB names {hub.address}, which can't be read ({error.strerror}); "
                "name a folder that exists, or unset ZOO_HUB"
            ) from None
    return hub
