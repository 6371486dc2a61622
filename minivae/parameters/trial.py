"""A trial of a part of one's own, before it is trained."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import expect
from .survey import expect_float_array, holders, survey


class Trial:
    """A pass up and down of a part of one's own, on a copy, so that a part that counts its passes or draws numbers does
    not notice.

    Each method raises ValueError, naming the part, where the part cannot be trained.
    """

    rows = 3

    def __init__(self, name: str, part: Any, dtype: str) -> None:
        self._name, self._dtype = name, dtype
        for method in ("forward", "backward"):
            expect(callable(getattr(part, method, None)), name, part, f"an object with a method {method}")
        self._known = {
            path: set(item.parameters)
            for path, item in survey([part])
            if isinstance(getattr(item, "parameters", None), Mapping)
        }
        try:
            self._part = copy.deepcopy(part)
        except Exception:
            self._part = part  # what cannot be copied is tried itself

    def layer(self, inputs: int, outputs: int | None, first: bool = False) -> int:
        """Tries a layer of so many inputs, and None for any number of outputs, which it returns."""
        x = np.random.default_rng(0).random((self.rows, inputs)).astype(self._dtype)
        y = self._call("forward", x)
        expect_float_array(f"{self._name}.forward", y, (self.rows, outputs))
        dx = self._call("backward", np.ones(y.shape, self._dtype))
        if not first:
            expect_float_array(f"{self._name}.backward", dx, x.shape)
        self._expect_gradients()
        return y.shape[1]

    def likelihood(self, features: int, outputs: int, draws: int) -> None:
        """Tries a likelihood of so many features, with so many outputs of the decoder for each of so many draws."""
        rows = self.rows * draws
        x = np.random.default_rng(0).integers(0, 2, (self.rows, features)).astype(self._dtype)
        nll = self._call("forward", x, np.zeros((rows, outputs), self._dtype))
        expect_float_array(f"{self._name}.forward", nll, (rows,))
        gradient = self._call("backward", np.ones(rows, self._dtype))
        expect_float_array(f"{self._name}.backward", gradient, (rows, outputs))
        self._expect_gradients()

    def _call(self, method, *arguments):
        try:
            with np.errstate(all="ignore"):
                return getattr(self._part, method)(*arguments)
        except Exception as error:
            raise ValueError(f"{self._name}: {method} raised {type(error).__name__} in a trial: {error}") from error

    def _expect_gradients(self):
        for prefix, holder in holders(self._name, self._part):
            made = holder.parameters.keys() - self._known.get(prefix, holder.parameters.keys())
            expect(not made, f"{self._name}.{prefix}parameters", f"{sorted(made)} after a pass", "all from the start")
            gradients = getattr(holder, "gradients", None)
            expect(isinstance(gradients, Mapping), f"{self._name}.{prefix}gradients", gradients, "a mapping")
            for key, array in holder.parameters.items():
                expect_float_array(f"{self._name}.{prefix}parameters[{key!r}]", array)
                expect_float_array(f"{self._name}.{prefix}gradients[{key!r}]", (gradients or {}).get(key), array.shape)
