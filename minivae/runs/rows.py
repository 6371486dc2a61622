"""All rows of data, in their order, read as those of a run were."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..datasets import Dataset, Scaling, dataset_names
from ..datasets.columns import shown
from ..datasets.loading import load_parts, split_rows
from ..datasets.options import ReadOptions
from ..datasets.toy import TOY_SETS
from ..errors import expect
from . import folder
from .config import READING, Data


class Rows(NamedTuple):
    """values (n, features), in the order of their file, its training rows first; labels (n,), whole numbers, or None;
    parts (n,), "train", "test" or, for rows that a run left out, "unused", or None where nothing says which is which;
    classes, columns and image_shape, as a `Dataset` has them.
    """

    name: str
    values: np.ndarray
    labels: np.ndarray | None = None
    parts: np.ndarray | None = None
    classes: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    image_shape: tuple[int, ...] | None = None

    def held_out(self, choices: Data) -> Dataset:
        """A `Dataset` whose test rows are the "test" ones, or all where there is no such part; with the images and the
        scaling of a run's data.
        """
        where = slice(None) if self.parts is None else self.parts == "test"
        labels = None if self.labels is None else self.labels[where]
        shape = None if choices.image_shape is None else tuple(choices.image_shape)
        return Dataset(self.name, self.values[:1], self.values[where], None, labels, shape, scaling=_scaling(choices))


def _scaling(choices):
    return None if choices.scaling is None else Scaling.from_json(choices.scaling)


def of_dataset(data: Dataset) -> Rows:
    labels = {part: getattr(data, f"{part}_labels") for part in ("train", "test")}
    known = {part: given for part, given in labels.items() if given is not None}
    return _joined(data.name, {"train": data.train, "test": data.test}, known, {"classes": data.classes})


def of_run(choices: Data) -> Rows:
    """Those that a run was trained on, where `choices` tells their place: with the part that it took each for."""
    if choices.name in TOY_SETS:
        return of_dataset(folder.load(choices))
    if choices.name in dataset_names:
        rows = of_dataset(folder.load(replace(choices, size=None)))
    else:
        rows = _read(choices, choices.test_fraction is None)
    if rows.parts is None:
        kept, held_out = split_rows(rows.values, choices.test_fraction, choices.seed)
        parts = np.full(len(rows.values), "unused")
        places = np.arange(len(parts))
        parts[places[kept][: choices.size]], parts[places[held_out]] = "train", "test"
    else:
        parts = rows.parts.astype("U6")
        if choices.size is not None:
            parts[choices.size : np.count_nonzero(parts == "train")] = "unused"
    return rows._replace(parts=parts)


def of_others(choices: Data, name: str, features: int, reading: Mapping[str, Any]) -> Rows:
    """Others than the run's, from a data set's name or a file, which may lack the labels that the run's had, and may be
    in UTF-8 where the run's were not; ValueError where they have not so many features, columns of other names, or
    images of another shape. reading : what of READING is not to be as the run has it
    """
    if name in dataset_names:
        named = Data(name=name, seed=choices.seed, scaling=choices.scaling, **reading)
        return _fitting(of_dataset(folder.load(named)), features)
    asked = replace(choices, name=name, **{"shape": choices.shape or choices.image_shape, **reading})
    # No table, or one of its own kind.
    plain = Data(name=name, dtype=choices.dtype, scaling=choices.scaling, columns=choices.columns, **reading)
    ways = [asked, replace(asked, **{"label": None, **reading}), plain]
    if choices.encoding and "encoding" not in reading:
        ways[:0] = [replace(way, encoding=None) for way in ways[:2]]
    failures, others = [], []
    for attempt in ways:
        try:
            rows = _read(attempt, os.path.isdir(name))
        except ValueError as error:
            failures.append(error)
            continue
        if rows.values.shape[1] == features and not _otherwise(rows, choices):
            return rows
        others.append(rows)
    if not others:
        raise failures[-3]
    rows = _fitting(others[0], features)
    for what, found, expected in _otherwise(rows, choices):
        expect(False, f"data: {rows.name}: {what}", found, expected)
    return rows


def _otherwise(rows, choices):
    """What tells that rows with as many features have others than the run's: (what, as they have it, as expected)."""
    found = []
    if rows.columns and choices.columns and list(rows.columns) != list(choices.columns):
        expected = f"those of the run, {shown(choices.columns)}, in any order, or no names"
        found.append(("columns", shown(rows.columns), expected))
    if rows.image_shape and choices.image_shape and list(rows.image_shape) != list(choices.image_shape):
        found.append(("images", rows.image_shape, f"{tuple(choices.image_shape)} as those of the run"))
    return found


def _fitting(rows, features):
    width = rows.values.shape[1]
    if width != features:
        raise ValueError(f"data: {rows.name} has {width} features, expected the run's {features}")
    return rows


def _read(choices, beside):
    asked = {name: getattr(choices, name) for name in READING}
    options = ReadOptions(image_shape=asked.pop("shape"), keep=choices.columns, **asked)
    return _joined(*load_parts(choices.name, options, _scaling(choices), choices.dtype, beside))


def _joined(name, values, labels, known):
    """Parts as one, the training rows first; labels only where all have such."""
    parts = np.repeat(list(values), [len(rows) for rows in values.values()]) if len(values) > 1 else None
    rows = np.concatenate(list(values.values())) if len(values) > 1 else values["train"]
    every = np.concatenate([labels[part] for part in values]) if len(labels) == len(values) else None
    return Rows(name, rows, every, parts, **known)
