"""Write a static site of a hub's models. It can be opened from a file, and loads nothing from other hosts."""
