"""What a target may be, inputs in nests, complex numbers, and gradients that never came."""

import collections
import dataclasses

import numpy as np
import pytest

from minivae.gradcheck import assert_gradients, check_gradients
from minivae.gradcheck.subject.trees import leaves

from .foreign_layers import Linear, Tanh, data

Affine = collections.namedtuple("Affine", "W b")
X = data(5, 4)


def value(p):
    return np.sum(np.tanh(X @ p["first"].W + p["first"].b) @ p["rest"][0]["W"])


def gradient(p, wrong=1.0):
    h = np.tanh(X @ p["first"].W + p["first"].b)
    dh = np.ones((5, 1)) @ p["rest"][0]["W"].T * (1 - h * h)
    return {"first": Affine(X.T @ dh, wrong * dh.sum(axis=0)), "rest": [{"W": h.T @ np.ones((5, 1))}, None]}


def nest():
    return {"first": Affine(data(4, 3), data(3)), "rest": [{"W": data(3, 1)}, None]}


def test_a_nest_of_arrays_and_its_gradient_in_the_same_nest_or_flat():
    names = ["p.first.W", "p.first.b", "p.rest.0.W"]
    for inputs in ((nest(),), [nest()], nest(), {"p": nest()}):
        report = assert_gradients(value, inputs, gradient=gradient)
        assert [array.name for array in report.arrays] == names
    report = check_gradients(value, (nest(),), gradient=lambda p: gradient(p, 2.0))
    assert [array.name for array in report.arrays if array.verdict == "wrong"] == ["p.first.b"]
    assert_gradients(value, (nest(),), gradient=lambda p: (*gradient(p)["first"], gradient(p)["rest"][0]["W"]))
    assert_gradients(value, (nest(),), gradient=lambda p: leaves(gradient(p)))
    report = check_gradients(value, (nest(),), gradient=lambda p: {"first": gradient(p)["first"]})
    assert [(kind, "of 'p.rest.0.W' came" in text) for kind, text in report.problems] == [("missing", True)]
    assert report["p.first.W"].verdict == "right"
    assert_gradients(value, (nest(),), gradient=lambda p: {"first": gradient(p)["first"]}, constant=("p.rest",))


def test_nested_parameters_and_fixed_values():
    class Layer:
        def __init__(self):
            self.weights = {"layers": [{"W": data(4, 3)}, {"W": data(3, 2)}]}

        def forward(self, x, noise):
            first, second = self.weights["layers"]
            self.x, self.h = x, np.tanh(x @ first["W"]) + noise["hidden"][0]
            return self.h @ second["W"]

        def backward(self, dy):
            first, second = self.weights["layers"]
            da = dy @ second["W"].T * (1 - np.tanh(self.x @ first["W"]) ** 2)
            self.slopes = {"layers": [{"W": self.x.T @ da}, {"W": self.h.T @ dy}]}
            return da @ first["W"].T

    layer, fixed = Layer(), {"noise": {"hidden": [data(5, 3)]}}
    given = {"parameters": layer.weights, "parameter_gradients": lambda: layer.slopes}
    report = assert_gradients(layer, X, fixed=fixed, **given)
    assert [array.name for array in report.arrays] == ["x", "layers.0.W", "layers.1.W"]


def test_a_mapping_of_parameters_beside_the_data_as_courses_have_it():
    def forward(X, parameters):
        hidden = np.tanh(X @ parameters["W1"])
        return hidden @ parameters["W2"], (X, hidden, parameters)

    def backward(dY, cache, wrong=1.0):
        X, hidden, parameters = cache
        dZ1 = (dY @ parameters["W2"].T) * (1 - hidden**2)
        return {"dZ1": dZ1, "dW1": wrong * (X.T @ dZ1), "dW2": hidden.T @ dY}

    inputs = {"X": X, "parameters": {"W1": data(4, 3), "W2": data(3, 2)}}
    report = assert_gradients((forward, backward), inputs, constant="X")
    assert [array.name for array in report.arrays] == ["parameters.W1", "parameters.W2"]
    assert "backward returned a gradient for 'dZ1', which is no input and no parameter" in report.notes
    assert "no gradient of 'X' came" in str(check_gradients((forward, backward), inputs))
    assert not check_gradients((forward, lambda dY, c: backward(dY, c, 2.0)), inputs, constant="X")


def test_a_list_of_numbers_is_a_point():
    def f(x):
        return x[0] * x[1] + x[-1] ** 2

    assert_gradients(f, [1.0, 2.0, 3.0], gradient=lambda x: [x[1], x[0], 2 * x[2]])
    assert_gradients(lambda x: x[0] ** 2, [2.0], gradient=lambda x: 2 * x)
    report = assert_gradients(lambda a, b: a * b, [2.0, 3.0], gradient=lambda a, b: (b, a))
    assert [array.name for array in report.arrays] == ["a", "b"]


def test_an_object_that_hides_arrays_is_refused_by_name():
    Pair = dataclasses.make_dataclass("Pair", ["W"])
    with pytest.raises(ValueError, match="input 'p': got 'an object of Pair', expected arrays, alone or in dicts"):
        check_gradients(lambda p: np.sum(p.W), (Pair(X),), gradient=lambda p: p)


class Sine:
    @staticmethod
    def forward(x, rate=1.0):
        return np.sin(x), (x,)

    @staticmethod
    def backward(dy, cache):
        return dy * np.cos(cache[0])


class Called:
    def __call__(self, x):
        self.x = x
        return np.sin(x)

    def backward(self, dy):
        return dy * np.cos(self.x)


class AsksForX:
    def fprop(self, x):
        return np.sin(x)

    def bprop(self, x, dy):
        return dy * np.cos(x)


class OneCache(Sine):
    @staticmethod
    def forward(x):
        return np.sin(x), np.cos(x)

    @staticmethod
    def backward(dy, cache):
        return dy * cache


@pytest.mark.parametrize(
    "target", [Sine, Sine(), Called(), AsksForX(), OneCache(), [OneCache.forward, OneCache.backward]]
)
def test_layers_are_taken_as_they_are_called(target):
    assert_gradients(target, X)


def test_a_class_is_no_layer():
    with pytest.raises(ValueError, match="target: got the class Tanh, expected an instance"):
        check_gradients(Tanh, X)


def product(x, b):
    return x * b, (x, b)


def test_a_gradient_that_never_came_is_a_failure_that_names_its_array():
    for backward in (
        lambda dy, c: (dy * c[1], None),
        lambda dy, c: {"x": dy * c[1]},
        lambda dy, c: {"dx": dy * c[1], "b": None},
    ):
        report = check_gradients((product, backward), (X, np.array(1.3)))
        assert [kind for kind, _ in report.problems] == ["missing"]
        assert "no gradient of 'b' came, and moving it moves the output" in str(report)
        assert report["x"].verdict == "right", "the others are compared"
        report = assert_gradients((product, backward), (X, np.array(1.3)), constant=("b",))
        assert [array.name for array in report.arrays] == ["x"]
    assert_gradients((product, lambda dy, c: dy * c[1]), X, fixed=[np.array(1.3)])
    assert_gradients((lambda x, b: (np.sin(x), x), lambda dy, x: (dy * np.cos(x), None)), (X, np.array(1.3)))
    assert_gradients(
        (lambda x, k: (x**k, (x, k)), lambda dy, c: (dy * c[1] * c[0] ** (c[1] - 1.0), None)), (1 + X**2, np.array(2))
    )

    def takes_one_label(x, k):
        assert k == 2
        return x * k, k

    report = check_gradients((takes_one_label, lambda dy, k: (dy * k, None)), (X, np.array(2.0)))
    assert "no gradient of 'k' came" in str(report), "it cannot be moved at all"


def test_names_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"constant: got 'c', expected names among \['x', 'b'\]"):
        check_gradients((product, lambda dy, c: (dy * c[1], None)), (X, np.array(1.3)), constant="c")


Z = data(4) + 1j * data(4, seed=2)


@pytest.mark.parametrize(("dtype", "real"), [("complex128", "float64"), ("complex64", "float32")])
def test_complex_arrays_by_the_convention_of_torch(dtype, real):
    z, x, w = Z.astype(dtype), data(4, dtype=real), (data(4, 3) + 1j * data(4, 3, seed=5)).astype(dtype)

    def forward(x, z, w):
        return (x * z) @ w, (x, z, w)

    def backward(dy, c, conjugate=np.conj):
        x, z, w = c
        dp = w.conj() @ dy
        return (conjugate(z) * dp).real, x * dp, np.outer((x * z).conj(), dy)

    report = assert_gradients((forward, backward), (x, z, w))
    assert [array.shape for array in report.arrays] == [(4,), (4, 2), (4, 3, 2)]
    assert (report.dtype, report.method) == (real, "differences")
    assert "dL/dRe + i dL/dIm" in report.notes[0]
    wrong = check_gradients((forward, lambda dy, c: backward(dy, c, lambda z: z)), (x, z, w))
    assert [array.name for array in wrong.arrays if array.verdict == "wrong"] == ["x"]


def test_complex_scalar_functions_outputs_and_parameters():
    assert_gradients(lambda z: np.sum(np.abs(z) ** 2), Z, gradient=lambda z: 2 * z)
    report = check_gradients(
        lambda z: np.sum(np.abs(z) ** 2 * z.real), Z, gradient=lambda z: 2 * z.conj() * z.real + np.abs(z) ** 2
    )
    assert "only the imaginary part is wrong (sign flipped): the conjugate?" in str(report)
    assert_gradients((lambda x: (np.fft.fft(x), None), lambda dy, _: (len(dy) * np.fft.ifft(dy)).real), data(8))
    layer = Linear()
    layer.W = layer.W[::2] * (1 + 2j)
    layer.backward = lambda dy: [setattr(layer, "dW", layer.x.T @ dy), (dy @ layer.W.conj().T).real][1]
    assert [array.name for array in assert_gradients(layer, data(5, 2)).arrays] == ["x", "W"]
    with pytest.raises(ValueError, match="method: got 'complex'"):
        check_gradients(lambda z: np.sum(np.abs(z) ** 2), Z, gradient=lambda z: 2 * z, method="complex")


@pytest.mark.parametrize("dtype", ["float16", "longdouble", "object"])
def test_dtypes_that_cannot_be_checked_are_named(dtype):
    for inputs in ((X, X.astype(dtype)), (X, {"b": X.astype(dtype)})):
        with pytest.raises(ValueError, match=r"input 'b.*': got '(float|longdouble|object).*', expected float32"):
            check_gradients((lambda a, b: (a, None), lambda dy, _: (dy, None)), inputs)
    layer = Linear()
    layer.W, layer.dW = layer.W.astype(dtype), layer.W
    if dtype != "object":
        with pytest.raises(ValueError, match=r"parameter 'W': got .*, expected a float32 or float64 array"):
            check_gradients(layer, X)


def test_arrays_of_the_other_byte_order():
    assert_gradients(lambda x: np.sum(x**2), X.astype(X.dtype.newbyteorder()), gradient=lambda x: 2 * x)
