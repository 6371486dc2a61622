"""The likelihoods' protocol, and those of bytes: probabilities, means, ends of the range, refusals. Their gradients are
checked in tests/mutants/test_mutants.py, their kernels in tests/kernels/test_contract.py."""

import mpmath
import numpy as np
import pytest

import minivae as mv
from minivae import kernels
from minivae.gradcheck import check_gradients
from minivae.kernels.naive import LOG_LIMIT, LOG_SCALE_LIMIT
from minivae.losses import LIKELIHOODS

BACKENDS = [name for name in kernels.available_backends() if kernels.load_backend(name).on_host]
DTYPES = ("float32", "float64")
OF_BYTES = (mv.BetaBinomial, mv.Logistic)
HUGE = [-3e38, -1e20, -1e4, -31.0, -29.0, -8.5, -7.5, 0.0, 7.5, 8.5, 29.0, 31.0, 1e4, 1e20, 3e38]


def of_every_byte(kind, output, dtype="float64", backend="numpy"):
    """-log P(k), and its gradient by the two outputs, for k from 0 to 255 and one feature; output: the two outputs."""
    layer = kind(dtype=dtype, backend=backend)
    x = (np.arange(256.0)[:, None] / 255).astype(dtype)
    nll = layer.forward(x, np.tile(np.array(output, dtype), (256, 1)), np.ones(256, dtype)).copy()
    return nll, layer.backward()


def random_outputs(count):
    rng = np.random.default_rng(0)
    return np.stack([rng.uniform(-4, 8, count), rng.uniform(-4, 4, count)], axis=1)


def test_every_likelihood_is_found_by_its_name():
    assert list(LIKELIHOODS) == ["bernoulli", "gaussian", "beta_binomial", "logistic"]
    assert all(issubclass(kind, mv.Likelihood) for kind in LIKELIHOODS.values())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-4)])
@pytest.mark.parametrize("kind", OF_BYTES)
def test_the_probabilities_of_all_bytes_add_up_to_one(kind, dtype, tolerance, backend):
    """And their gradients, weighted by them, to zero: the derivative of that one."""
    for output in random_outputs(40):
        nll, gradient = of_every_byte(kind, output, dtype, backend)
        p = np.exp(-nll.astype(np.float64))
        assert abs(p.sum() - 1) < tolerance, output
        assert np.abs(p @ gradient).max() < tolerance * (1 + np.abs(gradient).max()), output


@pytest.mark.parametrize("kind", OF_BYTES)
def test_the_mean_is_that_of_the_bytes(kind):
    """For the logistic an integral stands for a sum over bins: half a bin at most, and h^2 / 24 times the difference
    of the slopes at the ends, at most 1 / 4s, where it is smooth (Euler and Maclaurin).
    """
    for first, second in random_outputs(40) * [1 if kind is mv.BetaBinomial else 0.3, 1]:
        p = np.exp(-of_every_byte(kind, (first, second))[0])
        mean = kind(dtype="float64").mean(np.array([[first, second]])).item()
        bound, s = 1e-12, np.exp(second) / 8
        if kind is mv.Logistic:
            bound = 1.1 / (255**2 * 24 * 4 * s) if s > 2 / 255 else 0.5 / 255
        assert abs(mean - p @ np.arange(256) / 255) < bound, (first, second)


@pytest.mark.parametrize("kind", OF_BYTES)
def test_means_lie_in_the_unit_interval_whatever_the_outputs(kind):
    pairs = np.array([(one, other) for one in HUGE for other in HUGE])
    mean = kind(dtype="float64").mean(pairs)
    assert ((mean >= 0) & (mean <= 1)).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@mpmath.workdps(60)
def test_beta_binomial_at_any_output(dtype, backend):
    """By mpmath's loggamma, of which 60 digits are left where alpha + beta is large; beyond the limit, the limit."""
    for log_alpha in (-30.0, -12.0, 0.5, 9.0, 20.0, 30.0):
        for log_beta in (-30.0, -3.0, 10.0, 28.0):
            nll, gradient = of_every_byte(mv.BetaBinomial, (log_alpha, log_beta), dtype, backend)
            a, b = mpmath.exp(mpmath.mpf(log_alpha)), mpmath.exp(mpmath.mpf(log_beta))
            for k in (0, 1, 100, 254, 255):
                log_p = mpmath.log(mpmath.binomial(255, k)) + sum(
                    sign * mpmath.loggamma(v)
                    for sign, v in ((1, k + a), (1, 255 - k + b), (-1, 255 + a + b), (1, a + b), (-1, a), (-1, b))
                )
                rise = mpmath.digamma(255 + a + b) - mpmath.digamma(a + b)
                slopes = [c * (rise - mpmath.digamma(n + c) + mpmath.digamma(c)) for c, n in ((a, k), (b, 255 - k))]
                roundings = 8 * float(np.finfo(dtype).eps)
                assert abs(nll[k] + log_p) < roundings * (255 + abs(log_p)), (log_alpha, log_beta, k)
                for got, exact in zip(gradient[k], slopes, strict=True):
                    assert abs(got - exact) < roundings * 255, (log_alpha, log_beta, k)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("kind", "limits"), [(mv.BetaBinomial, (LOG_LIMIT,) * 2), (mv.Logistic, (1e30, LOG_SCALE_LIMIT))]
)
def test_no_output_is_too_large(kind, limits, dtype, backend):
    """Beyond its limit an output counts as the limit and has no gradient; nothing is NaN or infinite."""
    for first in HUGE:
        for second in HUGE:
            nll, gradient = of_every_byte(kind, (first, second), dtype, backend)
            assert np.isfinite(nll).all(), (first, second)
            assert np.isfinite(gradient).all(), (first, second)
            inside = [float(np.clip(o, -limit, limit)) for o, limit in zip((first, second), limits, strict=True)]
            np.testing.assert_array_equal(nll, of_every_byte(kind, inside, dtype, backend)[0])
            for column, limit in enumerate(limits):
                assert abs((first, second)[column]) <= limit or not gradient[:, column].any()


@pytest.mark.parametrize("kind", OF_BYTES)
def test_nan_stays_nan(kind):
    for output in ((np.nan, 0.0), (0.0, np.nan)):
        nll, gradient = of_every_byte(kind, output)
        assert np.isnan(nll).all()
        assert np.isnan(gradient).any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_equal_sigmas_are_one_sigma(backend):
    rng = np.random.default_rng(0)
    x, mean, weight = rng.random((4, 7)), rng.standard_normal((8, 7)), rng.random(8)
    options = {"learn": True, "dtype": "float64", "backend": backend}
    one, each = mv.Gaussian(0.7, **options), mv.Gaussian(0.7, features=7, **options)
    np.testing.assert_allclose(each.forward(x, mean, weight), one.forward(x, mean, weight), rtol=1e-14)
    np.testing.assert_allclose(each.backward(), one.backward(), rtol=1e-14)
    assert each.gradients["log_sigma"].shape == (7,)
    np.testing.assert_allclose(each.gradients["log_sigma"].sum(), one.gradients["log_sigma"][0], rtol=1e-13)


def test_a_sigma_for_each_feature_finds_the_spread_of_each():
    """With no latents' help, the maximum likelihood sigma is the standard deviation of the column."""
    spread = np.array([0.05, 0.5, 2.0])
    data = np.random.default_rng(0).standard_normal((2000, 3)) * spread
    options = {"likelihood": "gaussian", "learn_sigma": "features", "dtype": "float64", "backend": "numpy"}
    model = mv.VAE(3, 1, (4,), beta=50.0, **options)
    mv.fit(model, data, epochs=60, optimizer=mv.Adam(1e-2), seed=0)
    np.testing.assert_allclose(np.exp(model.parameters["likelihood.log_sigma"]), spread, rtol=0.1)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "bool"])
@pytest.mark.parametrize("kind", OF_BYTES)
def test_bytes_pass_and_other_numbers_are_named(kind, dtype):
    layer, k = kind(), np.arange(256).reshape(2, 128)
    layer.check("x", k > 7 if dtype == "bool" else k.astype("uint8") if dtype == "uint8" else (k / 255).astype(dtype))
    for bad in (0.3, -1 / 255, 256 / 255, 255.0):
        x = np.zeros((2, 3))
        x[1, 2] = bad
        message = rf"^x: got {bad} at row 1, column 2, expected bytes for the {layer.name} likelihood: uint8, or whole"
        with pytest.raises(ValueError, match=message):
            layer.check("x", x)
    with pytest.raises(ValueError, match="x: got 200 at row 0, column 0"):
        layer.check("x", np.full((2, 2), 200))


def test_what_each_likelihood_takes():
    half, wide = np.full((2, 2), 0.3), np.full((2, 2), 1.5)
    for name, kind in LIKELIHOODS.items():
        refused = []
        for number, x in enumerate((half, wide)):
            try:
                kind().check("x", x)
            except ValueError:
                refused.append(number)
        assert refused == {"bernoulli": [1], "gaussian": []}.get(name, [0, 1])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", OF_BYTES)
def test_weights_give_the_same_gradient_in_forward_and_in_backward(kind, backend):
    rng = np.random.default_rng(0)
    layer = kind(dtype="float64", backend=backend)
    x, output, weight = rng.integers(0, 256, (3, 5)) / 255, 3 * rng.standard_normal((6, 10)), rng.random(6)
    layer.forward(x, output)
    gradient = layer.backward(weight).copy()
    assert layer.forward(x, output, weight).shape == (6,)
    np.testing.assert_array_equal(layer.backward(), gradient)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("likelihood", ["beta_binomial", "logistic"])
def test_a_model_of_bytes_trains_saves_and_draws(likelihood, backend, tmp_path):
    data = mv.load_dataset("mnist", size=600)
    pixels = data.train[:, 300:360]
    model = mv.VAE(60, 3, (20,), likelihood=likelihood, backend=backend, seed=0)
    assert model.parameters["likelihood.weight"].shape == (20, 120)
    history = mv.fit(model, pixels, validation=pixels, epochs=6, optimizer=mv.Adam(1e-2), seed=0)
    assert history["validation_loss"][-1] < 0.8 * history["validation_loss"][0]
    for means in (model.sample(9), model.reconstruct(pixels[:9])):
        assert means.shape == (9, 60)
        assert ((means >= 0) & (means <= 1)).all()
    model.save(tmp_path / "model.npz")
    again = mv.VAE.load(tmp_path / "model.npz", backend=backend)
    np.testing.assert_array_equal(again.elbo(pixels[:9]), model.elbo(pixels[:9]))
    np.testing.assert_array_equal(again.elbo(pixels[:9] / 255), model.elbo(pixels[:9]))
    assert model.log_likelihood(pixels[:9], samples=20).mean() > model.elbo(pixels[:9]).mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pixels": "dynamic"}, "pixels: got 'dynamic', expected 'grey' for a likelihood of bytes"),
        ({"pixels": "threshold"}, "pixels: got 'threshold'"),
        ({"train": np.full((4, 6), 0.3)}, "train: got 0.3 at row 0, column 0, expected bytes for the beta_binomial"),
        ({"validation": np.full((4, 6), 1.5)}, "validation: got 1.5 at row 0"),
    ],
)
def test_fit_refuses_what_is_no_byte(options, message):
    model = mv.VAE(6, 2, (4,), likelihood="beta_binomial", backend="numpy")
    with pytest.raises(ValueError, match=message):
        mv.fit(model, **({"train": np.zeros((4, 6), np.uint8)} | options))


class Laplace(mv.Likelihood):
    """|x - mean| + log 2, written in NumPy by a user."""

    name = "laplace"

    def _kernel(self, nll, weight, doutput):
        difference = self.output - np.repeat(self.x, len(self.output) // len(self.x), axis=0)
        if nll is not None:
            nll[...] = (np.abs(difference) + np.log(2)).sum(axis=1)
        if doutput is not None:
            doutput[...] = weight[:, None] * np.sign(difference)

    def mean(self, output):
        return output


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_of_ones_own(backend):
    rng = np.random.default_rng(0)
    layer = Laplace(dtype="float64", backend=backend)
    x, output = rng.random((3, 4)), rng.standard_normal((6, 4))
    assert check_gradients(layer, {"output": output}, fixed={"x": x}).passed
    model = mv.VAE(4, 2, (5,), likelihood="gaussian", dtype="float64", backend=backend)
    model.likelihood = layer
    noise = rng.standard_normal((3, 2))
    mean = model.decode(model.encode(x)[0] + model.encode(x)[1] * noise)
    assert model.forward(x, noise).nll == pytest.approx((np.abs(mean - x) + np.log(2)).sum() / 3, rel=1e-12)
    model.backward()
    assert "laplace" not in LIKELIHOODS


def test_what_a_likelihood_of_ones_own_lacks_is_named():
    layer = mv.Likelihood()
    with pytest.raises(NotImplementedError, match="Likelihood has no _kernel"):
        layer.forward(np.ones((1, 2), "f"), np.ones((1, 2), "f"))
    with pytest.raises(NotImplementedError, match="Likelihood has no mean"):
        layer.mean(np.ones((1, 2)))
