"""What a caller hands to the checks, looked at before anything runs: a wrong call raises ValueError in one line."""

from collections.abc import Mapping

import numpy as np

from ..errors import described, expect, expect_choice, expect_integer, expect_not_negative, expect_seed

FLOATS = (np.dtype("float32"), np.dtype("float64"))


def check_options(method, rtol, atol, full, coordinates, directions, seed):
    """The numbers among the options, as Python's; ValueError where a check would show nothing, or could not run."""
    expect_choice("method", method, ("auto", "differences", "complex"))
    return (
        None if rtol is None else expect_not_negative("rtol", rtol),
        expect_not_negative("atol", atol),
        expect_integer("full", full, 0),
        expect_integer("coordinates", coordinates, 1),
        expect_integer("directions", directions, 0),
        expect_seed(seed),
    )


def fixed_values(fixed):
    """(by place, by name) of what is passed along."""
    if isinstance(fixed, Mapping):
        return [], dict(fixed)
    expect(isinstance(fixed, (tuple, list)), "fixed", fixed, "a mapping, or a tuple or list of what is passed along")
    return list(fixed), {}


def given_parameters(parameters):
    """The mapping of names to arrays that are moved in place and put back."""
    expect(isinstance(parameters, Mapping), "parameters", parameters, "a mapping of names to arrays")
    for key, value in parameters.items():
        name = f"parameter '{key}'"
        expect(isinstance(value, np.ndarray) and value.dtype in FLOATS, name, value, "a float32 or float64 array")
        expect(value.flags.writeable, name, "a read-only array", "one that can be moved in place")
        finite_copy(name, value)
    return dict(parameters)


def finite_copy(name, value):
    value = np.array(value)
    if value.dtype.kind == "f":
        expect(value.dtype in FLOATS, name, str(value.dtype), "float32 or float64")
        bad = not_finite(value)
        expect(not bad, name, bad, "finite numbers")
    return value


def not_finite(array):
    """The first value that is not finite, and where it lies, as text; empty where all are finite."""
    places = np.argwhere(~np.isfinite(array)).tolist()
    return f"{array[tuple(places[0])]}" + (f" at {places[0]}" if places[0] else "") if places else ""


def expect_something(arrays, values):
    """Raises ValueError unless there is a number to differentiate with respect to; `values` are the inputs by name."""
    came = ", ".join(f"'{name}' {described(value)}" for name, value in {**values, **arrays}.items())
    holds = any(array.size for array in arrays.values())
    expect(holds, "inputs", came, "a float32 or float64 array among them and the parameters, not empty")


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
    expect(callable(generator), "generator", generator, "a numpy Generator, a RandomState or a callable")
    return generator
