"""Whatever a user changes is trained as written: `fit` has the bits of the user's own loop."""

import copy
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivae as mv
from minivae import kernels

from . import own_parts as own

BACKENDS = [name for name in kernels.available_backends() if kernels.load_backend(name).on_host]
ROWS, BATCH, EPOCHS = 22, 8, 4  # three steps in an epoch, the last of 6 rows
X = np.random.default_rng(0).integers(0, 256, (ROWS, 9), dtype=np.uint8)


def small(backend="numpy", **options):
    return mv.VAE(**({"features": 9, "latent": 2, "hidden": (5,), "backend": backend, "seed": 3} | options))


def arrays(model, optimizer):
    """All that training changes."""
    return {"parameters": model.store.flat, "gradients": model.store.flat_gradients, **optimizer.state}


def assert_same(model, optimizer, other, other_optimizer):
    found, expected = arrays(model, optimizer), arrays(other, other_optimizer)
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def assert_same_losses(history, losses, rows=ROWS, batch=BATCH):
    sizes = np.array([min(batch, rows - start) for start in range(0, rows, batch)])
    means = (np.reshape(losses, (-1, len(sizes))) * sizes).sum(axis=1) / rows
    np.testing.assert_allclose(history["train_loss"], means, rtol=1e-12)


# What is brought: from a backend to (model, optimizer)
BROUGHT = {
    "nothing": lambda backend: (small(backend), mv.Adam(1e-2)),
    "optimizer": lambda backend: (small(backend), own.RMSprop(1e-2, clip_norm=3.0)),
    "optimizer's update": lambda backend: (small(backend), own.Averaging(1e-2, momentum=0.9)),
    "plain optimizer": lambda backend: with_optimizer(small(backend), own.Plain),
    "likelihood": lambda backend: (small(backend, likelihood=own.NumpyBernoulli()), mv.Adam(1e-2)),
    "likelihood that learns": lambda backend: (small(backend, likelihood=own.Laplace()), mv.Adam(1e-2)),
    "layer": lambda backend: with_layer(small(backend, activation="identity"), own.Leaky),
    "subclass": lambda backend: (small(backend, encoder=[own.Louder(9, 5, "tanh")]), mv.Adam(1e-2)),
    "layers that learn": lambda backend: (
        small(backend, encoder=[mv.Dense(9, 4), own.Gain(4)], decoder=[own.Gain(2), mv.Dense(2, 5), own.Tanh()]),
        mv.SGD(1e-3, momentum=0.5),
    ),
    "float64": lambda backend: (small(backend, dtype="float64", encoder=[own.Gain(9)]), mv.AdamW(1e-2)),
    "head and output": lambda backend: (
        small(backend, posterior=own.Louder(5, 4), output=own.Louder(5, 9)),
        mv.Adam(mv.Cosine(1e-2, 12, 2)),
    ),
    "bound": lambda backend: (
        small(backend, objective="dreg", samples=1, decoder=[own.Tanh(), mv.Dense(2, 5, "relu")]),
        mv.Adam(lambda step: 1e-2 / (1 + step)),
    ),
}


def with_optimizer(model, kind):
    return model, kind(model)


def with_layer(model, around):
    model.encoder.layers[0] = around(model.encoder.layers[0])
    return model, mv.Adam(1e-2)


# What is set in on_epoch: (model, optimizer, epoch)
CHANGES = {
    "nothing": lambda model, optimizer, epoch: None,
    "beta": lambda model, optimizer, epoch: setattr(model, "beta", 0.25 * epoch),
    "free bits": lambda model, optimizer, epoch: setattr(model, "free_bits", 0.1 * (epoch % 2)),
    "learning_rate": lambda model, optimizer, epoch: setattr(optimizer, "learning_rate", 1e-2 / epoch),
    "schedule": lambda model, optimizer, epoch: setattr(optimizer, "schedule", mv.StepDecay(1e-2, 2, 0.5)),
    "own schedule": lambda model, optimizer, epoch: setattr(optimizer, "schedule", lambda step: 1e-3 * (step + epoch)),
    "clip_norm": lambda model, optimizer, epoch: setattr(optimizer, "clip_norm", [0.1, None][epoch % 2]),
    "moment": lambda model, optimizer, epoch: optimizer.state["first"].fill(0),
    "parameters": lambda model, optimizer, epoch: model.parameters.update({"posterior.bias": 0.1 * epoch}),
    "in place": lambda model, optimizer, epoch: np.negative(*2 * (model.parameters["encoder.0.weight"],)),
    "flat": lambda model, optimizer, epoch: np.multiply(model.store.flat, 0.5, out=model.store.flat),
    "layer": lambda model, optimizer, epoch: model.encoder.layers.__setitem__(0, mv.Dense(9, 5, "tanh", seed=epoch)),
    "own layer": lambda model, optimizer, epoch: model.decoder.layers.__setitem__(0, own.Louder(2, 5, seed=epoch)),
    "activation": lambda model, optimizer, epoch: setattr(
        model.encoder.layers[0], "activation", ["silu", "relu"][epoch % 2]
    ),
    "likelihood": lambda model, optimizer, epoch: setattr(
        model, "likelihood", [mv.Bernoulli, mv.Gaussian, own.NumpyBernoulli][epoch % 3]()
    ),
    "method": lambda model, optimizer, epoch: setattr(
        model.posterior, "backward", lambda dy, wanted=True: mv.Dense.backward(model.posterior, dy / epoch)
    ),
    "other passes": lambda model, optimizer, epoch: (model.forward(X[: 5 * epoch]), model.backward(), model.sample(7)),
}


def change(which, model, optimizer):
    def on_epoch(row):
        CHANGES[which](model, optimizer, row["epoch"])

    return on_epoch


def run(fit_or_loop, brought, changed, backend, **options):
    model, optimizer = BROUGHT[brought](backend)
    options = {"epochs": EPOCHS, "batch_size": BATCH} | options
    result = fit_or_loop(model=model, optimizer=optimizer, on_epoch=change(changed, model, optimizer), **options)
    return model, optimizer, result


TRIALS = [(brought, "nothing") for brought in BROUGHT] + [("nothing", changed) for changed in CHANGES]
TRIALS += [("layers that learn", changed) for changed in ("beta", "learning_rate", "clip_norm", "flat", "other passes")]


@pytest.mark.parametrize(("brought", "changed"), TRIALS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_fit_is_the_users_own_loop(backend, brought, changed):
    """Whole, and in a fresh model that goes on from the middle of an epoch and from an epoch's end."""
    states = []
    *expected, losses = run(partial(own.loop, data=X), brought, changed, backend)
    fitting = partial(mv.fit, train=X)
    *found, history = run(fitting, brought, changed, backend, on_checkpoint=states.append, checkpoint_steps=1)
    assert_same(*found, *expected)
    assert_same_losses(history, losses)
    for state in (states[4], states[5]):  # after 5 and 6 steps
        model, optimizer = BROUGHT[brought](backend)
        getattr(optimizer, "attach", id)(model)
        for epoch in range(state.history.epochs):  # what on_epoch has set is no part of the state, but for arrays
            CHANGES[changed](model, optimizer, epoch + 1)
        on_epoch = change(changed, model, optimizer)
        options = {"epochs": EPOCHS, "batch_size": BATCH, "optimizer": optimizer, "on_epoch": on_epoch}
        again = mv.fit(model, X, start=state, **options)
        assert_same(model, optimizer, *expected)
        assert again["train_loss"] == history["train_loss"]


@pytest.mark.parametrize("part", [own.Dropout, own.Counting, partial(own.Turning, 9, 5)])
def test_what_a_part_remembers_outside_its_parameters_goes_on_in_a_copy_of_it(part):
    """A `TrainingState` has the arrays. A generator, or a count, is the part's: it is in copies and pickles of the
    model, and a fresh part begins anew.
    """
    states, copies = [], []

    def keep(state):
        states.append(state)
        copies.append(copy.deepcopy((model, optimizer)))

    options = {"epochs": 3, "batch_size": BATCH, "seed": 1}
    model, optimizer = small(encoder=[part(), mv.Dense(9, 5)]), own.RMSprop(1e-2)
    mv.fit(model, X, optimizer=optimizer, on_checkpoint=keep, checkpoint_steps=1, **options)
    other, other_optimizer = copies[4]
    mv.fit(other, X, optimizer=other_optimizer, start=states[4], **options)
    assert_same(other, other_optimizer, model, optimizer)
    fresh = small(encoder=[part(), mv.Dense(9, 5)])
    mv.fit(fresh, X, optimizer=own.RMSprop(1e-2), start=states[4], **options)
    assert not np.array_equal(fresh.store.flat, model.store.flat)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_layer_that_acts_only_in_training_does_so_in_each_step(backend):
    """Validation, and what on_epoch evaluates, come between: each step sets `training` again."""

    def run(fit_or_loop, **options):
        model, optimizer = small(backend, decoder=[own.Dropout(), mv.Dense(2, 5, "tanh")]), mv.Adam(1e-2)
        options |= {"epochs": 3, "batch_size": BATCH, "on_epoch": lambda row: model.sample(2)}
        fit_or_loop(model=model, optimizer=optimizer, **options)
        return model, optimizer

    assert_same(*run(mv.fit, train=X, validation=X), *run(own.loop, data=X))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_schedule_may_change_the_model_in_the_midst_of_an_epoch(backend):
    def run(fit_or_loop, **options):
        model, optimizer = small(backend, encoder=[mv.Dense(9, 5), own.Gain(5)]), mv.Adam(1e-2)

        def beta(step):
            if step == 4:
                model.posterior = mv.Dense(5, 4, seed=7)
                model.encoder.layers[1].parameters["gain"] *= 2
            return 0.5

        fit_or_loop(model=model, optimizer=optimizer, beta=beta, epochs=3, batch_size=BATCH, **options)
        return model, optimizer

    assert_same(*run(mv.fit, train=X), *run(own.loop, data=X))


@pytest.mark.parametrize("make", [own.Plain, lambda model: own.Averaging(0.1)])
def test_exchanging_one_layer_costs_the_others_no_update(make):
    """What is no `Optimizer` of minivae's leaves a part's own arrays behind those of the model until the next pass."""
    model = small(encoder=[own.Gain(9), mv.Dense(9, 5)])
    optimizer = make(model)
    model.forward(X)
    model.backward()
    optimizer.update(model)
    trained = model._store.values["encoder.0.gain"].copy()
    model.posterior = mv.Dense(5, 4, seed=1)
    np.testing.assert_array_equal(model.parameters["encoder.0.gain"], trained)
    assert not np.array_equal(trained, own.Gain(9).parameters["gain"].astype("float32"))
    np.testing.assert_array_equal(model.encoder.layers[0].parameters["gain"], trained)


# Parts at random


def leaky_dense(*widths, **options):
    return own.Leaky(mv.Dense(*widths, **options))


@st.composite
def own_layers(draw, width, dtype):
    """Functions that make a layer each, for an input of `width`; None leaves minivae's own."""
    kinds = ("dense", "gain", "tanh", "leaky", "louder", "dropout", "counting", "turning")
    makers, chosen = [], draw(st.lists(st.sampled_from(kinds), max_size=3))
    for kind in chosen:
        wide = draw(st.integers(1, 4)) if kind in ("dense", "leaky", "louder") else width
        seed, at = {"seed": draw(st.integers(0, 99)), "dtype": dtype}, draw(st.integers(1, 12))
        makers.append(
            {
                "dense": partial(mv.Dense, width, wide, draw(st.sampled_from(["relu", "gelu", "identity"])), **seed),
                "gain": partial(own.Gain, width),
                "tanh": own.Tanh,
                "leaky": partial(leaky_dense, width, wide, **seed),
                "louder": partial(own.Louder, width, wide, "softplus", **seed),
                "dropout": partial(own.Dropout, seed=seed["seed"]),
                "counting": own.Counting,
                "turning": partial(own.Turning, width, at),
            }[kind]
        )
        width = wide
    return makers


# By a name of the sort "minivae's" or "own"; each from a step at which it may turn
LIKELIHOODS = {
    "minivae's bernoulli": lambda at, dtype: "bernoulli",
    "minivae's logistic": lambda at, dtype: "logistic",
    "own bernoulli": lambda at, dtype: own.NumpyBernoulli(dtype=dtype),
    "own laplace": lambda at, dtype: own.Laplace(),
    "own laplace that turns": lambda at, dtype: own.Laplace(at),
}
OPTIMIZERS = {
    "minivae's adam": lambda model, rate, at: mv.Adam(rate),
    "minivae's sgd": lambda model, rate, at: mv.SGD(rate, momentum=0.9, clip_norm=1.0),
    "own rmsprop": lambda model, rate, at: own.RMSprop(rate),
    "own lion": lambda model, rate, at: own.Lion(rate, clip_norm=2.0),
    "own lion that turns": lambda model, rate, at: own.Lion(rate, at),
    "own update": lambda model, rate, at: own.Averaging(rate),
    "own class": lambda model, rate, at: own.Plain(model),
}
RATES = {
    "minivae's number": lambda at: 1e-2,
    "minivae's decay": lambda at: mv.StepDecay(1e-2, at),
    "own function": lambda at: lambda step: 1e-2 if step < at else 1e-3,
    "own noticing": lambda at: own.Noticing(1e-3),
}
BETAS = {
    "minivae's none": lambda at: None,
    "minivae's warmup": mv.Warmup,
    "own function": lambda at: lambda step: 0.5 if step < at else 2.0,
    "own noticing": lambda at: own.Noticing(0.1),
}


def set_at_random(what, value, model, optimizer):
    """Something that a user may set in on_epoch, if the model has it."""
    if what == "beta":
        model.beta = value
    elif what == "free_bits":
        model.free_bits = value
    elif what == "clip_norm":
        optimizer.clip_norm = 0.01 + value
    elif what == "learning_rate":
        optimizer.learning_rate = 0.01 * value + 1e-4
    elif what == "schedule":
        optimizer.schedule = lambda step: 0.01 * value / (1 + step)
    elif what == "array":
        name = sorted(model.parameters)[int(value * 97) % len(model.parameters)]
        model.parameters[name] = value
    elif what == "own array":  # the part's own, not by the model's name for it
        model.settle()  # what is no `Optimizer` leaves that to the next pass
        for layer in model.encoder.layers:
            if isinstance(layer, own.Gain):
                layer.parameters["gain"] *= 1 + value
    elif what == "layer":
        old = model.posterior
        model.posterior = type(old)(old.inputs, old.outputs, seed=int(97 * value), dtype=model.dtype)
    elif what == "own layer" and type(model.posterior) is mv.Dense:
        old = model.posterior
        model.posterior = own.Louder(old.inputs, old.outputs, seed=int(97 * value), dtype=model.dtype)
    elif what == "passes":
        model.sample(3)
        model.forward(np.zeros((2 + int(5 * value), model.features), np.uint8))


SETTINGS = ("free_bits", "array", "own array", "layer", "own layer", "passes")
WITH_BETA, OF_OPTIMIZER = ("beta",), ("clip_norm", "learning_rate", "schedule")


@st.composite
def trainings(draw, backends):
    """(make, options of a training): `make()` gives (model, optimizer, the rest of the options), the same each time."""
    features, latent, at = draw(st.integers(1, 6)), draw(st.integers(1, 3)), draw(st.integers(1, 12))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    brings = draw(st.sets(st.sampled_from(["encoder", "decoder", "likelihood", "optimizer", "rate", "beta"])))
    lists = {
        name: draw(own_layers(width, dtype))
        for name, width in (("encoder", features), ("decoder", latent))
        if name in brings
    }
    likelihood, optimizer, rate, beta = (
        draw(st.sampled_from([key for key in of if key.startswith("own") == (name in brings)]))
        for name, of in (("likelihood", LIKELIHOODS), ("optimizer", OPTIMIZERS), ("rate", RATES), ("beta", BETAS))
    )
    allowed = (
        SETTINGS + (WITH_BETA if beta == "minivae's none" else ()) + (OF_OPTIMIZER if optimizer != "own class" else ())
    )
    setting = st.tuples(st.sampled_from(allowed), st.floats(0, 1))
    epochs = draw(st.integers(1, 4))
    changes = [draw(st.lists(setting, max_size=2)) for _ in range(epochs)]
    rows = draw(st.integers(1, 9))
    options = {"epochs": epochs, "batch_size": draw(st.integers(1, rows)), "seed": draw(st.integers(0, 9))}
    x = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, (rows, features), dtype=np.uint8)
    shared = {
        "hidden": tuple(draw(st.lists(st.integers(1, 5), max_size=2))),
        "activation": draw(st.sampled_from(["relu", "silu", "tanh"])),
        "dtype": dtype,
        "backend": draw(st.sampled_from(backends)),
        "seed": draw(st.integers(0, 9)),
    }

    def make():
        made = {name: [maker() for maker in makers] for name, makers in lists.items()}
        model = mv.VAE(features, latent, likelihood=LIKELIHOODS[likelihood](at, dtype), **made, **shared)
        trained_by = OPTIMIZERS[optimizer](model, RATES[rate](at), at)

        def on_epoch(row):
            for what, value in changes[row["epoch"] - 1]:
                set_at_random(what, value, model, trained_by)

        return model, trained_by, {**options, "beta": BETAS[beta](at), "on_epoch": on_epoch}

    return make, x


def check_random_training(training):
    make, x = training
    model, optimizer, options = make()
    other, other_optimizer, other_options = make()
    with np.errstate(all="ignore"):
        history = mv.fit(model, x, optimizer=optimizer, **options)
        losses = own.loop(other, other_optimizer, x, **other_options)
    assert_same(model, optimizer, other, other_optimizer)
    assert_same_losses(history, losses, len(x), options["batch_size"])


@settings(max_examples=25)
@given(trainings(BACKENDS))
def test_fit_is_the_loop_for_random_parts(training):
    check_random_training(training)


@pytest.mark.slow
@settings(max_examples=1000)
@given(trainings([*BACKENDS, "numpy", "numpy"]))
def test_fit_is_the_loop_for_a_thousand_random_parts(training):
    check_random_training(training)
