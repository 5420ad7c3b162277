"""The record of a model, its model folder, its card and its curve."""
