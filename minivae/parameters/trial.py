"""A trial of a part of one's own, before it is trained."""

import copy
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import expect
from ..gradcheck.subject.holding import GRADIENTS, declared_nest, gradient_of, is_float, members, read
from .survey import attribute, expect_float_array, holders, survey


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
        self._given: dict[str, list[np.ndarray]] = {}  # the gradients after each pass, by name
        try:
            self._part = copy.deepcopy(part)
        except Exception:
            self._part = part  # what cannot be copied is tried itself
        held = [array for _, item in survey([self._part]) for array in members(item).values() if is_float(array)]
        self._held = {id(array): (array, array.copy()) for array in held}

    def layer(self, inputs: int, outputs: int | None, first: bool = False) -> int:
        """Tries a layer of so many inputs, and None for any number of outputs, which it returns."""
        x = np.random.default_rng(0).random((self.rows, inputs)).astype(self._dtype)
        for dy in (1, 1, 0):
            y = self._call("forward", x)
            expect_float_array(f"{self._name}.forward", y, (self.rows, outputs))
            if not self._takes(dy, y.shape, None if first else x.shape):
                break
        return y.shape[1]

    def likelihood(self, features: int, outputs: int, draws: int) -> None:
        """Tries a likelihood of so many features, with so many outputs of the decoder for each of so many draws."""
        rows = self.rows * draws
        x = np.random.default_rng(0).integers(0, 2, (self.rows, features)).astype(self._dtype)
        for weight in (1, 1, 0):
            nll = self._call("forward", x, np.zeros((rows, outputs), self._dtype))
            expect_float_array(f"{self._name}.forward", nll, (rows,))
            if not self._takes(weight, (rows,), (rows, outputs)):
                break

    def _takes(self, factor, given, shape):
        """Whether a pass up of an array of the shape `given` was made; zeros, which some divide by, may raise."""
        try:  # not ones: what comes before a softmax or a normalization has no gradient by their sum
            dy = factor * (1 + np.random.default_rng(1).random(given)).astype(self._dtype)
            gradient = self._call("backward", dy)
        except ValueError:
            if factor:
                raise
            return False
        if shape is not None:
            expect_float_array(f"{self._name}.backward", gradient, shape)
        self._expect_gradients()
        return True

    def _call(self, method, *arguments):
        kept = [array.copy() for array in arguments]
        try:
            with np.errstate(all="ignore"):
                result = getattr(self._part, method)(*arguments)
        except Exception as error:
            raise ValueError(f"{self._name}: {method} raised {type(error).__name__} in a trial: {error}") from error
        if method == "forward":  # dy is nobody's any more; x and output are read again
            same = all(map(np.array_equal, arguments, kept))
            expect(same, f"{self._name}.forward", "its argument changed in place", "a copy to work on")
        return result

    def _expect_gradients(self):
        """Of each parameter. Where `backward` adds, they differ after two passes, and a third, with zeros, leaves them;
        a frozen weight, or one behind a mask, keeps what it had in all three.
        """
        self._expect_declared()
        gradient: Any
        for prefix, holder in holders(self._name, self._part):
            made = holder.parameters.keys() - self._known.get(prefix, holder.parameters.keys())
            expect(not made, f"{self._name}.{prefix}parameters", f"{sorted(made)} after a pass", "all from the start")
            gradients = getattr(holder, "gradients", None)
            expect(isinstance(gradients, Mapping), f"{self._name}.{prefix}gradients", gradients, "a mapping")
            for key, array in holder.parameters.items():
                expect_float_array(f"{self._name}.{prefix}parameters[{key!r}]", array)
                name, gradient = f"{self._name}.{prefix}gradients[{key!r}]", (gradients or {}).get(key)
                expect_float_array(name, gradient, array.shape)
                given = self._given.setdefault(name, [])
                given.append(gradient.copy())
                same = [np.array_equal(one, other) for one, other in pairwise(given)]
                added = same == [False, True] and gradient.any()
                expect(not added, name, "what was there, added to", "all of it assigned by backward")

    def _expect_declared(self):
        """What has a gradient under one of its usual names, in no mapping `parameters`, would never learn."""
        taken = [array for _, holder in holders(self._name, self._part) for array in holder.parameters.values()]
        for path, item in survey([self._part]):
            if isinstance(attribute(item, "parameters"), Mapping):
                continue
            name, _ = declared_nest(item) or ("", None)
            found = [name] if name and any(read(item, gradients) is not None for gradients in GRADIENTS) else []
            for key, array in members(item).items():
                before = self._held.get(id(array), (None, None))[1]
                stays = before is not None and np.array_equal(array, before)
                known = not stays or any(np.may_share_memory(array, one) for one in taken)
                gradient = gradient_of(item, key)
                fixed = np.array_equal(gradient, self._held.get(id(gradient), (None, None))[1])  # as dx beside nodes x
                found += [] if known or fixed or np.shape(gradient) != array.shape else [key]
            expected = "it in a mapping `parameters`, its gradient in `gradients`; parameters = {} if it is to stay"
            expect(not found, f"{self._name}.{path}{(found or [''])[0]}", "what has a gradient", expected)


def try_latents(sampler: Any, kl: Any, latent: int, draws: int, dtype: str) -> None:
    """Tries a sampler and a KL term of so many latents and draws together, on copies. What raises here, where there is
    no pass of a model around it, is left to the first step.
    """
    for name, part in (("sampler", sampler), ("kl", kl)):
        for method in ("forward", "backward"):
            expect(callable(getattr(part, method, None)), f"model.{name}", part, f"an object with a method {method}")
    rng, rows = np.random.default_rng(0), 3
    mu, rho = rng.standard_normal((2, rows, latent)).astype(dtype)
    noise = rng.standard_normal((rows * draws, latent)).astype(dtype)
    into = np.full((4, rows, latent), np.nan, dtype)
    try:
        sampler, kl = copy.deepcopy((sampler, kl))
        z = sampler.forward(mu, rho, noise)
        sampler.backward(np.ones(noise.shape, dtype), into[0], into[1])
        value = kl.forward(mu, rho, sampler.sigma)
        kl.backward(np.ones(rows, dtype), into[2], into[3])
    except Exception:
        return
    for name, array, shape in (("sampler", z, noise.shape), ("kl", value, mu.shape)):
        expect_float_array(f"model.{name}.forward", array, shape)
        expect(array.dtype == dtype, f"model.{name}.forward", array, f"the model's {dtype}")
    nan = np.isnan(into)
    expect(not nan[:2].any(), "model.sampler.backward", "dmu or drho kept or added to", "both assigned")
    expect(nan[2:].all(), "model.kl.backward", "dmu or drho assigned", "both added to: they hold the sampler's already")
