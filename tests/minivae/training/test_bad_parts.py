"""What cannot be trained is refused by name, before the first step; what raises in a step leaves what was before it."""

import math
import re
import threading
import types

import numpy as np
import pytest

import minivae as mv
from minivae import kernels
from minivae.evaluation.held_out import bits_per_dimension

from . import own_parts as own

BACKENDS = [name for name in kernels.available_backends() if kernels.load_backend(name).on_host]
X = np.random.default_rng(0).integers(0, 256, (12, 4), dtype=np.uint8)


def small(**parts):
    return mv.VAE(**({"features": 4, "latent": 2, "hidden": (3,), "backend": "numpy"} | parts))


class Passing:
    """A layer that is right, but for what a test puts in a method's place."""

    def forward(self, x):
        return x

    def backward(self, dy):
        return dy


def layer(**methods):
    return type("Mine", (Passing,), methods)()


class Learning(own.Gain):
    """A layer of four columns that is right, but for what `spoil` does to it after its backward pass."""

    def __init__(self, spoil):
        super().__init__(4)
        self.spoil = spoil

    def backward(self, dy):
        dx = super().backward(dy)
        self.spoil(self)
        return dx


def with_arrays(**arrays):
    mine = Passing()
    mine.parameters, mine.gradients = arrays, {name: np.zeros_like(array) for name, array in arrays.items()}
    return mine


def sharing_memory():
    one, two = own.Gain(4), own.Gain(4)
    two.parameters["gain"] = one.parameters["gain"][::-1]
    return [one, two]


def of_another_model():
    return [small(hidden=4).encoder.layers[0]]


class ForwardAlone:
    def forward(self, x, output=None):
        return x


class Adding:
    """As the part within, whose arrays it shows, but for gradients that gather."""

    def __init__(self, inner=None):
        self._inner = own.Gain(4) if inner is None else inner
        self.parameters = self._inner.parameters
        self.gradients = {name: np.zeros_like(array) for name, array in self.parameters.items()}

    def forward(self, *arguments):
        return self._inner.forward(*arguments)

    def backward(self, dy):
        dx = self._inner.backward(dy)
        for name, gradient in self._inner.gradients.items():
            self.gradients[name] += gradient
        return dx


class Softmax(own.Gain):
    """Of a Gain's output, whose sum is 1 whatever the gain is."""

    def forward(self, x):
        e = np.exp(super().forward(x))
        self.y = e / e.sum(axis=1, keepdims=True)
        return self.y

    def backward(self, dy):
        return super().backward(self.y * (dy - (dy * self.y).sum(axis=1, keepdims=True)))


class Named:
    """A layer with W and dW, or arrays of other names."""

    def __init__(self, **arrays):
        self.W = self.frozen = np.eye(4)
        vars(self).update(arrays)

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dy):
        self.dx, self.dW = dy @ self.W.T, self.x.T @ dy
        return self.dx


class Inner(Passing):
    def __init__(self, inner):
        self.inner, self.forward, self.backward = inner, inner.forward, inner.backward


REFUSED = {
    "no backward": (lambda: {"encoder": [ForwardAlone()]}, "encoder.0 (ForwardAlone): got ", "a method backward"),
    "no layer": (lambda: {"decoder": [None]}, "decoder.0 (NoneType): got None", "a method forward"),
    "no list": (lambda: {"encoder": "ab"}, "encoder: got 'ab'", "expected a list of layers"),
    "a class": (lambda: {"encoder": [own.Tanh]}, "encoder.0 (type): forward raised TypeError in a trial", "'x'"),
    "an array of the wrong rank": (
        lambda: {"encoder": [mv.Dense(4, 3), layer(forward=lambda self, x: x.sum(1))]},
        "encoder.1 (Mine).forward: got float32 of shape (3,)",
        "expected a float array of shape (3, any)",
    ),
    "other rows": (lambda: {"encoder": [layer(forward=lambda self, x: x[:2])]}, "encoder.0 (Mine).forward", "(3, any)"),
    "no output": (lambda: {"encoder": [layer(forward=lambda self, x: None)]}, "encoder.0 (Mine).forward: got None", ""),
    "a width that does not fit": (
        lambda: {"encoder": [layer(), mv.Dense(5, 3)]},
        "encoder.1: got 'a layer of 5 inputs'",
        "expected one of 4",
    ),
    "posterior of the wrong width": (
        lambda: {"posterior": layer(forward=lambda self, x: x[:, :1])},
        "posterior (Mine).forward: got float32 of shape (3, 1)",
        "shape (3, 4)",
    ),
    "output of the wrong width": (lambda: {"output": own.Tanh()}, "decoder.1 (Tanh).forward", "shape (3, 4)"),
    "no gradient by the input": (
        lambda: {"decoder": [layer(backward=lambda self, dy: None)]},
        "decoder.0 (Mine).backward: got None",
        "expected a float array of shape (3, 2)",
    ),
    "a gradient of another shape": (
        lambda: {"decoder": [layer(backward=lambda self, dy: dy.T)]},
        "decoder.0 (Mine).backward: got float32 of shape (2, 3)",
        "expected a float array of shape (3, 2)",
    ),
    "a missing gradient": (
        lambda: {"encoder": [Learning(lambda self: self.gradients.clear())]},
        "encoder.0 (Learning).gradients['gain']: got None",
        "shape (4)",
    ),
    "a gradient that is None": (
        lambda: {"encoder": [Learning(lambda self: self.gradients.update(gain=None))]},
        "encoder.0 (Learning).gradients['gain']: got None",
        "shape (4)",
    ),
    "a parameter's gradient of another shape": (
        lambda: {"encoder": [Learning(lambda self: self.gradients.update(gain=np.ones((1, 4))))]},
        "encoder.0 (Learning).gradients['gain']: got float64 of shape (1, 4)",
        "shape (4)",
    ),
    "no gradients": (
        lambda: {"encoder": [Learning(lambda self: delattr(self, "gradients"))]},
        "encoder.0 (Learning).gradients: got None",
        "expected a mapping",
    ),
    "whole numbers as parameters": (
        lambda: {"encoder": [with_arrays(count=np.zeros(2, int))]},
        "encoder.0 (Passing).parameters['count']: got int64 of shape (2,)",
        "expected a float array",
    ),
    "one layer twice": (lambda: {"encoder": 2 * [own.Gain(4)]}, "encoder.1: got 'the part that encoder.0 is", ""),
    "one name twice": (
        lambda: {"likelihood": Shaped(weight=np.ones(2))},
        "likelihood (Shaped): got \"a parameter 'likelihood.weight'\"",
        "expected names that are not taken",
    ),
    "shared memory": (
        lambda: {"encoder": sharing_memory()},
        "encoder.1 (Gain): got \"'encoder.1.gain' in the memory of 'encoder.0.gain'\"",
        "expected memory of its own",
    ),
    "a layer of another model": (
        lambda: {"encoder": of_another_model()},
        "encoder.0: got \"'encoder.0.weight' of another model\"",
        "copy.deepcopy",
    ),
    "a layer that raises": (
        lambda: {"encoder": [layer(forward=lambda self, x: 1 / 0)]},
        "encoder.0 (Mine): forward raised ZeroDivisionError in a trial: division by zero",
        "",
    ),
    "gradients that are added up": (
        lambda: {"encoder": [Adding()]},
        "encoder.0 (Adding).gradients['gain']: got 'what was there, added to'",
        "assigned by backward",
    ),
    "a likelihood whose gradients are added up": (
        lambda: {"likelihood": Adding(own.Laplace())},
        "likelihood (Adding).gradients['log_scale']: got 'what was there, added to'",
        "assigned by backward",
    ),
    "gradients that are added up before a softmax": (
        lambda: {"encoder": [Adding(Softmax(4))]},
        "encoder.0 (Adding).gradients['gain']: got 'what was there, added to'",
        "assigned by backward",
    ),
    "an input changed in place": (
        lambda: {"encoder": [layer(forward=lambda self, x: np.sqrt(x, out=x))]},
        "encoder.0 (Mine).forward: got 'its argument changed in place'",
        "a copy to work on",
    ),
    "a weight that is no parameter": (
        lambda: {"encoder": [Inner(Named())]},
        "encoder.0 (Inner).inner.W: got 'what has a gradient'",
        "expected it in a mapping `parameters`",
    ),
    "weights in a list": (
        lambda: {"encoder": [Named(params=[np.ones((4, 4))], grads=[np.ones((4, 4))])]},
        "encoder.0 (Named).params: got 'what has a gradient'",
        "expected it in a mapping `parameters`",
    ),
    "a likelihood without backward": (lambda: {"likelihood": ForwardAlone()}, "likelihood (ForwardAlone): got", ""),
    "a likelihood of each feature": (
        lambda: {"likelihood": layer(forward=lambda self, x, output: x - output)},
        "likelihood (Mine).forward: got float32 of shape (3, 4)",
        "expected a float array of shape (3)",
    ),
    "a likelihood with half a gradient": (
        lambda: {"likelihood": Shaped(factor=0)},
        "likelihood (Shaped).backward: got float64 of shape (3, 1)",
        "expected a float array of shape (3, 4)",
    ),
}


class Shaped(own.Laplace):
    """A likelihood with such parameters, and a backward pass of one column without any."""

    def __init__(self, factor=1, **arrays):
        super().__init__()
        self.columns = 4 if factor else 1
        self.parameters.update(arrays)
        self.gradients.update(arrays)

    def backward(self, weight):
        return super().backward(weight)[:, : self.columns]


@pytest.mark.parametrize("case", REFUSED)
def test_a_part_that_cannot_be_trained_is_refused_when_it_comes(case):
    """By the constructor, and by `fit` where it was put in later, with nothing changed."""
    make, *phrases = REFUSED[case]
    with pytest.raises(ValueError, match=".*".join(map(re.escape, phrases))) as found:
        small(**make())
    assert len(str(found.value).splitlines()) == 1
    if case == "no list":
        return
    model, optimizer = small(encoder=[own.Tanh(), own.Tanh()], decoder=[own.Tanh()]), mv.Adam()
    before = model.store.flat.copy()
    for place, part in make().items():
        if place in ("encoder", "decoder"):
            getattr(model, place).layers[: len(part)] = part
        elif place == "output":
            model.decoder.layers[-1] = part
        else:
            setattr(model, place, part)
    with pytest.raises(ValueError, match=re.escape(phrases[0])):
        mv.fit(model, X, optimizer=optimizer)
    assert optimizer.steps == 0
    np.testing.assert_array_equal(model._store.flat, before)


@pytest.mark.parametrize("optimizer", [object(), mv.Adam, "adam"])
def test_what_makes_no_step_is_no_optimizer(optimizer):
    with pytest.raises(ValueError, match=r"optimizer: got .*, expected an object with a method update\(model\)"):
        mv.fit(small(), X, optimizer=optimizer)


@pytest.mark.parametrize("value", [float("nan"), -1.0, float("inf"), None, "1", np.ones(2)])
@pytest.mark.parametrize("what", ["learning_rate", "beta"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_schedule_may_not_give(backend, what, value):
    """At step 0 nothing has changed; later, the state is that before the step."""
    for at in (0, 3):
        states = []
        model, given = small(backend=backend), lambda step, at=at: value if step == at else 0.01
        optimizer = mv.Adam(given if what == "learning_rate" else 0.01)
        kept = model.store.flat.copy()
        options = {"beta": given} if what == "beta" else {}
        options |= {"checkpoint_steps": 1, "on_checkpoint": states.append}
        with pytest.raises(ValueError, match=f"{what}: got .*, expected a finite ") as raised:
            mv.fit(model, X, optimizer=optimizer, batch_size=5, **options)
        assert f"in step {at + 1} of training; the model is in its state after step {at}" in said(raised.value)
        assert optimizer.steps == at
        np.testing.assert_array_equal(model.store.flat, states[-1].parameters if at else kept)


def said(error):
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


def raising(cls, method, at=5):
    """A subclass whose method does its work and then raises, at its call number `at`, an exception of its own."""

    class Raising(cls):
        calls = 0

        def _count(self):
            self.calls += 1
            if self.calls == at:
                for array in getattr(self, "parameters", {}).values():
                    array += 1  # what it has done to its own arrays goes, too
                raise LookupError("mine")

    def instead(self, *arguments, **options):
        result = getattr(cls, method)(self, *arguments, **options)
        self._count()
        return result

    setattr(Raising, method, instead)
    return Raising


RAISING = {
    "layer, forward": lambda: ({"encoder": [raising(own.Gain, "forward")(4)]}, mv.Adam()),
    "layer, backward": lambda: ({"decoder": [raising(own.Gain, "backward")(2)]}, mv.Adam(clip_norm=1.0)),
    "likelihood, forward": lambda: ({"likelihood": raising(own.Laplace, "forward")()}, mv.SGD(0.01, momentum=0.9)),
    "likelihood, backward": lambda: ({"likelihood": raising(own.Laplace, "backward")()}, own.RMSprop(0.01)),
    "optimizer, _apply": lambda: ({}, raising(own.RMSprop, "_apply")(0.01)),
    "optimizer, update": lambda: ({"encoder": [own.Gain(4)]}, raising(own.Averaging, "update")(0.01, momentum=0.5)),
    "plain optimizer": lambda: ({"encoder": [own.Gain(4)]}, raising(own.Plain, "update")),
}


@pytest.mark.parametrize("part", RAISING)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_part_that_raises_leaves_the_state_before_its_step(backend, part):
    states, (parts, optimizer) = [], RAISING[part]()
    model = small(backend=backend, **parts)
    optimizer = optimizer(model) if isinstance(optimizer, type) else optimizer
    options = {"checkpoint_steps": 1, "on_checkpoint": states.append}
    with pytest.raises(LookupError, match="mine") as raised:
        mv.fit(model, X, optimizer=optimizer, batch_size=5, **options)
    assert "in step 5 of training; the model is in its state after step 4" in said(raised.value)
    assert len(states) == states[-1].step == 4
    np.testing.assert_array_equal(model.store.flat, states[-1].parameters)
    for name, moment in optimizer.state.items():
        np.testing.assert_array_equal(moment, states[-1].moments[name], err_msg=name)
    if isinstance(optimizer, mv.optim.Optimizer):
        assert optimizer.steps == 4
    for exchange in model._exchanges:
        for name, array in exchange.part.parameters.items():
            np.testing.assert_array_equal(np.float32(array), exchange._values[name])


def test_a_part_needs_host_arrays(monkeypatch):
    """As the CUDA backend is seen from here: one whose arrays are not NumPy's."""
    model = small()
    monkeypatch.setattr(model.backend, "on_host", False)
    monkeypatch.setattr(model.backend, "name", "cuda")
    model.encoder.layers[0] = own.Louder(4, 3)
    with pytest.raises(ValueError, match=r"encoder.0 \(Louder\): got 'the cuda backend', expected a part of minivae's"):
        mv.fit(model, X)


class Sampler:
    """No more of a sampler than a model asks for."""

    def forward(self, mu, rho, noise):
        self.noise, self.sigma = noise, np.exp(rho)
        return mu + self.sigma * noise

    def backward(self, dz, dmu, drho):
        dmu[...], drho[...] = dz, dz * self.noise * self.sigma


class KL:
    """The same of a KL term; with `Sampler`."""

    def forward(self, mu, rho, sigma):
        self.mean, self.sigma = mu, sigma
        return (mu**2 + sigma**2 - 1) / 2 - rho

    def backward(self, weight, dmu, drho):
        dmu += weight[:, np.newaxis] * self.mean
        drho += weight[:, np.newaxis] * (self.sigma**2 - 1)


def with_own_sampler(**parts):
    model = small(**parts)
    model.sampler, model.kl = Sampler(), KL()
    return model


DIVERGING = {
    "likelihood": lambda backend: small(backend=backend, likelihood=own.Laplace()),
    "layers": lambda backend: small(backend=backend, encoder=[own.Tanh(), mv.Dense(4, 3)], decoder=[own.Gain(2)]),
    "first layer": lambda backend: small(backend=backend, encoder=[own.Gain(4)]),
    "posterior and output": lambda backend: small(
        backend=backend, posterior=own.Leaky(mv.Dense(3, 4)), output=own.Leaky(mv.Dense(3, 4))
    ),
    "sampler": lambda backend: with_own_sampler(backend=backend, likelihood="gaussian"),
    "everything": lambda backend: with_own_sampler(
        backend=backend, encoder=[own.Gain(4)], decoder=[own.Gain(2)], likelihood=own.Laplace()
    ),
}


@pytest.mark.parametrize("case", DIVERGING)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the parts' own arithmetic
def test_training_that_diverges_with_parts_of_ones_own_says_where_and_goes_back(backend, case):
    model = DIVERGING[case](backend)
    optimizer, before = mv.SGD(1e30), model.store.flat.copy()
    with pytest.raises(mv.TrainingDiverged, match=r"the first value that was not finite is in \w+"):
        mv.fit(model, X, epochs=3, batch_size=5, optimizer=optimizer)
    assert optimizer.steps == 0
    np.testing.assert_array_equal(model.store.flat, before)


@pytest.mark.parametrize("place", ["encoder.0", "decoder.0", "likelihood"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_first_layer_of_ones_own_that_went_wrong_is_named(place):
    bad = {"encoder": {}, "decoder": {}, "likelihood": {}}
    at = place.partition(".")[0]
    bad[at] = {
        "forward": lambda self, x: np.where(np.arange(x.shape[1]) == 1, x / (len(x) == 3), x)
    }  # not in the trial
    model = small(
        encoder=[layer(**bad["encoder"])],
        decoder=[layer(**bad["decoder"]), mv.Dense(2, 4)],
        output=layer(**bad["likelihood"]),
    )
    with pytest.raises(mv.TrainingDiverged, match=f"is in the output of {place}, row 0, column 1 "):
        mv.fit(model, X)


def later(method, spoil):
    """A likelihood whose method returns something else once it sees other rows than a trial's three."""

    def instead(self, *arguments):
        result = getattr(own.Laplace, method)(self, *arguments)
        return result if len(result) == 3 else spoil(result)

    return type("Mine", (own.Laplace,), {method: instead})()


LATER = {
    "no nll": ("forward", lambda nll: None, "None", r"\(5,\)"),
    "one number for all": ("forward", lambda nll: nll.mean(keepdims=True), r"float64 of shape \(1,\)", r"\(5,\)"),
    "twice the rows": ("forward", lambda nll: np.repeat(nll, 2), r"float64 of shape \(10,\)", r"\(5,\)"),
    "a column": ("forward", lambda nll: nll[:, np.newaxis], r"float64 of shape \(5, 1\)", r"\(5,\)"),
    "whole numbers": ("forward", lambda nll: nll.astype(int), r"int64 of shape \(5,\)", r"\(5,\)"),
    "a list": ("forward", list, r"\[.*\]|'list'", r"\(5,\)"),
    "no doutput": ("backward", lambda doutput: None, "None", r"\(5, 4\)"),
    "its first rows": ("backward", lambda doutput: doutput[:2], r"float64 of shape \(2, 4\)", r"\(5, 4\)"),
    "one column": ("backward", lambda doutput: doutput[:, :1], r"float64 of shape \(5, 1\)", r"\(5, 4\)"),
}


@pytest.mark.parametrize("case", LATER)
def test_what_a_likelihood_returns_is_looked_at_in_each_step(case):
    method, spoil, came, shape = LATER[case]
    model = small(likelihood=later(method, spoil))
    before = model.store.flat.copy()
    words = rf"^likelihood \(Mine\)\.{method}: got ({came}), expected a float array of shape {shape}"
    with pytest.raises(ValueError, match=words):
        mv.fit(model, X, batch_size=5)
    np.testing.assert_array_equal(model.store.flat, before)


class OfSamples(own.Laplace):
    def forward(self, x, output):
        return super().forward(np.repeat(x, len(output) // len(x), axis=0), output)


@pytest.mark.parametrize("options", [{"samples": 3}, {"samples": 2, "outer": 2, "objective": "miwae"}])
def test_a_likelihood_that_takes_no_samples_is_refused_where_there_are_some(options):
    with pytest.raises(ValueError, match=r"likelihood \(Laplace\): forward raised ValueError in a trial"):
        small(likelihood=own.Laplace(), **options)

    class OnePerExample(OfSamples):
        def forward(self, x, output):
            return super().forward(x, output)[: len(x)]

    with pytest.raises(ValueError, match=r"likelihood \(OnePerExample\).forward: got float64 of shape \(3,\)"):
        small(likelihood=OnePerExample(), **options)
    assert np.isfinite(mv.fit(small(likelihood=OfSamples(), **options), X, epochs=1)["train_loss"]).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sampler_and_a_kl_term_of_ones_own_need_two_methods(backend):
    """They train as minivae's own with sigma = exp(rho), up to rounding."""
    options = {"backend": backend, "dtype": "float64"}
    mine, theirs = with_own_sampler(**options), small(scale="exp", **options)
    histories = [mv.fit(model, X, validation=X, epochs=3, batch_size=5) for model in (mine, theirs)]
    for column in ("train_loss", "train_kl", "validation_loss", "validation_kl"):
        np.testing.assert_allclose(*(history[column] for history in histories), rtol=1e-10)
    np.testing.assert_allclose(mine.store.flat, theirs.store.flat, rtol=1e-8)
    assert mine.check(X[:3])


@pytest.mark.parametrize(("objective", "outer"), [("stl", 1), ("dreg", 2), ("piwae", 2)])
def test_gradients_that_are_no_derivatives_of_the_loss_are_not_checked(objective, outer):
    model = small(objective=objective, samples=2, outer=outer, dtype="float64")
    with pytest.raises(
        ValueError, match=f"objective: got '{objective}', expected one whose gradient is the derivative"
    ):
        model.check()
    for exact in (
        {"objective": "iwae", "samples": 2},
        {"objective": "miwae", "samples": 2, "outer": 2},
        {"samples": 2},
    ):
        assert small(dtype="float64", **exact).check()


@pytest.mark.parametrize("right", [True, False])
def test_a_model_that_cannot_be_copied_is_checked_itself(right):
    gain = own.Gain(4)
    gain.library = np  # a module: neither pickled nor copied
    if not right:
        gain.backward = lambda dy, backward=gain.backward: 2 * backward(dy)
    model = small(encoder=[mv.Dense(4, 4, "tanh"), gain], dtype="float64")
    before, mine = model.store.flat.copy(), gain.parameters["gain"].copy()
    report = model.check(X[:3])
    assert report.passed is right
    assert any(result.name == "encoder.1.gain" for result in report.arrays)
    np.testing.assert_array_equal(model.store.flat, before)
    np.testing.assert_array_equal(gain.parameters["gain"], mine)


@pytest.mark.parametrize("likelihood", [own.Laplace, mv.Bernoulli])
def test_a_likelihood_that_says_nothing_of_bytes_is_not_told_of_in_bits(likelihood):
    assert bits_per_dimension(small(likelihood=likelihood()), 3.0, 1.0) is None


def test_a_weight_that_is_said_to_stay_stays():
    """As one beside no gradient does; and gradients may be made in the first backward pass."""

    class Late(own.Gain):
        def backward(self, dy):
            self.gradients = {}
            return super().backward(dy)

    late = Late(4)
    del late.gradients
    model = small(encoder=[Named(parameters={}), layer(W=np.eye(4)), late])
    mv.fit(model, X, epochs=1)
    np.testing.assert_array_equal(model.encoder.layers[0].W, np.eye(4))
    assert not np.array_equal(late.parameters["gain"], own.Gain(4).parameters["gain"])


class Zeroing(own.Gain):
    """Its gradients gather from zero, which they are put back to as people do it; what is behind the mask stays."""

    def __init__(self, zero):
        super().__init__(4)
        self.zero, self.lock = zero, threading.Lock()  # tried itself, as no lock can be copied
        self.gradients["gain"] = np.zeros(4)

    def backward(self, dy):
        kept = self.gradients["gain"]
        assert np.isfinite(kept).all()
        self.zero(kept)
        kept[:3] += (dy * self.x).sum(axis=0)[:3]
        return dy * self.parameters["gain"]


class Frozen(own.Gain):
    def __init__(self, gradient=0.0):
        super().__init__(4)
        self.gradients["gain"] = np.full(4, gradient)

    def backward(self, dy):
        return dy * self.parameters["gain"]


class Normalizing(own.Gain):
    def backward(self, dy):
        dx = super().backward(dy)
        self.gradients["gain"] *= 1 / math.hypot(*self.gradients["gain"])
        return dx


class Nodes(Passing):
    """Of a quadrature: dx are its weights, no gradient."""

    def __init__(self):
        self.x = np.linspace(-1, 1, 4)
        self.dx = np.gradient(self.x)


def closed_over():
    """A copy of it still has the first one's arrays."""
    gain, gradient, kept = np.linspace(0.5, 1.5, 4), np.zeros(4), {}
    made = types.SimpleNamespace(parameters={"gain": gain}, gradients={"gain": gradient})

    def backward(dy):
        gradient[...] = (dy * kept["x"]).sum(axis=0)
        return dy * gain

    made.forward, made.backward = lambda x: kept.update(x=x) or x * gain, backward
    return made


RIGHT = {
    "zeroed by a product": lambda: Zeroing(lambda array: np.multiply(array, 0, out=array)),
    "zeroed by a difference": lambda: Zeroing(lambda array: np.subtract(array, array, out=array)),
    "zeroed where it was not": lambda: Zeroing(lambda array: np.copyto(array, 0, where=array != 0)),
    "frozen": Frozen,
    "a penalty": lambda: Frozen(0.1),
    "divided by its norm": lambda: Normalizing(4),
    "fixed arrays": Nodes,
    "closures": closed_over,
}


@pytest.mark.parametrize("case", RIGHT)
def test_a_part_that_is_right_is_trained_as_by_hand(case):
    models = [small(encoder=[RIGHT[case](), mv.Dense(4, 3)]) for _ in range(2)]
    mv.fit(models[0], X, epochs=2, batch_size=5, optimizer=mv.SGD(0.01))
    own.loop(models[1], mv.SGD(0.01), X, epochs=2, batch_size=5)
    np.testing.assert_array_equal(models[0].store.flat, models[1].store.flat)


class Returning(Sampler):
    def backward(self, dz, dmu, drho):
        return dz, dz * self.noise * self.sigma


class Assigning(KL):
    def backward(self, weight, dmu, drho):
        dmu[...], drho[...] = weight[:, np.newaxis] * self.mean, weight[:, np.newaxis] * (self.sigma**2 - 1)


class Summed(KL):
    def forward(self, mu, rho, sigma):
        return super().forward(mu, rho, sigma).sum(axis=1, keepdims=True)


class Wide(KL):
    def forward(self, mu, rho, sigma):
        return super().forward(mu, rho, sigma).astype(np.float64)


@pytest.mark.parametrize(
    ("name", "part", "message"),
    [
        ("sampler", Returning, r"sampler\.backward: got 'dmu or drho kept or added to', expected both assigned"),
        ("kl", Assigning, r"kl\.backward: got 'dmu or drho assigned', expected both added to"),
        ("kl", Summed, r"kl\.forward: got float32 of shape \(3, 1\), expected a float array of shape \(3, 2\)"),
        ("kl", Wide, r"kl\.forward: got float64 of shape \(3, 2\), expected the model's float32"),
        ("kl", ForwardAlone, r"kl: got .*, expected an object with a method backward"),
    ],
)
def test_a_sampler_and_a_kl_term_that_cannot_be_trained_are_refused(name, part, message):
    model = with_own_sampler()
    before = model.store.flat.copy()
    setattr(model, name, part())
    with pytest.raises(ValueError, match=message):
        mv.fit(model, X)
    np.testing.assert_array_equal(model._store.flat, before)


def test_sampler_and_kl_term_must_mean_the_same_by_rho():
    model = small()
    model.sampler.scale = "exp"
    with pytest.raises(ValueError, match=r"model\.kl\.scale: got 'softplus', expected 'exp', that of model\.sampler"):
        mv.fit(model, X)
    model.kl.scale = "exp"
    assert model.check(X[:3])
    own_term = with_own_sampler(dtype="float64")
    own_term.kl.scale, own_term.sampler.scale = 1.0, np.ones(2)  # their own, whatever that is
    assert own_term.scale == "softplus"
    assert own_term.check(X[:3])


def test_log_weights_have_the_prior_of_minivaes_kl_term():
    """Another term may be to another prior, which they would not have."""
    model = with_own_sampler()
    with pytest.raises(ValueError, match=r"model\.kl: got 'KL', expected minivae's GaussianKL: log p\(x\)"):
        model.log_likelihood(X, samples=5)
    bound = small(objective="iwae", samples=2)
    bound.kl = KL()
    with pytest.raises(ValueError, match=r"model\.kl: got 'KL', expected minivae's GaussianKL"):
        mv.fit(bound, X)


@pytest.mark.parametrize("objective", ["iwae", "dreg"])
def test_a_bound_takes_a_sampler_with_no_more_than_the_page_asks_for(objective):
    class Kept(Sampler):
        def forward(self, mu, rho, noise):
            self.rho, mu = rho, np.repeat(mu, len(noise) // len(rho), axis=0)
            self.noise, self.sigma = noise, np.exp(rho)
            self.z = mu + np.repeat(self.sigma, len(noise) // len(rho), axis=0) * noise
            return self.z

        def backward(self, dz, dmu, drho):
            shape = len(dmu), -1, dmu.shape[1]
            dmu[...] = dz.reshape(shape).sum(axis=1)
            drho[...] = self.sigma * (dz * self.noise).reshape(shape).sum(axis=1)

    options = {"objective": objective, "samples": 3, "scale": "exp", "dtype": "float64"}
    mine, theirs = small(**options), small(**options)
    mine.sampler = Kept()
    for model in (mine, theirs):
        mv.fit(model, X, epochs=2, batch_size=5)
    np.testing.assert_allclose(mine.store.flat, theirs.store.flat, rtol=1e-8)


@pytest.mark.parametrize("mean", [lambda self, output: output[:, :1], lambda self, output: None])
def test_a_mean_of_another_shape_is_refused(mean):
    model = small(likelihood=type("Mine", (own.Laplace,), {"mean": mean})())
    with pytest.raises(ValueError, match=r"likelihood \(Mine\)\.mean: got .*, expected a float array of shape \(6, 4"):
        model.sample(6)
