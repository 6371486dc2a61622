"""The report's first guess: for each kind of mistake the phrase that names it, and no such phrase for another."""

import re

import numpy as np
import pytest

from minivae.gradcheck import assert_gradients, check_gradients

from .foreign_layers import Linear, data


class Dense:
    """tanh(x @ weight + bias) whose gradients pass through `spoil`, a function of the dict of gradients."""

    def __init__(self, inputs=8, outputs=6, spoil=lambda g, layer: None):
        self.parameters = {"weight": data(inputs, outputs) / 3, "bias": data(outputs, seed=2)}
        self.gradients, self.spoil = {}, spoil

    def forward(self, x):
        self.x = x
        self.y = np.tanh(x @ self.parameters["weight"] + self.parameters["bias"])
        return self.y

    def backward(self, dy):
        da = dy * (1 - self.y**2)
        g = {"x": da @ self.parameters["weight"].T, "weight": self.x.T @ da, "bias": da.sum(axis=0)}
        self.spoil(g, self)
        self.gradients = g
        return g["x"]


def edit(name, change):
    """A `spoil` that changes one gradient."""

    def spoil(g, layer):
        g[name] = np.array(change(g[name], layer))

    return spoil


def without(index):
    def change(g, _):
        g = g.copy()
        g[index] = 0
        return g

    return change


# phrase: the array that is wrong, and change(its gradient, layer)
PATTERNS = {
    "sign flipped": ("weight", lambda g, _: -g),
    "twice the right values": ("bias", lambda g, _: 2 * g),
    "constant factor 5 (the length of axis 0 of 'x' is 5": ("weight", lambda g, _: 5 * g),
    "constant factor 0.2 = 1/5 (the length of axis 0 of 'x' is 5": ("bias", lambda g, _: g / 5),
    "a half too many": ("x", lambda g, _: g / 2),
    "constant factor 1.001": ("x", lambda g, _: 1.001 * g),
    "zero: no gradient arrives here": ("weight", lambda g, _: 0 * g),
    "transposed: the values of the transpose in this shape": ("weight", lambda g, _: g.T.copy().reshape(g.shape)),
    "shifted by one along axis 1": ("weight", lambda g, _: np.roll(g, 1, axis=1)),
    "reversed along axis 0": ("x", lambda g, _: g[::-1]),
    "the two halves of axis 0 exchanged": ("bias", lambda g, _: np.roll(g, 3)),
    "only index 7 of axis 0, the last (zero": ("weight", without(np.s_[7])),
    "only index 0 of axis 1, the first (zero": ("weight", without(np.s_[:, 0])),
    "only the last 3 of axis 0 (from 5 on): the last tile? (zero": ("weight", without(np.s_[5:])),
    "one coordinate only": ("weight", without(np.s_[3, 4])),
    "only 4 of the 8 indices of axis 0: 0, 2, 4, 6 (zero": ("weight", without(np.s_[::2])),
    "off by the constant 0.25": ("bias", lambda g, _: g + 0.25),
    "the error is 0.01 * weight": ("weight", lambda g, layer: g + 0.01 * layer.parameters["weight"]),
    "the factor weight does not belong here": ("weight", lambda g, layer: g * layer.parameters["weight"]),
    "the factor weight is missing (besides a constant 3)": ("weight", lambda g, own: 3 * g / own.parameters["weight"]),
    "one factor for each index of axis 0: 1, 2, 3, 4, 5": ("x", lambda g, _: g * np.arange(1, 6)[:, None]),
    "the rounding of float32": ("x", lambda g, _: g * (1 + 5e-8 * data(*g.shape, seed=3))),
    "the right values in the wrong places": ("weight", lambda g, _: np.random.default_rng(0).permuted(g)),
    "no simple pattern": ("x", lambda g, _: g + np.abs(g) * data(*g.shape)),
}


def test_the_layer_itself_is_right():
    assert_gradients(Dense(), data(5, 8))


@pytest.mark.parametrize("phrase", PATTERNS)
def test_pattern_is_named(phrase):
    name, change = PATTERNS[phrase]
    report = check_gradients(Dense(spoil=edit(name, change)), data(5, 8))
    assert phrase in report[name].diagnosis, report
    assert all(array.verdict == "right" for array in report.arrays if array.name != name)


def test_transposed_square():
    report = check_gradients(Dense(6, 6, edit("weight", lambda g, _: g.T)), data(5, 6))
    assert report["weight"].diagnosis == "transposed"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_factor_beside_kinks_is_a_factor_and_no_stale_input(dtype):
    """Some slopes of these biases are measured far better than others, and they hang on x by the mask alone."""

    class Relus:
        def __init__(self):
            rng = np.random.default_rng(0)
            self.W, self.b = (rng.standard_normal((4, 64)) / 2).astype(dtype), np.zeros(64, dtype)
            self.V = (rng.standard_normal((64, 3)) / 8).astype(dtype)

        def forward(self, x):
            self.x, self.h = x, np.maximum(x @ self.W + self.b, 0)
            return self.h @ self.V

        def backward(self, dy):
            dh = dy @ self.V.T * (self.h > 0)
            self.dW, self.dV = self.x.T @ dh, self.h.T @ dy
            self.db = dh.sum(axis=0) * np.array(1.002, dtype)
            return dh @ self.W.T

    report = check_gradients(Relus(), np.random.default_rng(0).standard_normal((5, 4)).astype(dtype))
    assert [a.name for a in report.arrays if a.verdict == "wrong"] == ["b"]
    assert "of the first call" not in str(report), report
    assert dtype == "float32" or "constant factor 1.002" in str(report), report


def test_exchanged_arrays():
    class Product:
        def forward(self, a, b):
            self.a, self.b = a, b
            return a * b * b

        def backward(self, dy):
            return 2 * dy * self.a * self.b, dy * self.b**2

    report = check_gradients(Product(), (data(4, 3), data(4, 3, seed=2)))
    assert "belong to 'b': exchanged?" in report["a"].diagnosis


@pytest.mark.parametrize("frozen", ["fixed", "generator"])
def test_another_draw_in_backward(frozen):
    class Sampler:
        rng = np.random.default_rng(0)

        def forward(self, mu, rho, noise=None):
            noise = self.rng.standard_normal(mu.shape) if noise is None else noise
            self.sigma, self.noise = np.exp(rho), np.random.default_rng(9).standard_normal(mu.shape)
            return mu + self.sigma * noise

        def backward(self, dz):
            return dz, dz * self.noise * self.sigma

    layer, inputs = Sampler(), {"mu": data(8, 3), "rho": data(8, 3, seed=3)}
    frozen = {"fixed": {"noise": data(8, 3, seed=4)}} if frozen == "fixed" else {"generator": layer.rng}
    report = check_gradients(layer, inputs, **frozen)
    assert "another draw" in report["rho"].diagnosis
    assert report["mu"].verdict == "right"


def test_a_model_says_where_the_error_enters():
    from minivae import VAE

    class Wrong(VAE):
        def pass_up(self):
            dz = self.decoder.backward(self.likelihood.backward())
            n = len(dz)
            dhead = np.zeros((n, 2 * self.latent), self.dtype)
            dmu, drho = dhead[:, : self.latent], dhead[:, self.latent :]
            self.sampler.backward(dz, dmu, drho)
            drho *= -1
            self.kl.backward(self._kl_weight, dmu, drho)
            self.encoder.backward(self.posterior.backward(dhead), input_gradient=False)

    model = Wrong(5, 2, (4,), "tanh", dtype="float64", backend="numpy")
    report = check_gradients(model, np.abs(data(3, 5)) % 1, fixed={"noise": data(3, 2)})
    text = str(report)
    assert "from 'decoder.0.weight' to the loss everything is right" in text
    assert "between 'posterior.bias' and there" in text


def test_a_network_says_between_which_parts_the_error_enters():
    class Passing:
        def forward(self, x):
            self.positive = x > 0
            return x * self.positive

        def backward(self, dy):
            return dy

    class Network:
        def __init__(self):
            self.layers = [Linear(), Passing(), Linear(3, 2)]

        def forward(self, x):
            for layer in self.layers:
                x = layer.forward(x)
            return x

        def backward(self, dy):
            for layer in reversed(self.layers):
                dy = layer.backward(dy)
            return dy

    network = Network()
    report = check_gradients(network, data(5, 4))
    assert report["layers.2.W"].verdict == "right"
    assert "the error arises in 'layers.0' or between the two" in str(report)
    network.layers[1].backward = lambda dy: dy * network.layers[1].positive
    network.layers[0].backward = lambda dy: Linear.backward(network.layers[0], dy) * 2
    report = check_gradients(network, data(5, 4))
    assert report["x"].verdict == "wrong"
    assert "arises in" not in str(report), "the parameters are all right"


def test_lists_that_cannot_be_paired():
    class Short:
        def __init__(self):
            self.params, self.grads = [data(4, 3), data(3)], []

        def forward(self, x):
            self.x = x
            return x @ self.params[0] + self.params[1]

        def backward(self, dy):
            self.grads = [self.x.T @ dy]
            return dy @ self.params[0].T

    assert "'params' has 2 entries and 'grads' 1: they cannot be paired" in str(check_gradients(Short(), data(5, 4)))


def test_text_of_a_failure():
    """What pytest shows: the array first, the guess, the worst coordinate with both values, then what is right."""
    with pytest.raises(AssertionError) as caught:
        assert_gradients(Dense(spoil=edit(*PATTERNS["sign flipped"])), data(5, 8), name="my layer")
    lines = str(caught.value).splitlines()
    assert lines[0] == "gradient check failed: my layer (float64, differences)"
    assert lines[1] == "  weight (8, 6)  WRONG at 48 of 48 coordinates looked at: sign flipped"
    assert re.match(r"    worst at \[.*: backward gives .*, differences give .*; error .*, tolerance ", lines[2])
    assert lines[3].startswith("  x (5, 8)       40 of 40 coordinates, error ")
    assert lines[4].startswith("  bias (6,)      6 of 6 coordinates, error ")
    assert len(lines) == 5
