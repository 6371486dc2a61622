"""Scaled data: what was taken from each value and what it was divided by, kept so that it can be undone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import CHUNK, as_array, check_data, expect, expect_positive


@dataclass(frozen=True, eq=False)
class Scaling:
    """scaled = (original - shift) / scale, feature by feature or with one number for all.

    shift, scale : a number each, or (features,) float64 each; finite, scale above 0. ValueError where they are not
    columns : the names of the features, where the data had such; others that have them are told by these
    """

    shift: Any = 0.0
    scale: Any = 1.0
    columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("shift", "scale"):
            value = as_array(name, getattr(self, name))
            right = value.dtype.kind in "iuf" and value.ndim < 2 and bool(np.isfinite(value).all())
            expect(right, name, value, "a finite number, or one for each feature")
            value = value.astype(np.float64)
            value.setflags(write=False)
            object.__setattr__(self, name, value if value.ndim else float(value))
        expect(
            np.shape(self.shift) == np.shape(self.scale), "scale", self.scale, f"as many as shift, {self.shift!r:.60}"
        )
        expect(np.min(self.scale) > 0, "scale", float(np.min(self.scale)), "numbers above 0")

    @classmethod
    def standardizing(cls, rows: np.ndarray) -> "Scaling":
        """To mean 0 and standard deviation 1 over these rows, column by column; a column of one value only becomes 0,
        and keeps its unit."""
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            mean, squares = rows.mean(axis=0, dtype=np.float64), np.zeros(rows.shape[1])
            for part in _pieces(rows):
                squares += ((rows[part] - mean) ** 2).sum(axis=0)
        constant = rows.min(axis=0) == rows.max(axis=0)
        deviation = np.sqrt(squares / len(rows))
        wrong = ~(np.isfinite(deviation) & ((deviation > 0) | constant))
        expect(
            not wrong.any(), "standardize", f"column {int(wrong.argmax())}", "values whose variance float64 can hold"
        )
        return cls(np.where(constant, rows[0], mean), np.where(constant, 1.0, deviation))

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "Scaling":
        """From what `to_json` gave; ValueError, TypeError or KeyError where it is none."""
        return cls(entry["shift"], entry["scale"])

    def to_json(self) -> dict[str, Any]:
        """A dict of lists and floats, which `from_json` takes."""
        return {"shift": np.asarray(self.shift).tolist(), "scale": np.asarray(self.scale).tolist()}

    @property
    def features(self) -> int | None:
        """How many there are; None where one number is for all."""
        return None if np.ndim(self.scale) == 0 else len(self.scale)

    def apply(self, values: ArrayLike) -> np.ndarray:
        """Original values (rows, features) scaled: float64 as such, all others as float32."""
        return self._mapped("values", values, lambda part: (part - self.shift) / self.scale)

    def undo(self, values: ArrayLike) -> np.ndarray:
        """Scaled values (rows, features), such as samples and reconstructions, in their original unit."""
        return self._mapped("values", values, lambda part: part * self.scale + self.shift)

    def _mapped(self, name, values, function):
        rows = check_data(name, values, features=self.features)
        made = np.empty(rows.shape, np.float64 if rows.dtype == np.float64 else np.float32)
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused as such
            for part in _pieces(rows):
                made[part] = function(rows[part].astype(np.float64))
        return made


def asked_scaling(standardize: Any, scale_by: Any, scaling: Any) -> "bool | Scaling | None":
    """What three arguments of `load_dataset` ask for: True to standardize, a `Scaling`, or None; ValueError where they
    contradict each other."""
    expect(isinstance(standardize, bool), "standardize", standardize, "True or False")
    expect(scaling is None or isinstance(scaling, Scaling), "scaling", scaling, "a Scaling")
    several = bool(standardize) + (scale_by is not None) + (scaling is not None) > 1
    expect(not several, "standardize, scale_by, scaling", "more than one", "one of them")
    if scale_by is not None:
        return Scaling(scale=expect_positive("scale_by", scale_by))
    return scaling or standardize or None


def _pieces(rows):
    """Slices of rows that bound memory."""
    step = max(1, CHUNK // rows.shape[1])
    return (slice(start, start + step) for start in range(0, len(rows), step))
