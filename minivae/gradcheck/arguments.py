"""What a caller hands to the checks, looked at before anything runs: a wrong call raises ValueError in one line."""

import dataclasses
import difflib
import inspect
import sys
from collections.abc import Mapping

import numpy as np

from ..errors import as_array, described, expect, expect_choice, expect_integer, expect_not_negative, expect_seed
from .subject.trees import leaves

FLOATS = tuple(np.dtype(name) for name in ("float32", "float64", "complex64", "complex128"))
KNOWN = "float32 or float64 (or complex64, complex128)"


def check_options(method, rtol, atol, full, coordinates, directions, seed, name, **switches):
    """The numbers among the options, as Python's; ValueError where a check would show nothing, or could not run."""
    expect_choice("method", method, ("auto", "differences", "complex"))
    expect(name is None or isinstance(name, str), "name", name, "a string")
    for switch, value in switches.items():
        expect(isinstance(value, (bool, np.bool_)), switch, value, "True or False")
    if rtol is not None:
        rtol = expect_not_negative("rtol", rtol)
        expect(rtol < 1.0, "rtol", rtol, "less than 1, since with that a gradient of zeros would pass")
    return (
        rtol,
        expect_not_negative("atol", atol),
        expect_integer("full", full, 0),
        expect_integer("coordinates", coordinates, 1),
        expect_integer("directions", directions, 0),
        expect_seed(seed),
    )


def expect_known(caller, options, check, without=()):
    """Raises TypeError, as Python does, for an option that `check` does not have."""
    known = [name for name in inspect.signature(check).parameters if name not in ("target", "inputs", *without)]
    for option in options:
        if option not in known:
            close = difflib.get_close_matches(option, known, 1)
            hint = f". Did you mean '{close[0]}'?" if close else ""
            raise TypeError(f"{caller}() got an unexpected keyword argument '{option}'{hint}")


def fixed_values(fixed):
    """(by place, by name) of what is passed along."""
    if isinstance(fixed, Mapping):
        return [], dict(fixed)
    expect(isinstance(fixed, (tuple, list)), "fixed", fixed, "a mapping, or a tuple or list of what is passed along")
    return list(fixed), {}


def given_parameters(parameters):
    """The arrays that are moved in place and put back, by name: a mapping of names to arrays or nests of them."""
    expect(isinstance(parameters, Mapping), "parameters", parameters, "a mapping of names to arrays")
    found = leaves(parameters, whole=lambda part: not isinstance(part, Mapping) and not _of_arrays(part))
    for name, value in found.items():
        check_parameter(name, value)
    return found


def _of_arrays(part):
    return isinstance(part, (list, tuple)) and any(isinstance(leaf, np.ndarray) for leaf in leaves(part).values())


def given_cotangents(given, outputs):
    """Copies of the weights given for the outputs, in their dtypes."""
    given = list(given) if isinstance(given, (tuple, list)) else [given]
    got, expected = [np.shape(c) for c in given], [y.shape for y in outputs]
    expect(got == expected, "cotangent", got, f"the shapes of what forward returns, {expected}")
    real = all(np.iscomplexobj(y) or not np.iscomplexobj(c) for c, y in zip(given, outputs, strict=True))
    expect(real, "cotangent", "complex numbers", "real ones for real outputs")
    cotangents = [np.array(c, dtype=y.dtype) for c, y in zip(given, outputs, strict=True)]
    for c in cotangents:
        expect_finite("cotangent", c)
    shows = any(c.any() for c in cotangents) or not any(c.size for c in cotangents)
    expect(shows, "cotangent", "nothing but zeros", "others: with these every gradient of zeros is right")
    return cotangents


def check_parameter(key, value):
    name = f"parameter '{key}'"
    sound = isinstance(value, np.ndarray) and value.dtype.newbyteorder("=") in FLOATS
    expect(sound, name, value, "a float32 or float64 array, or a complex one")
    expect(value.flags.writeable, name, "a read-only array", "one that can be moved in place")
    expect_finite(name, value)


def checked_copy(name, value):
    """A copy of an array, or of what makes one; what is no number is passed along as it is."""
    if isinstance(value, (bool, int, str, bytes)) or value is None or callable(value):
        return value
    numbers = isinstance(value, (np.ndarray, np.generic, float, complex, list, tuple)) or hasattr(value, "__array__")
    if not numbers:
        holds = any(isinstance(v, np.ndarray) and v.dtype.kind in "fc" for v in getattr(value, "__dict__", {}).values())
        known = "arrays, alone or in dicts, lists, tuples and named tuples (others as fixed=)"
        expect(not holds and not dataclasses.is_dataclass(value), name, f"an object of {type(value).__name__}", known)
        return value
    array = np.array(as_array(name, value))
    if array.dtype.kind in "fc":
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
    expect(array.dtype in FLOATS or array.dtype.kind in "biuSUMm", name, str(array.dtype), KNOWN)
    expect_finite(name, array)
    return array


def expect_finite(name, array):
    if array.dtype.kind in "fc":
        bad = not_finite(array)
        expect(not bad, name, bad, "finite numbers")


def not_finite(array):
    """The first value that is not finite, and where it lies, as text; empty where all are finite."""
    places = np.argwhere(~np.isfinite(array)).tolist()
    return f"{array[tuple(places[0])]}" + (f" at {places[0]}" if places[0] else "") if places else ""


def real_view(array):
    """The array itself, or the real and imaginary parts of a complex one as a last axis of 2, in the same memory."""
    if array.dtype.kind != "c":
        return array
    parts = array.real
    shape, strides = (*array.shape, 2), (*array.strides, array.itemsize // 2)
    return np.lib.stride_tricks.as_strided(parts, shape, strides, writeable=array.flags.writeable)


def expect_something(arrays, nest):
    """Raises ValueError unless there is a number to differentiate with respect to; `nest` are the inputs by name."""
    came = {name: value for key, part in nest.items() for name, value in (leaves(part, key) or {key: part}).items()}
    text = ", ".join(f"'{name}' {described(value)}" for name, value in {**came, **arrays}.items())
    holds = any(array.size for array in arrays.values())
    expect(
        holds, "inputs", text, "a float32 or float64 array, or a complex one, among them and the parameters, not empty"
    )


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


def draw_on(generator):
    """Move a generator on by some draws; whether it is known how."""
    if hasattr(generator, "standard_normal"):
        generator.standard_normal(97)
    elif "torch" in sys.modules and isinstance(generator, sys.modules["torch"].Generator):
        sys.modules["torch"].randn(97, generator=generator, device=generator.device)
    else:
        return False
    return True
