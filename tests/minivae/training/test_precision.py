"""Training with bf16 operands: what is rounded, what is not, and how far that leads."""

import copy
import json

import numpy as np
import pytest

import minivae as mv
from minivae.command.main import main
from minivae.kernels import available_backends

BACKENDS = [name for name in available_backends() if name != "cuda"]
EPS = 2.0**-7  # the spacing of bf16 above 1; an operand is off by at most half of it


def images(rows=200, features=60):
    return np.random.default_rng(0).integers(0, 256, (rows, features)).astype(np.uint8)


def model_of(backend, dtype="float32", **options):
    return mv.VAE(60, 4, (50, 30), seed=1, dtype=dtype, backend=backend, **options)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", ["identity", "relu", "gelu"])
def test_gradients_of_a_layer_are_those_of_float64_to_eight_bits(backend, activation):
    """Each operand of a product is off by at most EPS / 2 of itself, and da by as much again through a."""
    rng = np.random.default_rng(3)
    layer = mv.Dense(40, 30, activation, dtype="float32", backend=backend, seed=2)
    exact = mv.Dense(40, 30, activation, dtype="float64", seed=2)
    for name, values in layer.parameters.items():
        exact.parameters[name][...] = values
    layer.precision = "bf16"
    x, dy = rng.standard_normal((25, 40)).astype("f"), rng.standard_normal((25, 30)).astype("f")
    weight = exact.parameters["weight"]
    room = 1.01 * EPS * (np.abs(x) @ np.abs(weight))
    y = exact.forward(x.astype(float))
    steepest = 1.13
    assert (np.abs(layer.forward(x) - y) <= steepest * room + 1e-6).all()
    assert np.abs(layer.y - y).max() > 1e-4  # it does round
    dx, exact_dx = layer.backward(dy), exact.backward(dy.astype(float))
    # the derivative of gelu changes by at most 0.8 for each unit of a; that of relu jumps where a may be on either side
    a = x @ weight + exact.parameters["bias"]
    bend = {"identity": 0.0, "relu": (np.abs(a) <= room) / room, "gelu": 0.8}[activation]
    dda = np.abs(dy) * bend * room
    da = steepest * np.abs(dy) + dda
    bounds = {"weight": 1.01 * EPS * (np.abs(x).T @ da) + np.abs(x).T @ dda, "bias": dda.sum(axis=0)}
    for name, bound in bounds.items():
        assert (np.abs(layer.gradients[name] - exact.gradients[name]) <= bound + 1e-5).all(), name
    assert (np.abs(dx - exact_dx) <= 1.01 * EPS * (da @ np.abs(weight.T)) + dda @ np.abs(weight.T) + 1e-5).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_gradients_of_a_model_are_those_of_float64_to_eight_bits(backend, objective):
    options = {"activation": "tanh", "objective": objective, "samples": 1 if objective == "elbo" else 3}
    model, exact = model_of(backend, **options), model_of("numpy", "float64", **options)
    for name, values in model.parameters.items():
        exact.parameters[name][...] = values
    x, model.precision = images(40) / 255, "bf16"
    noise = np.random.default_rng(1).standard_normal((40 * model.draws, 4))
    loss, exact_loss = model.forward(x.astype("f"), noise.astype("f")).loss, exact.forward(x, noise).loss
    model.backward()
    exact.backward()
    assert 1e-6 < abs(loss / exact_loss - 1) < EPS
    for name, gradient in exact.gradients.items():
        error = np.linalg.norm(model.gradients[name] - gradient) / np.linalg.norm(gradient)
        assert error < 8 * EPS, name  # the products in a row from the loss to the first layer
    assert np.linalg.norm(model.gradients["encoder.0.weight"] - exact.gradients["encoder.0.weight"]) > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_fit_and_a_loop_of_ones_own_have_the_same_bits(backend):
    data = images()
    model, optimizer = model_of(backend), mv.Adam(1e-3)
    losses = []
    mv.fit(model, data, epochs=2, batch_size=64, optimizer=optimizer, precision="bf16", seed=5)
    other, optimizer = model_of(backend), mv.Adam(1e-3)
    other.precision = "bf16"
    from minivae.kernels import philox

    for step in range(8):
        epoch, at = divmod(step, 4)
        order = philox.permutation(5, philox.SHUFFLE, epoch, len(data))[64 * at : 64 * at + 64]
        noise = np.empty((len(order), 4), np.float32)
        philox.fill_normals(5, philox.NOISE, step, noise)
        losses.append(other.forward(data[order], noise).loss)
        other.backward()
        optimizer.update(other)
    np.testing.assert_array_equal(other.store.flat, model.store.flat)


def test_only_training_rounds():
    """Evaluation has the bits of a model that never heard of it, before, during and after a training."""
    data, seen = images(), []
    model = model_of("auto")

    def on_epoch(row):
        plain = model_of("auto")
        plain.store.flat[:] = model.store.flat
        seen.append((model.elbo(data[:20], seed=1).tolist(), plain.elbo(data[:20], seed=1).tolist()))

    before = model.encode(data[:5])
    history = mv.fit(model, data, validation=data, epochs=2, precision="bf16", on_epoch=on_epoch, seed=1)
    assert model.precision == "bf16"
    assert all(one == other for one, other in seen)
    again = model_of("auto")
    np.testing.assert_array_equal(again.encode(data[:5]), before)
    plain = mv.fit(again, data, validation=data, epochs=2, seed=1)
    assert again.precision == "float32"
    assert history["train_loss"] != plain["train_loss"]
    noise = np.zeros((5, 4), np.float32)
    rounded = model.forward(data[:5], noise).loss
    copied = copy.deepcopy(model)
    model.precision = "float32"
    assert model.forward(data[:5], noise).loss != rounded
    assert copied.forward(data[:5], noise).loss == rounded


def test_a_backward_pass_rounds_as_its_forward_pass_did():
    """Whatever is looked at in between."""
    model, x = model_of("auto"), (images(32) / 255).astype(np.float32)
    noise = np.random.default_rng(1).standard_normal((32, 4)).astype(np.float32)

    def gradients(between):
        model.precision = "bf16"
        model.forward(x, noise)
        between()
        model.backward()
        return model.store.flat_gradients.tobytes()

    expected = gradients(lambda: None)
    assert gradients(model.check) == expected
    assert gradients(lambda: model.settle(training=False)) == expected
    assert gradients(lambda: setattr(model, "precision", "float32")) == expected
    hidden = model.encoder.forward(x).copy()  # no pass of training
    model.encode(x)
    np.testing.assert_array_equal(model.encoder.forward(x), hidden)


def test_layers_do_not_take_it_along():
    """Called by themselves after a training, copied into another model, or taken out and put back."""
    data = images()
    model, plain = model_of("auto"), model_of("auto")
    layer = model.encoder.layers[0]
    mv.fit(model, data, epochs=1, precision="bf16", seed=1)
    plain.store.flat[:] = model.store.flat
    x = (data[:50] / 255).astype(np.float32)
    np.testing.assert_array_equal(layer.forward(x), plain.encoder.layers[0].forward(x))
    noise = np.zeros((50, 4), np.float32)
    model.forward(x, noise)  # a pass of training is under way
    mixed = mv.VAE(60, 4, encoder=copy.deepcopy(model.encoder.layers), decoder_hidden=(30, 50), seed=1)
    model.encoder.layers[0] = copy.deepcopy(layer)
    model.forward(x, noise)
    model.precision = "float32"
    model.encoder.layers[0] = layer
    mixed.store.flat[:] = plain.store.flat
    expected = plain.forward(x, noise).loss
    assert [model.forward(x, noise).loss, mixed.forward(x, noise).loss] == [expected, expected]
    layer.precision = "bf16"  # one's own choice for one layer stays, in every pass
    assert model.forward(x, noise).loss != expected
    assert layer.precision == "bf16"
    assert model.elbo(x, seed=1).tolist() != plain.elbo(x, seed=1).tolist()


def test_check_compares_full_products_and_leaves_the_precision():
    model = model_of("numpy")
    model.precision = "bf16"
    assert model.check(rows=2).passed
    assert model.precision == "bf16"


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_cannot_be_is_refused_before_anything_changes(backend):
    data = images()
    for dtype, precision, expected in (
        ("float64", "bf16", "'float64'"),
        ("float64", "float32", "'float64'"),
        ("float32", "fp8", "'float32', 'bf16'"),
    ):
        model = model_of(backend, dtype)
        before = model.store.flat.copy()
        refused = f"precision: got '{precision}', expected .*{expected}"
        with pytest.raises(ValueError, match=refused):
            mv.fit(model, data, epochs=1, precision=precision)
        with pytest.raises(ValueError, match=refused):
            model.precision = precision
        np.testing.assert_array_equal(model.store.flat, before)
        assert model.precision == dtype
    a = np.ones((2, 2))
    with pytest.raises(ValueError, match="precision: got 'bf16'"):
        model_of(backend, "float64").backend.dense_forward(a, a, a[0], "relu", a.copy(), None, "bf16")


def test_the_command_trains_with_it_and_resumes_with_it(tmp_path, capsys):
    def run(*arguments):
        assert main(["train", "--no-pictures", *map(str, arguments)]) == 0

    options = ("--size", 300, "--hidden", 20, "--latent", 2, "--precision", "bf16")
    run(*options, "--epochs", 3, "--out", tmp_path / "whole")
    run(*options, "--epochs", 2, "--out", tmp_path / "halves")
    run("--resume", tmp_path / "halves", "--epochs", 3)
    assert json.loads((tmp_path / "halves" / "config.json").read_text())["training"]["precision"] == "bf16"
    losses = [
        (tmp_path / name / "history.csv").read_text().splitlines()[-1].split(",")[1:4] for name in ("whole", "halves")
    ]
    assert losses[0] == losses[1]
    capsys.readouterr()
    assert main(["train", "--dtype", "float64", "--precision", "bf16", "--out", str(tmp_path / "no")]) == 2
    assert "precision: got 'bf16', expected" in capsys.readouterr().err
