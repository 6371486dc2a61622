"""Importance-sampled log p(x) against the closed form of probabilistic PCA, and its independence of how it is
divided.
"""

import tracemalloc

import numpy as np
import pytest

import minivae as mv
from minivae import kernels
from minivae.evaluation import importance
from minivae.lab import linear_gaussian

BACKENDS = [name for name in kernels.available_backends() if kernels.load_backend(name).on_host]


def shifted(backend="numpy"):
    model = linear_gaussian.make(backend=backend)
    linear_gaussian.shift_posterior(model, mean=0.3, log_sigma=0.2)
    return model, linear_gaussian.draw(model, 40, seed=5)


def test_within_its_standard_error_of_the_closed_form():
    model, x = shifted()
    exact = linear_gaussian.log_likelihood(model, x)
    found = importance.estimate(model, x, samples=2000)
    standardised = (found.log_likelihood - exact) / found.standard_error
    # forty errors of standard deviation 1: their mean square is chi-squared / 40, 99.9 % of which is in [0.42, 1.9]
    assert 0.42 < np.mean(standardised**2) < 1.9
    assert np.abs(standardised).max() < 4
    summary = found.summary()
    assert abs(summary["log_likelihood"] - exact.mean()) < 3.3 * summary["sampling_error"]
    assert summary["sampling_error"] < 0.01


def test_the_bound_rises_with_every_k_and_ends_at_the_estimate():
    model, x = shifted()
    found = importance.estimate(model, x, samples=5000)
    assert found.counts == (1, 5, 25, 125, 625, 1250, 2500, 5000)
    assert (np.diff(found.bounds, axis=1) >= -1e-12).all()
    assert (np.diff(found.bounds.mean(axis=0)) > 0).all()
    np.testing.assert_allclose(found.bounds[:, -1], found.log_likelihood, rtol=1e-13)
    gap = linear_gaussian.log_likelihood(model, x).mean() - found.bounds[:, 0].mean()
    # log p - ELBO = KL(q || p(z|x)), here sum_j (shift^2 / sigma_j^2 + e^0.4 - 1) / 2 - 0.2
    variances = np.diag(linear_gaussian.posterior(model)[1])
    kl = (0.5 * (0.3**2 / variances + np.exp(0.4) - 1) - 0.2).sum()
    assert gap == pytest.approx(kl, abs=0.02)


def test_all_weights_are_equal_at_the_exact_posterior():
    model = linear_gaussian.make(backend="numpy")
    x = linear_gaussian.draw(model, 6)
    found = importance.estimate(model, x, samples=50)
    np.testing.assert_allclose(found.log_likelihood, linear_gaussian.log_likelihood(model, x), rtol=1e-12)
    np.testing.assert_allclose(found.effective_samples, 50, rtol=1e-9)
    assert found.standard_error.max() < 1e-12


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_for_every_chunk_and_backend(backend):
    model, x = shifted(backend)
    expected = importance.estimate(shifted()[0], x[:3], samples=2500, chunk=2500)
    for chunk in (1, 7, 999, 1000, 1001, 5000):
        count = 3 if chunk > 1 else 1
        found = importance.estimate(model, x[:count], samples=2500, chunk=chunk)
        for field in ("log_likelihood", "standard_error", "effective_samples", "bounds"):
            np.testing.assert_allclose(getattr(found, field), getattr(expected, field)[:count], rtol=1e-10)
    np.testing.assert_array_equal(model.log_likelihood(x[:2], samples=2500), found.log_likelihood[:2])


def test_memory_is_bounded_by_the_chunk():
    model = mv.VAE(2000, 2, (), backend="numpy", seed=1)
    x = np.random.default_rng(0).random((2, 2000), np.float32)
    model.log_likelihood(x, samples=10, chunk=10)
    tracemalloc.start()
    try:
        model.log_likelihood(x, samples=20_000, chunk=50)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # 20,000 decoded rows would be 160 MB
    assert peak < 8e6


def test_one_sample_has_no_error_estimate_and_bad_counts_are_named():
    model, x = shifted()
    assert np.isinf(importance.estimate(model, x, samples=1).standard_error).all()
    with pytest.raises(ValueError, match="samples: got 0"):
        importance.estimate(model, x, samples=0)
    with pytest.raises(ValueError, match="chunk: got 0"):
        importance.estimate(model, x, chunk=0)


def test_divisor_chains():
    assert importance.divisor_chain(1) == (1,)
    assert importance.divisor_chain(97) == (1, 97)
    assert importance.divisor_chain(64) == (1, 2, 4, 8, 16, 32, 64)


def test_progress_is_shown_when_asked(capsys):
    model, x = shifted()
    importance.estimate(model, x, samples=10, progress=True)
    assert "log p(x)" in capsys.readouterr().err
