"""Objects behave: assignment into parameters, pickling and copying."""

import copy
import multiprocessing
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minivae as mv
from minivae import kernels
from minivae.layers import Chain
from minivae.parameters import Parameters

BACKENDS = [name for name in kernels.available_backends() if kernels.load_backend(name).on_host]
X = np.random.default_rng(0).random((24, 12))


def small(backend="numpy", **options):
    return mv.VAE(12, 3, (5,), dtype="float64", backend=backend, **options)


def round_trip(value):
    return pickle.loads(pickle.dumps(value))


def in_another_process(value):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(copy.deepcopy, (value,))


COPIES = {"pickle": round_trip, "deepcopy": copy.deepcopy, "copy": copy.copy, "spawn": in_another_process}


@given(st.data())
def test_what_is_set_is_in_the_flat_buffer_and_nothing_else_changes(data):
    shapes = data.draw(st.lists(hnp.array_shapes(min_dims=1, max_dims=3, max_side=5), min_size=1, max_size=5))
    store = Parameters({f"part.{i}": shape for i, shape in enumerate(shapes)}, kernels.load_backend("numpy"), "float32")
    arrays = data.draw(st.sampled_from([store.values, store.gradients, store.values.part("part")]))
    name = data.draw(st.sampled_from(sorted(arrays)))
    value = data.draw(hnp.arrays("float32", arrays[name].shape, elements=st.floats(-9, 9, width=32)))
    view, flat = arrays[name], getattr(store, arrays._buffer)
    arrays[name] = value.tolist()
    assert arrays[name] is view
    np.testing.assert_array_equal(view, value)
    assert np.shares_memory(view, flat)
    assert np.abs(flat).sum(dtype="float64") == np.abs(value).sum(dtype="float64")


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
            part.remark = "the user's"
        other = make(part)
        np.testing.assert_array_equal(call(other), expected)
        assert other is not part
        assert vars(other).get("remark") == vars(part).get("remark")
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
