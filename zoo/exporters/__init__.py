"""Export a model to other formats, from pixels to probabilities, and compare each file with the net."""
