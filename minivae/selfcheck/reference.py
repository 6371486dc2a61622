"""Formulas written out in float64 NumPy, sharing no code with the kernels or layers that are compared with them."""

import math
from collections.abc import Callable

import numpy as np

ACTIVATION: dict[str, Callable] = {
    "identity": lambda a: a,
    "relu": lambda a: np.where(a > 0.0, a, 0.0),
    "tanh": np.tanh,
    "sigmoid": lambda a: 1.0 / (1.0 + np.exp(-a)),
    "softplus": lambda a: np.logaddexp(0.0, a),
    "leaky_relu": lambda a: np.where(a > 0.0, a, 0.01 * a),
    "gelu": np.vectorize(lambda a: 0.5 * a * math.erfc(-a / math.sqrt(2.0))),
    "silu": lambda a: a / (1.0 + np.exp(-a)),
}
SCALE: dict[str, Callable] = {"softplus": ACTIVATION["softplus"], "exp": np.exp}


def _wide(*arrays):
    return [np.asarray(a, dtype=np.float64) for a in arrays]


def bernoulli_nll(x, logits, log_sigma=None):
    """-log p(x) per row of logits, summed over features: -x log s - (1 - x) log(1 - s), s = sigmoid(logit)."""
    x = np.repeat(x, len(logits) // len(x), axis=0)
    return np.sum(x * np.logaddexp(0.0, -logits) + (1.0 - x) * np.logaddexp(0.0, logits), axis=1)


def gaussian_nll(x, mean, log_sigma):
    """-log N(x; mean, exp(log_sigma)^2) per row of means, summed over features."""
    x = np.repeat(x, len(mean) // len(x), axis=0)
    sigma = np.exp(log_sigma)
    return np.sum(0.5 * ((x - mean) / sigma) ** 2 + np.log(sigma * np.sqrt(2.0 * np.pi)), axis=1)


def beta_binomial_nll(x, output, log_sigma=None):
    """-log P(255 x) per row of log alpha and log beta, summed over features: minus the logarithm of

    255! / (k! (255 - k)!) alpha (alpha + 1) ... (alpha + k - 1) beta (beta + 1) ... / ((alpha + beta) ...), factor by
    factor.
    """
    k = np.rint(255.0 * np.repeat(x, len(output) // len(x), axis=0))
    alpha, beta = np.exp(np.split(output, 2, axis=1))
    log_p = np.zeros_like(k)
    for i in range(255):
        log_p += np.log((i + 1.0) / (alpha + beta + i))
        log_p += np.where(i < k, np.log((alpha + i) / (i + 1.0)), 0.0)
        log_p += np.where(i < 255 - k, np.log((beta + i) / (i + 1.0)), 0.0)
    return -np.sum(log_p, axis=1)


def logistic_nll(x, output, log_sigma=None):
    """-log P(255 x) per row of means and log scales, summed over features: the difference of two sigmoids."""
    x = np.repeat(x, len(output) // len(x), axis=0)
    mean, log_scale = np.split(output, 2, axis=1)
    mean, scale = mean + 0.5, np.exp(log_scale) / 8.0
    up = np.where(x > 254.5 / 255, np.inf, (x + 0.5 / 255 - mean) / scale)
    low = np.where(x < 0.5 / 255, -np.inf, (x - 0.5 / 255 - mean) / scale)
    flip = low > 0  # of two numbers near 1, their distances to 1
    up, low = np.where(flip, -low, up), np.where(flip, -up, low)
    log_up, log_low = -np.logaddexp(0.0, -up), -np.logaddexp(0.0, -low)
    return -np.sum(log_up + np.log1p(-np.exp(log_low - log_up)), axis=1)


NLL: dict[str, Callable] = {
    "bernoulli": bernoulli_nll,
    "gaussian": gaussian_nll,
    "beta_binomial": beta_binomial_nll,
    "logistic": logistic_nll,
}


def gaussian_kl(mu, sigma):
    """KL(N(mu, sigma^2) || N(0, 1)) in nats, elementwise."""
    return 0.5 * (mu**2 + sigma**2 - 1.0 - 2.0 * np.log(sigma))


def reference_values(subject):
    """(what, value of forward, value by formula) for a layer, sampler or likelihood of the catalog."""
    layer, fixed = subject.target, subject.options.get("fixed", {})
    got = np.array(layer.forward(**subject.inputs, **fixed))
    if "x" in subject.inputs:
        (x,) = _wide(subject.inputs["x"])
        weight, bias = _wide(layer.parameters["weight"], layer.parameters["bias"])
        return [("y", got, ACTIVATION[layer.activation](x @ weight + bias))]
    if "mu" in subject.inputs:
        mu, rho, noise = _wide(*subject.inputs.values(), fixed["noise"])
        samples = len(noise) // len(mu)
        sigma = SCALE[layer.scale](rho)
        z = np.repeat(mu, samples, axis=0) + np.repeat(sigma, samples, axis=0) * noise
        return [("z", got, z), ("sigma", layer.sigma, sigma)]
    x, output = _wide(fixed["x"], subject.inputs["output"])
    return [("nll", got, NLL[layer.name](x, output, np.log(0.7)))]


def reference_loss(model, x, noise):
    """(loss, nll, kl) of the model, in nats per example, from its parameters alone.

    For the ELBO, loss = mean over the batch of (mean over samples of nll summed over features + beta * kl summed over
    latents), where a latent's mean kl counts as no less than the free bits. For the importance-weighted bounds, minus
    the mean over groups of log mean exp of log p(x, z) / q(z|x) (Burda et al., arXiv:1509.00519; Rainforth et al.,
    arXiv:1802.04537).
    """
    p = {name: np.asarray(value, dtype=np.float64) for name, value in model.parameters.items()}
    activate = ACTIVATION[model.config["activation"]]
    x, noise = _wide(x, noise)

    def dense(prefix, a):
        return a @ p[f"{prefix}.weight"] + p[f"{prefix}.bias"]

    h = x
    for i in range(len(model.config["hidden"])):
        h = activate(dense(f"encoder.{i}", h))
    head = dense("posterior", h)
    mu, sigma = head[:, : model.latent], SCALE[model.config["scale"]](head[:, model.latent :])
    samples = len(noise) // len(x)
    h = z = np.repeat(mu, samples, axis=0) + np.repeat(sigma, samples, axis=0) * noise
    for i in range(len(model.config["decoder_hidden"])):
        h = activate(dense(f"decoder.{i}", h))
    output = dense("likelihood", h)
    log_sigma = p.get("likelihood.log_sigma", np.log(model.config["observation_sigma"]))
    nll = NLL[model.likelihood.name](x, output, log_sigma)
    kl = gaussian_kl(mu, sigma)
    bound = None
    if model.config["objective"] != "elbo":
        log_q = -0.5 * noise**2 - np.log(np.repeat(sigma, samples, axis=0))
        log_weight = (-nll + np.sum(-0.5 * z**2 - log_q, axis=1)).reshape(-1, model.config["samples"])
        bound = -float(np.mean(np.logaddexp.reduce(log_weight, axis=1) - np.log(log_weight.shape[1])))
    nll, kl = float(np.mean(nll)), np.mean(kl, axis=0)
    counted = float(np.sum(np.maximum(kl, model.config["free_bits"])))
    return nll + model.config["beta"] * counted if bound is None else bound, nll, float(np.sum(kl))
