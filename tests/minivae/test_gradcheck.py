"""The gradient checker: what it accepts, what it finds, what it says."""

import numpy as np
import pytest

from minivae.gradcheck import assert_gradients, check_gradients


class Linear:
    """A layer that is not minivae's: attributes W and dW, backward returns dx."""

    def __init__(self, inputs=4, outputs=3, dtype="float64", seed=0):
        self.W = np.random.default_rng(seed).standard_normal((inputs, outputs)).astype(dtype)
        self.dW = None

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dy):
        self.dW = self.x.T @ dy
        return dy @ self.W.T


class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy):
        return dy * (1 - self.y**2)


def data(*shape, seed=1, dtype="float64"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


SMOOTH = {
    "exp of sine": (lambda x: np.sum(np.exp(np.sin(3 * x))), lambda x: 3 * np.cos(3 * x) * np.exp(np.sin(3 * x))),
    "rational": (lambda x: np.sum(x / (1 + x * x)), lambda x: (1 - x * x) / (1 + x * x) ** 2),
    "logistic": (lambda x: np.sum(np.log(1 + np.exp(x))), lambda x: 1 / (1 + np.exp(-x))),
    "product": (lambda x: np.prod(1 + x * x), lambda x: 2 * x / (1 + x * x) * np.prod(1 + x * x)),
    "far from one": (lambda x: 1e8 * np.sum(np.sqrt(4e6 + 1e3 * x)), lambda x: 5e10 / np.sqrt(4e6 + 1e3 * x)),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_functions_to_1e_9_by_differences_and_1e_13_by_complex_step(name):
    value, gradient = SMOOTH[name]
    x = data(9)
    report = assert_gradients(value, x, gradient=gradient, method="differences")
    assert report.method == "differences"
    assert report.relative_error < 1e-9
    report = assert_gradients(value, x, gradient=gradient)
    assert report.method == "differences and complex step"
    assert report.relative_error < 1e-13


@pytest.mark.parametrize("off", [1 + 1e-7, 1 - 1e-7, 1.0005, -1.0])
def test_a_ten_millionth_too_much_is_seen(off):
    value, gradient = SMOOTH["exp of sine"]
    assert not check_gradients(value, data(9), gradient=lambda x: off * gradient(x))


def test_gradient_as_arrays_and_two_inputs_by_position_and_by_name():
    a, b = data(3), data(3, seed=2)
    assert_gradients(lambda a, b: np.sum(a * b), (a, b), gradient=(b, a))
    report = assert_gradients(
        lambda a, b: np.sum(a * b * b), {"b": b, "a": a}, gradient=lambda a, b: (2 * a * b, b * b)
    )
    assert [array.name for array in report.arrays] == ["b", "a"]
    assert not check_gradients(lambda a, b: np.sum(a * b), (a, b), gradient=(a, b))


def test_layer_with_parameters_of_its_own_kind():
    layer = Linear()
    report = assert_gradients(layer, data(5, 4), parameters={"W": layer.W}, parameter_gradients=lambda: {"W": layer.dW})
    assert [(array.name, len(array.coordinates)) for array in report.arrays] == [("x", 20), ("W", 12)]


def test_pair_of_functions_that_hand_a_cache_along():
    def forward(x, w, b):
        return np.maximum(0, x @ w + b), (x, w, x @ w + b)

    def backward(dy, cache):
        x, w, a = cache
        da = dy * (a > 0)
        return da @ w.T, x.T @ da, da.sum(0)

    report = assert_gradients((forward, backward), (data(5, 4), data(4, 3), data(3)))
    assert [array.name for array in report.arrays] == ["x", "w", "b"]
    assert not check_gradients((forward, lambda dy, cache: backward(2 * dy, cache)), (data(5, 4), data(4, 3), data(3)))


def test_several_outputs_get_a_cotangent_each():
    class Split:
        def forward(self, x):
            self.x = x
            return np.exp(x), x.sum(axis=1)

        def backward(self, dexp, dsum):
            return dexp * np.exp(self.x) + dsum[:, None]

    assert_gradients(Split(), data(3, 4))


def test_the_cotangent_is_not_all_ones():
    """A backward that is right for a sum of outputs only."""

    class Softmax:
        def forward(self, x):
            self.y = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
            return self.y

        def backward(self, dy):
            return dy * 0

    assert not check_gradients(Softmax(), data(3, 4))
    assert check_gradients(Softmax(), data(3, 4), cotangent=np.ones((3, 4)))


def test_frozen_noise_and_frozen_generator():
    class Sampler:
        rng = np.random.default_rng(3)

        def forward(self, mu, sigma, noise=None):
            self.noise = self.rng.standard_normal(mu.shape) if noise is None else noise
            return mu + sigma * self.noise

        def backward(self, dz):
            return dz, dz * self.noise

    layer, inputs = Sampler(), (data(4, 2), data(4, 2, seed=2))
    assert_gradients(layer, inputs, fixed={"noise": data(4, 2, seed=3)})
    assert_gradients(layer, inputs, generator=layer.rng)
    report = check_gradients(layer, inputs)
    assert [kind for kind, _ in report.problems] == ["random"]
    assert "pass the noise as fixed=" in str(report)
    legacy = np.random.RandomState(5)
    layer.rng = legacy
    assert_gradients(layer, inputs, generator=legacy)
    assert "draws from its own `rng`" in str(check_gradients(layer, inputs))


def test_nothing_is_left_changed():
    layer, x, noise = Linear(), data(5, 4), data(5, 3)
    before = layer.W.tobytes(), x.tobytes()
    check_gradients(layer, x, parameters={"W": layer.W}, parameter_gradients=lambda: {"W": layer.dW})
    assert (layer.W.tobytes(), x.tobytes()) == before
    assert noise.shape == (5, 3)


def test_float32_is_judged_by_its_own_rounding():
    layer = Linear(40, 30, "float32")

    def check(scale, **more):
        gradients = {"parameters": {"W": layer.W}, "parameter_gradients": lambda: {"W": np.float32(scale) * layer.dW}}
        return check_gradients(layer, data(20, 40, dtype="float32"), **gradients, **more)

    report = check(1.0)
    assert report, report
    assert report.dtype == "float32"
    assert report.relative_error < 1e-4
    assert not check(1.01)
    assert check(1.01, rtol=0.1)


def test_accumulating_layers_are_reported_unless_meant():
    class Adds(Linear):
        def backward(self, dy):
            self.dW += self.x.T @ dy
            return dy @ self.W.T

    layer = Adds()
    layer.dW = np.zeros_like(layer.W)
    gradients = {"parameters": {"W": layer.W}, "parameter_gradients": {"W": layer.dW}}
    assert_gradients(layer, data(5, 4), accumulates=True, **gradients)
    report = check_gradients(layer, data(5, 4), **gradients)
    assert report.problems[0][0] == "accumulates"


# Large arrays


class Huge:
    """y = tanh(x * scale) over a long array; one entry of the gradient can be spoiled."""

    def __init__(self, size=40_000, at=None, by=0.0):
        self.scale, self.at, self.by = data(size, seed=7), at, by

    def forward(self, x):
        self.y = np.tanh(x * self.scale)
        return self.y.reshape(200, -1).sum(axis=0)

    def backward(self, dy):
        dx = (np.tile(dy, 200).reshape(200, -1).ravel()) * (1 - self.y**2) * self.scale
        if self.at is not None:
            dx[self.at] += self.by
        return dx


def test_one_wrong_coordinate_of_forty_thousand_is_found_and_named():
    x = data(40_000)
    report = assert_gradients(Huge(), x)
    assert len(report["x"].coordinates) == 24
    assert report["x"].miss_probability < 1e-12
    report = check_gradients(Huge(at=31_234, by=1e-3), x)
    assert not report
    assert report["x"].worst.index == (31_234,)
    assert "one coordinate only" in report["x"].diagnosis


def test_stated_probability_of_missing_is_that_of_a_count():
    """An error that one direction misses about half of the time: over many seeds the misses add up to those stated."""
    x = data(4_000)
    options = {"directions": 1, "coordinates": 1}
    tolerances = [
        check_gradients(Huge(4_000), x, seed=seed, **options)["x"].directions[0].tolerance for seed in range(100, 109)
    ]
    error = np.median(tolerances) / 0.6745  # erf(tolerance / (error sqrt 2)) = 1/2
    missed, stated = 0, []
    for seed in range(60):
        report = check_gradients(Huge(4_000, at=5, by=error), x, seed=seed, **options)
        missed += not report["x"].directions[0].wrong
        stated.append(report["x"].miss(error))
    stated = np.array(stated)
    assert 0.2 < stated.mean() < 0.8
    assert abs(missed - stated.sum()) < 4 * np.sqrt((stated * (1 - stated)).sum())


# Kinks


def test_kinks_are_named_and_judged_beside():
    x = np.array([1.0, 0.0, -2.0, 1e-13, 1e-6, 0.3])
    report = assert_gradients(lambda x: np.sum(np.abs(x)), x, gradient=np.sign)
    assert [c.index for c in report["x"].kinks] == [(1,), (3,)]
    assert [c.index for c in report["x"].near_kinks] == [(4,)]
    assert report["x"].kinks[0].left == pytest.approx(-1)
    assert report["x"].kinks[0].right == pytest.approx(1)
    assert "2 on a kink, first at [1]: slope -1 to the left, 1 to the right" in str(report)


def test_a_kink_is_not_passed_because_the_average_slope_is_claimed():
    report = check_gradients(lambda x: np.sum(np.abs(x)), np.zeros(1), gradient=lambda x: np.sign(x))
    assert report.kinks == 1


def test_a_kink_hides_no_bug():
    report = check_gradients(lambda x: np.sum(np.maximum(x, 0)), np.zeros(3), gradient=lambda x: 0.9 * (x > 0))
    assert not report
    assert "moved off the kink" in str(report)


def test_dead_rows_and_zero_bias_put_many_units_on_their_kink_at_once():
    class Relu(Linear):
        def forward(self, x):
            self.x = x
            self.y = np.maximum(x @ self.W, 0)
            return self.y

        def backward(self, dy):
            return (dy * (self.y > 0)) @ self.W.T

    x = data(5, 4)
    x[2] = 0
    report = assert_gradients(Relu(), x)
    assert report.kinks == 4
    assert "(output [2, " in str(report)


def test_maximum_of_ties():
    x = np.array([1.0, 3.0, 3.0, 2.0])
    report = assert_gradients(np.max, x, gradient=lambda x: np.eye(4)[np.argmax(x)])
    assert [c.index for c in report["a" if report.arrays[0].name == "a" else "x"].kinks] == [(1,), (2,)]


def test_jumps_are_refused():
    report = check_gradients(
        lambda x: np.sum(np.where(x >= 1, x, 0.0)), np.array([1.0, 2.0]), gradient=lambda x: x * 0 + 1
    )
    assert not report
    assert "the function jumps" in str(report)


def test_edge_of_the_domain_takes_the_side_that_exists():
    report = check_gradients(
        lambda x: np.sum(x * np.sqrt(x)), np.array([0.0, 2.0]), gradient=lambda x: 1.5 * np.sqrt(x)
    )
    assert report["x"].coordinates[0].kind == "edge"
    assert report["x"].coordinates[1].kind == "smooth"


# What is wrong with a target, in one message


def broken(**methods):
    return type("Broken", (Tanh,), methods)()


def drifting(self, x):
    self.calls = getattr(self, "calls", 0) + 1
    return Tanh.forward(self, x) * (1 + 0.01 * self.calls)


def raising(self, x):
    raise ZeroDivisionError("no mean of nothing")


def mutating(self, x):
    x *= 0.5
    return Tanh.forward(self, x)


FAULTS = {
    "raises": (broken(forward=raising), "forward raised ZeroDivisionError: no mean of nothing"),
    "raises in backward": (broken(backward=raising), "backward raised ZeroDivisionError"),
    "mutates": (broken(forward=mutating), "forward changed input 'x' in place"),
    "mutates dy": (broken(backward=lambda self, dy: np.multiply(dy, 2, out=dy)), "changed its argument (dy 0)"),
    "state": (broken(forward=drifting), "it changed state of its own"),
    "shape": (
        broken(backward=lambda self, dy: dy.T),
        "gradient of 'x' has shape (4, 3), the array (3, 4) (transposed?)",
    ),
    "dtype": (broken(backward=lambda self, dy: dy.astype("float32")), "gradient of 'x' is float32, the array float64"),
    "dtype of y": (broken(forward=lambda self, x: np.tanh(x).astype("float32")), "output 0 is float32 for float64"),
    "float32 inside": (
        broken(forward=lambda self, x: Tanh.forward(self, x).astype("float32").astype("float64")),
        "part of forward runs in float32",
    ),
    "non-finite": (broken(forward=lambda self, x: x / (x * 0)), "output 0 is "),
    "non-finite gradient": (broken(backward=lambda self, dy: dy * np.nan), "gradient of 'x' is nan at [0, 0]"),
    "nothing": (broken(backward=lambda self, dy: None), "nothing to check"),
    "output": (broken(forward=lambda self, x: None), "forward returned None: expected float arrays"),
    "count": (broken(backward=lambda self, dy: (dy, dy, dy)), "backward returned 3 gradients for 1 inputs"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_named_in_one_message(name):
    target, message = FAULTS[name]
    report = check_gradients(target, data(3, 4))
    assert not report
    assert len(report.problems) == 1, report
    assert message in report.problems[0][1]
    assert "\n" not in report.problems[0][1]


def test_what_forward_raised_is_the_cause():
    with pytest.raises(AssertionError) as caught:
        assert_gradients(FAULTS["raises"][0], data(3, 4))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.sum, data(3)), "gradient is missing"),
        ((3, data(3)), "target is a int: expected a function"),
        ((Tanh(), np.array([1.0, np.inf])), r"input 'x' is inf at \[1\]: expected finite"),
        ((Tanh(), data(3).astype("float16")), "input 'x' is float16"),
        ((Tanh(), np.arange(3)), "nothing to differentiate"),
    ],
)
def test_wrong_calls_raise_value_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        check_gradients(*arguments)


def test_wrong_options_raise_value_error():
    with pytest.raises(ValueError, match="method is 'exact'"):
        check_gradients(Tanh(), data(3), method="exact")
    with pytest.raises(ValueError, match="cotangent has shape"):
        check_gradients(Tanh(), data(3), cotangent=np.ones(4))
    with pytest.raises(ValueError, match="generator is a int"):
        check_gradients(Tanh(), data(3), generator=7)
    with pytest.raises(ValueError, match="does not take complex"):
        check_gradients(lambda x: float(np.abs(x).sum()), data(3), gradient=np.sign, method="complex")
    with pytest.raises(ValueError, match="parameter 'w' is a list"):
        check_gradients(Tanh(), data(3), parameters={"w": [1.0]})


def test_what_rounding_hides_is_not_passed():
    def drowned(x):
        return 1e9 + 1e-9 * np.sum(x)

    def five_times(x):
        return np.full_like(x, 5e-9)

    report = check_gradients(drowned, data(3), gradient=five_times, method="differences")
    assert not report
    assert "NOT RESOLVED" in str(report)
    assert check_gradients(drowned, data(3), gradient=five_times, method="differences", allow_unresolved=True)
    report = check_gradients(drowned, data(3), gradient=five_times)
    assert "constant factor 5" in str(report), "the complex step subtracts nothing, so it sees what differences cannot"


def test_stale_cache_is_seen():
    class KeepsFirst(Tanh):
        def backward(self, dy):
            self.first = getattr(self, "first", self.y)
            return dy * (1 - self.first**2)

    assert not check_gradients(KeepsFirst(), data(3, 4))


def test_stale_state_that_shows_only_later():
    class Ages(Tanh):
        calls = 0

        def backward(self, dy):
            self.calls += 1
            return dy * (1 - self.y**2) * (1.0 if self.calls < 4 else 1.1)

    assert check_gradients(Ages(), data(3, 4)).problems[0][0] == "stale"
