"""Datasets, batches, augmentation, preprocessing, and datasets of your own images."""
