"""The record of a model, the folder that holds it, its card and its curve."""
