"""A hub's models as a static site: opens from a file and from any host, and asks no other."""
