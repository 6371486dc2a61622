"""Targets of torch and JAX in the form that the checks know: a layer of NumPy arrays, named as the leaves of a nest.

Neither library is imported unless a caller hands over something of it, or names it as `gradient`.
"""

import functools
import importlib
import sys
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from ...errors import expect
from ..arguments import fixed_values
from ..subject.inputs import arranged
from ..subject.keeping import Check
from ..subject.trees import leaves, rebuild

LIBRARIES = ("torch", "jax")


def translated(check: Check) -> Check:
    """A check of NumPy targets that takes those of torch and JAX as well."""

    @functools.wraps(check)
    def checked(target, inputs, **options):
        bridge = bridged(target, inputs, options)
        if bridge is None:
            return check(target, inputs, **options)
        try:
            report = check(bridge, bridge.values, **bridge.options)
            bridge.finish(report)
            return report
        finally:
            bridge.close()

    return cast("Check", checked)


def bridged(target, inputs, options):
    """The Bridge to the library whose target or arrays these are, or None where all is NumPy's."""
    claimed = options.get("gradient")
    library = _named(claimed) if isinstance(claimed, str) else None
    if library is None:
        handed = [inputs, *(options.get(key) for key in ("fixed", "parameters", "gradient", "cotangent"))]
        library = next((name for name in LIBRARIES if sys.modules.get(name) and _home(name).owns(target, handed)), None)
    return None if library is None else _home(library).bridge(target, inputs, options)


def _named(library):
    expected = "a callable, the array(s) claimed, or the library that differentiates the target: 'torch' or 'jax'"
    expect(library in LIBRARIES, "gradient", library, expected)
    try:
        importlib.import_module(library)
    except ImportError as error:
        raise ValueError(f"gradient: got {library!r}, which cannot be imported: {error}") from error
    return library


def _home(library):
    return importlib.import_module(f".from_{library}", __package__)


class Bridge:
    """A layer (`forward`, `backward`, `parameters`, `gradients`) around a target of another library.

    The claimed gradient is that of the library's own differentiation, or, of a pair, of an object with forward and
    backward, or of a function with `gradient`, what is written there by hand.

    Attributes
    ----------
    values : dict from the name of each leaf ("params.layers.0.weight") to its NumPy array
    options : what the check is to be called with
    """

    def __init__(self, target, inputs, options):
        gradient = options.get("gradient")
        self._target, self._cache, self._notes, self._problems = target, None, [], []
        self._gradient = gradient if callable(gradient) else (lambda *_, **__: gradient)
        self._mode = "autodiff"
        if isinstance(target, tuple) and len(target) == 2 and all(callable(f) for f in target):
            self._mode, self._call = "pair", target[0]
        elif self.written_by_hand(target):
            self._mode, self._call = "layer", target.forward
        else:
            self._call = self.callable_of(target)
            if gradient is not None and not isinstance(gradient, str):
                self._mode = "function"
        named = target if self._mode == "layer" else self._call
        self.__name__ = getattr(named, "__name__", type(named).__name__)
        place, named = fixed_values(options.get("fixed", ()))
        arguments, self._by_keyword = arranged(self.signed(target), inputs, place, named)
        self._arguments, self._builders = {}, {}
        for name, value in arguments.items():
            found, build = self.flattened(value)
            full = {f"{name}.{path}" if path else name: leaf for path, leaf in found.items()}
            self._arguments[name] = full
            self._builders[name] = build
        every = {name: leaf for found in self._arguments.values() for name, leaf in found.items()}
        self.values = {n: self.numpy(leaf, f"input '{n}'") for n, leaf in every.items() if self.is_array(leaf)}
        fixed = self.numpy_nest(named or place)
        self.options = {**options, "gradient": None, "fixed": fixed}
        if (cotangent := options.get("cotangent")) is not None:
            self.options["cotangent"] = self.numpy_nest(cotangent)
        if self._mode != "layer" and not options.get("parameters"):
            self.options["parameters"] = {}

    # What each library has for itself, beside `signed` and `flattened` where it has its own way.
    callable_of: Any
    written_by_hand: Any
    is_array: Any
    numpy: Any
    foreign: Any
    values_and_graph: Any
    differentiate: Any
    jvp: Any
    first_backward: Any

    def signed(self, target):
        """The function whose signature names the inputs."""
        return self._call

    def flattened(self, tree):
        """(leaves by path, a function from a list of leaves to the same nest)."""
        return leaves(tree), lambda parts: rebuild(tree, iter(parts))

    def numpy_nest(self, tree):
        """The nest with its arrays as NumPy's."""
        found, build = self.flattened(tree)
        return build([self.numpy(leaf, path) if self.is_array(leaf) else leaf for path, leaf in found.items()])

    def foreign_nest(self, tree):
        """The nest with its NumPy arrays as the library's."""
        found, build = self.flattened(tree)
        return build([self.foreign(leaf) if isinstance(leaf, np.ndarray) else leaf for leaf in found.values()])

    def run(self, values, placed=(), named=None):
        """What the target returns for leaves given by name, as arrays of the library."""
        arguments = {
            name: self._builders[name]([values.get(n, leaf) for n, leaf in found.items()])
            for name, found in self._arguments.items()
        }
        placed, named = self.foreign_nest(list(placed)), self.foreign_nest(dict(named or {}))
        self._asked = (placed, arguments, named)
        return self._with(self._call)

    def _with(self, function):
        placed, arguments, named = self._asked
        if self._by_keyword:
            return function(*placed, **arguments, **named)
        return function(*arguments.values(), *placed, **named)

    def forward(self, *placed, **named):
        values = {n: named.pop(n) for n in self.values}
        for name, value in values.items():
            if np.iscomplexobj(value) and not np.iscomplexobj(self.values[name]):
                raise TypeError(f"'{name}' is real here")  # the complex step is not taken through a library
        if self._mode == "autodiff":
            outputs = self.values_and_graph(values, placed, named)
        else:
            result = self.run({n: self.foreign(value) for n, value in values.items()}, placed, named)
            if self._mode == "pair":
                result, self._cache = result
            return tuple(self.arrays_of(result))
        return tuple(self.numpy(y, "output") for y in outputs)

    def backward(self, *dys):
        """The gradient of each leaf by name."""
        if self._mode == "autodiff":
            return self.differentiate(dys)
        handed = [self.foreign(dy) for dy in dys]
        if self._mode == "pair":
            returned = self._target[1](*handed, self._cache)
        elif self._mode == "layer":
            returned = self._target.backward(*handed)
        else:
            returned = self._with(self._gradient)
        found = self._by_leaf(returned)
        return found if self._mode != "function" else {n: float(dys[0]) * g for n, g in found.items()}

    def _by_leaf(self, returned):
        if returned is None:
            return None
        names = list(self._arguments)
        if not isinstance(returned, Mapping):
            several = isinstance(returned, (tuple, list)) and (len(names) > 1 or len(returned) == 1)
            parts = list(returned) if several else [returned]
            if len(parts) not in (len(names), len(names) + len(self._asked[0])):
                raise ValueError(f"{len(parts)} gradients for {len(names)} inputs {names}")
            returned = dict(zip(names, parts, strict=False))
        found = {}
        for name, part in returned.items():
            for path, leaf in self.flattened(part)[0].items():
                if leaf is not None:
                    found[f"{name}.{path}" if path else name] = self.numpy(leaf, f"gradient of '{name}'")
        return {n: g for n, g in found.items() if n not in self.values or self.values[n].dtype.kind in "fc"}

    @property
    def differentiates(self):
        """Whether the library itself claims the gradient."""
        return self._mode == "autodiff"

    def arrays_of(self, tree):
        """The arrays in a nest, as NumPy's."""
        return [self.numpy(leaf, "output") for leaf in self.flattened(tree)[0].values() if self.is_array(leaf)]

    def as_given(self, given, values):
        """The nest of inputs as it was given, with other values in it."""
        found, build = self.flattened(given)
        fresh = iter(values.values())
        return build([self.foreign(next(fresh)) if self.is_array(leaf) else leaf for leaf in found.values()])

    def finish(self, report):
        """Add what the target showed on the way to the report."""
        report.problems += dict.fromkeys(self._problems)
        report.notes += dict.fromkeys(self._notes)

    def close(self):
        """Put back what was changed."""


def duality(dys, pushed, gradients, tangents):
    """A problem in a list unless <dy, J v> is <J' dy, v>; for complex numbers <a, b> is Re sum conj(a) b."""
    forward = np.concatenate([np.ravel((np.conj(a) * b).real) for a, b in zip(dys, pushed, strict=True)])
    reverse = np.concatenate([np.ravel((np.conj(g) * tangents[n]).real) for n, g in gradients.items()])
    eps = max(np.finfo(a.dtype).eps for a in (*dys, *gradients.values()))
    left, right = forward.sum(dtype=float), reverse.sum(dtype=float)
    if abs(left - right) <= np.sqrt(eps) * max(abs(forward).sum(dtype=float), abs(reverse).sum(dtype=float)):
        return []
    return [("jvp", f"<dy, J v> is {left:.6g} in forward mode, <J' dy, v> {right:.6g} in reverse: they must be equal")]
