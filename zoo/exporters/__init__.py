"""A model out of Python: the same net in other formats, pixels in, probabilities out, held to the same answers."""
