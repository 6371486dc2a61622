"""Numbers at the ends of their range: losses and gradients are finite and right, or training says where not."""

from itertools import compress

import mpmath
import numpy as np
import pytest

import minivae as mv
from minivae import kernels
from minivae.training.non_finite import first_non_finite, first_non_finite_parameter

BACKENDS = kernels.available_backends()
DTYPES = ("float32", "float64")
mpmath.mp.dps = 400  # log(1 + exp(750)) - 750 must keep digits


def agree(got, exact, dtype, ulps=8, scale=0):
    """|got - exact| within so many roundings of the exact value, or of what was added up to it; `exact` are mpf."""
    eps, tiny = np.finfo(dtype).eps, np.finfo(dtype).smallest_subnormal
    for value, expected, size in zip(np.ravel(got), exact, np.broadcast_to(scale, np.size(got)), strict=True):
        if abs(expected) > float(np.finfo(dtype).max):
            assert np.isinf(value)
            assert (value > 0) == (expected > 0)
            continue
        assert np.isfinite(value), (value, expected)
        bound = ulps * (eps * max(abs(expected), float(size)) + tiny)
        assert abs(mpmath.mpf(float(value)) - expected) <= bound, (value, expected)


def softplus(a):
    return mpmath.log1p(mpmath.exp(a))


def sigmoid(a):
    return 1 / (1 + mpmath.exp(-a))


LOGITS = [0.0, 1e-30, -1e-30, 1.0, -1.0, 20.0, -20.0, 88.0, -88.0, 90.0, -90.0, 104.0, -104.0, 750.0, -750.0]
LOGITS += [1e4, -1e4, 1e20, -1e20, 3e38, -3e38]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pixel", [0.0, 1.0, 0.25])
def test_bernoulli_at_any_logit(pixel, dtype, backend):
    """One feature, so that nothing hides in a sum; grey, black and white pixels."""
    b = kernels.load_backend(backend)
    logits = np.array(LOGITS, dtype)[:, None]
    x, weight = np.full_like(logits, pixel), np.ones(len(logits), dtype)
    layer = mv.Bernoulli(dtype=dtype, backend=b)
    nll = b.to_host(layer.forward(b.from_host(x), b.from_host(logits), b.from_host(weight)))
    dlogits = b.to_host(layer.backward())
    exact = [mpmath.mpf(float(value)) for value in logits[:, 0]]
    agree(nll, [softplus(logit) - mpmath.mpf(pixel) * logit for logit in exact], dtype)
    agree(dlogits, [sigmoid(logit) - mpmath.mpf(pixel) for logit in exact], dtype, scale=pixel)


RHOS = [-1e4, -5e3, -750.0, -104.0, -88.0, -40.5, -40.0, -39.5, -20.0, -1.0, 0.0]
RHOS += [1.0, 20.0, 40.0, 88.0, 104.0, 1e3, 1e4]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", ["softplus", "exp"])
def test_sigma_and_kl_at_any_rho(scale, dtype, backend):
    """rho from -1e4 to 1e4, where sigma runs from 0 to infinity: values that the dtype can hold are right."""
    b = kernels.load_backend(backend)
    rho = np.array(RHOS, dtype)[:, None]
    exact = [mpmath.mpf(float(value)) for value in rho[:, 0]]
    mu, noise = np.full_like(rho, 0.5), np.full_like(rho, -1.5)
    sampler = mv.Reparameterize(scale, dtype=dtype, backend=b)
    kl_layer = mv.GaussianKL(scale, dtype=dtype, backend=b)
    arrays = [b.from_host(array) for array in (mu, rho, noise)]
    z = b.to_host(sampler.forward(*arrays)).copy()
    sigma = b.to_host(sampler.sigma).copy()
    kl = b.to_host(kl_layer.forward(arrays[0], arrays[1], sampler.sigma)).copy()
    dmu, drho = sampler.backward(b.from_host(np.ones_like(rho)))
    sampled = b.to_host(drho).copy()
    kl_layer.backward(b.from_host(np.ones(len(rho), dtype)), dmu, drho)
    total = b.to_host(drho)

    if scale == "softplus":
        sigmas, slopes = [softplus(r) for r in exact], [sigmoid(r) for r in exact]
    else:
        sigmas = slopes = [mpmath.exp(r) for r in exact]
    loose = 16
    largest = mpmath.mpf(float(np.finfo(dtype).max))
    keep = np.array([s * s < largest for s in sigmas])
    assert keep.sum() >= 12

    def pick(values):
        return list(compress(values, keep))

    agree(sigma[keep], pick(sigmas), dtype, loose)
    agree(z[keep], [mpmath.mpf(0.5) - mpmath.mpf(1.5) * s for s in pick(sigmas)], dtype, loose, scale=0.5)
    exact_kl = [(mpmath.mpf(0.25) + s * s - 1) / 2 - mpmath.log(s) for s in pick(sigmas)]
    agree(kl[keep], exact_kl, dtype, loose, scale=1)
    exact_sampled = [mpmath.mpf(-1.5) * d for d in pick(slopes)]
    agree(sampled[keep], exact_sampled, dtype, loose)
    exact_total = [d * (s - 1 / s) + e for d, s, e in zip(pick(slopes), pick(sigmas), exact_sampled, strict=True)]
    agree(total[keep], exact_total, dtype, loose, scale=1)
    # beyond that the KL is infinite, which training reports; never NaN, which would hide where it came from
    assert not np.isnan(kl).any()
    assert np.isinf(kl[~keep]).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussian_at_the_ends_of_the_range(dtype, backend):
    """Zero variance, a mean far off, and a sum of squares at the largest number there is."""
    b = kernels.load_backend(backend)
    root = float(np.sqrt(np.finfo(dtype).max))
    for distance in (0.0, 1e-30, 1.0, 1e10, 0.5 * root):
        x, mean = np.zeros((1, 1), dtype), np.full((1, 1), distance, dtype)
        layer = mv.Gaussian(1.0, learn=True, dtype=dtype, backend=b)
        weight = np.ones(1, dtype)
        nll = b.to_host(layer.forward(b.from_host(x), b.from_host(mean), b.from_host(weight)))
        exact = mpmath.mpf(float(mean[0, 0]))
        agree(nll, [exact**2 / 2 + mpmath.log(2 * mpmath.pi) / 2], dtype)
        agree(b.to_host(layer.backward()), [exact], dtype)
        agree(b.to_host(layer.gradients["log_sigma"]), [1 - exact**2], dtype, scale=1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize(
    "data",
    [np.zeros((1, 6)), np.ones((40, 6)), np.tile([0.0, 1.0, 0.5, 0, 1, 0.2], (40, 1)), np.full((40, 6), 1e-45)],
    ids=["one example", "white", "constant pixels", "subnormal"],
)
def test_data_without_variance(data, likelihood, dtype, backend):
    model = mv.VAE(6, 2, (4,), likelihood=likelihood, dtype=dtype, backend=backend)
    history = mv.fit(model, data, validation=data, epochs=3, batch_size=1, optimizer=mv.Adam(1e-2))
    assert all(np.isfinite(history[column]).all() for column in history)
    assert first_non_finite_parameter(model) is None
    assert np.isfinite(model.log_likelihood(data[:1], samples=10)).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_data_at_the_ends_of_float32_end_in_a_line(backend):
    data = np.full((8, 3), 3e38, np.float32)
    model = mv.VAE(3, 1, (), likelihood="gaussian", backend=backend)
    before = model.backend.to_host(model.store.flat).copy()
    words = r"infinite at step 1, in epoch 1.*back at the end of epoch 0.* is in"
    with pytest.raises(mv.TrainingDiverged, match=words):
        mv.fit(model, data, epochs=1)
    np.testing.assert_array_equal(model.backend.to_host(model.store.flat), before)


STAGES = [
    ("encoder.0.weight", "the output of encoder.0, row 0, column 1"),
    ("encoder.1.bias", "the output of encoder.1, row 0, column 1"),
    ("posterior.bias", "mu, from posterior, row 0, column 1"),
    ("decoder.0.weight", "the output of decoder.0, row 0, column 1"),
    ("likelihood.bias", "the output of likelihood, row 0, column 1"),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(("parameter", "place"), STAGES)
def test_the_first_layer_that_went_wrong_is_named(parameter, place, bad, backend):
    """All later layers are spoilt as well; the one named is the one whose parameter was."""
    model = mv.VAE(4, 3, (5, 5), activation="identity", backend=backend)
    x = np.full((2, 4), 0.5)
    model.forward(x)
    assert first_non_finite(model) is None
    assert first_non_finite_parameter(model) is None
    value = model.backend.to_host(model.parameters[parameter]).copy()
    value[..., 1] = bad
    model.backend.assign(model.parameters[parameter], value)
    model.forward(x)
    assert first_non_finite(model).startswith(place)
    assert first_non_finite_parameter(model) == parameter


def test_a_model_that_has_seen_nothing_has_no_bad_layer():
    assert first_non_finite(mv.VAE(4, 3, (5,), backend="numpy")) is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_training_says_which_layer_was_first(backend):
    """A parameter of the decoder that is spoilt between two epochs; the message names that layer."""
    model, data = mv.VAE(4, 2, (5,), activation="tanh", backend=backend), np.eye(4)

    def spoil(row):
        if row["epoch"] == 2:
            bias = model.backend.to_host(model.parameters["decoder.0.bias"]).copy()
            bias[3] = np.nan
            model.backend.assign(model.parameters["decoder.0.bias"], bias)

    words = r"the loss became NaN at step 3, in epoch 3; .* is in the output of decoder.0, row 0, column 3 \(nan\)"
    with pytest.raises(mv.TrainingDiverged, match=words):
        mv.fit(model, data, epochs=5, on_epoch=spoil)
    assert first_non_finite_parameter(model) is None
