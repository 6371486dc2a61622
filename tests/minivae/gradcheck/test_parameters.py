"""Parameters that are found by themselves, and what is said of arrays that are not."""

import numpy as np
import pytest

from minivae.gradcheck import assert_gradients, check_gradients

from .foreign_layers import Linear, data
from .layer_styles import STYLES, Dense


@pytest.mark.parametrize("kind", STYLES)
def test_every_style_is_found_and_its_wrong_weight_named(kind):
    layer, x = kind(), data(5, 4)
    report = assert_gradients(layer, x)
    assert tuple(array.name for array in report.arrays) == kind.names
    assert not report.notes
    wrong = check_gradients(kind(3.0), x)
    assert [array.name for array in wrong.arrays if array.verdict == "wrong"] == [kind.names[-2]], wrong
    assert not wrong.problems


def test_an_embedding_of_integers_alone():
    class Embedding:
        def forward(self, i):
            self.i, self.E = i, getattr(self, "E", data(9, 3))
            return self.E[i]

        def backward(self, dy):
            self.dE = np.zeros_like(self.E)
            np.add.at(self.dE, self.i, dy)

    assert [array.name for array in assert_gradients(Embedding(), np.array([1, 3, 3])).arrays] == ["E"]


def test_a_plain_number_is_a_parameter_where_it_has_a_gradient():
    class Leaky:
        slope, dt, t = 0.25, 0.1, 1.0  # a step beside a time is no gradient

        def __init__(self, wrong=1.0):
            self.wrong = wrong

        def forward(self, x):
            self.x = x
            return self.t * np.where(x > 0, x, self.slope * x)

        def backward(self, dy):
            self.dslope = float(self.wrong * np.sum(dy * np.minimum(self.x, 0)))
            return dy * np.where(self.x > 0, 1, self.slope)

    layer = Leaky()
    assert [array.name for array in assert_gradients(layer, data(5, 4)).arrays] == ["x", "slope"]
    assert repr(layer.slope) == "0.25"
    assert check_gradients(Leaky(2.0), data(5, 4))["slope"].verdict == "wrong"


class NoBias(Dense):
    def keep(self, dw, db):
        self.dW = dw


def test_an_array_that_matters_and_has_no_gradient_is_named():
    report = check_gradients(NoBias(), data(5, 4))
    assert [kind for kind, _ in report.problems] == ["missing"]
    assert "moving 'b' (3,) of NoBias moves the output" in str(report)
    assert "name it in parameters= and its gradient in parameter_gradients=, or in constant=" in str(report)
    assert report["W"].verdict == "right", "the others are compared"
    assert_gradients(NoBias(), data(5, 4), constant="b")
    assert_gradients(NoBias(), data(5, 4), parameters={}), "no others are looked for"
    layer = NoBias()
    report = check_gradients(layer, data(5, 4), parameters={"W": layer.W, "b": layer.b})
    assert "no gradient of 'b' came" in str(report)
    assert report["W"].verdict == "right"


def test_what_does_not_move_the_output_needs_no_gradient():
    class Scratch(Dense):
        def __init__(self):
            super().__init__()
            self.velocity, self.running_mean, self.rng = data(4, 3), data(3), np.random.default_rng(3)

        def forward(self, x):
            self.hidden = super().forward(x)
            return self.hidden - 0.1 * self.running_mean

    before = (layer := Scratch()).rng.bit_generator.state
    report = assert_gradients(layer, data(5, 4))
    assert not report.notes
    assert layer.rng.bit_generator.state == before


def test_what_a_declaration_leaves_out_is_a_note():
    layer = NoBias()
    layer.params, layer.grads = {"W": layer.W}, {}
    layer.keep = lambda dw, db: layer.grads.update(W=dw)
    report = assert_gradients(layer, data(5, 4))
    assert [array.name for array in report.arrays] == ["x", "W"]
    assert "moving 'b' (3,) moves the output, and is not among the parameters" in report.notes[0]


def test_what_a_pair_closes_over_is_a_note():
    layer = Dense()
    pair = (lambda x: (layer.forward(x), None), lambda dy, _: layer.backward(dy))
    assert "moving 'layer.W' (4, 3), 'layer.b' (3,)" in assert_gradients(pair, data(5, 4)).notes[0]
    assert [a.name for a in assert_gradients((layer.forward, layer.backward), data(5, 4)).arrays] == ["x", "W", "b"]
    scale = data(4)
    pair = (lambda x: (x * scale, None), lambda dy, _: (dy * scale, dy))
    report = check_gradients(pair, data(5, 4))
    assert "backward returned 2 gradients for 1 inputs ['x']: what else" in report.problems[0][1]
    assert "moving 'scale' (4,), which forward takes from around it" in report.notes[0]


@pytest.mark.parametrize("share", ["by use", "whole"])
@pytest.mark.parametrize("turned", [False, True])
def test_tied_weights_are_one_array(share, turned):
    class Tied:
        def __init__(self, wrong=1.0):
            self.W, self.wrong = data(4, 4) / 2, wrong
            self.parameters, self.gradients = {"encoder": self.W, "decoder": self.W.T if turned else self.W}, {}

        def forward(self, x):
            self.x, self.h = x, np.tanh(x @ self.W)
            return self.h @ self.parameters["decoder"]

        def backward(self, dy):
            decoder = self.wrong * (self.h.T @ dy)
            da = (dy @ self.parameters["decoder"].T) * (1 - self.h**2)
            encoder = self.x.T @ da
            if share == "whole":
                encoder = encoder + (decoder.T if turned else decoder)
                decoder = encoder.T if turned else encoder
            self.gradients = {"encoder": encoder, "decoder": decoder}
            return da @ self.W.T

    report = assert_gradients(Tied(), data(5, 4))
    assert "'encoder' and 'decoder' are one array (tied weights)" in report.notes[0]
    assert not check_gradients(Tied(1.1), data(5, 4))


def test_a_parameter_that_forward_or_backward_exchanges_is_told_of_and_put_back():
    class Steps(Dense):
        def backward(self, dy):
            dx = super().backward(dy)
            self.W = self.W - 0.1 * self.dW
            return dx

    layer = Steps()
    kept = layer.W
    report = check_gradients(layer, data(5, 4))
    assert report.problems == [("state", report.problems[0][1])]
    assert "backward replaced parameter 'W' by another array" in report.problems[0][1]
    assert report["W"].verdict == report["x"].verdict == "right"
    assert layer.W is kept

    class Clips(Dense):
        def forward(self, x):
            self.W = np.clip(self.W, -1, 1)
            return super().forward(x)

    assert "forward replaced parameter 'W'" in str(check_gradients(Clips(), data(5, 4)))


class Plain:
    """Weights in plain lists; `step` says how backward changes them, as only an optimizer may."""

    def __init__(self, factor=1.0, step=""):
        self.w, self.b, self.factor, self.step = [[0.5, -1.0], [2.0, 0.1], [0.3, 0.2]], [0.1, 0.3], factor, step
        self.scale = np.full(2, 2.0)

    def forward(self, x):
        self.x = x
        return (x @ np.array(self.w) + np.array(self.b)) * self.scale

    def backward(self, dy):
        dy = dy * self.scale
        self.dw, self.db = (self.factor * self.x.T @ dy).tolist(), dy.sum(axis=0).tolist()
        if self.step == "in place":
            self.scale -= 0.1
        elif self.step:
            self.scale = self.scale - 0.1
        return dy @ np.array(self.w).T


def test_weights_in_plain_lists():
    layer = Plain()
    kept, values = layer.w, str(layer.w)
    report = assert_gradients(layer, data(5, 3), constant="scale")
    assert [array.name for array in report.arrays] == ["x", "w", "b"]
    assert layer.w is kept
    assert str(layer.w) == values
    assert check_gradients(Plain(2.0), data(5, 3), constant="scale")["w"].diagnosis.startswith("twice")


@pytest.mark.parametrize("step", ["in place", "for another array"])
def test_backward_that_changes_weights_without_a_gradient(step):
    layer = Plain(step=step)
    kept = layer.scale
    report = check_gradients(layer, data(5, 3), constant="scale")
    assert [kind for kind, _ in report.problems] == ["state"]
    assert f"backward changed 'scale' {step}, and moving it moves the output" in str(report)
    assert all(array.verdict == "right" for array in report.arrays)
    assert layer.scale is kept
    assert layer.scale.tolist() == [2, 2]


def test_backward_that_overwrites_what_forward_returned():
    class Overwrites(Linear):
        def forward(self, x):
            self.y = super().forward(x)
            return self.y

        def backward(self, dy):
            self.y *= 0
            return super().backward(dy)

    report = assert_gradients(Overwrites(), data(5, 4))
    assert any("backward writes to what forward had returned" in note for note in report.notes)
