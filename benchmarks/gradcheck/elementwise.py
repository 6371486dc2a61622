"""Activations, each a value and its derivative; the wrong derivatives are those found in public code."""

import math

import numpy as np

from .registry import register, sigmoid

INNER = math.sqrt(2 / math.pi)
REGION = r"region|scale|larger|other (values|inputs|points)|elsewhere|times|beyond"  # right where the data lie


def erf(x):
    return np.vectorize(math.erf, otypes=[np.float64])(x).astype(x.dtype)


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(INNER * (x + 0.044715 * x**3)))


def gelu_tanh_slope(x, power=3, share=1.0):
    t = np.tanh(INNER * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + share * 0.5 * x * (1 - t * t) * INNER * (1 + power * 0.044715 * x**2)


def gelu_erf_slope(x):
    return 0.5 * (1 + erf(x / math.sqrt(2))) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def swish_slope(x):
    s = sigmoid(x)
    return s + x * s * (1 - s)


# name: (value, derivative, {bug: (wrong derivative, what must be said)})
ACTIVATIONS = {
    "relu": (
        lambda x: np.maximum(x, 0),
        lambda x: x > 0,
        {
            "bent_elsewhere": (lambda x: x > -0.5, r"\bx\b"),
            "backward_of_leaky": (lambda x: np.where(x > 0, 1, x.dtype.type(0.01)), r"\bx\b"),
            "no_mask": (np.ones_like, r"\bx\b"),
            "clipped_at_3": (lambda x: (x > 0) & (x < 3), REGION),
        },
    ),
    "leaky_relu": (
        lambda x: np.where(x > 0, x, 0.01 * x),
        lambda x: np.where(x > 0, 1, x.dtype.type(0.01)),
        {
            "slope_forgotten": (lambda x: x > 0, r"\bx\b"),
            "other_slope": (lambda x: np.where(x > 0, 1, 0.1), r"\bx\b"),
        },
    ),
    "gelu_tanh": (
        gelu_tanh,
        gelu_tanh_slope,
        {
            "cubic_factor": (lambda x: gelu_tanh_slope(x, power=2), r"\bx\b"),
            "inner_forgotten": (lambda x: gelu_tanh_slope(x, share=0.0), r"\bx\b"),
            "derivative_of_erf_form": (gelu_erf_slope, r"\bx\b"),
            "inner_99_percent": (lambda x: gelu_tanh_slope(x, share=0.99), r"\bx\b"),
        },
    ),
    "gelu_erf": (
        lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))),
        gelu_erf_slope,
        {"derivative_of_tanh_form": (gelu_tanh_slope, r"\bx\b")},
    ),
    "softplus": (
        lambda x: np.logaddexp(0, x),
        sigmoid,
        {
            "one_beyond_3": (lambda x: np.where(x > 3, 1.0, sigmoid(x)), REGION),
            "one_beyond_1": (lambda x: np.where(x > 1, 1.0, sigmoid(x)), r"\bx\b"),
            "zero_below_minus_2": (lambda x: np.where(x < -2, 0.0, sigmoid(x)), r"\bx\b"),
        },
    ),
    "swish": (
        lambda x: x * sigmoid(x),
        swish_slope,
        {
            "gate_only": (sigmoid, r"\bx\b"),
            "gate_not_squared": (lambda x: sigmoid(x) * (1 + x), r"\bx\b"),
        },
    ),
    "elu": (
        lambda x: np.where(x > 0, x, 1.5 * np.expm1(np.minimum(x, 0))),
        lambda x: np.where(x > 0, 1, 1.5 * np.exp(np.minimum(x, 0))),
        {
            "value_for_slope": (lambda x: np.where(x > 0, 1, 1.5 * np.expm1(np.minimum(x, 0))), r"\bx\b"),
            "alpha_forgotten": (lambda x: np.where(x > 0, 1, np.exp(np.minimum(x, 0))), r"\bx\b"),
            "zero_below_minus_4": (lambda x: np.where(x > 0, 1, 1.5 * np.exp(np.minimum(x, 0)) * (x > -4)), REGION),
        },
    ),
    "hard_sigmoid": (
        lambda x: np.clip(x / 6 + 0.5, 0, 1),
        lambda x: (np.abs(x) < 3) / x.dtype.type(6),
        {
            "other_slope": (lambda x: 0.2 * (np.abs(x) < 3), r"factor 1\.2"),
            "not_cut": (lambda x: np.full_like(x, 1 / 6), REGION),
        },
    ),
    "tanh": (
        np.tanh,
        lambda x: 1 - np.tanh(x) ** 2,
        {
            "input_for_output": (lambda x: 1 - x**2, r"\bx\b"),
            "not_squared": (lambda x: 1 - np.tanh(x), r"\bx\b"),
            "saturates_at_4": (lambda x: (1 - np.tanh(x) ** 2) * (np.abs(x) < 4), REGION),
        },
    ),
    "sigmoid": (
        sigmoid,
        lambda x: sigmoid(x) * (1 - sigmoid(x)),
        {
            "input_for_output": (lambda x: x * (1 - x), r"\bx\b"),
            "applied_twice": (lambda x: sigmoid(sigmoid(x)) * (1 - sigmoid(sigmoid(x))), r"\bx\b"),
            "sign": (lambda x: sigmoid(x) * (sigmoid(x) - 1), "sign"),
        },
    ),
    "exponential": (
        np.exp,
        np.exp,
        {
            "clipped_at_5": (lambda x: np.exp(np.minimum(x, 5)), REGION),
            "one_part_in_a_million": (lambda x: np.exp(x) * (1 + 1e-6), r"factor.* (1\.000001|1 \+ 1e-0?6)"),
        },
    ),
    "sine": (
        np.sin,
        np.cos,
        {"sign": (lambda x: -np.cos(x), "sign"), "zero": (lambda x: 0 * x, "zero")},
    ),
}


def activation(value, slope, bugs):
    def build(data, bug):
        derivative = bugs[bug][0] if bug else slope

        def forward(x):
            return value(x), x

        def backward(dy, x):
            return dy * derivative(x)

        return (forward, backward), np.clip(data.normal(5, 6), -2.9, 2.9)

    return build


for name, (value, slope, bugs) in ACTIVATIONS.items():
    register(name, activation(value, slope, bugs), {bug: says for bug, (_, says) in bugs.items()})
