"""`Dataset`: one shape for every source of examples."""

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..errors import check_data, expect, sampled
from .frames import require
from .scaling import Scaling
from .values import DTYPES, check_labels


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples to train on and examples held out, checked and read-only.

    Attributes
    ----------
    name : str
    train, test : (n, features) ndarray
        uint8 (pixels 0..255), float32 or float64, the same in both; finite; C-contiguous.
    train_labels, test_labels : (n,) int64 ndarray or None
        Made of whole numbers in any dtype, (n,) or (n, 1).
    image_shape : (height, width), (height, width, 3) or None
        Set where a row is an image, its colours last; the product is features.
    source : str
        One line: the authors and the licence, or the name of the file, how it was read and what its values were
        taken for.
    split : bool
        Whether `test` was split off by `test_fraction`.
    columns : tuple of str or None
        The names of the features, of a table that has them.
    classes : tuple of str or None
        What the labels 0, 1, ... stand for, where a file has texts for labels.
    scaling : Scaling or None
        How the values were made of those of the file.

    Raises ValueError where one of these does not hold.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    train_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    image_shape: tuple[int, ...] | None = None
    source: str = ""
    split: bool = False
    columns: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    scaling: Scaling | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "train", check_data(f"{self.name}: train", self.train))
        object.__setattr__(self, "test", check_data(f"{self.name}: test", self.test, features=self.features))
        fits = self.train.dtype in DTYPES and self.train.dtype == self.test.dtype
        got = f"{self.train.dtype} and {self.test.dtype}"
        expect(fits, f"{self.name}: train and test", got, "uint8, float32 or float64, the same in both")
        fits = self.image_shape is None or np.prod(self.image_shape) == self.features
        expect(fits, f"{self.name}: image_shape", self.image_shape, f"height * width = {self.features} features")
        fits = self.columns is None or len(self.columns) == self.features
        expect(fits, f"{self.name}: columns", self.columns, f"{self.features} names")
        for part in ("train", "test"):
            rows, labels = getattr(self, part), getattr(self, f"{part}_labels")
            object.__setattr__(self, part, _read_only(rows))
            if labels is not None:
                labels = check_labels(f"{self.name}: {part}_labels", labels, len(rows))
                object.__setattr__(self, f"{part}_labels", _read_only(labels))

    @property
    def features(self) -> int:
        """Number of columns of `train` and `test`."""
        return self.train.shape[1]

    @property
    def in_unit_interval(self) -> bool:
        """Whether training takes the values of `train` from [0, 1]: bytes, which are divided by 255, or such floats."""
        return self.train.dtype == np.uint8 or self._within_unit()

    def _within_unit(self):
        values = sampled(self.train)
        return bool(values.min() >= 0 and values.max() <= 1)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))  # read-only again

    def __repr__(self) -> str:
        labels = ", labels" if self.train_labels is not None else ""
        shapes = f"train {self.train.shape}, test {self.test.shape}, {self.train.dtype}{labels}"
        return f"Dataset({self.name!r}, {shapes}, image_shape={self.image_shape})"

    def original(self, values: Any) -> np.ndarray:
        """Values as the model gives them, (rows, features), in the unit of the file: with `scaling` undone."""
        values = check_data("values", values, features=self.features)
        return values if self.scaling is None else self.scaling.undo(values)

    def to_frame(self, values: Any) -> Any:
        """The same as a pandas `DataFrame`, with the columns that the data came with."""
        return require("pandas").DataFrame(self.original(values), columns=self.columns)

    def held_out(self) -> "Dataset":
        """This data set with one training row only, so that the memory of the others can go back."""
        return replace(self, train=self.train[:1].copy(), train_labels=None)

    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) over shape, dtype and bytes of `train` and `test`: the same data, the same string. Of
        data that are mapped and large, over a sample of the bytes.
        """
        digest = hashlib.sha256()
        for array in (self.train, self.test):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(sampled(array).data)
        return digest.hexdigest()


def _read_only(array):
    """A read-only, C-contiguous view; the caller's own array keeps its flags."""
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return view
