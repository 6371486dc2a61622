"""A model whose log p(x) and best q are known exactly: probabilistic PCA, as a VAE with no hidden layer.

    z ~ N(0, I),   x = z @ W + b + s * noise,   so   x ~ N(b, W' W + s^2 I)
    p(z|x) = N(m, S),   S = (I + W W' / s^2)^-1,   m = (x - b) W' S / s^2

Where the rows of W are orthogonal S is diagonal, and the VAE's q, a linear map of x with diagonal covariance, can be
p(z|x) itself. Source: Tipping and Bishop, "Probabilistic principal component analysis" (1999), sections 3.1 and 3.2.
"""

import numpy as np

from ..vae import VAE


def make(features=4, latent=2, *, observation_sigma=0.8, seed=0, **options):
    """A VAE in float64 with orthogonal rows of W, whose encoder is the exact posterior. Other arguments go to VAE."""
    options |= {"scale": "exp", "likelihood": "gaussian", "dtype": "float64", "seed": seed}
    model = VAE(features, latent, (), observation_sigma=observation_sigma, **options)
    rng = np.random.default_rng(seed)
    orthogonal, _ = np.linalg.qr(rng.standard_normal((features, latent)))
    lengths = np.linspace(1.5, 0.5, latent)
    model.backend.assign(model.parameters["likelihood.weight"], lengths[:, None] * orthogonal.T)
    model.backend.assign(model.parameters["likelihood.bias"], rng.standard_normal(features))
    set_exact_posterior(model)
    return model


def matrices(model):
    """W (latent, features), b (features,) and s^2 of the model."""
    w, b = (np.array(model.backend.to_host(model.parameters[f"likelihood.{name}"])) for name in ("weight", "bias"))
    return w, b, model.likelihood.sigma**2


def posterior(model):
    """The exact p(z|x): `gain` (features, latent) with m = (x - b) @ gain, and the covariance S (latent, latent)."""
    w, _, variance = matrices(model)
    covariance = np.linalg.inv(np.eye(len(w)) + w @ w.T / variance)
    return w.T @ covariance / variance, covariance


def set_exact_posterior(model):
    """Sets the encoder to the exact posterior, or for correlated latents to its mean and marginal variances."""
    gain, covariance = posterior(model)
    _, b, _ = matrices(model)
    latent = model.latent
    weight, bias = np.zeros((model.features, 2 * latent)), np.zeros(2 * latent)
    weight[:, :latent] = gain
    bias[:latent] = -b @ gain
    bias[latent:] = 0.5 * np.log(np.diag(covariance))
    model.backend.assign(model.parameters["posterior.weight"], weight)
    model.backend.assign(model.parameters["posterior.bias"], bias)


def shift_posterior(model, mean=0.0, log_sigma=0.0):
    """Moves every mean of q, and every log sigma, by this much: a q that is wrong by a known amount."""
    bias = np.array(model.backend.to_host(model.parameters["posterior.bias"]))
    bias[: model.latent] += mean
    bias[model.latent :] += log_sigma
    model.backend.assign(model.parameters["posterior.bias"], bias)


def log_likelihood(model, x):
    """log p(x) of each row, nats, (n,): the closed form."""
    w, b, variance = matrices(model)
    covariance = w.T @ w + variance * np.eye(model.features)
    centred = x - b
    squares = np.einsum("ij,ij->i", centred, np.linalg.solve(covariance, centred.T).T)
    return -0.5 * (squares + np.linalg.slogdet(covariance)[1] + model.features * np.log(2 * np.pi))


def elbo(model, x, rows=1000):
    """The mean ELBO of the model as it is over the rows of x, nats per example: its expectation over the noise, exact,
    in float64. x (n, features) is read so many rows at a time.
    """
    values = {name: np.asarray(model.backend.to_host(array), np.float64) for name, array in model.parameters.items()}
    gain, offset = values["posterior.weight"], values["posterior.bias"]
    w, b, variance = values["likelihood.weight"], values["likelihood.bias"], model.likelihood.sigma**2
    total = 0.0
    for start in range(0, len(x), rows):
        part = np.asarray(x[start : start + rows], np.float64)
        mu, log_sigma = np.split(part @ gain + offset, 2, axis=1)
        spread = np.exp(2 * log_sigma)
        squares = np.sum((part - b - mu @ w) ** 2) + np.sum(spread @ np.sum(w**2, axis=1))
        total -= 0.5 * squares / variance + 0.5 * np.sum(mu**2 + spread - 1 - 2 * log_sigma)
    return total / len(x) - 0.5 * model.features * np.log(2 * np.pi * variance)


def optimum(eigenvalues, latent, variance=None):
    """(mean log p(x) in nats per example, s^2, how many latents are active) of the best model for data whose
    covariance has these eigenvalues, largest first; with a `variance` s^2 is that, without one the best.

    The rows of W are sqrt(eigenvalue_i - s^2) times the leading eigenvectors, and 0 where that is not above 0. They
    are orthogonal: the best ELBO is as high. Source: Tipping and Bishop (1999), equations 7 and 8 and appendix A.
    """
    variance = np.mean(eigenvalues[latent:]) if variance is None else variance
    active = int(np.sum(eigenvalues[:latent] > variance))
    rest = eigenvalues[active:]
    logs = np.sum(np.log(eigenvalues[:active])) + len(rest) * np.log(variance)
    return -0.5 * (len(eigenvalues) * np.log(2 * np.pi) + logs + active + np.sum(rest) / variance), variance, active


def draw(model, n, seed=1):
    """n rows x from the model itself; the seed is to be another than that of `make`, whose matrices it would repeat."""
    rng = np.random.default_rng(seed)
    w, b, variance = matrices(model)
    noise = rng.standard_normal((n, model.features))
    return rng.standard_normal((n, model.latent)) @ w + b + np.sqrt(variance) * noise


def gradients_of_replicates(model, x, noise):
    """Per-row gradients of each row's own loss: dmu and drho (n, latent) at the head of the encoder, and dmean
    (n, features) at the output of the decoder, summed over the draws: the gradient with respect to `likelihood.bias`.

    With the same x in every row, the rows are independent draws of the estimator for one example.
    """
    model.pass_down(model.backend.from_host(x), model.backend.from_host(noise))
    model.pass_up()
    n = len(x)
    head = model.backend.to_host(model.dhead) * n
    output = model.backend.to_host(model.likelihood.gradient) * n
    return head[:, : model.latent], head[:, model.latent :], output.reshape(n, -1, model.features).sum(axis=1)
