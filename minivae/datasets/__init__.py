"""Data sets: MNIST as shipped, three two-dimensional toy sets, and a user's own file."""

from .dataset import Dataset, dataset_names, load_dataset

__all__ = ["Dataset", "dataset_names", "load_dataset"]
