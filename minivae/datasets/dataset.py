"""`Dataset` and `load_dataset`: one shape for every source of examples."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import check_data, expect, expect_integer, expect_number
from . import showing
from .files import read_file
from .mnist import IMAGE_SHAPE, SOURCE, load_mnist
from .table import TableOptions
from .toy import TOY_SETS, make_toy
from .values import DTYPES, as_rows, check_labels, settle

dataset_names = ("mnist", *TOY_SETS)


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
    image_shape : (height, width) or None
        Set where a row is an image; height * width = features.
    source : str
        One line: the authors and the licence, or the name of the file, how it was read and what its values were
        taken for.
    split : bool
        Whether `test` was split off by `test_fraction`.

    Raises ValueError where one of these does not hold.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    train_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    image_shape: tuple[int, int] | None = None
    source: str = ""
    split: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "train", check_data(f"{self.name}: train", self.train))
        object.__setattr__(self, "test", check_data(f"{self.name}: test", self.test, features=self.features))
        fits = self.train.dtype in DTYPES and self.train.dtype == self.test.dtype
        got = f"{self.train.dtype} and {self.test.dtype}"
        expect(fits, f"{self.name}: train and test", got, "uint8, float32 or float64, the same in both")
        fits = self.image_shape is None or np.prod(self.image_shape) == self.features
        expect(fits, f"{self.name}: image_shape", self.image_shape, f"height * width = {self.features} features")
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
        return self.train.dtype == np.uint8 or bool(self.train.min() >= 0 and self.train.max() <= 1)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))  # read-only again

    def __repr__(self) -> str:
        labels = ", labels" if self.train_labels is not None else ""
        shapes = f"train {self.train.shape}, test {self.test.shape}, {self.train.dtype}{labels}"
        return f"Dataset({self.name!r}, {shapes}, image_shape={self.image_shape})"

    def _repr_html_(self) -> str:
        return showing.page(self)

    def held_out(self) -> "Dataset":
        """This data set with one training row only, so that the memory of the others can go back."""
        return replace(self, train=self.train[:1].copy(), train_labels=None)

    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) over shape, dtype and bytes of `train` and `test`: the same data, the same string."""
        digest = hashlib.sha256()
        for array in (self.train, self.test):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(array.data)
        return digest.hexdigest()


def load_dataset(
    name_or_path: str | os.PathLike[str],
    *,
    size: int | None = None,
    test_fraction: float = 0.1,
    seed: int = 0,
    delimiter: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
    label: str | int | None = None,
    drop: Sequence[str | int] | None = None,
) -> Dataset:
    """Load a data set by its name, or a file.

    Names: "mnist" (shipped, uint8, 60000 + 10000 images) and the two-dimensional toy sets "rings", "moons" and
    "pinwheel" (drawn afresh, see `minivae.datasets.toy.make_toy`). A name wins over a file so called: write ./mnist.

    Files are told apart by their content:

    - NPY: one array. NPZ: an array `train`, or one array only; optional `test`, `train_labels`, `test_labels`; the
      names that Keras (`x_train`), MedMNIST (`train_images`) and dSprites (`imgs`) use do as well. Nothing is ever
      unpickled.
    - IDX, the format of MNIST. NPY, IDX and tables may be packed with gzip.
    - Tables, by a name that ends in .csv, .tsv or .txt, as pandas, R, NumPy and spreadsheets write them: numbers under
      a line of names or none. A column named `label` holds the labels, and leading columns without a name, the row
      names of pandas and R, are left out. What can be read in two ways is refused by a line that names the option
      below which settles it; `Dataset.source` says how the table was read.

    An array (n, height, width), or with one channel (n, height, width, 1), becomes rows of height * width features; (n,
    features) is taken as it is, and has no `image_shape` except that 784 features are taken for 28x28 pixels. uint8,
    float32 and float64 stay; booleans, other integers and float16 become float32, where integers beyond 2**24 are
    refused since float32 cannot tell them apart. Two kinds of values count more than their dtype: uint8 that is 0 and 1
    only is no picture in black and becomes float32, and whole numbers from 0 to 255 in another dtype, both ends among
    them and in images or rows of at least 16, are pixels and become uint8.

    Parameters
    ----------
    name_or_path : str or path
    size : int, optional
        Training rows: to draw, for a toy set (default 10000); to keep, the first ones, for the others (default all).
        Test rows: a tenth of `size` for a toy set, all for the others.
    test_fraction : float in (0, 1)
        For a file without test rows: the share of its rows held out (rounded, at least one, never all). They are the
        last of a seeded permutation; both parts keep the order of the file.
    seed : int
        Of the toy set's draw or of that permutation (`numpy.random.default_rng`).
    delimiter : str, optional
        What separates a table's fields: one character, "tab", or "space" for any number of blanks.
    decimal : "." or ",", optional
        A table's decimal mark.
    header : bool, optional
        Whether its first line holds the names of the columns.
    label : str or int, optional
        The column that holds the labels, by its name or by its number in the file, from 1 or backwards from -1; "" for
        none.
    drop : sequence of str or int, optional
        Columns to leave out, likewise, beside leading columns without a name; () keeps all.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        In one line, for an unknown name and for any file that is missing, damaged or not as described here.
    """
    seed = expect_integer("seed", seed, 0)
    size = None if size is None else expect_integer("size", size, 1)
    between = "a number between 0 and 1, both excluded"
    test_fraction = expect_number("test_fraction", test_fraction, lambda value: 0 < value < 1, between)
    expect(isinstance(name_or_path, (str, os.PathLike)), "name_or_path", name_or_path, "a data set's name or a path")
    options = TableOptions(delimiter, decimal, header, label, drop)
    if isinstance(name_or_path, str) and name_or_path in dataset_names:
        options.expect_none(name_or_path, "a data set of that name")
    if name_or_path == "mnist":
        return _build("mnist", *load_mnist(), IMAGE_SHAPE, SOURCE, size)
    if isinstance(name_or_path, str) and name_or_path in TOY_SETS:
        size = 10_000 if size is None else size
        arrays = make_toy(name_or_path, size, seed)
        return Dataset(name_or_path, *arrays, None, f"synthetic, {size} training rows, seed {seed}")
    try:
        return _load_file(name_or_path, size, test_fraction, seed, options)
    except MemoryError as error:
        raise ValueError(f"{Path(name_or_path).name}: does not fit in memory") from error


def load_rows(path: str | os.PathLike[str]) -> np.ndarray:
    """All rows of a file in its order, (n, features), those for training first, as `load_dataset` reads them."""
    _, rows, _, _, _ = _read(path, TableOptions())
    parts = [rows[part] for part in ("train", "test") if part in rows]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _read(path, options):
    """(name, rows by part, shape of an image, what else the file holds, how it was read)."""
    text = os.fsdecode(path)
    expect(text and "\0" not in text, "name_or_path", text, "a data set's name or a path")
    unknown = isinstance(path, str) and not os.path.lexists(path) and Path(path).name == path and not Path(path).suffix
    expect(not unknown, "data set", path, f"one of {', '.join(dataset_names)}, or the path of a file (there is none)")
    name = Path(text).name
    arrays, read_as = read_file(text, options)
    rows, shapes = {}, {}
    for part in arrays.keys() & {"train", "test"}:
        rows[part], shapes[part] = as_rows(f"{name}: {part}", arrays.pop(part))
    rows, taken_for = settle(name, rows, shapes["train"])
    source = ": ".join(filter(None, [f"file {name}", "; ".join(filter(None, [read_as, taken_for]))]))
    return name, rows, shapes["train"], arrays, source


def _load_file(path, size, test_fraction, seed, options):
    name, rows, image_shape, arrays, source = _read(path, options)
    train_labels, test_labels = (arrays.get(f"{part}_labels") for part in ("train", "test"))
    train = rows["train"]
    if "test" in rows:
        return _build(name, train, rows["test"], train_labels, test_labels, image_shape, source, size)
    expect(test_labels is None, name, "test_labels and no test rows", "both or neither")
    expect(len(train) > 1, name, "one row, which cannot be split", "at least 2 rows, or test rows as well")
    if train_labels is not None:
        train_labels = check_labels(f"{name}: train_labels", train_labels, len(train))
    kept, held_out = _split(len(train), test_fraction, seed)
    labels: tuple[np.ndarray | None, np.ndarray | None]
    labels = (None, None) if train_labels is None else (train_labels[kept], train_labels[held_out])
    return replace(_build(name, train[kept], train[held_out], *labels, image_shape, source, size), split=True)


def _build(name, train, test, train_labels, test_labels, image_shape, source, size):
    """A Dataset of the first `size` training rows."""
    expect(size is None or size <= len(train), "size", size, f"at most the {len(train)} training rows of {name!r}")
    dataset = Dataset(name, train, test, train_labels, test_labels, image_shape, source)
    if size is None or size == len(train):
        return dataset
    labels = None if dataset.train_labels is None else dataset.train_labels[:size]
    return replace(dataset, train=dataset.train[:size], train_labels=labels)


def _split(rows, test_fraction, seed):
    """Indices of the rows kept and of those held out, each in increasing order."""
    held_out = min(max(1, round(rows * test_fraction)), rows - 1)
    order = np.random.default_rng(seed).permutation(rows)
    return np.sort(order[:-held_out]), np.sort(order[-held_out:])


def _read_only(array):
    """A read-only, C-contiguous view; the caller's own array keeps its flags."""
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return view
