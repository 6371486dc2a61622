"""Central differences in float64 over every coordinate: the plain check that the layers' own tests use."""

import numpy as np

STEP = 1e-5


def numeric_gradient(function, array):
    """The gradient of function() with respect to `array`; two steps and one extrapolation, error O(step^4)."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        slopes = []
        for step in (STEP, 2 * STEP):
            array[index] = kept + step
            above = function()
            array[index] = kept - step
            slopes.append((above - function()) / (2 * step))
        array[index] = kept
        gradient[index] = (4 * slopes[0] - slopes[1]) / 3
    return gradient


def relative_error(got, expected):
    """The largest error over the largest value: 0 for equal arrays."""
    return np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-300)


def assert_gradient(function, array, gradient, name, tolerance=1e-7):
    error = relative_error(gradient, numeric_gradient(function, array))
    assert error <= tolerance, f"{name}: relative error {error:.2e}"
