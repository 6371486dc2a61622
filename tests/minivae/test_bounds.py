"""Importance-weighted objectives: values, gradients by differences or against a hand-derived reference, exact
ground.
"""

import json

import numpy as np
import pytest

import minivae as mv
from benchmarks import large_weights
from minivae import kernels
from minivae.bounds import GRADIENTS, OBJECTIVES
from minivae.command.main import main
from minivae.lab import linear_gaussian
from minivae.runs import checkpoint

from .differences import assert_gradient

BACKENDS = [name for name in kernels.available_backends() if kernels.load_backend(name).on_host]
SMALL = {"features": 6, "latent": 2, "hidden": (5,), "dtype": "float64", "seed": 4, "activation": "tanh"}
N, K, M = 3, 4, 2


def model_and_batch(backend="numpy", **options):
    model = mv.VAE(**(SMALL | options), backend=backend)
    rng = np.random.default_rng(2)
    model.backend.assign(model.store.flat, 3 * model.backend.to_host(model.store.flat))
    return model, rng.random((N, 6)), rng.standard_normal((N * K * M, 2))


def like(model, objective, outer=1):
    """A model with the same parameters and another objective."""
    other = mv.VAE(**(model.config | {"objective": objective, "outer": outer}), backend=model.backend.name)
    other.backend.assign(other.store.flat, model.backend.to_host(model.store.flat))
    return other


def log_weights(model, x, noise):
    """log p(x, z) - log q(z|x) with every constant, (n, samples), from the public passes and NumPy alone."""
    mu, sigma = model.encode(x)
    samples = len(noise) // len(x)
    mu, sigma, wide = (np.repeat(a, samples, 0) for a in (mu, sigma, x))
    z = mu + sigma * noise
    mean = model.decode(z)
    if model.likelihood.name == "bernoulli":
        log_p = (wide * np.log(mean) + (1 - wide) * np.log1p(-mean)).sum(1)
    else:
        s = np.exp(model.parameters["likelihood.log_sigma"])
        log_p = (-0.5 * ((wide - mean) / s) ** 2 - np.log(s) - 0.5 * np.log(2 * np.pi)).sum(1)
    log_p += (-0.5 * z**2 - 0.5 * np.log(2 * np.pi)).sum(1)
    log_q = (-0.5 * ((z - mu) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)).sum(1)
    return (log_p - log_q).reshape(len(x), samples)


def is_encoder(name):
    return name.startswith(("encoder", "posterior"))


LIKELIHOODS = [{}, {"scale": "exp", "likelihood": "gaussian", "learn_sigma": True, "observation_sigma": 0.7}]


@pytest.mark.parametrize("options", LIKELIHOODS, ids=["bernoulli", "gaussian"])
@pytest.mark.parametrize(("objective", "outer"), [("iwae", 1), ("stl", 1), ("dreg", 2), ("miwae", 2), ("piwae", 2)])
def test_the_loss_is_minus_the_mean_of_the_bounds(objective, outer, options):
    model, x, noise = model_and_batch(objective=objective, outer=outer, **options)
    weights = np.exp(log_weights(model, x, noise))
    groups = weights.reshape(N, 1 if objective == "piwae" else outer, -1)
    terms = model.forward(x, noise)
    assert terms.loss == pytest.approx(-np.log(groups.mean(2)).mean(), rel=1e-12)
    elbo = like(model, "elbo").forward(x, noise)
    assert (terms.nll, terms.kl) == (elbo.nll, elbo.kl), "the terms of the ELBO beside it"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", LIKELIHOODS, ids=["bernoulli", "gaussian"])
@pytest.mark.parametrize(("objective", "outer"), [("iwae", 1), ("miwae", 2), ("piwae", 2)])
def test_gradients_by_differences(objective, outer, options, backend):
    model, x, noise = model_and_batch(backend, objective=objective, outer=outer, **options)
    model.forward(x, noise)
    model.backward()
    for name, gradient in model.gradients.items():
        loss_of = model
        if objective == "piwae":
            # theta follows the bound with all draws in it, phi the mean of the bounds of each group
            loss_of = like(model, "miwae", 2) if is_encoder(name) else like(model, "iwae")
        assert_gradient(lambda m=loss_of: m.forward(x, noise).loss, loss_of.parameters[name], gradient, name)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", LIKELIHOODS, ids=["bernoulli", "gaussian"])
@pytest.mark.parametrize("objective", ["stl", "dreg"])
def test_estimators_that_are_no_gradient_of_the_bound(objective, options, backend):
    """phi: differences of sum_k c_k (log p(x, z_k) - log q(z_k)) with c and the q inside held fixed; theta: the
    bound.
    """
    model, x, noise = model_and_batch(backend, objective=objective, outer=M, **options)
    model.forward(x, noise)
    model.backward()
    weights = np.exp(log_weights(model, x, noise)).reshape(N, M, K)
    coefficient = weights / weights.sum(2, keepdims=True)
    if objective == "dreg":
        coefficient = coefficient**2
    coefficient = coefficient.reshape(-1) / (N * M)
    mu, sigma = (np.repeat(a, K * M, 0) for a in model.encode(x))
    bound = like(model, "miwae", M)

    def surrogate():
        nll, _ = model.elbo_terms(model.backend.from_host(x), model.backend.from_host(noise))
        z = np.array(model.backend.to_host(model.sampler.z))
        rest = 0.5 * (z**2).sum(1) - 0.5 * (((z - mu) / sigma) ** 2).sum(1)
        return coefficient @ (model.backend.to_host(nll) + rest)

    for name, gradient in model.gradients.items():
        gradient = gradient.copy()
        if is_encoder(name):
            assert_gradient(surrogate, model.parameters[name], gradient, name)
        else:
            assert_gradient(lambda: bound.forward(x, noise).loss, bound.parameters[name], gradient, name)


def test_one_draw_makes_stl_and_dreg_the_same():
    model, x, noise = model_and_batch(objective="stl")
    other = like(model, "dreg")
    for one in (model, other):
        one.forward(x, noise[:N])
        one.backward()
    np.testing.assert_allclose(model.store.flat_gradients, other.store.flat_gradients, rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("objective", GRADIENTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sigma", [0.02, 0.003, 1e-4])
def test_weights_that_span_thousands_of_nats(sigma, objective, dtype, backend):
    """All of exp underflows but for one draw: finite, and for the decoder the gradient of that draw alone."""
    outer = 1 if objective == "iwae" else M
    options = {"dtype": dtype, "likelihood": "gaussian", "observation_sigma": sigma}
    model, x, noise = model_and_batch(backend, objective=objective, outer=outer, **options)
    noise = noise.astype(dtype)
    loss = model.forward(x, noise).loss
    model.backward()
    assert np.isfinite(loss)
    assert loss > 1000
    assert np.isfinite(model.store.flat_gradients).all()
    exact = mv.VAE(**(model.config | {"dtype": "float64"}), backend="numpy")
    for name, value in model.parameters.items():
        exact.parameters[name][...] = value
    exact.forward(x, noise.astype("float64"))
    exact.backward()
    for name, gradient in model.gradients.items():
        error = np.abs(gradient - exact.gradients[name]).max() / np.abs(exact.gradients[name]).max()
        assert error < (1e-5 if dtype == "float32" else 1e-12), name


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_and_losses_where_log_weights_are_large(dtype, objective, backend):
    """Against the formulas in float64, given the rounded log weights, up to |log w| = 1e8: see the script."""
    for case in large_weights.CASES:
        for height in large_weights.HEIGHTS:
            gradient, loss, largest = large_weights.errors(objective, dtype, case, height, backend)
            assert height / 2 < largest < 3 * height
            assert max(gradient, loss) <= large_weights.LIMITS[dtype], (case, height)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("objective", "outer"), [("elbo", 1), ("iwae", 1), ("dreg", 2), ("piwae", 3)])
def test_training_replays_a_recorded_step(objective, outer, backend):
    """fit is the public passes in the same order, and draws samples * outer for each example."""
    options = {"objective": objective, "samples": 3, "outer": outer}
    model, x, _ = model_and_batch(backend, **options)
    again, x = like(model, objective, outer), np.random.default_rng(0).random((7, 6))
    optimizer = mv.Adam(1e-2)
    history = mv.fit(model, x, validation=x, epochs=2, batch_size=7, optimizer=mv.Adam(1e-2), seed=9)
    losses = []
    for step in range(2):
        order = kernels.philox.permutation(9, kernels.philox.SHUFFLE, step, 7)
        noise = np.empty((7 * 3 * outer, 2))
        kernels.philox.fill_normals(9, kernels.philox.NOISE, step, noise)
        losses.append(again.forward(x[order], noise).loss)
        again.backward()
        optimizer.update(again)
    np.testing.assert_allclose(history["train_loss"], losses, rtol=1e-12)
    np.testing.assert_allclose(model.store.flat, again.store.flat, rtol=1e-12, atol=1e-14)
    assert history["validation_kl"][-1] == pytest.approx(sum(history["kl_per_latent"][-1]), rel=1e-9)


def test_the_command_line_trains_and_measures_a_bound(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--data", "rings", "--size", "300", "--hidden", "8", "--latent", "2", "--epochs", "1"]
    assert main(["train", *options, "--objective", "dreg", "--samples", "3", "--outer", "2", "--out", "run"]) == 0
    assert "Loss: minus dreg bound, K = 3, M = 2" in capsys.readouterr().out
    assert mv.VAE.load("run/checkpoint.npz").config["objective"] == "dreg"
    assert main(["evaluate", "run", "--samples", "10", "--examples", "7"]) == 0
    result = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert list(result["bounds"]) == ["1", "5", "10"]
    assert result["bounds"]["10"] == pytest.approx(result["log_likelihood"])
    assert 1 <= result["effective_samples"] <= 10
    assert result["sampling_error"] > 0
    assert main(["train", *options, "--objective", "iwae", "--outer", "2", "--out", "other"]) == 2
    assert "outer: got 2" in capsys.readouterr().err


def test_an_objective_survives_saving(tmp_path):
    model, x, noise = model_and_batch(objective="dreg", samples=4, outer=2)
    model.save(tmp_path / "model.npz")
    again = mv.VAE.load(tmp_path / "model.npz", backend="numpy")
    assert (again.config["objective"], again.config["samples"], again.config["outer"]) == ("dreg", 4, 2)
    assert again.forward(x, noise) == model.forward(x, noise)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "vimco"}, "objective: got 'vimco', expected one of 'elbo', 'iwae'"),
        ({"samples": 0}, "samples: got 0, expected a whole number of at least 1"),
        ({"objective": "iwae", "outer": 2}, "outer: got 2, expected 1 with objective 'iwae'"),
        ({"objective": "dreg", "beta": 0.5}, "beta: got 0.5, expected 1 with objective 'dreg'"),
    ],
)
def test_objectives_that_make_no_bound_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        mv.VAE(**(SMALL | options), backend="numpy")


def test_noise_must_divide_into_groups():
    model, x, noise = model_and_batch(objective="miwae", outer=5)
    with pytest.raises(ValueError, match=r"noise: got '24 rows', expected a multiple of 3 x 5 \(outer\) rows"):
        model.forward(x, noise)


# Exact ground: probabilistic PCA


def exact_model(objective, samples=1, **options):
    model = linear_gaussian.make(objective=objective, samples=samples, backend="numpy", **options)
    return model, linear_gaussian.draw(model, 5, seed=1), np.random.default_rng(3).standard_normal((5 * samples, 2))


@pytest.mark.parametrize("samples", [1, 8])
def test_every_bound_is_exact_at_the_exact_posterior(samples):
    for objective in ("iwae", "stl"):
        model, x, noise = exact_model(objective, samples)
        exact = linear_gaussian.log_likelihood(model, x).mean()
        assert -model.forward(x, noise).loss == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("samples", [1, 8])
@pytest.mark.parametrize("objective", ["stl", "dreg"])
def test_sticking_the_landing_is_zero_at_the_optimum_for_every_draw(objective, samples):
    model, x, noise = exact_model(objective, samples)
    plain, elbo = like(model, "iwae"), like(model, "elbo")
    dmu, drho, dmean = linear_gaussian.gradients_of_replicates(model, x, noise)
    assert np.abs(dmean).max() > 0.01
    assert max(np.abs(dmu).max(), np.abs(drho).max()) < 1e-13
    for other in (plain, elbo):
        dmu, drho, _ = linear_gaussian.gradients_of_replicates(other, x, noise)
        assert np.abs(dmu).max() > 0.01
        assert np.abs(drho).max() > 0.01


def test_dreg_is_unbiased_where_sticking_the_landing_is_not():
    """Mean encoder gradients of the same 2e5 draws, K = 5, q off by a known amount: 99.9 % intervals of the
    difference.
    """
    replicates, samples, means, errors = 20_000, 5, {}, {}
    for objective in ("iwae", "dreg", "stl"):
        model = linear_gaussian.make(objective=objective, samples=samples, backend="numpy")
        linear_gaussian.shift_posterior(model, mean=0.6, log_sigma=0.3)
        x = np.repeat(linear_gaussian.draw(model, 1, seed=1), replicates, 0)
        parts = []
        for seed in range(10):
            noise = np.random.default_rng(seed).standard_normal((replicates * samples, 2))
            parts.append(np.hstack(linear_gaussian.gradients_of_replicates(model, x, noise)[:2]))
        means[objective] = np.vstack(parts)
    for objective in ("dreg", "stl"):
        difference = means[objective] - means["iwae"]
        errors[objective] = difference.mean(0) / (difference.std(0) / np.sqrt(len(difference)))
    assert np.abs(errors["dreg"]).max() < 3.5
    assert np.abs(errors["stl"]).max() > 20


def test_a_run_stopped_within_an_epoch_goes_on_with_its_totals(tmp_path):
    x = np.random.default_rng(0).random((20, 6))
    settings = {"epochs": 2, "batch_size": 7, "seed": 9}
    states, whole = [], model_and_batch(objective="iwae", samples=3)[0]
    history = mv.fit(whole, x, optimizer=mv.Adam(1e-2), on_checkpoint=states.append, checkpoint_steps=1, **settings)
    state = next(state for state in states if state.step == 4)
    again = model_and_batch(objective="iwae", samples=3)[0]
    checkpoint.save(tmp_path / "state.npz", again, state)
    model, loaded, _ = checkpoint.load_state(tmp_path / "state.npz", "numpy")
    resumed = mv.fit(model, x, optimizer=mv.Adam(1e-2), start=loaded, **settings)
    for column in ("train_loss", "train_nll", "train_kl"):
        assert resumed[column] == history[column]
    np.testing.assert_array_equal(model.store.flat, whole.store.flat)
