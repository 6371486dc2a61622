"""Dense, Reparameterize and the losses: values, the sampler's distribution, refusals. Their gradients are checked in
tests/mutants/test_mutants.py."""

import pickle

import numpy as np
import pytest

import minivae as mv
from minivae import kernels
from minivae.kernels import naive, philox
from minivae.kernels.naive import ACTIVATIONS, BY_INPUT, SCALES
from minivae.layers import Chain

F64 = {"dtype": "float64", "backend": "numpy"}
BACKENDS = [name for name in kernels.available_backends() if kernels.load_backend(name).on_host]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_backward_assigns_and_leaves_its_inputs_alone(rng):
    layer = mv.Dense(3, 2, "relu", **F64)
    x, dy = rng.standard_normal((4, 3)), rng.standard_normal((4, 2))
    kept = dy.copy()
    layer.forward(x)
    layer.backward(dy)
    first = layer.gradients["weight"].copy()
    layer.backward(dy)
    np.testing.assert_array_equal(layer.gradients["weight"], first)
    np.testing.assert_array_equal(dy, kept)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_input_of_an_activation_is_kept_where_the_derivative_needs_it_and_nowhere_else(activation, backend, rng):
    layer = mv.Dense(3, 2, activation, dtype="float64", backend=backend)
    x, dy = rng.standard_normal((4, 3)), rng.standard_normal((4, 2))
    program = layer.backend.record(lambda: (layer.forward(x), layer.backward(dy)))
    (_, forward), (_, backward) = program.calls
    if activation not in BY_INPUT:
        assert (len(forward), len(backward)) == (5, 8)
        return
    a = x @ layer.parameters["weight"] + layer.parameters["bias"]
    assert forward[5] is backward[8]
    np.testing.assert_allclose(forward[5], a, rtol=1e-14)
    backward[2][...] = np.nan  # y is not read
    before = layer.gradients["weight"].copy()
    layer.backend.dense_backward(*backward)
    np.testing.assert_array_equal(layer.gradients["weight"], before)
    for kernel, arguments in (("dense_forward", forward), ("dense_backward", backward)):
        with pytest.raises(ValueError, match=f"a: got None, expected an array, which activation '{activation}' needs"):
            getattr(layer.backend, kernel)(*arguments[:-1])
        with pytest.raises(ValueError, match=f"a: got None, expected an array, which activation '{activation}' needs"):
            getattr(naive, kernel)(*arguments[:-1])


def test_chain_skips_only_the_first_input_gradient(rng):
    chain = Chain(mv.Dense(3, 3, "tanh", index=i, **F64) for i in range(2))
    x, dy = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
    chain.forward(x)
    assert chain.backward(dy, input_gradient=False) is None
    without = [layer.gradients["weight"].copy() for layer in chain.layers]
    chain.forward(x)
    assert chain.backward(dy).shape == x.shape
    for layer, gradient in zip(chain.layers, without, strict=True):
        np.testing.assert_array_equal(layer.gradients["weight"], gradient)
    empty = Chain([])
    assert empty.forward(x) is x
    assert empty.backward(dy) is dy


@pytest.mark.parametrize("scale", SCALES)
def test_samples_come_from_the_q_that_the_kl_means(scale):
    """z has mean mu and the standard deviation sigma; and log q(z) - log p(z) averages to the KL.

    With exp(softplus(rho)), or a variance used as a standard deviation, forward and backward agree and every difference
    check passes; this test fails.
    """
    draws, mu, rho = 200_000, np.array([[0.7, -1.2]]), np.array([[-1.5, 0.4]])
    noise = np.empty((draws, 2))
    philox.fill_normals(5, philox.SAMPLE, 0, noise)
    sampler, kl = mv.Reparameterize(scale, **F64), mv.GaussianKL(scale, **F64)
    z = sampler.forward(mu, rho, noise).copy()
    sigma = np.log1p(np.exp(rho)) if scale == "softplus" else np.exp(rho)
    # five standard errors of a normal sample: sigma / sqrt(n) for the mean, sigma / sqrt(2n) for the deviation
    assert (np.abs(z.mean(axis=0) - mu[0]) < 5 * sigma[0] / np.sqrt(draws)).all()
    assert (np.abs(z.std(axis=0) - sigma[0]) < 5 * sigma[0] / np.sqrt(2 * draws)).all()
    log_ratio = -np.log(sigma) - 0.5 * ((z - mu) / sigma) ** 2 + 0.5 * z**2
    error = log_ratio.std(axis=0) / np.sqrt(draws)
    assert (np.abs(log_ratio.mean(axis=0) - kl.forward(mu, rho, sampler.sigma)[0]) < 5 * error).all()


def test_pathwise_gradients_match_closed_forms(rng):
    """E[z^2] = mu^2 + sigma^2: the average gradients are 2 mu and 2 sigma dsigma/drho, within five standard errors."""
    draws, mu, rho = 100_000, np.array([[0.7]]), np.array([[-0.3]])
    noise = rng.standard_normal((draws, 1))
    sampler = mv.Reparameterize("exp", **F64)
    z = sampler.forward(mu, rho, noise)
    dmu, drho = sampler.backward(2 * z / draws)
    sigma = np.exp(-0.3)
    assert abs(dmu.item() - 1.4) < 5 * 2 * sigma / np.sqrt(draws)
    spread = (2 * z * noise * sigma).std()
    assert abs(drho.item() - 2 * sigma**2) < 5 * spread / np.sqrt(draws)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [mv.Bernoulli, mv.Gaussian])
def test_weights_give_the_same_gradient_in_forward_and_in_backward(rng, kind, backend):
    layer = kind(dtype="float64", backend=backend)
    x, output, weight = rng.random((3, 5)), 3 * rng.standard_normal((6, 5)), rng.random(6)
    layer.forward(x, output)
    gradient = layer.backward(weight).copy()
    assert layer.forward(x, output, weight).shape == (6,)
    np.testing.assert_array_equal(layer.backward(), gradient)


def test_bernoulli_is_stable_and_exact_at_the_ends():
    """nll of extreme logits against the limits softplus(l) -> l or 0; the gradient against sigmoid(l) - x."""
    logits = np.array([[-1e4, -1e4, 1e4, 1e4, 0.0]])
    x = np.array([[0.0, 1.0, 1.0, 0.0, 0.5]])
    layer = mv.Bernoulli(**F64)
    nll = layer.forward(x, logits, np.ones(1))
    assert nll[0] == pytest.approx(2e4 + np.log(2), rel=1e-15)
    np.testing.assert_array_equal(layer.backward(), [[0.0, -1.0, 0.0, 1.0, 0.0]])


def test_unit_gaussian_is_half_the_squared_error_plus_the_stated_constant(rng):
    x, mean = rng.standard_normal((4, 7)), rng.standard_normal((4, 7))
    nll = mv.Gaussian(**F64).forward(x, mean)
    np.testing.assert_allclose(nll, 0.5 * ((x - mean) ** 2).sum(1) + 7 * 0.9189385332046727, rtol=1e-14)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kl_is_right_where_sigma_underflows(scale, dtype):
    """dKL/drho -> -1 as sigma -> 0: for softplus because (dsigma/drho) / sigma -> 1, however small sigma is."""
    rho = np.array([[-60.0, -300.0, -1e4]], dtype)
    mu = np.zeros_like(rho)
    sampler, kl = (kind(scale, dtype=dtype, backend="numpy") for kind in (mv.Reparameterize, mv.GaussianKL))
    sampler.forward(mu, rho, np.ones_like(rho))
    np.testing.assert_allclose(kl.forward(mu, rho, sampler.sigma), -rho - 0.5, rtol=1e-6)
    _, drho = kl.backward(np.ones(1, dtype), np.zeros_like(mu), np.zeros_like(mu))
    np.testing.assert_allclose(drho, -1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mv.Dense(0, 2), r"inputs: got 0, expected a whole number of at least 1"),
        (lambda: mv.Dense(2, 2, "swish"), r"activation: got 'swish', expected one of 'identity', 'relu'"),
        (lambda: mv.Dense(2, 2, dtype="float16"), r"dtype: got 'float16', expected one of"),
        (lambda: mv.Dense(2, 2, backend="blas"), r"backend: got 'blas'"),
        (lambda: mv.Dense(2, 2).forward(np.ones((1, 3), "f")), r"x: got float32 of shape \(1, 3\), expected float32"),
        (lambda: mv.Dense(2, 2).forward(np.ones((1, 2))), r"x: got float64 of shape \(1, 2\), expected float32"),
        (lambda: mv.Dense(2, 2).forward([[1.0, 2.0]]), r"x: got list, expected float32 of shape \(any, 2\)"),
        (lambda: mv.Dense(2, 2).backward(np.ones((1, 2), "f")), r"backward: got 'no forward pass'"),
        (lambda: mv.Reparameterize("square"), r"scale: got 'square', expected one of 'softplus', 'exp'"),
        (lambda: mv.Gaussian(0.0), r"sigma: got 0.0, expected a finite number above 0"),
        (lambda: sampled(noise_rows=3), r"noise: got '3 rows', expected a multiple of the 2 rows of mu"),
        (lambda: mv.Bernoulli().forward(np.ones((2, 2), "f"), np.ones((2, 3), "f")), r"output: got float32 of shape"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_activation_set_later_is_the_one_of_a_layer_made_with_it(backend, rng):
    layer, other = mv.Dense(3, 2, "relu", backend=backend), mv.Dense(3, 2, "gelu", backend=backend)
    x, dy = rng.standard_normal((4, 3)).astype("f"), rng.standard_normal((4, 2)).astype("f")
    layer.forward(x)
    layer.activation = "gelu"
    np.testing.assert_array_equal(layer.forward(x), other.forward(x))
    np.testing.assert_array_equal(layer.backward(dy), other.backward(dy))
    for wrong in ("swish", None, "GELU"):
        with pytest.raises(ValueError, match=f"activation: got {wrong!r}, expected one of 'identity', 'relu'"):
            layer.activation = wrong
    assert (layer.activation, str(layer)) == ("gelu", str(other))
    assert pickle.loads(pickle.dumps(layer)).activation == "gelu"


def sampled(noise_rows):
    ones = np.ones((2, 2), np.float32)
    return mv.Reparameterize().forward(ones, ones, np.ones((noise_rows, 2), np.float32))
