"""Which kinds of hub there are: entry points of the group `zoo.hubs`, named as the scheme of their addresses.

    [project.entry-points."zoo.hubs"]
    memory = "zoo_memory:MemoryHub"

The value is called with the hub's Address and returns the Hub. A kind is imported when a hub of it is opened. The
zoo's own two are declared like any other's, and known here too: in a plain checkout (torch.hub clones one) nothing is
installed. No plugin can take their place.
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib.metadata import EntryPoint
from typing import Final

from zoo import plugins
from zoo.errors import ZooError
from zoo.hub.address import Address, not_a_hub, parse_hub
from zoo.hub.protocol import Hub

GROUP: Final = "zoo.hubs"
OWN: Final = {"file": "zoo.hub.local:open_folder", "hf": "zoo.hub.hugging_face:open_namespace"}


def open_hub(address: str | Address | None = None) -> Hub:
    """The hub at an address: `file:PATH`, `hf://namespace`, or of a kind that a plugin brings.

    None means what ZOO_HUB says, and `hf://`, the account that is logged in, where it says nothing.
    A model's address opens its hub. Nothing is contacted yet.

    Raises HubError for what is no hub's address, or PluginError.
    """
    address = address or os.environ.get("ZOO_HUB") or "hf://"
    where = parse_hub(address) if isinstance(address, str) else address.hub
    if where.scheme in OWN:
        hub: Hub = EntryPoint(where.scheme, OWN[where.scheme], GROUP).load()(where)
        return hub
    return _opened_by_plugin(where)


def _opened_by_plugin(where: Address) -> Hub:
    claim = plugins.only_claim(GROUP, where.scheme, "hub scheme")
    if claim is None:
        raise not_a_hub(where, plugins=plugins.names(GROUP, OWN)[len(OWN) :])
    made = plugins.imported(claim, f"{where} can't be opened")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for what was asked for
            hub: Hub = made(where)
    except ZooError:
        raise
    except (Exception, SystemExit) as error:  # a plugin may fail in any way
        raise plugins.failing(claim, f"{where} can't be opened", "fails", error) from error
    return hub
