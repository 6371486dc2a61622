"""Data sets: MNIST as shipped, three two-dimensional toy sets, and a user's own file, folder or data frame."""

from .dataset import Dataset
from .loading import dataset_names, load_dataset
from .scaling import Scaling

__all__ = ["Dataset", "Scaling", "dataset_names", "load_dataset"]
