"""Backward must be linear in dy: planted bugs of every kind, right only for a dy of usual size, and what is said."""

import numpy as np
import pytest

from minivae.gradcheck import assert_gradients, check_gradients

from .foreign_layers import Linear, Tanh, data


class Sine:
    """sin(x); `spoil` changes dy, or, with `after`, the gradient."""

    def __init__(self, spoil=lambda g, layer: g, after=True):
        self.spoil, self.after = spoil, after

    def forward(self, x):
        self.x = x
        return np.sin(x)

    def backward(self, dy):
        if self.after:
            return self.spoil(dy * np.cos(self.x), self)
        return self.spoil(dy, self) * np.cos(self.x)


def first_kept(dy, layer):
    layer.kept = getattr(layer, "kept", dy)
    return layer.kept


def cut_to_100(g, layer):
    return g * min(1.0, 100.0 / max(np.linalg.norm(g), 1e-300))


FAULTS = {
    "drops small dy": (Sine(lambda g, _: np.where(abs(g) < 1e-3, 0, g), after=False), "none below about"),
    "drops tiny gradients": (Sine(lambda g, _: np.where(abs(g) < 1e-12, 0, g)), "none below about 9e-13"),
    "rounds": (Sine(lambda g, _: np.round(g, 9)), "rounded to multiples of 1e-09"),
    "adds to a divisor": (Sine(lambda g, _: g * abs(g) / (abs(g) + 1e-10)), "not in proportion where dy is small"),
    "clips": (Sine(lambda g, _: np.clip(g, -5, 5)), "its values are clipped at 5"),
    "clips above": (Sine(lambda g, _: np.minimum(g, 7)), "clipped at 7 on one side"),
    "clips dy": (Sine(lambda g, _: np.clip(g, -5, 5), after=False), "something within is clipped"),
    "clips the norm": (Sine(cut_to_100), "cut to the norm of 100"),
    "ones": (Sine(lambda g, _: np.ones_like(g), after=False), "dy is ignored: these are the right values for dy = 1"),
    "first dy": (Sine(first_kept, after=False), "the same values come for every dy: it is that of an earlier call"),
    "random": (Sine(lambda g, _: data(*g.shape)), "dy is ignored: the same values come for every dy"),
    "cube of dy": (Sine(lambda g, _: g - g**3, after=False), "it grows faster than dy where that is"),
    "square": (Sine(lambda g, _: g * abs(g)), "grows with dy to the power of 2"),
    "absolute": (Sine(lambda g, _: abs(g)), "its sign does not change with that of dy"),
    "sign of the sum": (Sine(lambda g, _: g * np.sign(g.sum())), "its sign does not change"),
    "one way": (Sine(lambda g, _: np.maximum(g, 0)), "that of -dy is not minus that of dy"),
    "adds x": (Sine(lambda g, layer: g + 1e-3 * layer.x), "0.001 * x is added whatever dy is: weight decay?"),
    "adds": (Sine(lambda g, _: g + 1e-3 * np.arange(g.size).reshape(g.shape)), "is added whatever dy is"),
    "sign of dy": (Sine(lambda g, _: np.sign(g), after=False), "the same for dy of any size: its sign alone"),
    "sign": (Sine(lambda g, _: np.sign(g)), "the same for dy of any size: its sign alone"),
    "drops what is large": (Sine(lambda g, _: g * (abs(g).max() < 1e6)), "it is zero where dy is large"),
    "zeros": (Sine(lambda g, _: g * (1.0 + 0.1 * np.any(g == 0)), after=False), "do not add up"),
    "not a number": (
        Sine(lambda g, _: g / np.linalg.norm(g) * np.linalg.norm(g)),
        "with dy = 0 gradient of 'x' is nan",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_not_linear_in_dy_is_named(name):
    layer, phrase = FAULTS[name]
    report = check_gradients(layer, 0.9 * data(3, 4))
    assert [kind for kind, _ in report.problems] == ["linear"], report
    assert phrase in report.problems[0][1]


def test_a_loss_whose_backward_ignores_the_gradient_of_the_loss():
    """It is right where nothing comes after the loss: all values are wrong by the dy that was drawn."""

    class Loss:
        def forward(self, z, t):
            self.p, self.t = 1 / (1 + np.exp(-z)), t
            return np.mean(np.logaddexp(0, z) - t * z)

        def backward(self, dout=1):
            return (self.p - self.t) / self.p.size

    z, fixed = data(6, 5), {"t": 1.0 * (data(6, 5, seed=2) > 0)}
    report = check_gradients(Loss(), z, fixed=fixed)
    assert [kind for kind, _ in report.problems] == ["linear"]
    assert report["z"].diagnosis == "dy is ignored: these are the right values for dy = 1"
    report = assert_gradients(Loss(), z, fixed=fixed, cotangent=np.ones(()))
    assert "dy is ignored in the gradient of 'z'" in str(report), "the caller has said which dy is meant"


class TwoOutputs:
    def __init__(self, first=lambda dy: dy, second=lambda dy: dy):
        self.first, self.second = first, second

    def forward(self, x):
        self.x = x
        return np.sin(x), np.sum(x**2)

    def backward(self, dy, dl):
        return self.first(dy) * np.cos(self.x) + self.second(dl) * 2 * self.x


def test_of_several_outputs_the_one_is_named_whose_dy_is_ignored():
    assert_gradients(TwoOutputs(), data(5))
    report = check_gradients(TwoOutputs(second=lambda dl: 0.0), data(5))
    assert report["x"].diagnosis == "dy 1 is ignored: nothing comes back from output 1; the rest is right"
    report = check_gradients(TwoOutputs(second=lambda dl: 1.0), data(5))
    assert report["x"].diagnosis == "dy 1 is ignored and taken for 1"
    assert report.problems[0][0] == "linear"


def test_a_norm_over_all_gradients():
    class Clipped(Linear):
        def backward(self, dy):
            dx = super().backward(dy)
            factor = min(1.0, 50.0 / np.sqrt((dx**2).sum() + (self.dW**2).sum() + 1e-300))
            self.dW *= factor
            return dx * factor

    layer = Clipped()
    report = check_gradients(layer, data(5, 4), parameters={"W": layer.W}, parameter_gradients=lambda: {"W": layer.dW})
    assert "'x', 'W': it is cut to a joint norm of 50" in report.problems[0][1], report


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e12, 1e30])
def test_float32_of_any_size_is_linear_as_far_as_it_reaches(size):
    layer = Linear(dtype="float32")
    layer.W *= np.float32(size)
    given = {"parameters": {"W": layer.W}, "parameter_gradients": lambda: {"W": layer.dW}}
    report = check_gradients(layer, data(5, 4, dtype="float32"), **given)
    assert "linear" not in dict(report.problems), report
    assert not check_gradients(Sine(lambda g, _: np.where(abs(g) < 1e-9, 0, g)), data(5, 4, dtype="float32"))


def test_what_takes_no_dy_is_not_asked():
    class Loss(Tanh):
        def forward(self, x):
            return np.sum(super().forward(x))

        def backward(self):
            return 1 - self.y**2

    assert_gradients(Loss(), data(5))
