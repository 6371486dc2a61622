"""`load_dataset`: examples from a name, a file, a folder or a data frame."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import expect, expect_integer, expect_number, is_mapped
from .columns import shown
from .dataset import Dataset
from .files import read_file
from .frames import is_frame, read_frame
from .idx import SIDEWAYS
from .layout import as_rows
from .mnist import IMAGE_SHAPE, SOURCE, load_mnist
from .options import LABEL, ReadOptions
from .scaling import Scaling, asked_scaling
from .toy import TOY_SETS, make_toy
from .values import as_before, check_labels, doubts, number_labels, settle

dataset_names = ("mnist", *TOY_SETS)
TEST_FRACTION = 0.1  # of the rows of a file without test rows


def load_dataset(
    name_or_path: Any,
    *,
    size: int | None = None,
    test_fraction: float | None = None,
    seed: int = 0,
    delimiter: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
    label: str | int | None = None,
    drop: Sequence[str | int] | None = None,
    array: str | None = None,
    image_shape: Sequence[int] | None = None,
    transpose: bool | None = None,
    encoding: str | None = None,
    standardize: bool = False,
    scale_by: float | None = None,
    scaling: Scaling | None = None,
) -> Dataset:
    """Load a data set by its name, or a file, a folder or a data frame.

    Names: "mnist" (shipped, uint8, 60000 + 10000 images) and the two-dimensional toy sets "rings", "moons" and
    "pinwheel" (drawn afresh, see `minivae.datasets.toy.make_toy`). A name wins over a file so called: write ./mnist.

    Files are told apart by their content; docs/data.md has a table of what people share and how each is read:

    - NPY: one array. NPZ: the arrays that are called as in files of Keras, MedMNIST, dSprites, scikit-learn's users
      or this package; nothing is ever unpickled.
    - IDX, the format of MNIST, and KMNIST's NPZ files: with an image file of that name, or the folder of such, its
      labels and test images are found beside it. NPY, IDX and tables may be packed with gzip.
    - Tables, by a name that ends in .csv, .tsv, .tab, .txt, .data or .amat, as pandas, R, NumPy and spreadsheets
      write them: numbers under a line of names or none. A column named `label` holds the labels, and leading columns
      without a name, the row names of pandas and R, are left out. Text is UTF-8, or has a mark of UTF-16 or UTF-32.
    - With the extra minivae[data]: Parquet; a folder of PNG or JPEG pictures, its sub-folders the classes; and a
      pandas `DataFrame` itself.

    What can be read in two ways is refused by a line that names the option below which settles it; `Dataset.source`
    says how the data were read.

    An array (n, height, width) becomes rows of height * width features, one with three colours, before or behind these,
    rows of height * width * 3; (n, features) is taken as it is, and has no `image_shape` except that 784 features are
    taken for 28x28 pixels. uint8, float32 and float64 stay; booleans, other integers and float16 become float32, where
    integers beyond 2**24 are refused since float32 cannot tell them apart. Two kinds of values count more than their
    dtype: uint8 that is 0 and 1 only is no picture in black and becomes float32, and whole numbers from 0 to 255 in
    another dtype, both ends among them and in images or rows of at least 16, are pixels and become uint8.

    An NPY file of 2 GiB or more in one of those three dtypes is mapped, not read: its values are looked at in samples
    here, and each minibatch when it is used.

    Parameters
    ----------
    name_or_path : str, path or DataFrame
    size : int, optional
        Training rows: to draw, for a toy set (default 10000); to keep, the first ones, for the others (default all).
        Test rows: a tenth of `size` for a toy set, all for the others.
    test_fraction : float in (0, 1), optional
        For data without test rows: the share of the rows held out (rounded, at least one, never all; 0.1). They are the
        last of a seeded permutation, or of a mapped file itself; both parts keep the order of the file. Of an IDX file
        they are split off then, whatever files are beside it.
    seed : int
        Of the toy set's draw or of that permutation (`numpy.random.default_rng`).
    delimiter : str, optional
        What separates a table's fields: one character, "tab", or "space" for any number of blanks.
    decimal : "." or ",", optional
        A table's decimal mark.
    header : bool, optional
        Whether its first line holds the names of the columns.
    label : str or int, optional
        The column that holds the labels, whole numbers or texts, by its name or by its number in the file, from 1 or
        backwards from -1; of an NPZ file the array of that name; "" for none.
    drop : sequence of str or int, optional
        Columns to leave out, likewise, beside leading columns without a name; () keeps all.
    array : str, optional
        The array of an NPZ file that holds the examples.
    image_shape : (height, width), (height, width, 3) or (3, height, width), optional
        That of an image, where a row or an array can be read in several ways or is no image by itself.
    transpose : bool, optional
        Whether images are stored column by column; by default for the files of EMNIST, which are.
    encoding : str, optional
        What a table's text is in otherwise, by Python's name for it: "gb18030", "cp949", "cp1252", ...
    standardize : bool
        Shift and scale each column to mean 0 and standard deviation 1 over the training rows; a column of one value
        becomes 0.
    scale_by : float, optional
        Divide all values by it.
    scaling : Scaling, optional
        In place of these two, the `scaling` of another data set. `Dataset.original` undoes each.

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
    if test_fraction is not None:
        between = "a number between 0 and 1, both excluded"
        test_fraction = expect_number("test_fraction", test_fraction, lambda value: 0 < value < 1, between)
    options = ReadOptions(delimiter, decimal, header, label, drop, array, image_shape, transpose, encoding)
    change = asked_scaling(standardize, scale_by, scaling)
    options = replace(options, keep=getattr(change, "columns", None))
    if is_frame(name_or_path):
        return _from_arrays(
            "DataFrame", *read_frame("DataFrame", name_or_path, options), options, size, test_fraction, seed, change
        )
    wanted = "a data set's name or a path, or a pandas DataFrame"
    expect(isinstance(name_or_path, (str, os.PathLike)), "name_or_path", name_or_path, wanted)
    if isinstance(name_or_path, str) and name_or_path in dataset_names:
        options.expect_only(name_or_path, "a data set of that name")
    if name_or_path == "mnist":
        return _build("mnist", *load_mnist(), size, change, image_shape=IMAGE_SHAPE, source=SOURCE)
    if isinstance(name_or_path, str) and name_or_path in TOY_SETS:
        size = 10_000 if size is None else size
        source = f"synthetic, {size} training rows, seed {seed}"
        return _build(name_or_path, *make_toy(name_or_path, size, seed), size, change, source=source)
    text = _path(name_or_path)
    try:
        arrays, read_as = read_file(text, options, test_fraction is not None)
        name = arrays.pop("name", os.path.basename(os.path.abspath(text)))
        return _from_arrays(name, arrays, read_as, options, size, test_fraction, seed, change)
    except MemoryError as error:
        raise ValueError(f"{Path(text).name}: does not fit in memory") from error


def load_parts(
    path: str | os.PathLike[str],
    options: ReadOptions | None = None,
    change: Scaling | None = None,
    dtype: str | None = None,
    beside: bool = False,
) -> tuple[str, dict[str, np.ndarray], dict[str, np.ndarray], dict[str, Any]]:
    """(name, rows by part, labels by part, what else is known: "classes", "columns", "image_shape" as a `Dataset` has
    them) of a file or folder, not split, in its order; read as data were whose rows had this scaling and this dtype,
    with the columns to keep in that order where all are there.

    The dtype settles what is else told from the values: few rows of pixels may lack those by which they are taken for
    such, and numbers may have them by chance. beside : whether test rows are looked for beside an IDX file.
    """
    options = options or ReadOptions()
    arrays, _ = read_file(_path(path), options, not beside)
    name = arrays.pop("name", os.path.basename(os.path.abspath(path)))
    _put_in_order(arrays, options.keep)
    given, image_shape, _ = _rows(name, arrays, options, False)
    if change is None:
        settled, _ = settle(name, given, image_shape)
        rows = {part: as_before(given[part], settled[part], dtype) for part in given}
    else:
        width = given["train"].shape[1]
        expect(change.features in (None, width), name, f"{width} features", f"{change.features}, as the scaling has")
        rows = {part: change.apply(values) for part, values in given.items()}
    labels = {part: arrays[f"{part}_labels"] for part in rows if f"{part}_labels" in arrays}
    classes = arrays.get("classes")
    if classes is None:
        labels, classes, _ = number_labels(name, labels)
    labels = {part: check_labels(f"{name}: {part}_labels", labels[part], len(rows[part])) for part in labels}
    return name, rows, labels, {"classes": classes, "columns": arrays.get("columns"), "image_shape": image_shape}


def _put_in_order(arrays, keep):
    """Columns as they are to be kept, where they are the same."""
    names = arrays.get("columns")
    if names and keep and sorted(names) == sorted(set(keep)):
        arrays["train"] = arrays["train"][:, [names.index(column) for column in keep]]
        arrays["columns"] = tuple(keep)


def _path(path):
    text = os.fsdecode(path)
    expect(text and "\0" not in text, "name_or_path", text, "a data set's name or a path")
    unknown = isinstance(path, str) and not os.path.lexists(path) and Path(path).name == path and not Path(path).suffix
    expect(not unknown, "data set", path, f"one of {', '.join(dataset_names)}, or the path of a file (there is none)")
    return text


def _rows(name, arrays, options, settled):
    """(rows by part, shape of an image, what they were taken for) of a file's arrays; settled : whether values that are
    those of pixels become bytes."""
    sideways = bool(SIDEWAYS.fullmatch(name)) if options.transpose is None else options.transpose
    rows, said = {}, []
    for part in [part for part in ("train", "test") if part in arrays]:
        rows[part], shape, axes_said = as_rows(f"{name}: {part}", arrays[part], options.image_shape, sideways)
        if part == "train":
            image_shape, said = shape, [axes_said]
    if sideways and options.transpose is None:
        said.append("images turned upright, as EMNIST's lie on their side (transpose=, --no-transpose)")
    if settled:
        rows, taken_for = settle(name, rows, image_shape)
        said.append(taken_for)
    return rows, image_shape, "; ".join(filter(None, said))


def _from_arrays(name, arrays, read_as, options, size, test_fraction, seed, change):
    """A `Dataset` of what a reader found: arrays by role, perhaps "columns" and "classes", and how it read them."""
    _put_in_order(arrays, options.keep)
    names, keep = arrays.get("columns"), options.keep
    fits = not names or not keep or names == tuple(keep)
    expect(fits, f"{name}: columns", shown(names or ()), f"those of the scaling, {shown(keep or ())}, in any order")
    rows, image_shape, taken_for = _rows(name, arrays, options, change is None)
    labels = {part: arrays[f"{part}_labels"] for part in ("train", "test") if f"{part}_labels" in arrays}
    classes = arrays.get("classes")
    if classes is None:
        labels, classes, classes_said = number_labels(name, labels)
        taken_for = "; ".join(filter(None, [classes_said, taken_for]))
    doubted = doubts(rows["train"], arrays.get("columns"), change is not None)
    taken_for = "; ".join(filter(None, [taken_for, doubted]))
    origin = f"file {name}" if name != "DataFrame" else name
    known = {"image_shape": image_shape, "columns": arrays.get("columns"), "classes": classes}
    known["source"] = ": ".join(filter(None, [origin, "; ".join(filter(None, [read_as, taken_for]))]))
    train = rows["train"]
    expect("test" in rows or "test" not in labels, name, "test_labels and no test rows", "both or neither")
    for part in [part for part in rows if part in labels]:
        otherwise = f"; {LABEL} names others, '' none"
        labels[part] = check_labels(f"{name}: {part}_labels", labels[part], len(rows[part]), otherwise)
    if "test" in rows:
        return _build(name, train, rows["test"], labels.get("train"), labels.get("test"), size, change, **known)
    expect(len(train) > 1, name, "one row, which cannot be split", "at least 2 rows, or test rows as well")
    kept, held_out = split_rows(train, test_fraction, seed)
    if is_mapped(train):
        known["source"] += f"; its last {len(train[held_out]):,} rows held out"
    of_kept, of_held = (labels["train"][kept], labels["train"][held_out]) if labels else (None, None)
    return replace(_build(name, train[kept], train[held_out], of_kept, of_held, size, change, **known), split=True)


def _build(name, train, test, train_labels, test_labels, size, change, **known):
    """A Dataset of the first `size` training rows, scaled as `asked_scaling` says."""
    expect(size is None or size <= len(train), "size", size, f"at most the {len(train)} training rows of {name!r}")
    train, train_labels = train[:size], None if train_labels is None else train_labels[:size]
    if change is not None:
        expect(not is_mapped(train), name, f"{train.nbytes / 1e9:.1f} GB that are mapped", "values scaled in the file")
        columns = known.get("columns")
        scaling = replace(Scaling.standardizing(train), columns=columns) if change is True else change
        fits = scaling.features in (None, train.shape[1])
        expect(fits, name, f"{train.shape[1]} features", f"{scaling.features}, as the scaling has")
        if scaling.features is None:
            said = f"divided by {scaling.scale:g}"
        else:
            said, constant = "each column shifted and scaled", np.flatnonzero(train.min(axis=0) == train.max(axis=0))
            if len(constant):
                called = [repr(columns[c]) if columns else str(c) for c in constant[:4].tolist()]
                said += f", {len(constant)} of one value only: {', '.join(called)}{', ...' * (len(constant) > 4)}"
        train, test, change = scaling.apply(train), scaling.apply(test), scaling
        known["source"] += f"; {said}"
    return Dataset(name, train, test, train_labels, test_labels, scaling=change, **known)


def split_rows(rows: np.ndarray, test_fraction: float | None, seed: int) -> tuple[Any, Any]:
    """Where the rows kept and those held out are, each in increasing order: indices, or slices of rows that are
    mapped."""
    n = len(rows)
    held_out = min(max(1, round(n * (test_fraction or TEST_FRACTION))), n - 1)
    if is_mapped(rows):
        return slice(-held_out), slice(-held_out, None)
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[:-held_out]), np.sort(order[-held_out:])
