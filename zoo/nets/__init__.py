"""From the facts of an architecture to a net on a device, with its weights."""
