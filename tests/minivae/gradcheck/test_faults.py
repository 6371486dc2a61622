"""What is wrong with a target or with a call, in one message; and what rounding or an old cache would hide."""

import numpy as np
import pytest

from minivae.gradcheck import (
    assert_gradients,
    check_gradients,
    check_jvp,
    check_kl,
    check_same_draw,
    check_sampler,
    check_second,
)

from .foreign_layers import Linear, Tanh, data


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
    "shape": (broken(backward=lambda self, dy: dy.T), "of 'x' has shape (4, 3), the array (3, 4) (transposed?)"),
    "dtype": (broken(backward=lambda self, dy: dy.astype("float32")), "gradient of 'x' is float32, the array float64"),
    "dtype of y": (
        broken(forward=lambda self, x: Tanh.forward(self, x).astype("float32")),
        "output 0 is float32 for float64",
    ),
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


class Centres(Linear):
    """Works on its input, and on dy, in place."""

    def forward(self, x):
        x -= 0.5
        return super().forward(x)

    def backward(self, dy):
        dx = super().backward(dy)
        dy *= 0
        return dx


COMPARED = {
    "forward changed input 'x' in place": Centres(),
    "backward changed its argument (dy 0) in place": Centres(),
    "gradient of 'W' is float32, the array float64": type("", (Linear,), {"spoil": lambda self, g: g.astype("f4")})(),
    "gradient of 'W' has shape (1, 4, 3), the array (4, 3)": type("", (Linear,), {"spoil": lambda self, g: g[None]})(),
    "gradient of 'x' is complex128": broken(backward=lambda self, dy: (1 + 0j) * dy * (1 - self.y**2)),
    "output 0 is float32": FAULTS["dtype of y"][0],
    "part of forward runs in float32": FAULTS["float32 inside"][0],
}


@pytest.mark.parametrize("message", COMPARED)
def test_what_lets_the_check_go_on_is_told_beside_right_numbers(message):
    report = check_gradients(COMPARED[message], data(3, 4))
    assert not report
    assert message in str(report)
    assert {array.verdict for array in report.arrays} == {"right"}, report


def test_the_other_arrays_are_compared_where_one_gradient_is_unusable():
    for spoil, kind in (
        (lambda g: g[:-1], "shape"),
        (lambda g: g * np.nan, "non-finite"),
        (lambda g: g.astype(str), "dtype"),
    ):
        layer = type("Spoilt", (Linear,), {"spoil": lambda self, g, spoil=spoil: spoil(g)})()
        report = check_gradients(layer, data(5, 4))
        assert [kind for kind, _ in report.problems] == [kind]
        assert [(array.name, array.verdict) for array in report.arrays] == [("x", "right")]


def test_gradients_of_integers_are_taken_as_numbers():
    total = broken(forward=lambda self, x: x.sum(), backward=lambda self, dy: np.ones((3, 4), int))
    report = assert_gradients(total, data(3, 4), cotangent=1.0)
    assert "gradient of 'x' is int64, the array float64: compared as it is" in report.notes


def test_parameters_changed_in_place_are_put_back_and_compared():
    class Steps(Linear):
        def backward(self, dy):
            dx = super().backward(dy)
            self.W -= 0.1 * self.dW
            return dx

    layer = Steps()
    before = layer.W.tobytes()
    report = check_gradients(layer, data(5, 4))
    assert [kind for kind, _ in report.problems] == ["state"]
    assert report["x"].verdict == report["W"].verdict == "right"
    assert layer.W.tobytes() == before


def test_what_forward_raised_is_the_cause():
    with pytest.raises(AssertionError) as caught:
        assert_gradients(FAULTS["raises"][0], data(3, 4))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.sum, data(3)), "gradient: got None, expected a callable"),
        ((3, data(3)), "target: got 3, expected a function"),
        ((Tanh(), np.array([1.0, np.inf])), r"input 'x': got 'inf at \[1\]', expected finite"),
        ((Tanh(), data(3).astype("float16")), "input 'x': got 'float16', expected float32 or float64"),
        ((Tanh(), np.arange(3)), "inputs: got .*'x' int64 of shape"),
    ],
)
def test_wrong_targets_and_inputs_raise_value_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        check_gradients(*arguments)


def test_the_complex_step_needs_a_target_that_takes_it():
    with pytest.raises(ValueError, match="method: got 'complex', expected a target that takes complex"):
        check_gradients(lambda x: float(np.abs(x).sum()), data(3), gradient=np.sign, method="complex")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rtol": -1}, "rtol: got -1, expected a finite number, 0 or more"),
        ({"rtol": "tight"}, "rtol: got 'tight'"),
        ({"rtol": 1.0}, "rtol: got 1.0, expected less than 1"),
        ({"elsewhere": "no"}, "elsewhere: got 'no', expected True or False"),
        ({"accumulates": "no"}, "accumulates: got 'no', expected True or False"),
        ({"allow_unresolved": 2}, "allow_unresolved: got 2, expected True or False"),
        ({"name": 3}, "name: got 3, expected a string"),
        ({"cotangent": np.full(3, np.nan)}, r"cotangent: got 'nan at \[0\]', expected finite numbers"),
        ({"cotangent": np.zeros(3)}, "cotangent: got 'nothing but zeros'"),
        ({"fixed": {"t": 3}}, r"inputs: got 1, expected what forward\(x\) takes, beside what is fixed: .*'t'"),
        ({"atol": np.nan}, "atol: got nan"),
        ({"full": -1}, "full: got -1, expected a whole number of at least 0"),
        ({"coordinates": 0}, "coordinates: got 0, expected a whole number of at least 1"),
        ({"directions": 1.5}, "directions: got 1.5, expected a whole number"),
        ({"seed": -1}, "seed: got -1"),
        ({"fixed": np.ones(3)}, r"fixed: got float64 of shape \(3,\), expected a mapping, or a tuple or list"),
        ({"parameters": [np.ones(3)]}, r"parameters: got \[.*\], expected a mapping of names to arrays"),
        ({"parameters": {"w": np.broadcast_to(1.0, 3)}}, "parameter 'w': got 'a read-only array'"),
        ({"gradient": np.cos}, "gradient: got <ufunc 'cos'>, expected None for a layer: only a scalar function"),
        ({"method": "exact"}, "method: got 'exact', expected one of 'auto', 'differences', 'complex'"),
        ({"cotangent": np.ones(4)}, r"cotangent: got \[\(4,\)\], expected the shapes .* \[\(3,\)\]"),
        ({"generator": 7}, "generator: got 7, expected a numpy Generator"),
        ({"parameters": {"w": [1.0]}}, r"parameter 'w': got \[1.0\], expected a float32 or float64 array"),
    ],
)
def test_options_with_which_nothing_would_be_shown_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        check_gradients(Tanh(), data(3), **options)


class Unnamed:
    """A layer whose methods call it otherwise than self, without an __init__."""

    def forward(layer, x):
        return x

    def backward(layer, dy):
        return dy


def product(x, w):
    return np.sum(x * w)


@pytest.mark.parametrize(
    ("target", "inputs", "message"),
    [
        (Linear, data(5, 4), "target: got the class Linear, expected an instance of it"),
        (Unnamed, data(5, 4), "target: got the class Unnamed, expected an instance of it"),
        (Linear(), (data(5, 4), data(5, 4)), "inputs: got 2 arrays, expected one array, 'x'"),
        (Tanh(), [data(5, 4), data(5, 4)], "inputs: got 2 arrays, expected one array, 'x'"),
        (Linear(), {"y": data(5, 4)}, r"inputs: got \['y'\], expected one array, 'x'"),
        (product, (data(3),), r"inputs: got 1, expected what product\(x, w\) takes, .*: missing .* 'w'"),
        (product, (data(3),) * 3, r"inputs: got 3, expected what product\(x, w\) takes, .*: too many"),
        (product, {"x": data(3), "v": data(3)}, r"inputs: got \['x', 'v'\], expected what product\(x, w\) takes"),
    ],
)
def test_inputs_that_forward_does_not_take(target, inputs, message):
    options = {"gradient": lambda x, w: (w, x)} if target is product else {}
    with pytest.raises(ValueError, match=message):
        check_gradients(target, inputs, **options)


def test_what_may_look_like_a_wrong_call():
    class Plain:
        def forward(x):
            return np.tanh(x), x

        def backward(dy, cache):
            return dy * (1 - np.tanh(cache) ** 2)

    assert_gradients(Plain, data(5, 4))
    assert_gradients(lambda xs: np.sum(xs[0] * xs[1]), [data(3), data(3)], gradient=lambda xs: [xs[1], xs[0]])
    assert_gradients(lambda p: np.sum(p["a"] ** 2), {"a": data(3)}, gradient=lambda p: {"a": 2 * p["a"]})
    with pytest.raises(ValueError, match=r"cotangent: got 2\.0, expected None, or ones: backward of a function is"):
        check_gradients(lambda x: np.sum(x**2), data(3), gradient=lambda x: 2 * x, cotangent=2.0)


@pytest.mark.parametrize("check", [check_gradients, assert_gradients, check_second, check_jvp])
def test_misspelt_options_name_the_check_that_was_called(check):
    options = {"jvp": lambda x, v: v} if check is check_jvp else {}
    with pytest.raises(TypeError, match=rf"{check.__name__}\(\) got an unexpected keyword argument 'rtoll'"):
        check(Tanh(), data(3), rtoll=1.0, **options)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("how", ["adds", "assigns", "adds twice"])
def test_accumulates_is_held_to_what_it_says(how, dtype):
    class Layer(Linear):
        def backward(self, dy):
            old = getattr(self, "dW", np.zeros_like(self.W))
            dx = super().backward(dy)
            self.dW = {"adds": old + self.dW, "assigns": self.dW, "adds twice": 2 * old + self.dW}[how]
            return dx

    layer = Layer()
    layer.W = layer.W.astype(dtype)
    report = check_gradients(layer, data(5, 4).astype(dtype), accumulates=True)
    assert [kind for kind, _ in report.problems] == ([] if how == "adds" else ["accumulates"]), report
    assert ("assigns" in str(report)) == (how == "assigns")
    assert report["W"].verdict == "right"


@pytest.mark.parametrize("values", [np.zeros((0, 3)), data(3) > 0, None])
def test_inputs_without_a_number_to_differentiate_by(values):
    with pytest.raises(ValueError, match=r"inputs: got .*'x' .*, expected a float32 or float64 array"):
        check_gradients(Tanh(), values)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_sampler(np.ones(3), mean=0.0), r"sample: got float64 of shape \(3,\), expected a function"),
        (
            lambda: check_sampler(lambda rng: rng.standard_normal(3), std=-np.ones(3)),
            r"std: got float64 of shape \(3,\), expected positive numbers",
        ),
        (lambda: check_kl(np.ones(3), np.zeros(3), np.ones(3), sample=3), "sample: got 3, expected a function"),
        (
            lambda: check_sampler(lambda rng: rng.random(3), cdf=lambda z: 1.0 - z),
            "cdf: got 'a function that falls', expected one that rises",
        ),
        (lambda: check_same_draw(3, np.zeros(3)), "draw: got 3, expected a function"),
        (lambda: check_same_draw(lambda rng: 3, np.zeros(3)), r"draw: got '3 from it', expected \(z, dz, dparameter\)"),
    ],
)
def test_wrong_calls_of_the_sampling_checks(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("zero", [1, 2])
def test_a_draw_of_which_nothing_comes_shows_nothing(zero):
    def draw(rng):
        z = rng.standard_normal(5)
        return [part * (i != zero) for i, part in enumerate((z, np.ones(5), z))]

    report = check_same_draw(draw, np.zeros(5))
    assert not report
    assert "nothing was shown" in str(report)


def test_unusual_arrays_are_taken_as_they_are():
    """Zero dimensions, gaps between elements, inputs that must not be written to."""
    x = data(4, 4)
    x.flags.writeable = False
    layer = Linear()
    layer.W = data(8, 6)[::2, ::2]
    assert_gradients(layer, x, parameters={"W": layer.W}, parameter_gradients=lambda: {"W": layer.dW})
    assert_gradients(Tanh(), data(6, 4).T[::2])
    assert_gradients(lambda x: x * x, np.array(2.0), gradient=lambda x: 2 * x)
    assert len(assert_gradients(Tanh(), data(300), coordinates=1000)["x"].coordinates) == 300


def test_what_rounding_hides_is_not_passed():
    def drowned(x):
        return 1e9 + 1e-9 * np.sum(np.sin(x))

    def five_times(x):
        return 5e-9 * np.cos(x)

    report = check_gradients(drowned, data(3), gradient=five_times, method="differences")
    assert not report
    assert "NOT RESOLVED" in str(report)
    assert check_gradients(drowned, data(3), gradient=five_times, method="differences", allow_unresolved=True)
    report = check_gradients(drowned, data(3), gradient=five_times)
    assert "NOT RESOLVED" in str(report), "the complex step does not refuse alone: it may have dropped something"
    assert check_gradients(drowned, data(3), gradient=lambda x: 1e-9 * np.cos(x)), "but what agrees with it is right"


def test_larger_steps_find_what_rounding_hides_from_small_ones():
    report = check_gradients(lambda x: 1e9 + 1e-9 * np.sum(x), data(3), gradient=lambda x: np.full_like(x, 5e-9))
    assert "constant factor 5" in str(report)


def test_stale_state_that_shows_only_later():
    class Ages(Tanh):
        calls = 0

        def backward(self, dy):
            self.calls += 1
            return dy * (1 - self.y**2) * (1.0 if self.calls < 4 else 1.1)

    assert check_gradients(Ages(), data(3, 4)).problems[0][0] == "stale"


def test_a_gradient_of_more_precision_than_its_array_is_a_note():
    """As constants and weights in float64 make of a batch in float32."""
    wide = broken(backward=lambda self, dy: (1 - self.y**2) * dy.astype("float64"))
    report = assert_gradients(wide, data(3, 4, dtype="float32"))
    assert "gradient of 'x' is float64, the array float32: compared as it is" in report.notes
