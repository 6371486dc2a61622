"""Errors that show only with another draw, another batch size, other inputs or in the other mode; and no others."""

import random
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.gradcheck.norms import BatchNorm, Dropout
from benchmarks.gradcheck.registry import Data
from minivae.gradcheck import assert_gradients, check_gradients, check_second

from .foreign_layers import Linear, data


class ByKeyword(Dropout):
    def forward(self, x, train_flg=True):
        self.training = bool(train_flg) if self.bug != "deaf" else True
        y = super().forward(x)
        return y if train_flg else x * 1.0


class Gate:
    """Twice the sine, or the sine, as methods say."""

    quiet = False

    def eval(self):
        self.quiet = True

    def train(self):
        self.quiet = False

    def forward(self, x):
        self.x = x
        return np.sin(x) * (1 if self.quiet else 2)

    def backward(self, dy):
        return 2 * dy * np.cos(self.x)


class Both:
    """Two layers in one."""

    def __init__(self, bug=None):
        self.layers = [BatchNorm(Data(5), bug), Dropout()]
        self.parameters, self.gradients = self.layers[0].parameters, self.layers[0].gradients

    def forward(self, x):
        return self.layers[1].forward(self.layers[0].forward(x))

    def backward(self, dy):
        return self.layers[0].backward(self.layers[1].backward(dy))


def softplus(limit):
    return lambda x: (np.logaddexp(0, x), x), lambda dy, x: dy * np.where(x > limit, 1.0, 1 / (1 + np.exp(-x)))


class NoiseKept:
    """Noise that comes as an argument, and for which backward takes what the layer has."""

    def forward(self, mu, rho, noise):
        self.sigma = np.exp(rho)
        return mu + self.sigma * noise

    def backward(self, dz):
        return dz, dz * self.sigma * data(4, 3, seed=3)


class OneRow(Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.dW = self.dW * (0.5 if len(dy) == 1 else 1.0)
        return dx


class AtFirst:
    """(x g + b) W, with parameters as they are at first: ones, zeros, one. As a layer and as a pair."""

    def __init__(self, forgets="", dtype="float64"):
        self.forgets = forgets
        self.g, self.b, self.W = np.ones(3, dtype), np.zeros(3, dtype), np.eye(3, dtype=dtype)

    def forward(self, x):
        y, self.kept = self.pair(x, self.g, self.b, self.W)
        return y

    def backward(self, dy):
        dx, self.dg, self.db, self.dW = self.back(dy, self.kept)
        return dx

    def pair(self, x, g, b, W):
        return np.tanh(x * g + b) @ W, (x, g, b, W)

    def back(self, dy, kept):
        x, g, b, W = kept
        h = np.tanh(x * g + (0 if self.forgets == "b" else b))
        dz = dy @ (W if self.forgets == "T" else W.T) * (1 - h**2)
        return dz * (1 if self.forgets == "g" else g), (dz * x).sum(0), dz.sum(0), np.tanh(x * g + b).T @ dy


class Modes:
    """Twice the input in training; the gradient is that of training always, or as it should be."""

    def __init__(self, name, training, right=False):
        setattr(self, name, training)
        self.name, self.training_is, self.right = name, training, right

    def forward(self, x):
        self.factor = 2.0 if getattr(self, self.name) == self.training_is else 1.0
        return self.factor * x

    def backward(self, dy):
        return (self.factor if self.right else 2.0) * dy


class Keeps:
    """The square, with the shape of the first input kept."""

    def __init__(self):
        self.first = None

    def forward(self, x):
        self.x, self.first = x, self.first or x.shape
        return x**2

    def backward(self, dy):
        return 2 * self.x.reshape(self.first) * dy


def with_generator(layer):
    return {"generator": layer.rng}


evaluated = BatchNorm(Data(5), "statistics_constant", training=False)
one_row, both, drops = OneRow(), Both("evaluation_as_training"), Dropout(bug="first_mask_kept")
of_one = {"parameters": {"W": one_row.W}, "parameter_gradients": lambda: {"W": one_row.dW}}
noise = {"fixed": {"noise": data(4, 3, seed=3)}}
FAULTS = {
    "with another draw: gradient of 'x'": (drops, data(5, 6), with_generator(drops)),
    "with the rows of what is fixed in another order: gradient of 'rho'": (
        NoiseKept(),
        (data(4, 3), data(4, 3)),
        noise,
    ),
    "with 6 rows: gradient of 'x' is wrong": (BatchNorm(Data(5), "first_rows_kept"), data(5, 4), {}),
    "with 1 row: gradient of 'W' is wrong: constant factor 0.5": (one_row, data(5, 4), of_one),
    "at 4 times the inputs: gradient of 'x' is wrong": (softplus(3), np.clip(data(30), -2.9, 2.9), {}),
    "at 1/16 times the inputs: gradient of 'x' is wrong": (softplus(-0.1), -1 - data(30) ** 2, {}),
    "with training = False: gradient of 'x' is wrong": (BatchNorm(Data(5), "evaluation_as_training"), data(5, 4), {}),
    "with training = True: gradient of 'x' is wrong": (
        BatchNorm(Data(5), "statistics_constant", training=False),
        data(5, 4),
        {},
    ),
    "with training = False: gradient of 'x' is wrong: ": (both, data(5, 4), with_generator(both.layers[1])),
    "after eval(): gradient of 'x' is wrong: twice the right values": (Gate(), data(5), {}),
    "with other parameters: gradient of 'x' is wrong": (AtFirst("g"), data(5, 3), {}),
    "with other parameters: gradient of 'b' is wrong": (AtFirst("b"), data(5, 3), {}),
    "with other parameters: gradient of 'g' is wrong": (AtFirst("T"), data(5, 3), {}),
    "with other parameters: gradient of 'x' is wrong: ": (
        (AtFirst().pair, AtFirst("g").back),
        (data(5, 3), np.ones(3), np.zeros(3), data(3, 2)),
        {},
    ),
    "with 6 rows, which forward takes: backward raised ValueError": (Keeps(), data(5, 4), {}),
    "at 4 times the inputs: gradient of 'x' is wrong: ": (
        (lambda x: (np.clip(x, -3, 3), None), lambda dy, _: dy),
        np.linspace(-2.4, 2.4, 20, dtype="float32"),
        {},
    ),
}


@pytest.mark.parametrize("text", FAULTS)
def test_an_error_that_shows_only_elsewhere_is_seen_and_its_place_named(text):
    target, inputs, options = FAULTS[text]
    report = check_gradients(target, inputs, **options)
    assert {kind for kind, _ in report.problems} == {"elsewhere"}, report
    assert any(text in sentence for _, sentence in report.problems), report
    assert all(array.verdict == "right" for array in report.arrays)
    assert check_gradients(target, inputs, elsewhere=False, **options)


NAMES = {
    "test": False,
    "inference": False,
    "eval_mode": False,
    "deterministic": False,
    "_training": True,
    "phase": "train",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_modes(name):
    report = check_gradients(Modes(name, NAMES[name]), data(5))
    assert f"with {name} = {'test' if name == 'phase' else not NAMES[name]}: gradient of 'x'" in str(report)
    assert_gradients(Modes(name, NAMES[name], right=True), data(5))


def test_modes_that_say_training_and_evaluation():
    class Two:
        def __init__(self):
            self.layers = [Modes("training", True, right=True), Modes("test", False)]

        def forward(self, x):
            return self.layers[1].forward(self.layers[0].forward(x))

        def backward(self, dy):
            return self.layers[0].backward(self.layers[1].backward(dy))

    assert "with training = False: gradient of 'x' is wrong: twice" in str(check_gradients(Two(), data(5)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_parameters_are_moved_and_put_back(dtype):
    layer, x = AtFirst(dtype=dtype), data(5, 3).astype(dtype)
    for target, inputs in ((layer, x), ((layer.pair, layer.back), (x, layer.g, layer.b, layer.W))):
        assert "with other parameters" in str(assert_gradients(target, inputs))
    assert state([layer.g, layer.b, layer.W]) == state([AtFirst(dtype=dtype).g, layer.b * 0, np.eye(3, dtype=dtype)])


def test_functions_that_fit_one_batch_size_only_are_told_of():
    forward, backward = Keeps().forward, Keeps.backward
    first = Keeps()

    def back(dy, x):
        first.x, first.first = x, first.first or x.shape
        return backward(first, dy)

    report = assert_gradients((lambda x: (forward(x), x), back), data(5, 4))
    assert any(note.startswith("with 6 rows, which forward takes: backward raised") for note in report.notes)


def state(thing):
    """Everything in an object, as bytes."""
    if isinstance(thing, np.ndarray):
        return thing.tobytes()
    if isinstance(thing, np.random.Generator):
        return str(thing.bit_generator.state)
    if isinstance(thing, (dict, list)):
        return [state(part) for part in (thing.values() if isinstance(thing, dict) else thing)]
    return state(vars(thing)) if hasattr(thing, "__dict__") else repr(thing)


class Counts(Both):
    """It counts its calls, remembers them, keeps no dict, draws from global generators, and may be interrupted."""

    __slots__ = ("calls",)
    seen, mean, last_input = [], 0.0, None

    def __init__(self, last=np.inf):
        super().__init__()
        self.calls, self.last = 0, last

    def forward(self, x):
        self.calls += 1
        self.seen.append(x)
        Counts.mean, Counts.last_input = 0.9 * Counts.mean + 0.1 * x.mean(), x
        np.random.random(), random.random()  # noqa: NPY002
        if self.calls > self.last:
            raise KeyboardInterrupt
        return super().forward(x)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("check", [check_gradients, check_second])
@pytest.mark.parametrize("last", [np.inf, 30])
def test_the_target_is_left_as_it_was(training, check, last):
    """Running averages, counters, modes, generators, caches: all of it, also if the check is interrupted."""
    target, x = Counts(last), data(5, 4)
    target.layers[0].training = target.layers[1].training = training
    before = state(target), state(x), np.random.get_state()[2], random.getstate(), target.seen[:]  # noqa: NPY002
    with pytest.raises(KeyboardInterrupt) if last < np.inf else nullcontext():
        report = check(target, x, generator=target.layers[1].rng)
        assert report, report
        assert f"with training = {not training}" in str(report) or check is check_second
    assert target.calls == 0
    assert (Counts.mean, Counts.last_input) == (0.0, None)
    after = state(target), state(x), np.random.get_state()[2], random.getstate(), target.seen[:]  # noqa: NPY002
    assert after == before


def test_what_functions_enclose_may_count_calls():
    calls, layer = [], Dropout()

    def forward(x):
        calls.append(1)
        return layer.forward(x), None

    before = state(layer)
    assert_gradients((forward, lambda dy, _: layer.backward(dy)), data(4, 3), generator=layer.rng)
    assert len(calls) > 50
    assert state(layer) == before


def test_what_is_kept_from_the_first_call_shows_though_arrays_are_moved_in_place():
    """A reference to the first input, of a layer and of a pair, and to the first labels."""

    class Keeps(Linear):
        def backward(self, dy):
            self.x = self.first = getattr(self, "first", self.x)
            return super().backward(dy)

    first: dict = {}

    def loss(x, labels):
        return -x[np.arange(6), labels].sum() / 6, (x.shape, first.setdefault("labels", labels))

    def backward(dl, cache):
        dx = np.zeros(cache[0])
        dx[np.arange(6), cache[1]] = -dl / 6
        return dx

    report = check_gradients(Keeps(), data(6, 4))
    assert [(array.name, array.verdict) for array in report.arrays] == [("x", "right"), ("W", "wrong")]
    assert report["W"].diagnosis.startswith("right for the inputs of the first call")
    fixed = {"labels": np.array([0, 3, 1, 1, 2, 0])}
    assert not check_gradients((loss, backward), data(6, 4), fixed=fixed)
    assert_gradients((lambda x, labels: (loss(x, labels)[0], (x.shape, labels)), backward), data(6, 4), fixed=fixed)


def test_a_keyword_of_forward_that_backward_is_not_told_of():
    """The style of textbooks: backward is meant for training alone, which is told and not held against it."""
    layer = ByKeyword()
    report = assert_gradients(layer, data(5, 6), generator=layer.rng)
    assert "with train_flg = False" in str(report)
    layer = ByKeyword(bug="deaf")
    report = assert_gradients(layer, data(5, 6), generator=layer.rng)
    assert any(note.startswith("with train_flg = False backward gives what it gives without") for note in report.notes)


@pytest.mark.parametrize("bug", [False, True])
def test_a_mode_by_name_in_what_is_passed_along(bug):
    def forward(x, how):
        how["mask"] = np.random.default_rng(how["seed"]).random(x.shape) < 0.5
        return x * how["mask"] if how["mode"] == "train" else 0.5 * x, dict(how)

    def backward(dy, how):
        return dy * how["mask"] if how["mode"] == "train" else (1.0 if bug else 0.5) * dy

    how = {"mode": "train", "seed": 3}
    report = check_gradients((forward, backward), data(5, 4), fixed={"how": how})
    assert bool(report) is not bug
    assert ("with mode = test: gradient of 'x' is wrong: twice the right values" in str(report)) == bug
    assert "with mode = test" in str(report)
    assert how["mode"] == "train"


def test_the_cost_is_stated_and_small():
    report = assert_gradients(softplus(np.inf), data(6, 50))
    without = assert_gradients(softplus(np.inf), data(6, 50), elsewhere=False)
    assert without.elsewhere == ""
    places = "with 7 rows, with 1 row, at 1/16 times the inputs, at 4 times the inputs"
    assert report.elsewhere.startswith(f"also checked {places}: ")
    assert report.elsewhere.endswith(f" of {report.evaluations - 1} evaluations")
    assert report.evaluations - without.evaluations < 60


def affine(rng, n, i, o):
    def forward(x, w, b):
        return x @ w + b, (x, w)

    return forward, lambda dy, c: (dy @ c[1].T, c[0].T @ dy, dy.sum(axis=0)), (n, i), (i, o), (o,)


def closed_over(rng, n, i, o):
    """Targets of n rows, or of one that goes along with any, and n itself, are not among the inputs."""
    t = rng.standard_normal((n, o))

    def forward(x, w):
        return 0.5 * np.sum((x @ w - t.astype(x.dtype)) ** 2, axis=1) / n, (x, w)

    def backward(dl, c):
        error = dl[:, None] * (c[0] @ c[1] - t.astype(dl.dtype)) / n
        return error @ c[1].T, c[0].T @ error

    return forward, backward, (n, i), (i, o)


def recurrent(rng, n, i, o):
    """Over time, which is the first axis: h = tanh(x w + h u)."""

    def forward(x, w, u):
        h = [np.zeros((1, o), x.dtype)]
        for row in x:
            h.append(np.tanh(row[None] @ w + h[-1] @ u))
        return np.concatenate(h[1:]), (x, w, u, h)

    def backward(dy, c):
        x, w, u, h = c
        dx, dw, du, dh = np.zeros_like(x), np.zeros_like(w), np.zeros_like(u), np.zeros_like(h[0])
        for t in reversed(range(len(x))):
            da = (dy[t] + dh) * (1 - h[t + 1] ** 2)
            dx[t], dh = da @ w.T, da @ u.T
            dw += x[t][:, None] * da
            du += h[t].T @ da
        return dx, dw, du

    return forward, backward, (n, i), (i, o), (o, o)


def distances(rng, n, i, o):
    """Of every row to every other, squared."""

    def forward(x):
        return ((x[:, None] - x) ** 2).sum(axis=2), x

    def backward(dy, x):
        both = (dy + dy.T)[:, :, None] * (x[:, None] - x)
        return 2 * both.sum(axis=1)

    return forward, backward, (n, i)


def softmax_over_rows(rng, n, i, o):
    def forward(x):
        e = np.exp(x - x.max(axis=0))
        return e / e.sum(axis=0), e / e.sum(axis=0)

    return forward, lambda dy, p: p * (dy - (dy * p).sum(axis=0)), (n, i)


def cross_entropy(rng, n, i, o):
    """Of every row; at 4 times the logits most are saturated."""
    label = np.eye(i)[rng.integers(0, i, n)]

    def forward(z):
        z = z - z.max(axis=1, keepdims=True)
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        return -np.log((p * label.astype(z.dtype)).sum(axis=1)), p

    return forward, lambda dl, p: dl[:, None] * (p - label.astype(p.dtype)), (n, i)


FAMILIES = (cross_entropy, affine, closed_over, recurrent, distances, softmax_over_rows)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(FAMILIES), *[st.integers(1, 5)] * 3, st.sampled_from(["float32", "float64"]), st.integers(0, 99))
def test_right_layers_of_any_shape_are_not_refused(family, n, i, o, dtype, seed):
    """Square ones too, where an axis of the batch is as long as one of the weights."""
    rng = np.random.default_rng(seed)
    forward, backward, *shapes = family(rng, n, i, o)
    inputs = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    report = check_gradients((forward, backward), inputs, seed=seed)
    assert report, report
