"""The whole model: gradients by differences, the loss's scaling, public passes, save and load."""

import json

import numpy as np
import pytest

import minivae as mv
from minivae import kernels
from minivae.files import stored
from minivae.kernels.naive import BY_INPUT

from .differences import assert_gradient

BACKENDS = [name for name in kernels.available_backends() if kernels.load_backend(name).on_host]
SMALL = {"features": 6, "latent": 2, "hidden": (5, 4), "dtype": "float64", "seed": 4}


def data(n=7, features=6, seed=1):
    return np.random.default_rng(seed).random((n, features))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "options",
    [
        {"activation": "tanh"},
        {"activation": "softplus", "scale": "exp", "beta": 0.3},
        {"activation": "sigmoid", "likelihood": "gaussian", "observation_sigma": 0.5},
        {"activation": "relu", "likelihood": "gaussian", "learn_sigma": True},
        {"activation": "leaky_relu"},
        {"activation": "gelu", "scale": "exp"},
        {"activation": "silu", "likelihood": "gaussian", "observation_sigma": 0.5},
        {"activation": "tanh", "likelihood": "gaussian", "learn_sigma": "features"},
        {"hidden": ()},
        {"hidden": (5,), "decoder_hidden": (3, 4)},
    ],
    ids=str,
)
@pytest.mark.parametrize("samples", [1, 2])
def test_every_gradient_of_the_loss_at_frozen_noise(options, samples, backend):
    model = mv.VAE(**(SMALL | options), backend=backend)
    x, noise = data(), np.random.default_rng(2).standard_normal((7 * samples, 2))
    model.forward(x, noise)
    model.backward()
    gradients = {name: gradient.copy() for name, gradient in model.gradients.items()}
    assert set(gradients) == set(model.parameters)
    for name, gradient in gradients.items():
        assert np.abs(gradient).max() > 0, name
        assert_gradient(lambda: model.forward(x, noise).loss, model.parameters[name], gradient, name)


@pytest.mark.parametrize("activation", ["leaky_relu", *BY_INPUT])
def test_activations_are_trained_alike_on_every_backend(activation):
    losses = []
    for backend in BACKENDS:
        model = mv.VAE(**(SMALL | {"activation": activation}), backend=backend)
        report = mv.check_gradients(model, {"x": data()}, fixed={"noise": np.ones((7, 2))})
        assert report, report
        history = mv.fit(model, data(40), epochs=4, batch_size=16, optimizer=mv.Adam(1e-2), seed=3)
        losses.append(history["train_loss"])
        assert losses[-1][-1] < losses[-1][0]
    np.testing.assert_allclose(losses, losses[:1] * len(losses), rtol=1e-9)


def test_loss_is_a_mean_over_the_batch_of_sums_over_features_and_latents():
    """Written out in NumPy from the parameters, term by term."""
    model = mv.VAE(**(SMALL | {"hidden": (5,), "beta": 0.7}), backend="numpy")
    x, noise = data(), np.random.default_rng(2).standard_normal((7, 2))
    p = model.parameters
    h = np.maximum(x @ p["encoder.0.weight"] + p["encoder.0.bias"], 0)
    head = h @ p["posterior.weight"] + p["posterior.bias"]
    mu, sigma = head[:, :2], np.log1p(np.exp(head[:, 2:]))
    h = np.maximum((mu + sigma * noise) @ p["decoder.0.weight"] + p["decoder.0.bias"], 0)
    probability = 1 / (1 + np.exp(-(h @ p["likelihood.weight"] + p["likelihood.bias"])))
    nll = -(x * np.log(probability) + (1 - x) * np.log(1 - probability)).sum(axis=1)
    kl = (0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma)).sum(axis=1)
    terms = model.forward(x, noise)
    assert terms.nll == pytest.approx(nll.mean(), rel=1e-12)
    assert terms.kl == pytest.approx(kl.mean(), rel=1e-12)
    assert terms.loss == pytest.approx(nll.mean() + 0.7 * kl.mean(), rel=1e-12)
    got_mu, got_sigma = model.encode(x)
    np.testing.assert_allclose(got_mu, mu, rtol=1e-12)
    np.testing.assert_allclose(got_sigma, sigma, rtol=1e-12)
    doubled = model.forward(np.vstack([x, x]), np.vstack([noise, noise]))
    assert doubled.loss == pytest.approx(terms.loss, rel=1e-12), "a mean over the batch does not grow with it"


def test_samples_average_the_loss_of_each_draw():
    model = mv.VAE(**SMALL, backend="numpy")
    x, noise = data(3), np.random.default_rng(2).standard_normal((3, 4, 2))
    together = model.forward(x, noise.reshape(12, 2))
    apart = [model.forward(x, np.ascontiguousarray(noise[:, s])) for s in range(4)]
    assert together.loss == pytest.approx(np.mean([terms.loss for terms in apart]), rel=1e-12)


def test_drawn_noise_is_seeded_and_fresh():
    first, second = (mv.VAE(**SMALL, backend="numpy") for _ in range(2))
    draws = [first.forward(data()).loss for _ in range(3)]
    assert len(set(draws)) == 3
    assert draws == [second.forward(data()).loss for _ in range(3)]


def test_initial_parameters_follow_the_seed_and_lie_in_one_buffer():
    one, same, other = (mv.VAE(**(SMALL | {"seed": seed}), backend="numpy") for seed in (4, 4, 5))
    np.testing.assert_array_equal(one.store.flat, same.store.flat)
    assert not np.array_equal(one.store.flat, other.store.flat)
    for name, view in one.parameters.items():
        assert np.shares_memory(view, one.store.flat), name
        assert view.ctypes.data % 64 == 0, name
        bound = 1 / np.sqrt(one.parameters[name.replace("bias", "weight")].shape[0])
        assert 0 < np.abs(view).max() <= bound, name


def test_public_passes_have_their_shapes_and_ranges():
    model = mv.VAE(784, 3, (16,), backend="numpy", seed=1)
    pixels = np.random.default_rng(0).integers(0, 256, (1003, 784), dtype=np.uint8)
    mu, sigma = model.encode(pixels)
    assert mu.shape == sigma.shape == (1003, 3)
    assert (sigma > 0).all()
    means = model.decode(mu)
    assert means.shape == (1003, 784)
    assert means.min() > 0
    assert means.max() < 1
    np.testing.assert_array_equal(model.reconstruct(pixels), means)
    assert model.sample(5, seed=1).shape == (5, 784)
    np.testing.assert_array_equal(model.sample(5, seed=1), model.sample(5, seed=1))
    assert not np.array_equal(model.sample(5, seed=1), model.sample(5, seed=2))
    elbo = model.elbo(pixels)
    assert elbo.shape == (1003,)
    # the same numbers whether bytes or their 255ths come in
    np.testing.assert_allclose(model.elbo(pixels / 255), elbo, rtol=1e-5)


def test_log_likelihood_is_exact_for_a_model_with_a_closed_form():
    """Linear decoder, Gaussian noise: p(x) = N(b, W'W + s^2 I) (Tipping and Bishop, 1999)."""
    s = 0.8
    model = mv.VAE(4, 2, (), likelihood="gaussian", observation_sigma=s, dtype="float64", seed=3, backend="numpy")
    x = np.random.default_rng(1).standard_normal((6, 4))
    w, b = model.parameters["likelihood.weight"], model.parameters["likelihood.bias"]
    # the encoder is set to the exact posterior, whose weights are all equal
    precision = np.eye(2) + w @ w.T / s**2
    covariance = np.linalg.inv(precision)
    marginal = w.T @ w + s**2 * np.eye(4)
    centred = x - b
    exact = -0.5 * (np.einsum("ij,jk,ik->i", centred, np.linalg.inv(marginal), centred))
    exact -= 0.5 * (4 * np.log(2 * np.pi) + np.linalg.slogdet(marginal)[1])
    model.parameters["posterior.weight"][:, :2] = (covariance @ w / s**2).T
    model.parameters["posterior.weight"][:, 2:] = 0
    model.parameters["posterior.bias"][:2] = -covariance @ w @ b / s**2
    # a diagonal q can only approach a correlated posterior: importance weights make up the rest
    model.parameters["posterior.bias"][2:] = np.log(np.expm1(np.sqrt(np.diag(covariance)) * 1.1))
    few, many = model.log_likelihood(x, samples=3), model.log_likelihood(x, samples=20_000)
    np.testing.assert_allclose(many, exact, atol=0.02)
    assert few.mean() < exact.mean() + 0.05
    # log p(x) - E ELBO = KL(q || p(z|x)), between Gaussians of the same mean
    q = np.diag(1.1**2 * np.diag(covariance))
    kl = 0.5 * (np.trace(precision @ q) - 2 + np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(q)[1])
    elbo = np.array([model.elbo(x, seed=seed) for seed in range(200)])
    error = elbo.mean(axis=1).std() / np.sqrt(len(elbo))
    assert abs(elbo.mean() - (exact.mean() - kl)) < 3 * error
    np.testing.assert_array_equal(model.log_likelihood(x[:2], samples=3), few[:2])


@pytest.mark.parametrize("learn_sigma", [False, True, "features"])
def test_save_and_load_give_the_same_model(tmp_path, learn_sigma):
    options = {"likelihood": "gaussian" if learn_sigma else "bernoulli", "learn_sigma": learn_sigma, "dtype": "float32"}
    model = mv.VAE(**(SMALL | options), backend="numpy")
    model.store.flat *= 1.5
    path = tmp_path / "model.npz"
    model.save(path)
    again = mv.VAE.load(path, backend="numpy")
    assert again.config == model.config
    np.testing.assert_array_equal(again.store.flat, model.store.flat)
    noise = np.ones((7, 2), np.float32)
    assert again.forward(data(), noise) == model.forward(data(), noise)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.npz"], "no temporary file is left"


PUT_IN = {
    "sigma": (lambda: {"likelihood": mv.Gaussian(0.5)}, "observation_sigma=0.5"),
    "one sigma that learns": (lambda: {"likelihood": mv.Gaussian(0.5, learn=True)}, "learn_sigma=True"),
    "sigmas that learn": (lambda: {"likelihood": mv.Gaussian(0.5, learn=True, features=6)}, "learn_sigma='features'"),
    "none that learn": (lambda: {"likelihood": mv.Bernoulli()}, "learn_sigma=False"),
    "exp": (lambda: {"sampler": mv.Reparameterize("exp"), "kl": mv.GaussianKL("exp")}, "scale='exp'"),
}


@pytest.mark.parametrize("learn_sigma", [False, True, "features"])
@pytest.mark.parametrize("case", PUT_IN)
def test_what_was_put_in_the_place_of_a_part_is_saved(tmp_path, case, learn_sigma):
    model = mv.VAE(6, 2, (5,), likelihood="gaussian", learn_sigma=learn_sigma, backend="numpy", seed=3)
    make, phrase = PUT_IN[case]
    for name, part in make().items():
        setattr(model, name, part)
    mv.fit(model, data(), epochs=3, optimizer=mv.Adam(0.1))
    assert phrase in repr(model)
    model.save(tmp_path / "model.npz")
    again = mv.VAE.load(tmp_path / "model.npz", backend="numpy")
    assert again.store.shapes == model.store.shapes
    np.testing.assert_array_equal(again.store.flat, model.store.flat)
    noise = np.ones((7, 2), np.float32)
    assert again.forward(data(), noise) == model.forward(data(), noise)
    np.testing.assert_array_equal(again.log_likelihood(data(), samples=5), model.log_likelihood(data(), samples=5))
    assert repr(again) == repr(model)


def test_parts_that_take_rho_for_different_things_are_not_saved(tmp_path):
    model = mv.VAE(6, 2, (5,), backend="numpy")
    model.sampler = mv.Reparameterize("exp")
    with pytest.raises(ValueError, match=r"model\.kl\.scale: got 'softplus', expected 'exp', that of model\.sampl"):
        model.save(tmp_path / "model.npz")


@pytest.mark.parametrize("objective", ["iwae", "dreg"])
def test_a_bound_goes_by_the_scale_of_the_sampler(objective):
    """That of another model made with it: rho means the same for both."""
    options = {"objective": objective, "samples": 3, "dtype": "float64", "backend": "numpy"}
    model, other = mv.VAE(6, 2, (5,), **options), mv.VAE(6, 2, (5,), scale="exp", **options)
    model.sampler, model.kl = (kind("exp", dtype="float64") for kind in (mv.Reparameterize, mv.GaussianKL))
    noise = np.random.default_rng(2).standard_normal((21, 2))
    assert model.forward(data(), noise) == other.forward(data(), noise)
    model.backward()
    other.backward()
    np.testing.assert_array_equal(model.store.flat_gradients, other.store.flat_gradients)


def test_damaged_checkpoints_are_refused(tmp_path):
    path = tmp_path / "model.npz"
    with pytest.raises(ValueError, match=r"model\.npz: there is no such checkpoint"):
        mv.VAE.load(path)
    path.write_bytes(b"not a zip file")
    with pytest.raises(ValueError, match="not a minivae checkpoint"):
        mv.VAE.load(path)
    model = mv.VAE(**SMALL, backend="numpy")
    model.save(path)
    description, arrays = stored.read(path)
    arrays["parameter/posterior.bias"][0] += 1
    np.savez(path, description=np.array(json.dumps(description)), **arrays)
    with pytest.raises(ValueError, match="checksum does not match"):
        mv.VAE.load(path)
    description["version"] = 99
    np.savez(path, description=np.array(json.dumps(description)), **arrays)
    with pytest.raises(ValueError, match="got checkpoint version 99, expected 1 to 2"):
        mv.VAE.load(path)


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    model = mv.VAE(**SMALL, backend="numpy")
    model.save(path)
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    with pytest.raises(OSError, match=r"cannot write .*model\.npz: No space left on device"):
        model.save(path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": 0}, "features: got 0"),
        ({"latent": -1}, "latent: got -1, expected a whole number of at least 1"),
        ({"hidden": (4, 0)}, "hidden: got 0"),
        ({"activation": "swish"}, "activation: got 'swish'"),
        ({"scale": "square"}, "scale: got 'square'"),
        ({"likelihood": "poisson"}, "likelihood: got 'poisson', expected one of 'bernoulli', 'gaussian'"),
        ({"learn_sigma": True}, "learn_sigma: got True, expected a gaussian likelihood"),
        ({"learn_sigma": "rows", "likelihood": "gaussian"}, "learn_sigma: got 'rows', expected one of False, True, 'f"),
        ({"observation_sigma": 0.0}, "observation_sigma: got 0.0"),
        ({"beta": -0.1}, "beta: got -0.1"),
        ({"dtype": "int8"}, "dtype: got 'int8'"),
        ({"backend": "tpu"}, "backend: got 'tpu'"),
        ({"seed": -1}, "seed: got -1"),
        ({"seed": 2**64}, "seed: got 18446744073709551616"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        mv.VAE(**({"backend": "numpy"} | SMALL | options))


def test_what_a_model_is_made_with_is_read_and_not_set():
    model = mv.VAE(**SMALL, objective="iwae", samples=3, backend="numpy")
    for name, value in {"objective": "elbo", "samples": 1, "outer": 2, "activation": "tanh", "hidden": (9,)}.items():
        assert getattr(model, name) == model.config[name]
        with pytest.raises(ValueError, match=f"{name}: got .*, with which the model was made: make a new one"):
            setattr(model, name, value)
    assert model.objective == "iwae"


def test_a_subclass_may_keep_what_its_model_is_made_with():
    class Named(mv.VAE):
        def __init__(self, hidden, early=()):
            for name in early:
                setattr(self, name, hidden)
            super().__init__(**SMALL | {"hidden": hidden}, backend="numpy")
            self.hidden = list(hidden)

    assert Named((3,)).hidden == [3]
    with pytest.raises(
        ValueError, match=r"hidden: got \(3,\), expected another name for what is set before VAE.__init__"
    ):
        Named((3,), early=["hidden"])


def test_bad_arrays_are_named():
    model = mv.VAE(**SMALL, backend="numpy")
    with pytest.raises(ValueError, match=r"x: got float64 of shape \(2, 5\), expected 6 features per row"):
        model.forward(np.ones((2, 5)))
    with pytest.raises(ValueError, match="x: got nan at row 1, column 0, expected finite numbers"):
        model.encode(np.array([[1.0] * 6, [np.nan] + [1.0] * 5]))
    with pytest.raises(ValueError, match=r"noise: got float64 of shape \(2, 3\), expected float64 of shape \(any, 2\)"):
        model.forward(np.ones((2, 6)), np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"z: got float64 of shape \(2, 6\), expected 2 features"):
        model.decode(np.ones((2, 6)))
    with pytest.raises(ValueError, match="backward: got 'no forward pass'"):
        mv.VAE(**SMALL, backend="numpy").backward()
    with pytest.raises(ValueError, match="count: got 0"):
        model.sample(0)
