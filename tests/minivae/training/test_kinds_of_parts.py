"""Parts and optimizers as people write them: all that they learn is trained, or they are refused by name."""

import copy
import pickle
import re
import threading
from types import SimpleNamespace

import numpy as np
import pytest

import minivae as mv
from minivae.optim import Optimizer

from . import own_parts as own

X = np.random.default_rng(0).integers(0, 256, (22, 9), dtype=np.uint8)
OPTIONS = {"epochs": 4, "batch_size": 8}


def small(**options):
    return mv.VAE(**({"features": 9, "latent": 2, "hidden": (5,), "backend": "numpy", "seed": 3} | options))


def dense(index=0):
    return mv.Dense(9, 5, "tanh", index=index)


class Inside:
    """A layer of other layers, which are in whatever it was given."""

    def __init__(self, inner):
        self.inner = inner

    def layers(self):
        return list(self.inner.values()) if isinstance(self.inner, dict) else list(self.inner)

    def forward(self, x):
        for layer in self.layers():
            x = layer.forward(np.ascontiguousarray(x))
        return x

    def backward(self, dy):
        for layer in reversed(self.layers()):
            dy = layer.backward(np.ascontiguousarray(dy))
        return dy


class Residual(Inside):
    def __init__(self, seed):
        super().__init__([mv.Dense(5, 5, "tanh", seed=seed)])

    def forward(self, x):
        return x + super().forward(x)

    def backward(self, dy):
        return dy + super().backward(dy)


class Slotted:
    __slots__ = ("__dict__", "layer")

    def __init__(self):
        self.layer = mv.Dense(5, 5)

    def forward(self, x):
        return self.layer.forward(x)

    def backward(self, dy):
        return self.layer.backward(dy)


class GainAndDense(own.Gain):
    """Parameters of its own, and a layer with others."""

    def __init__(self):
        super().__init__(5)
        self.dense = mv.Dense(5, 5)

    def forward(self, x):
        return self.dense.forward(super().forward(x).astype(np.float32))

    def backward(self, dy):
        return super().backward(self.dense.backward(dy))


class Rebinding(mv.Dense):
    """Its backward pass puts another mapping in the place of `gradients`."""

    def forward(self, x):
        self.x = x
        return x @ self.parameters["weight"] + self.parameters["bias"]

    def backward(self, dy, input_gradient=True):
        self.gradients = {"weight": self.x.T @ dy, "bias": dy.sum(axis=0)}
        return dy @ self.parameters["weight"].T


class Views(own.Gain):
    """Its mappings and the arrays in them are new ones each time, of the same memory."""

    def __init__(self, width):
        self.flat, self.dflat = np.ones(width), np.zeros(width)

    parameters = property(lambda self: {"gain": self.flat[:]})
    gradients = property(lambda self: {"gain": self.dflat[:]})

    def backward(self, dy):
        self.dflat[:] = (dy * self.x).sum(axis=0)
        return dy * self.flat


class WithNotes(own.Gain):
    """Keeps another object from each pass, and things that are no parts."""

    def __init__(self):
        super().__init__(5)
        self.settings = SimpleNamespace(training={"rate": 1}, parameters={"width": 5})
        self.lock = threading.Lock()

    def forward(self, x):
        self.note = SimpleNamespace(x=x)
        return super().forward(x)


LEARNING = {
    "views": (lambda: Inside([Views(5) for _ in range(3)]), 3),
    "a hundred layers and one": (lambda: Inside([Views(5) for _ in range(101)]), 101),
    "notes": (WithNotes, 1),
    "a list of layers of layers": (lambda: Inside([Residual(1), Residual(2)]), 4),
    "a dict": (lambda: Inside({"a": mv.Dense(5, 5, "tanh")}), 2),
    "a tuple": (lambda: Inside((Residual(1),)), 2),
    "slots": (Slotted, 2),
    "parameters and a layer": (GainAndDense, 3),
    "a subclass that rebinds its gradients": (lambda: Rebinding(5, 5), 2),
}


@pytest.mark.parametrize("case", LEARNING)
def test_all_that_a_layer_learns_is_trained(case):
    make, count = LEARNING[case]
    model = small(encoder=[dense(), make()])
    names = [name for name in model.parameters if name.startswith("encoder.1.")]
    assert len(names) == count
    before = {name: model.parameters[name].copy() for name in names}
    mv.fit(model, X, **OPTIONS)
    assert not [name for name in names if np.array_equal(before[name], model.parameters[name])]
    assert count > 100 or model.check(X[:4])  # of so many layers it takes 20 s


class Listed(own.Tanh):
    def __init__(self):
        self.parameters = [np.ones(3)]


class AsMethod(Slotted):
    def parameters(self):
        return {}


class Lazy(own.Gain):
    def __init__(self):
        self.parameters, self.gradients = {}, {}

    def forward(self, x):
        self.parameters.setdefault("gain", np.ones(x.shape[1]))
        return super().forward(x)


class Converting(own.Tanh):
    """Its parameters are another array each time that they are asked for."""

    gradients = property(lambda self: {"w": np.zeros(5)})
    parameters = property(lambda self: {"w": self.w.astype("float32")})
    w = np.ones(5)


class Tied:
    """An output layer that multiplies by the weight of the encoder's layer."""

    def __init__(self, layer):
        self.layer = layer

    def forward(self, h):
        return h @ self.layer.parameters["weight"].T

    def backward(self, dy):
        return dy @ self.layer.parameters["weight"]


def tied():
    layer = dense()
    return {"encoder": [layer], "decoder": [mv.Dense(2, 5, index=3)], "output": Tied(layer)}


def used(part, **options):
    used.model = small(encoder=[dense(), part])  # which lives on
    return {"encoder": [dense(), part], **options}


REFUSED = {
    "a list of arrays": (lambda: {"encoder": [dense(), Listed()]}, "encoder.1 (Listed).parameters: got [array"),
    "a method": (lambda: {"encoder": [dense(), AsMethod()]}, "encoder.1 (AsMethod).parameters: got <bound method"),
    "later parameters": (lambda: {"encoder": [dense(), Lazy()]}, "encoder.1 (Lazy).parameters: got \"['gain'] after"),
    "copies": (lambda: {"encoder": [dense(), Converting()]}, "encoder.1 (Converting).parameters['w']: got 'another"),
    "sigmas of another width": (lambda: {"likelihood": mv.Gaussian(features=3)}, "likelihood: got '3 sigmas'"),
    "a tied weight": (tied, "output (Tied): got 'the parameters of encoder.0'"),
    "a part of another model": (lambda: used(own.Gain(5)), "encoder.1 (Gain): got 'a part of another model'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_kept_in_line_is_refused(case):
    make, message = REFUSED[case]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        small(**make())


def test_a_copy_of_another_models_layer_is_a_layer_like_any():
    model = small()
    other = small(encoder=copy.deepcopy(model.encoder.layers))
    mv.fit(other, X, **OPTIONS)
    np.testing.assert_array_equal(model.store.flat, small().store.flat)


def test_what_is_no_part_stays_as_it_is_and_a_pass_may_be_looked_at():
    layer = WithNotes()
    model = small(encoder=[dense(), layer])
    model.forward(X)
    assert model.gradients.keys() == model.parameters.keys()
    model.backward()
    assert layer.settings.training == {"rate": 1}


@pytest.mark.parametrize("_", range(5))
def test_a_layer_in_the_memory_of_a_dead_one_is_another(_):
    block = Inside([mv.Dense(5, 5, "tanh"), mv.Dense(5, 5, "tanh", index=1)])
    model = small(encoder=[dense(), block])
    model.forward(X)
    block.inner.pop()
    block.inner.append(mv.Dense(5, 5, "tanh", index=9))
    before = block.inner[1].parameters["weight"].copy()
    mv.fit(model, X, **OPTIONS)
    assert not np.array_equal(before, block.inner[1].parameters["weight"])


def test_a_layer_within_another_can_be_exchanged():
    model = small(encoder=[dense(), Residual(1)])
    new = mv.Dense(5, 5, "tanh", seed=77)
    before = new.parameters["weight"].copy()

    def on_epoch(row):
        model.encoder.layers[1].inner[0] = new

    mv.fit(model, X, on_epoch=on_epoch, **OPTIONS)
    assert np.shares_memory(new.parameters["weight"], model.store.flat)
    assert not np.array_equal(before, model.parameters["encoder.1.weight"])


def test_what_is_assigned_to_a_dense_layer_or_a_flat_buffer_is_copied_there():
    model = small()
    layer = model.encoder.layers[0]
    layer.parameters = {name: 2 * array for name, array in layer.parameters.items()}
    model.store.flat = 3 * model.store.flat
    np.testing.assert_array_equal(model.store.flat[:45].reshape(9, 5), layer.parameters["weight"])
    np.testing.assert_array_equal(layer.parameters["weight"], 6 * small().encoder.layers[0].parameters["weight"])


def test_a_mode_reaches_layers_within_layers():
    model = small(encoder=[dense(), Inside([own.Dropout(0.5, 0)])])
    model.forward(X)
    np.testing.assert_array_equal(model.elbo(X), model.elbo(X))


def test_a_kl_term_may_learn():
    class Shifted(mv.GaussianKL):
        """KL to a prior with a mean of its own."""

        def __init__(self):
            super().__init__()
            self.parameters, self.gradients = {"mean": np.full(2, 0.5, np.float32)}, {}

        def forward(self, mu, rho, sigma):
            return super().forward(mu - self.parameters["mean"], rho.copy(), sigma)

        def backward(self, weight, dmu, drho):
            self.gradients["mean"] = -(weight[:, np.newaxis] * self.mu).sum(axis=0)
            return super().backward(weight, dmu, drho)

    model = small()
    model.kl = Shifted()
    mv.fit(model, X, **OPTIONS)
    assert not np.array_equal(model.parameters["kl.mean"], [0.5, 0.5])
    assert model.check(X[:4])


# Optimizers that go their own way


class Twice(mv.Adam):
    def update(self, model):
        super().update(model)
        super().update(model)


class Accumulating(mv.Adam):
    """A step for every two batches."""

    kept = None

    def update(self, model):
        if self.kept is None:
            self.kept = model.store.flat_gradients.copy()
            return
        model.store.flat_gradients[...] += self.kept
        self.kept = None
        super().update(model)


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
@pytest.mark.parametrize("kind", [Twice, Accumulating])
def test_an_optimizer_may_make_more_or_fewer_steps_than_training(kind, backend):
    model, optimizer = small(backend=backend), kind(mv.Cosine(1e-2, 9))
    mv.fit(model, X, optimizer=optimizer, **OPTIONS)
    other, by_hand = small(backend=backend), kind(mv.Cosine(1e-2, 9))
    own.loop(other, by_hand, X, **OPTIONS)
    np.testing.assert_array_equal(model.store.flat, other.store.flat)
    assert optimizer.steps == by_hand.steps == (24 if kind is Twice else 6)


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
@pytest.mark.parametrize("steps", [1, 3, 5])
def test_steps_in_on_epoch_are_none_of_trainings(steps, backend):
    def trained(train):
        model, optimizer = small(backend=backend), mv.Adam(1e-2)

        def on_epoch(row):
            for _ in range(steps):
                model.forward(X[:8], np.ones((8, 2), np.float32))
                model.backward()
                optimizer.update(model)

        train(model, optimizer, X, on_epoch)
        return model.store.flat

    fitted = trained(lambda m, o, x, f: mv.fit(m, x, optimizer=o, on_epoch=f, **OPTIONS))
    looped = trained(lambda m, o, x, f: own.loop(m, o, x, on_epoch=f, **OPTIONS))
    np.testing.assert_array_equal(fitted, looped)


def test_the_rate_follows_the_schedule_in_a_copy_and_after_training():
    kept, model, optimizer = [], small(), mv.SGD(mv.Cosine(0.1, 20))
    mv.fit(
        model,
        X,
        epochs=1,
        batch_size=8,
        optimizer=optimizer,
        on_epoch=lambda row: kept.append(pickle.loads(pickle.dumps((model, optimizer)))),
    )
    assert optimizer.last_rate == optimizer.schedule(2)
    model, optimizer = kept[0]
    for step in range(3, 25):
        model.forward(X[:8])
        model.backward()
        before = model.store.flat.astype(np.float64)
        optimizer.update(model)
        largest = np.abs(model.store.flat_gradients).argmax()
        rate = (before - model.store.flat)[largest] / model.store.flat_gradients[largest]
        assert rate == pytest.approx(optimizer.schedule(step), abs=1e-4)


class Momentum:
    """An object with update(model), and a state that is made at once, in the first step, or anew in each."""

    def __init__(self, model, way):
        self.way = way
        self.state = {} if way == "later" else {"v": np.zeros_like(model.store.flat)}

    def update(self, model):
        velocity = self.state.get("v", np.zeros_like(model.store.flat))
        new = np.float32(0.9) * velocity + model.store.flat_gradients
        if self.way == "anew":
            self.state = {"v": new}
        else:
            self.state.setdefault("v", velocity)[...] = new
        model.store.flat[...] -= np.float32(0.01) * new


@pytest.mark.parametrize("way", ["at once", "later", "anew"])
def test_an_optimizer_of_ones_own_resumes_by_its_state(way):
    states, whole = [], small()
    keep = {"on_checkpoint": states.append, "checkpoint_steps": 1}
    mv.fit(whole, X, optimizer=Momentum(whole, way), **keep, **OPTIONS)
    for state in states[::3]:
        again = small()
        mv.fit(again, X, optimizer=Momentum(again, way), start=state, **OPTIONS)
        np.testing.assert_array_equal(again.store.flat, whole.store.flat)


@pytest.mark.parametrize("in_place", [True, False])
def test_an_optimizer_that_changes_no_parameter_is_told_of(in_place, caplog):
    class Descent(Optimizer):
        def _apply(self, parameters, gradients):
            step = self.rate * gradients
            if in_place:
                parameters -= step
            else:
                parameters = parameters - step

    mv.fit(small(), X, optimizer=Descent(0.1), **OPTIONS)
    assert ("no parameter has changed in epoch 1" in caplog.text) is not in_place


class Third(mv.Adam):
    """Makes a step for every third batch."""

    asked = 0

    def update(self, model):
        self.asked += 1
        if self.asked % 3 == 0:
            super().update(model)


def test_a_second_training_counts_the_steps_of_the_first():
    model, optimizer, steps = small(), Third(), []

    def beta(step):
        steps.append(step)
        return 1.0

    for _ in range(2):
        mv.fit(model, X, optimizer=optimizer, beta=beta, **OPTIONS)
    assert steps == list(range(24))


def test_divergence_takes_back_a_state_that_was_made_meanwhile():
    class Late(Optimizer):
        def _apply(self, parameters, gradients):
            velocity = self.state.setdefault("v", np.zeros_like(parameters))
            velocity += gradients
            parameters -= np.float32(1e30) * velocity

    model, optimizer = small(likelihood="gaussian"), Late(1.0)
    with pytest.raises(mv.TrainingDiverged):
        mv.fit(model, X, optimizer=optimizer, **OPTIONS)
    np.testing.assert_array_equal(model.store.flat, small(likelihood="gaussian").store.flat)
    assert optimizer.steps == 0
    assert not optimizer.state["v"].any()


def test_a_second_training_with_an_optimizer_of_ones_own_goes_on():
    parts, whole = small(), small()
    optimizer = Momentum(parts, "at once")
    for _ in range(2):
        mv.fit(parts, X, epochs=2, batch_size=8, optimizer=optimizer)
    mv.fit(whole, X, optimizer=Momentum(whole, "at once"), **OPTIONS)
    np.testing.assert_array_equal(parts.store.flat, whole.store.flat)


@pytest.mark.parametrize("state", [{"v": {"m": np.zeros(3)}}, {"v": np.zeros(3)}, {"t": 0}, "ready"])
def test_a_state_that_cannot_be_kept_is_refused(state):
    model = small()
    optimizer = Momentum(model, "at once")
    optimizer.state = state
    with pytest.raises(ValueError, match=r"optimizer\.state: got"):
        mv.fit(model, X, optimizer=optimizer, **OPTIONS)
    np.testing.assert_array_equal(model.store.flat, small().store.flat)


def test_a_beta_set_in_on_epoch_is_in_the_state():
    def trained(**options):
        model = small()
        mv.fit(model, X, on_epoch=lambda row: setattr(model, "beta", 0.1 * row["epoch"]), **options, **OPTIONS)
        return model.store.flat

    states = []
    whole = trained(on_checkpoint=states.append, checkpoint_steps=1)
    for state in states:
        np.testing.assert_array_equal(trained(start=state), whole)


def test_epochs_of_a_warm_up_compare():
    """The validation loss is that with the last beta from the first epoch on, so early stopping waits for no rise."""
    model = small()
    history = mv.fit(model, X, validation=X, beta=mv.Warmup(12, 4.0), **OPTIONS)
    for loss, nll, kl in zip(*(history[f"validation_{name}"] for name in ("loss", "nll", "kl")), strict=True):
        assert loss == pytest.approx(nll + 4 * kl)
    assert history["beta"] == [4 * step / 12 for step in (2, 5, 8, 11)]


def test_a_schedule_of_beta_is_shown_the_history():
    beta = mv.Plateau(1.0, 0.5, 1, threshold=1e9)
    assert mv.fit(small(), X, beta=beta, **OPTIONS)["beta"] == [1, 1, 0.5, 0.25]
