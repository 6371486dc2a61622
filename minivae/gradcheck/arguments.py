"""What a caller hands to the checks, looked at before anything runs: a wrong call raises ValueError in one line."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import expect, expect_integer, expect_seed

FLOATS = (np.dtype("float32"), np.dtype("float64"))


def what(value):
    """A value named by its kind, for messages."""
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} of {value.dtype}"
    return "None" if value is None else f"a {type(value).__name__}"


def check_options(method, rtol, atol, full, coordinates, directions, seed):
    """Raises ValueError for options with which a check would show nothing, or could not run."""
    if method not in ("auto", "differences", "complex"):
        raise ValueError(f"method is {method!r}: expected 'auto', 'differences' or 'complex'")
    for name, value in (("rtol", 0.0 if rtol is None else rtol), ("atol", atol)):
        number = isinstance(value, (int, float, np.floating)) and not isinstance(value, bool)
        expect(number and 0.0 <= value < np.inf, name, value, "a finite number, 0 or more")
    expect_integer("full", full, 0)
    expect_integer("coordinates", coordinates, 1)
    expect_integer("directions", directions, 0)
    expect_seed(seed)


def fixed_values(fixed):
    """(by place, by name) of what is passed along."""
    if isinstance(fixed, Mapping):
        return [], dict(fixed)
    if not isinstance(fixed, (tuple, list)):
        raise ValueError(f"fixed is {what(fixed)}: expected a mapping, or a tuple or list of what is passed along")
    return list(fixed), {}


def given_parameters(parameters):
    """The mapping of names to arrays that are moved in place and put back."""
    if not isinstance(parameters, Mapping):
        raise ValueError(f"parameters is {what(parameters)}: expected a mapping of names to arrays")
    for name, value in parameters.items():
        if not isinstance(value, np.ndarray) or value.dtype not in FLOATS:
            raise ValueError(f"parameter '{name}' is {what(value)}: expected a float32 or float64 array")
        if not value.flags.writeable:
            raise ValueError(f"parameter '{name}' is read-only: expected an array that can be moved in place")
        finite_copy(f"parameter '{name}'", value)
    return dict(parameters)


def finite_copy(name, value):
    value = np.array(value)
    if value.dtype.kind == "f" and value.dtype not in FLOATS:
        raise ValueError(f"{name} is {value.dtype}: expected float32 or float64")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(value))[0])
        raise ValueError(f"{name} is {value[where]} at {list(where)}: expected finite numbers")
    return value


def expect_something(arrays, values):
    """Raises ValueError unless there is a number to differentiate by; `values` are the inputs by name."""
    if not arrays:
        came = "".join(f"; input '{name}' is {what(value)}" for name, value in values.items())
        raise ValueError(f"nothing to differentiate: no float32 or float64 array among inputs and parameters{came}")
    if not any(array.size for array in arrays.values()):
        came = ", ".join(f"'{name}' has shape {array.shape}" for name, array in arrays.items())
        raise ValueError(f"nothing to differentiate: {came}")


def freezer(generator):
    """A function that sets the generator back to the state it has now."""
    if generator is None:
        return lambda: None
    if isinstance(generator, np.random.Generator):
        bits = generator.bit_generator
        state = bits.state
        return lambda: setattr(bits, "state", state)
    if hasattr(generator, "get_state") and hasattr(generator, "set_state"):
        state = generator.get_state()
        return lambda: generator.set_state(state)
    if callable(generator):
        return generator
    raise ValueError(f"generator is {what(generator)}: expected a numpy Generator, a RandomState or a callable")
