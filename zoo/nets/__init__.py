"""Build nets, load and save their weights, choose their device."""
