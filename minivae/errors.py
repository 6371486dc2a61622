"""Checks of arguments, each with one message form: the argument, what came, what was expected."""

import math


class TrainingDiverged(ArithmeticError):
    """The loss became infinite or NaN. The model holds the parameters of the last epoch that ended well."""


def expect(condition, name, got, expected):
    """Raises ValueError("name: got ..., expected ...") unless the condition holds."""
    if not condition:
        raise ValueError(f"{name}: got {got!r}, expected {expected}")


def expect_choice(name, got, choices):
    expect(got in choices, name, got, "one of " + ", ".join(map(repr, choices)))


def expect_integer(name, got, minimum):
    whole = isinstance(got, int) and not isinstance(got, bool)
    expect(whole and got >= minimum, name, got, f"a whole number of at least {minimum}")


def expect_seed(seed):
    whole = isinstance(seed, int) and not isinstance(seed, bool)
    expect(whole and 0 <= seed < 2**64, "seed", seed, "a whole number from 0 to 2^64 - 1")


def expect_positive(name, got):
    number = isinstance(got, (int, float)) and not isinstance(got, bool)
    expect(number and 0 < got < math.inf, name, got, "a finite number above 0")


def expect_fraction(name, got):
    number = isinstance(got, (int, float)) and not isinstance(got, bool)
    expect(number and 0 <= got < 1, name, got, "a number in [0, 1)")


def expect_array(name, array, shape, dtype):
    """Raises ValueError unless the array has this dtype and shape; None in `shape` matches any length of at least 1."""
    got = getattr(array, "shape", None)
    fits = got is not None and len(got) == len(shape)
    fits = fits and all(g == s if s is not None else g >= 1 for g, s in zip(got, shape, strict=True))
    if not fits or array.dtype != dtype:
        wanted = ", ".join("any" if s is None else str(s) for s in shape)
        came = type(array).__name__ if got is None else f"{array.dtype} of shape {tuple(got)}"
        raise ValueError(f"{name}: got {came}, expected {dtype} of shape ({wanted})")
