"""All rows of data, in their order, read as those of a run were."""

import os
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..datasets import Dataset, dataset_names
from ..datasets.dataset import _split
from ..datasets.files import read_file
from ..datasets.table import TableOptions
from ..datasets.toy import TOY_SETS
from ..datasets.values import are_whole, as_rows, check_labels, settle
from ..errors import expect
from . import folder
from .config import Data


class Rows(NamedTuple):
    """values (n, features), in the order of their file, its training rows first; labels (n,) or None; parts (n,),
    "train", "test" or, for rows that a run left out, "unused", or None where nothing says which is which.
    """

    name: str
    values: np.ndarray
    labels: np.ndarray | None = None
    parts: np.ndarray | None = None

    def held_out(self, image_shape) -> Dataset:
        """A `Dataset` whose test rows are the "test" ones, or all where there is no such part."""
        where = slice(None) if self.parts is None else self.parts == "test"
        labels = None if self.labels is None else self.labels[where]
        shape = image_shape and tuple(image_shape)
        return Dataset(self.name, self.values[:1], self.values[where], None, labels, shape)


def of_dataset(data: Dataset) -> Rows:
    values = np.concatenate([data.train, data.test])
    parts = np.repeat(["train", "test"], [len(data.train), len(data.test)])
    known = data.train_labels is not None and data.test_labels is not None
    return Rows(data.name, values, np.concatenate([data.train_labels, data.test_labels]) if known else None, parts)


def of_run(choices: Data) -> Rows:
    """Those that a run was trained on, where `choices` tells their place: with the part that it took each for."""
    if choices.name in TOY_SETS:
        return of_dataset(folder.load(choices))
    named, parts = choices.name in dataset_names, None
    rows = of_dataset(folder.load(replace(choices, size=None))) if named else _read(choices)
    if rows.parts is None:
        kept, held_out = _split(len(rows.values), choices.test_fraction or 0.1, choices.seed)
        parts = np.full(len(rows.values), "unused")
        parts[kept[: choices.size]], parts[held_out] = "train", "test"
    elif choices.size is not None:
        parts = rows.parts.astype("U6")
        parts[choices.size : np.count_nonzero(parts == "train")] = "unused"
    return rows if parts is None else rows._replace(parts=parts)


def of_others(choices: Data, name: str, features: int) -> Rows:
    """Others than the run's, from a data set's name or a file, which may lack the labels that the run's had; ValueError
    where they have not so many features.
    """
    if name in dataset_names:
        return _fitting(of_dataset(folder.load(Data(name=name, seed=choices.seed))), features)
    asked = replace(choices, name=name, size=None)
    plain = Data(name=name, seed=choices.seed, dtype=choices.dtype)  # no table, or one of its own kind
    failures, others = [], []
    for attempt in (asked, replace(asked, label=None), plain):
        try:
            rows = _read(attempt)
        except ValueError as error:
            failures.append(error)
            continue
        if rows.values.shape[1] == features:
            return rows
        others.append(rows)
    if not others:
        raise failures[0]
    return _fitting(others[0], features)


def _fitting(rows, features):
    width = rows.values.shape[1]
    if width != features:
        raise ValueError(f"data: {rows.name} has {width} features, expected the run's {features}")
    return rows


def _read(choices):
    """The rows of a file, in the dtype of the run's where their own values would be taken for something else."""
    options = TableOptions(choices.delimiter, choices.decimal, choices.header, choices.label, choices.drop)
    name = os.path.basename(choices.name)
    unknown = name == choices.name and "." not in name and not os.path.lexists(name)
    expect(not unknown, "data set", name, f"one of {', '.join(dataset_names)}, or the path of a file (there is none)")
    arrays, _ = read_file(choices.name, options)
    given: dict[str, np.ndarray] = {}
    shapes = {}
    for part in [part for part in ("train", "test") if part in arrays]:
        given[part], shapes[part] = as_rows(f"{name}: {part}", arrays[part])
    settled, _ = settle(name, given, shapes["train"])
    values = np.concatenate([_as_the_runs(given[part], settled[part], choices.dtype) for part in given])
    parts = np.repeat(list(given), [len(rows) for rows in given.values()]) if len(given) > 1 else None
    labels = None
    if all(f"{part}_labels" in arrays for part in given):
        of_parts = {part: arrays[f"{part}_labels"] for part in given}
        checked = [check_labels(f"{name}: {part}_labels", of_parts[part], len(given[part])) for part in given]
        labels = np.concatenate(checked)
    return Rows(name, values, labels, parts)


def _as_the_runs(given, settled, dtype):
    """Few rows may lack the values by which numbers that are no bytes are taken for pixels, or have them by chance."""
    if given.dtype == np.uint8 or dtype is None or (settled.dtype == np.uint8) == (dtype == "uint8"):
        return settled
    if dtype != "uint8":
        return given.astype(dtype)
    pixels = given.max() > 1 and given.min() >= 0 and given.max() <= 255 and are_whole(given).all()
    return given.astype(np.uint8) if pixels else settled
