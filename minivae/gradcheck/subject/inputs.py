"""What forward is called with: inputs in any nest, by place or by keyword, and what is passed along beside them."""

import copy
import inspect
import numbers
from collections.abc import Mapping

import numpy as np

from ...errors import expect
from ..arguments import checked_copy, fixed_values
from .trees import leaves, rebuild


class Inputs:
    """The inputs in the nest in which they came, their arrays copied and named.

    Attributes
    ----------
    nest : dict from the name of each argument to its part of the nest
    values : dict of leaf name to array
        Names such as "params.layers.0.weight", in the order of the nest. What is no number stays in the nest alone.
    fixed : dict of name to what is passed along
    """

    def __init__(self, function, inputs, fixed):
        self.place, self.named = fixed_values(fixed)
        self.nest, self.by_keyword = arranged(function, inputs, self.place, self.named)
        # Several arrays that were taken for one argument, which may not have been meant:
        self.bundle = inputs if not self.by_keyword and _is_bundle(inputs, self.nest) else None
        self.nest = {name: _copied(name, part) for name, part in self.nest.items()}
        self.leaves = leaves(self.nest)
        self.values = {name: leaf for name, leaf in self.leaves.items() if isinstance(leaf, np.ndarray)}
        self.fixed = {n: v for name, part in self.named.items() for n, v in leaves(part, str(name)).items()}
        self.fixed.update({n: v for i, p in enumerate(self.place) for n, v in leaves(p, f"fixed[{i}]").items()})

    def call(self, function, values, copies=False):
        """What `function` answers to the arrays in `values`; `copies`: it may write to what it is given."""
        nest = self.arguments({name: array.copy() for name, array in values.items()} if copies else values)
        place, named = (_writable(self.place), _writable(self.named)) if copies else (self.place, self.named)
        if self.by_keyword:
            return function(*place, **nest, **named)
        return function(*nest.values(), *place, **named)

    def expect_no_bundle(self, function):
        """Raises ValueError if the function runs with the first of several arrays that were handed over as one nest: to
        be asked where it does not with all of them.
        """
        if self.bundle is None:
            return
        (name,), first = self.nest, next(iter(self.values.values())).copy()
        try:
            function(first, *_writable(self.place), **_writable(self.named))
        except Exception:
            return
        names = list(self.bundle) if isinstance(self.bundle, Mapping) else f"{len(self.bundle)} arrays"
        expected = f"one array, '{name}': it fails with all in one {type(self.bundle).__name__}, and runs with one"
        raise ValueError(f"inputs: got {names}, expected {expected}")

    def with_fixed(self, change):
        """The same inputs with `change` done to each value that is passed along."""
        changed = copy.copy(self)
        changed.place, changed.named = (
            rebuild(nest, iter([change(v) for v in leaves(nest).values()])) for nest in (self.place, self.named)
        )
        return changed

    def arguments(self, values):
        """dict of argument name to value, around the arrays in `values`."""
        return rebuild(self.nest, iter([values.get(name, leaf) for name, leaf in self.leaves.items()]))


def arranged(function, inputs, place, named):
    """(dict of name to argument, by keyword?): a mapping goes by keyword, a sequence by place, an array alone.

    A mapping or sequence that the function cannot take like this is its one argument, where it takes one.
    """

    def takes(*arguments, **more):
        try:
            signature.bind(*arguments, *place, **more)
        except TypeError:
            return False
        return True

    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        signature = inspect.Signature([inspect.Parameter("inputs", inspect.Parameter.VAR_POSITIONAL)])
    one = takes(inputs, **named)
    values: list = [inputs]
    if isinstance(inputs, Mapping):
        text = all(isinstance(key, str) for key in inputs)
        if not one or (text and not set(inputs) & set(named) and takes(**{**inputs, **named})):
            expect(text, "inputs", inputs, "names, or one argument that is this mapping")
            clash = [key for key in inputs if key in named]
            expect(not clash, "fixed", clash, "names that no input has")
            _expect_taken(function, list(inputs), place, {**inputs, **named})
            return dict(inputs), True
    elif isinstance(inputs, (tuple, list)):
        # [x] with an array x is that array by its place; [0.5] is the point at which a function of one vector is taken.
        point = isinstance(inputs, list) and len(inputs) == 1 and all_numbers(inputs)
        if not one or (takes(*inputs, **named) and not point):
            values = list(inputs)
    _expect_taken(function, len(values), [*values, *place], named)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in signature.parameters.values() if p.kind in kinds]
    names += [f"input{i}" for i in range(len(names), len(values))]
    return dict(zip(names, values, strict=False)), False


def _expect_taken(function, came, place, named):
    """Raises ValueError unless the function's own signature, not one that it was given, fits."""
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*place, **named)
    except TypeError as error:
        name = getattr(function, "__name__", "the target")
        text = f"inputs: got {came}, expected what {name}{signature} takes, beside what is fixed: {error}"
        raise ValueError(text) from None


def all_numbers(part):
    """Whether it is a list or tuple, in any depth, of Python's or NumPy's numbers alone."""
    if not isinstance(part, (list, tuple)):
        return isinstance(part, (numbers.Number, np.generic))
    return len(part) > 0 and all(all_numbers(item) for item in part)


def _is_bundle(inputs, nest):
    """Whether a mapping or sequence of arrays became one argument."""
    parts = list(inputs.values()) if isinstance(inputs, Mapping) else inputs
    whole = isinstance(parts, (list, tuple)) and len(nest) == 1 and next(iter(nest.values())) is inputs
    return whole and len(parts) > 0 and all(hasattr(part, "shape") for part in parts)


def _copied(name, part):
    """The part of the nest with its arrays copied and looked at."""
    found = leaves(part, name, all_numbers)
    return rebuild(part, iter([checked_copy(f"input '{n}'", leaf) for n, leaf in found.items()]), all_numbers)


def _writable(part):
    """The same nest with copies of its arrays."""
    copies = [leaf.copy() if isinstance(leaf, np.ndarray) else leaf for leaf in leaves(part).values()]
    return rebuild(part, iter(copies))


def has_rows(value):
    return isinstance(value, np.ndarray) and value.ndim > 0 and len(value) > 0


def reordered(value, kinds="f"):
    """An array with its rows in another order, where that may mean as much (noise, labels): not if they have an order,
    or if it is a square matrix.
    """
    if not has_rows(value) or value.dtype.kind not in kinds or len(value) < 2:
        return value
    steps = np.diff(value) if value.ndim == 1 and value.dtype.kind != "b" else np.array([-1, 1])
    ordered = (steps >= 0).all() or (steps <= 0).all()
    return value if ordered or (value.ndim > 1 and value.shape[0] == value.shape[1]) else np.roll(value, 1, axis=0)
