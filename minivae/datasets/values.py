"""What the values of a file are taken for: rows of pixels or numbers, and labels."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import CHUNK, as_array, described, expect, expect_everywhere, is_mapped, is_sampled, sampled
from .options import LABEL

DTYPES = (np.uint8, np.float32, np.float64)
LARGEST_EXACT = 1 << 24  # float32 holds every integer up to this one
CODES = (-99, -999, -9999, -99999)  # that many write for a missing value
FEWEST_PIXELS = 16  # of a row that is not known to be an image
NUMBER_THEM = "number the classes by numpy.unique(labels, return_inverse=True)[1]"  # where labels are texts


def settle(
    name: str, parts: dict[str, np.ndarray], image_shape: tuple[int, ...] | None
) -> tuple[dict[str, np.ndarray], str]:
    """Checked rows by name, "train" and perhaps "test", in a dtype that training takes; and what they are taken for,
    where the values and not the dtype decide.

    Bytes that are 0 and 1 only are no pixels: they become float32. Whole numbers from 0 to 255 of any dtype are, where
    both ends are there and a row is an image or long: they become uint8.
    """
    train = parts["train"]
    if is_sampled(train):
        binary = train.dtype == np.uint8 and sampled(train).max() == 1
        expect(
            not binary, name, "bytes up to 1 in a file that is mapped", "such numbers as float32, or pixels up to 255"
        )
        return parts, ""
    largest = {part: int(rows.max()) for part, rows in parts.items() if rows.dtype == np.uint8}
    if largest.get("train") == 1 and len(largest) == len(parts):
        expected = "0 and 1 in both, or pixels up to 255 in both"
        expect(max(largest.values()) == 1 or "test" not in parts, name, f"bytes up to 1 and {largest}", expected)
        floats = {part: rows.astype(np.float32) for part, rows in parts.items()}
        return floats, "bytes that are 0 and 1, taken as they are and not divided by 255"
    others = {part: rows for part, rows in parts.items() if rows.dtype not in (np.uint8, np.bool_)}
    long = image_shape is not None or train.shape[1] >= FEWEST_PIXELS
    if others and long and train.max() == 255 and train.min() == 0 and all(map(_are_bytes, others.values())):
        kinds = " and ".join(sorted({rows.dtype.name for rows in others.values()}))
        bytes_ = {part: rows.astype(np.uint8) for part, rows in parts.items()}
        return bytes_, f"whole numbers from 0 to 255 in {kinds}, taken for pixels"
    return {part: _as_reals(f"{name}: {part}", rows) for part, rows in parts.items()}, ""


def as_before(given: np.ndarray, settled: np.ndarray, dtype: str | None) -> np.ndarray:
    """What `settle` made of rows, or what it made of earlier ones that they belong to: bytes or none, as their dtype
    says."""
    if given.dtype == np.uint8 or dtype is None or (settled.dtype == np.uint8) == (dtype == "uint8"):
        return settled
    if dtype != "uint8":
        return _as_reals("data", given)
    return given.astype(np.uint8) if not is_mapped(given) and given.max() > 1 and _are_bytes(given) else settled


def doubts(rows: np.ndarray, columns: Sequence[str] | None, scaled: bool) -> str:
    """What is to be said of values that may not be what they seem: numbers that stand for missing ones, and whole
    numbers of which floats do not hold all digits, float64 or, where they are not scaled, float32, in which models are
    trained unless they are asked otherwise."""
    if rows.dtype == np.uint8 or is_mapped(rows):
        return ""
    said: dict[str, list[str]] = {}
    least = rows.min(axis=0)
    largest = np.maximum(rows.max(axis=0), -least)
    for column in np.flatnonzero(np.isin(least, CODES) | (largest > LARGEST_EXACT)).tolist():
        values, called = rows[:, column], repr(columns[column]) if columns else f"column {column}"
        others, whole = values[values != least[column]], (values == np.round(values)).all()
        if least[column] in CODES and len(others) and others.min() > least[column] / 2:
            what = f"{least[column]:g}, perhaps for missing values"
        elif whole and largest[column] >= 2**53:
            what = "whole numbers beyond 2**53, which float64 rounds"
        elif whole and not scaled and (values.astype(np.float32) != values).any():
            kept = "unless standardize= (--standardize) or a model in float64 keeps them apart"
            what = f"whole numbers beyond 2**24, which float32 rounds {kept}"
        else:
            continue
        said.setdefault(what, []).append(called)
    listed = {what: ", ".join(called[:4]) + ", ..." * (len(called) > 4) for what, called in said.items()}
    return "; ".join(f"{what}: {called:.100}" for what, called in listed.items())


def _are_bytes(rows):
    step = max(1, CHUNK // rows.shape[1])
    chunks = (rows[start : start + step] for start in range(0, len(rows), step))
    return all(((chunk >= 0) & (chunk <= 255) & (chunk == np.floor(chunk))).all() for chunk in chunks)


def _as_reals(name, rows):
    if rows.dtype in DTYPES:
        return rows
    if rows.dtype.kind in "iu" and rows.dtype.itemsize > 2:
        # Two comparisons, since abs() of the smallest integer overflows.
        expected = f"integers that float32 can tell apart, at most {LARGEST_EXACT} in magnitude"
        expect_everywhere(name, rows, lambda chunk: (chunk <= LARGEST_EXACT) & (chunk >= -LARGEST_EXACT), expected)
    return rows.astype(np.float32)


def number_labels(name: str, parts: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], tuple[str, ...] | None, str]:
    """Labels of a file by role as whole numbers; the names of the classes, where they are texts; and what was made of
    them. Texts that all are whole numbers are these; rows of zeros and one 1 are the place of that.

    Texts may be objects: in an array of texts each takes as much as the longest.
    """
    texts = {role: labels for role, labels in parts.items() if labels.dtype.kind in "USO"}
    if texts:
        expect(len(texts) == len(parts), name, "labels of which some are texts", "all texts or all numbers")
        try:
            lists = {role: [_as_str(label) for label in labels.ravel().tolist()] for role, labels in texts.items()}
        except ValueError as error:
            raise ValueError(f"{name}: labels that are no text ({error})") from error
        columns = all(labels.size == len(labels) for labels in texts.values())
        expect(columns, f"{name}: labels", next(iter(texts.values())), f"one text a row; {LABEL} names others, '' none")
        classes = sorted(set().union(*lists.values()))
        if all(re.fullmatch("-?[0-9]{1,18}", label) for label in classes):
            return {role: np.array(labels).astype(np.int64) for role, labels in lists.items()}, None, ""
        codes = {label: code for code, label in enumerate(classes)}
        numbered = {role: np.array([codes[label] for label in labels]) for role, labels in lists.items()}
        shown = ", ".join(map(repr, classes[:4])) + ", ..." * (len(classes) > 4)
        return numbered, tuple(classes), f"{len(classes)} classes {shown:.200}"
    if parts and all(map(_is_one_hot, parts.values())):
        return {role: labels.argmax(axis=1) for role, labels in parts.items()}, None, "labels one-hot"
    return parts, None, ""


def _as_str(label):
    if isinstance(label, bytes):
        return label.decode()
    if not isinstance(label, str):
        raise ValueError(f"got {described(label)}")
    return label


def _is_one_hot(labels):
    if labels.ndim != 2 or labels.shape[1] < 2:
        return False
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())


def check_labels(name: str, labels: Any, rows: int, otherwise: str = "") -> np.ndarray:
    """Labels, (rows,) or (rows, 1), of whole numbers in any dtype or whatever makes an array, as (rows,) int64;
    otherwise is what else a message says is to be done."""
    labels = as_array(name, labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    numbers = labels.ndim == 1 and labels.dtype.kind in "biuf"
    advice = f": {NUMBER_THEM}" * (labels.dtype.kind in "OUS")
    expect(numbers, name, labels, f"a 1-D array of whole numbers{advice}{otherwise}")
    expect(len(labels) == rows, name, f"{len(labels)} labels", f"{rows}, one a row{otherwise}")
    if labels.dtype.kind == "f":
        expect_everywhere(name, labels[:, None], are_whole, f"whole numbers{otherwise}")
    expect(labels.max() <= np.iinfo(np.int64).max, name, int(labels.max()), "at most the largest int64")
    return labels.astype(np.int64)


def are_whole(chunk: np.ndarray) -> np.ndarray:
    return (np.abs(chunk) < 2**53) & (chunk == np.round(chunk))
