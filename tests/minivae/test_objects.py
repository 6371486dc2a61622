"""Objects behave: assignment into parameters, pickling and copying."""

import copy
import json
import math
import multiprocessing
import pickle
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minivae as mv
from minivae import kernels
from minivae.layers import Chain
from minivae.parameters import Arrays, Parameters

BACKENDS = [name for name in kernels.available_backends() if kernels.load_backend(name).on_host]
X = np.random.default_rng(0).random((24, 12))


def small(backend="numpy", **options):
    return mv.VAE(12, 3, (5,), dtype="float64", backend=backend, **options)


def round_trip(value):
    return pickle.loads(pickle.dumps(value))


def in_another_process(value):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(copy.deepcopy, (value,))


def on_read_only_memory(value):
    """As joblib hands large arrays to its workers."""
    buffers = []
    text = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(text, buffers=[bytes(buffer) for buffer in buffers])


COPIES = {
    "pickle": round_trip,
    "read-only": on_read_only_memory,
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "spawn": in_another_process,
}


@given(st.data())
def test_what_is_set_is_in_the_flat_buffer_and_nothing_else_changes(data):
    shapes = data.draw(st.lists(hnp.array_shapes(min_dims=1, max_dims=3, max_side=5), min_size=1, max_size=5))
    store = Parameters({f"part.{i}": shape for i, shape in enumerate(shapes)}, kernels.load_backend("numpy"), "float32")
    renamed = Arrays(store, "flat", {str(i): f"part.{i}" for i in range(len(shapes))})
    arrays = data.draw(st.sampled_from([store.values, store.gradients, renamed]))
    name = data.draw(st.sampled_from(sorted(arrays)))
    value = data.draw(hnp.arrays("float32", arrays[name].shape, elements=st.floats(-9, 9, width=32)))
    view, flat = arrays[name], getattr(store, arrays._buffer)
    arrays[name] = value.tolist()
    assert arrays[name] is view
    np.testing.assert_array_equal(view, value)
    assert np.shares_memory(view, flat)
    assert math.fsum(np.abs(flat)) == math.fsum(np.abs(value).flat), "exact sums, whatever their order"


def test_setting_a_parameter_takes_effect():
    model = small()
    model.forward(X)
    weight = np.random.default_rng(1).standard_normal((12, 5))
    model.parameters["encoder.0.weight"] = weight
    expected = np.maximum(X @ weight + model.parameters["encoder.0.bias"], 0)
    model.forward(X)
    np.testing.assert_allclose(model.encoder.layers[0].y, expected, rtol=1e-12)
    layer = model.encoder.layers[0]
    layer.parameters["weight"] *= 2
    layer.parameters |= {"bias": 1.0}
    np.testing.assert_array_equal(model.parameters["encoder.0.weight"], 2 * weight)
    np.testing.assert_array_equal(model.parameters["encoder.0.bias"], np.ones(5))
    assert dict(**layer.parameters).keys() == {"weight", "bias"}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("encoder.9.weight", 1.0, "encoder.9.weight"),
        (
            "encoder.0.bias",
            np.ones(4),
            r"encoder.0.bias: got float64 of shape \(4,\), expected an array of shape \(5,\)",
        ),
        ("encoder.0.bias", np.ones(5, complex), "real numbers"),
        ("encoder.0.bias", [1.0, 2.0, np.nan, 0.0, 0.0], r"encoder.0.bias: got \[nan\], expected finite"),
        ("encoder.0.bias", [[1.0], [2.0, 3.0]], "encoder.0.bias"),
        ("encoder.0.bias", "ones", "real numbers"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_changes(name, value, says):
    model = small()
    before = model.store.flat.copy()
    with pytest.raises(ValueError, match=says):
        model.parameters.update({"posterior.bias": 3.0, name: value})
    np.testing.assert_array_equal(model.store.flat, before)


def test_the_layout_is_fixed():
    arrays = small().parameters
    changes = [
        lambda: arrays.pop("encoder.0.bias"),
        lambda: arrays.popitem(),
        lambda: arrays.clear(),
        lambda: arrays.setdefault("new", 1.0),
        lambda: arrays.__delitem__("encoder.0.bias"),
    ]
    for change in changes:
        with pytest.raises(TypeError, match="layout is fixed"):
            change()
    assert arrays.setdefault("encoder.0.bias", 7.0) is arrays["encoder.0.bias"]
    assert len(arrays) == 8


def shares(arrays, flat):
    return all(np.shares_memory(array, flat) for array in arrays.values())


def loop(model, optimizer, steps):
    losses = []
    for _ in range(steps):
        losses.append(model.forward(X).loss)
        model.backward()
        optimizer.update(model)
    return losses


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_training_goes_on_with_the_same_bits(how, backend):
    model = small(backend, likelihood="gaussian", learn_sigma=True, objective="iwae", samples=2)
    optimizer = mv.Adam(mv.Cosine(1e-2, 9, 2), clip_norm=5.0)
    loop(model, optimizer, 3)
    if how == "copy":  # of each alone, each with what it needs
        other_optimizer = copy.copy(optimizer)
        other = other_optimizer._model
    else:
        other, other_optimizer = COPIES[how]((model, optimizer))
    assert shares(other.parameters, other.store.flat)
    assert shares(other.gradients, other.store.flat_gradients)
    for layer in (*other.encoder.layers, other.posterior, *other.decoder.layers, other.likelihood):
        assert layer.parameters.keys() == layer.gradients.keys() != set()
        assert shares(layer.parameters, other.store.flat)
        assert shares(layer.gradients, other.store.flat_gradients)
    assert not np.shares_memory(other.store.flat, model.store.flat)
    np.testing.assert_array_equal(other.store.flat_gradients, model.store.flat_gradients)
    with pytest.raises(ValueError, match="no forward pass"):
        other.backward()
    assert loop(model, optimizer, 3) == loop(other, other_optimizer, 3)
    np.testing.assert_array_equal(other.store.flat, model.store.flat)
    fitted = [
        mv.fit(m, X, epochs=2, batch_size=7, optimizer=o) for m, o in ((model, optimizer), (other, other_optimizer))
    ]
    assert fitted[0]["train_loss"] == fitted[1]["train_loss"]


@pytest.mark.parametrize("how", COPIES)
def test_parts_alone(how):
    """Every part, with an attribute of the user's, does afterwards what it did before."""
    make = COPIES[how]
    rng = np.random.default_rng(2)
    f64 = {"dtype": "float64", "backend": "numpy"}
    x, mu, rho, noise = (rng.random((4, 3)) for _ in range(4))
    dense, sampler, kl = mv.Dense(3, 3, "tanh", **f64), mv.Reparameterize(**f64), mv.GaussianKL(**f64)
    passes = [
        (dense, lambda part: part.forward(x)),
        (Chain([mv.Dense(3, 2, "relu", **f64)]), lambda part: part.forward(x)),
        (sampler, lambda part: part.forward(mu, rho, noise)),
        (kl, lambda part: part.forward(mu, rho, np.exp(rho))),
        (mv.Bernoulli(**f64), lambda part: part.forward(x, mu)),
        (mv.Gaussian(0.5, learn=True, **f64), lambda part: part.forward(x, mu, noise[:, 0])),
        (mv.StepDecay(0.1, 2), lambda part: part(5)),
    ]
    for part, call in passes:
        expected = np.array(call(part))
        if not isinstance(part, mv.StepDecay):
            part.remark = {"the user's": part}
        other = make(part)
        np.testing.assert_array_equal(call(other), expected)
        assert other is not part
        if not isinstance(part, mv.StepDecay):
            assert other.remark == {"the user's": other}
            assert make(part.remark)["the user's"].remark.keys() == part.remark.keys()
    other = make(dense)
    other.parameters["bias"] = 1.0
    assert shares(other.parameters, other.parameters._store.flat)
    assert not np.array_equal(other.forward(x), dense.forward(x))


def test_an_optimizer_pickled_apart_from_its_model_says_so():
    model, optimizer = small(), mv.SGD(0.1, momentum=0.9)
    loop(model, optimizer, 1)
    with pytest.raises(ValueError, match="attached to another model"):
        round_trip(optimizer).update(round_trip(model))
    fresh = round_trip(mv.AdamW(0.01))
    assert loop(round_trip(model), fresh, 2) == loop(round_trip(model), mv.AdamW(0.01), 2)


def test_what_training_leaves_can_be_pickled_printed_and_written_as_json():
    model, optimizer = small(), mv.Adam(np.float32(0.5) / 64)
    states = []
    options = {"validation": X, "epochs": 2, "batch_size": 8, "optimizer": optimizer, "on_checkpoint": states.append}
    history = mv.fit(model, X, **options)
    read = json.loads(json.dumps(history))
    assert read == history == round_trip(history)
    assert round_trip(history).stopped == copy.copy(history).stopped == "completed"
    assert all(type(v) in (int, float) for column in history.values() for v in np.array(column, object).ravel())
    again, state = small(), round_trip(states[0])
    resumed = mv.fit(again, X, **options | {"optimizer": mv.Adam(1 / 128), "on_checkpoint": None}, start=state)
    assert resumed["train_loss"] == history["train_loss"]
    np.testing.assert_array_equal(again.store.flat, model.store.flat)
    evaluator = mv.Evaluator(model, X)
    for value in (evaluator(), mv.importance_estimate(model, X, samples=3)):
        for name, array in vars(round_trip(value)).items():
            np.testing.assert_array_equal(array, getattr(value, name))
    texts = {
        model.encoder: "Chain([Dense(inputs=12, outputs=5, activation='relu')])",
        model.sampler: "Reparameterize(scale='softplus')",
        model.kl: "GaussianKL(scale='softplus')",
        model.likelihood: "Bernoulli()",
        mv.Gaussian(0.5, learn=True): "Gaussian(sigma=0.5, learn=True)",
        optimizer: "Adam(learning_rate=0.0078125, beta1=0.9, beta2=0.999, eps=1e-08, clip_norm=None)",
        mv.Dense(np.array(2), np.int8(3), index=np.uint8(1)): "Dense(inputs=2, outputs=3, activation='identity')",
        mv.SGD(mv.StepDecay(0.1, 2)): "SGD(learning_rate=StepDecay(rate=0.1, every=2, factor=0.1), momentum=0.0, ",
        evaluator: "Evaluator(VAE(features=12, latent=3, ",
    }
    for value, text in texts.items():
        assert repr(value).startswith(text)
    assert repr(history).startswith(f"History(2 epochs, completed, train_loss={history['train_loss'][-1]:.6g}, valid")
    assert repr(states[0]).startswith("TrainingState(step 3, ")
    assert repr(evaluator()).startswith("Evaluation(loss=")
    for value in (*texts, history, states[0], evaluator(), model.parameters, mv.load_dataset("rings", size=50)):
        assert "\n" not in repr(value)
        assert len(repr(value)) < 400


@pytest.mark.parametrize("how", COPIES)
def test_a_data_set_stays_read_only(how):
    data = mv.load_dataset("rings", size=20)
    other = COPIES[how](data)
    assert other.fingerprint() == data.fingerprint()
    assert other.source == data.source
    with pytest.raises(ValueError, match="read-only"):
        other.train[0] = 1
    assert repr(other) == "Dataset('rings', train (20, 2), test (2, 2), float32, labels, image_shape=None)"


numbers = st.sampled_from([np.int64, np.uint8, np.int32, np.array])
reals = st.sampled_from([np.float64, np.float32, np.float16, np.array])


@given(st.data())
def test_numpy_numbers_are_numbers(data):
    """In every argument, with the same bits as Python's numbers, and `config` can be written as JSON."""

    def as_given(value):
        return data.draw(reals if isinstance(value, float) else numbers)(value)

    def run(number):
        options = {"beta": number(0.5), "observation_sigma": number(2.0), "seed": number(3), "samples": number(2)}
        model = mv.VAE(number(4), number(2), (number(3),), likelihood="gaussian", backend="numpy", **options)
        rate = mv.Cosine(number(0.25), number(9), number(2), number(0.125))
        optimizer = mv.AdamW(rate, number(0.5), number(0.75), number(0.125), number(0.25), clip_norm=number(0.5))
        counts = {"epochs": number(2), "batch_size": number(5), "early_stopping": number(2), "seed": number(1)}
        every = {"checkpoint_steps": number(1), "checkpoint_seconds": number(64.0), "on_checkpoint": [].append}
        history = mv.fit(model, X[:, :4], validation=X[:9, :4], optimizer=optimizer, **counts, **every)
        history.pop("examples_per_second")
        found = model.log_likelihood(X[:3, :4], samples=number(3), seed=number(1), chunk=number(2))
        found = [*found, *model.elbo(X[:, :4], seed=number(2)), *model.sample(number(2), seed=number(4)).ravel()]
        return json.dumps([model.config, history]), repr(optimizer), np.array(found).tobytes()

    assert run(as_given) == run(lambda value: value)


@pytest.mark.parametrize("bad", [True, np.True_, np.array(True), np.float64(3.0), np.array([3]), "3", None])
def test_what_is_no_whole_number_is_refused(bad):
    uses = {
        "latent": lambda: mv.VAE(4, bad, backend="numpy"),
        "hidden": lambda: mv.VAE(4, 2, (bad,), backend="numpy"),
        "seed": lambda: small().elbo(X, seed=bad),
        "epochs": lambda: mv.fit(small(), X, epochs=bad),
        "inputs": lambda: mv.Dense(bad, 2),
        "every": lambda: mv.StepDecay(0.1, bad),
    }
    for name, use in uses.items():
        with pytest.raises(ValueError, match=f"{name}: got"):
            use()
    if not isinstance(bad, np.float64):
        with pytest.raises(ValueError, match="beta: got"):
            mv.VAE(4, 2, beta=bad, backend="numpy")
        with pytest.raises(ValueError, match="sigma: got"):
            mv.Gaussian(bad)


class Frame:
    """Data that only `__array__` gives, as tensors and data frames do."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return np.array(self._array, dtype=dtype)


def mapped(array, folder):
    np.save(folder / "x.npy", array)
    return np.load(folder / "x.npy", mmap_mode="r")


def passes(model, x):
    """What each public function makes of x."""
    model = copy.deepcopy(model)
    fitted = copy.deepcopy(model)
    history = mv.fit(fitted, x, validation=x, epochs=1, batch_size=7, seed=1)
    return {
        "forward": model.forward(x),
        "elbo": model.elbo(x),
        "encode": model.encode(x),
        "reconstruct": model.reconstruct(x),
        "log_likelihood": model.log_likelihood(x, samples=2),
        "importance_estimate": mv.importance_estimate(model, x, samples=2).bounds,
        "fit": np.append(fitted.store.flat, history["validation_loss"]),
        "Evaluator": mv.Evaluator(model, x)().loss,
    }


@pytest.mark.parametrize("values", [X, X.astype("float32"), X > 0.5, (X > 0.5).astype(int), (9 * X).astype("uint8")])
def test_all_kinds_of_data_give_the_same(values, tmp_path):
    model = small()
    expected = passes(model, values)
    kinds = [mapped(values, tmp_path), Frame(values), np.asfortranarray(values)]
    if values.dtype != np.uint8:  # bytes are pixels only in an array
        kinds.append(values.tolist())
    for kind in kinds:
        for name, found in passes(model, kind).items():
            np.testing.assert_array_equal(found, expected[name], err_msg=name)
    z = np.random.default_rng(3).standard_normal((4, 3))
    for kind in (z.tolist(), Frame(z), mapped(z, tmp_path)):
        np.testing.assert_array_equal(model.decode(kind), model.decode(z))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (255.0, r"x: got 255.0 at row 3, column 1, expected values in \[0, 1\] for the Bernoulli likelihood"),
        (-0.25, "x: got -0.25 at row 3, column 1, .*: use the Gaussian likelihood"),
        (np.nan, "x: got nan at row 3, column 1, expected finite numbers"),
        (-np.inf, "x: got -inf at row 3, column 1, expected finite numbers"),
    ],
)
@pytest.mark.parametrize("name", ["forward", "elbo", "encode", "reconstruct", "log_likelihood", "estimate", "fit"])
def test_all_refuse_the_same_data(name, value, says):
    model, x = small(), X.copy()
    x[3, 1] = value
    use = {"estimate": partial(mv.importance_estimate, model), "fit": partial(mv.fit, model)}
    with pytest.raises(ValueError, match=says if name != "fit" else says.replace("x:", "train:")):
        use.get(name, getattr(model, name, None))(x)


def test_floats_beyond_the_models_are_refused():
    model = mv.VAE(12, 3, (5,), likelihood="gaussian", backend="numpy")
    with pytest.raises(ValueError, match=r"x: got 1e\+39 at row 0, column 0, expected numbers that float32 can hold"):
        model.forward(np.full((2, 12), 1e39))
    with pytest.raises(ValueError, match=r"train: got 2.0 .* expected values in \[0, 1\]"):
        mv.fit(model, 2 * np.ones((2, 12)), pixels="dynamic")
