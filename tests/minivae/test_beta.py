"""The weight of the KL and its free bits: loss and gradient, and that a change of them counts from the next step on."""

import numpy as np
import pytest

import minivae as mv
from minivae import kernels
from minivae.files import stored
from minivae.losses import Tally
from minivae.runs import checkpoint

from .differences import assert_gradient

BACKENDS = kernels.available_backends()
ON_HOST = [name for name in BACKENDS if kernels.load_backend(name).on_host]
SMALL = {"features": 6, "latent": 2, "hidden": (5, 4), "dtype": "float64", "seed": 4}


def data(n=7):
    return np.random.default_rng(1).random((n, 6)), np.random.default_rng(2).standard_normal((n, 2))


def gradients_of(model, x, noise):
    model.forward(x, noise)
    model.backward()
    return {name: model.backend.to_host(gradient).copy() for name, gradient in model.gradients.items()}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_change_counts_at_the_next_step(backend):
    """Loss, gradient, config and a repr are those of a model that was made with the new value, bit for bit."""
    model = mv.VAE(**SMALL, backend=backend)
    batches = [data(), data(3)]
    for beta in (1.0, 4.0, 0, 0.3):
        model.beta = beta
        fresh = mv.VAE(**SMALL, beta=beta, backend=backend)
        assert model.config == fresh.config
        assert model.config["beta"] == model.beta == beta
        for x, noise in batches:
            assert model.forward(x, noise) == fresh.forward(x, noise)
            terms = model.forward(x, noise)
            assert terms.loss == pytest.approx(terms.nll + beta * terms.kl, rel=1e-13)
            wanted = gradients_of(fresh, x, noise)
            for name, gradient in gradients_of(model, x, noise).items():
                np.testing.assert_array_equal(gradient, wanted[name], err_msg=f"{name}, beta {beta}")


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_recorded_follows(backend):
    model = mv.VAE(**SMALL, backend=backend)
    x, noise = map(model.backend.from_host, data())
    tally = Tally(model, model.backend.zeros((1,), "int64"))

    def step():
        tally.add(*model.pass_down(x, noise))
        model.pass_up()

    program = model.backend.record(step)
    model.beta = 4.0
    program()
    got = {name: model.backend.to_host(gradient).copy() for name, gradient in model.gradients.items()}
    fresh = mv.VAE(**SMALL, beta=4.0, backend=backend)
    for name, gradient in gradients_of(fresh, *data()).items():
        np.testing.assert_array_equal(got[name], gradient, err_msg=name)
    sums = tally.read()
    assert sums.last == fresh.forward(*data()).loss
    # two steps, with another beta each: the mean loss is no function of the mean terms
    assert sums.loss == pytest.approx(sums.nll + 2.5 * sums.kl, rel=1e-13)


def test_gradient_after_a_change_is_that_of_the_loss():
    model = mv.VAE(**SMALL, activation="tanh", backend="numpy")
    x, noise = data()
    gradients_of(model, x, noise)
    model.beta = 3.0
    for name, gradient in gradients_of(model, x, noise).items():
        assert_gradient(lambda: model.forward(x, noise).loss, model.parameters[name], gradient, name)


@pytest.mark.parametrize("beta", [-0.1, float("nan"), float("inf"), "1", None, True])
def test_no_weight_is_refused_and_changes_nothing(beta):
    model = mv.VAE(**SMALL, beta=0.5, backend="numpy")
    with pytest.raises(ValueError, match=f"beta: got {beta!r}, expected a finite number, 0 or more"):
        model.beta = beta
    assert (model.beta, model.config["beta"], model.beta_array.tolist()) == (0.5, 0.5, [0.5])


def test_a_bound_keeps_its_weight():
    model = mv.VAE(**SMALL, objective="iwae", samples=2, backend="numpy")
    with pytest.raises(ValueError, match=r"beta: got 0\.5, expected 1 with objective 'iwae'"):
        model.beta = 0.5


def free(backend="numpy", **options):
    return mv.VAE(**(SMALL | {"activation": "tanh", "free_bits": 0.15} | options), backend=backend)


@pytest.mark.parametrize("backend", ON_HOST)
@pytest.mark.parametrize("options", [{"beta": 2.0}, {"scale": "exp", "likelihood": "gaussian"}], ids=str)
@pytest.mark.parametrize("samples", [1, 3])
def test_gradient_with_free_bits(options, samples, backend):
    model, x = free(backend, **options), data()[0]
    noise = np.random.default_rng(2).standard_normal((7 * samples, 2))
    rho = 0.5 if model.scale == "softplus" else 0.0  # sigma is about 1
    model.posterior.parameters["bias"][:] = [1.5, 0.0, rho, rho]  # one latent well above the floor, one below
    gradients = gradients_of(model, x, noise)
    assert model.kl.active.tolist() == [1, 0]
    means = model.kl.kl.mean(axis=0)
    assert (np.abs(means - 0.15) > 0.02).all()
    for name, gradient in gradients.items():
        assert np.abs(gradient).max() > 0, name
        assert_gradient(lambda: model.forward(x, noise).loss, model.parameters[name], gradient, name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_loss_with_free_bits_written_out(backend):
    """nll + beta * sum over latents of the greater of floor and mean KL; kl stays the KL itself."""
    model, (x, noise) = free(backend, beta=2.0), data()
    plain = mv.VAE(**SMALL, activation="tanh", beta=2.0, backend=backend)
    wanted = plain.forward(x, noise)
    means = plain.backend.to_host(plain.kl.kl).mean(axis=0)
    for floor in (0.01, 0.1, 0.3, 5.0):
        model.free_bits = floor
        terms = model.forward(x, noise)
        assert terms.loss == pytest.approx(wanted.nll + 2.0 * np.maximum(means, floor).sum(), rel=1e-13)
        assert (terms.nll, terms.kl) == (wanted.nll, wanted.kl)
        np.testing.assert_array_equal(model.backend.to_host(model.kl.active), means > floor)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_free_bits_and_all_of_them(backend):
    """0 is the plain loss, bit for bit, also after another value; above every mean no KL is left in the gradient."""
    model, (x, noise) = free(backend), data()
    model.forward(x, noise)
    model.free_bits = 0
    plain = mv.VAE(**SMALL, activation="tanh", backend=backend)
    assert model.config == plain.config
    assert model.forward(x, noise) == plain.forward(x, noise)
    wanted = gradients_of(plain, x, noise)
    for name, gradient in gradients_of(model, x, noise).items():
        np.testing.assert_array_equal(gradient, wanted[name], err_msg=name)
    model.free_bits, plain.beta = 50.0, 0.0
    wanted = gradients_of(plain, x, noise)
    for name, gradient in gradients_of(model, x, noise).items():
        np.testing.assert_array_equal(gradient, wanted[name], err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_recorded_free_bits_follow(backend):
    model = free(backend)
    x, noise = map(model.backend.from_host, data())
    tally = Tally(model, model.backend.zeros((1,), "int64"))

    def step():
        tally.add(*model.pass_down(x, noise))
        model.pass_up()

    program = model.backend.record(step)
    model.free_bits, model.beta = 0.3, 3.0
    program()
    got = {name: model.backend.to_host(gradient).copy() for name, gradient in model.gradients.items()}
    fresh = free(backend, free_bits=0.3, beta=3.0)
    for name, gradient in gradients_of(fresh, *data()).items():
        np.testing.assert_array_equal(got[name], gradient, err_msg=name)
    last, first = fresh.forward(*data()).loss, free(backend).forward(*data()).loss
    sums = tally.read()
    assert sums.last == last
    assert sums.loss == pytest.approx((first + last) / 2, rel=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_fit_with_free_bits_keeps_latents_and_goes_on_exactly(backend, tmp_path):
    x = np.random.default_rng(3).integers(0, 256, (70, 6), dtype=np.uint8)
    settings = {"validation": x[:20], "epochs": 3, "batch_size": 16, "seed": 1}

    def fit(model, **more):
        return mv.fit(model, x, optimizer=mv.Adam(3e-2), **(settings | more))

    whole, states = free(backend, free_bits=0.5, dtype="float32"), []
    history = fit(whole, on_checkpoint=states.append, checkpoint_steps=1)
    for part in ("train", "validation"):
        more = np.array(history[f"{part}_loss"]) - history[f"{part}_nll"] - np.array(history[f"{part}_kl"])
        assert (more > 0.01).any()
        assert (np.array(history[f"{part}_loss"]) >= np.array(history[f"{part}_nll"]) + 2 * 0.5 - 1e-5).all()
    state = next(state for state in states if state.step == 7)
    checkpoint.save(tmp_path / "c.npz", whole, state)
    again, loaded, _ = checkpoint.load_state(tmp_path / "c.npz", backend)
    assert again.free_bits == 0.5
    resumed = fit(again, start=loaded)
    for column in ("train_loss", "train_nll", "train_kl", "validation_loss"):
        assert resumed[column] == history[column]
    np.testing.assert_array_equal(again.backend.to_host(again.store.flat), whole.backend.to_host(whole.store.flat))


def test_free_bits_are_saved_and_old_files_have_none(tmp_path):
    model = free()
    model.free_bits = 0.25
    model.save(tmp_path / "m.npz")
    assert mv.VAE.load(tmp_path / "m.npz").free_bits == 0.25
    description, arrays = stored.read(tmp_path / "m.npz")
    del description["model"]["free_bits"]
    assert mv.VAE.from_stored("old", description, arrays, "numpy").free_bits == 0.0


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), "1", None, True])
def test_no_free_bits_are_refused_and_change_nothing(value):
    model = free()
    with pytest.raises(ValueError, match=f"free_bits: got {value!r}, expected a finite number, 0 or more"):
        model.free_bits = value
    assert (model.free_bits, model.config["free_bits"], model.free_bits_array.tolist()) == (0.15, 0.15, [0.15])


def test_a_bound_has_no_free_bits():
    with pytest.raises(ValueError, match=r"free_bits: got 0\.5, expected 0 with objective 'iwae'"):
        free(free_bits=0.5, objective="iwae", samples=2)


def test_free_bits_of_the_kl_alone():
    kl = mv.GaussianKL(dtype="float64")
    one = np.ones(1)
    with pytest.raises(ValueError, match="free_bits: got 'no forward pass'"):
        kl.free_bits(np.ones(2), one, one)
    kl.forward(np.ones((2, 3)), np.zeros((2, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="nll: got '3 rows', expected a multiple of the 2 rows of kl"):
        kl.free_bits(np.ones(3), one, one)
    with pytest.raises(ValueError, match="nll: got float32 of shape"):
        kl.free_bits(np.ones(2, np.float32), one, one)
