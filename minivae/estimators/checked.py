"""What an estimator is handed, checked before it is used."""

import functools

import numpy as np

from ..errors import LARGEST, as_array, expect, expect_integer, expect_number


class Checked:
    """f with its values (samples,) and its derivative, of z's shape, as float64; ValueError unless all are finite."""

    def __init__(self, f):
        self.f = f

    def __call__(self, z):
        expect(callable(self.f), "f", self.f, "a function")
        return numbers("f", self.f(z), np.shape(z)[:1], f"a value for each of {len(z)} draws")

    def derivative(self, z):
        expect(hasattr(self.f, "derivative"), "f", self.f, "a function with a derivative")
        return numbers("f.derivative", self.f.derivative(z), np.shape(z), f"an array of z's shape, {np.shape(z)}")


def numbers(name, value, shape, text):
    array = as_array(name, value)
    expect(array.shape == shape, name, array, text)
    expect(array.dtype.kind in "biuf" and np.isfinite(array).all(), name, "values that are not finite numbers", text)
    return array.astype(float)


def constant(name, value, q):
    """A number, or one for each of q's parameters, as float64."""
    array, text = as_array(name, value), f"a finite number, or one for each of {len(q.names)} parameters"
    fits = array.dtype.kind in "iuf" and array.shape in ((), (len(q.names),)) and np.isfinite(array).all()
    expect(fits, name, value, text)
    return array.astype(float)


def expect_temperature(value):
    expect_number("temperature", value, lambda t: 1e-100 <= t <= LARGEST, "a finite number of at least 1e-100")


def expect_score(q):
    expect(hasattr(q, "score"), "q", q, "a distribution with a score")


def estimator(function):
    """The function with f, rng and samples checked; see the package's docstring for what they are."""

    @functools.wraps(function)
    def estimate(f, q, rng, samples, *arguments, **options):
        expect(isinstance(rng, np.random.Generator), "rng", rng, "a numpy.random.Generator")
        return function(Checked(f), q, rng, expect_integer("samples", samples, 1), *arguments, **options)

    return estimate
