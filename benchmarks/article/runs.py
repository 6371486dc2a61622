"""The training runs behind docs/the-article.md."""

import math

import numpy as np

import minivae as mv

from . import measures
from .mistakes import backend

ARTICLE = {"features": 2, "latent": 2, "hidden": (128, 64), "decoder_hidden": (256, 128), "likelihood": "gaussian"}
TRAINED = ("right", "sampler", "wide", "no_kl", "printed")
SAMPLES, DRAWN = 4000, 1000  # for the energy distance; kept for the figure
SIGN_STEPS = (0, 10, 30, 100)

# Data of standard deviation 1 rather than 5, and what the likelihood's sigma is then
SCALES = {
    "spread 5, likelihood sigma 1": (1.0, {}),
    "spread 1, likelihood sigma 1": (0.2, {}),
    "spread 1, likelihood sigma 0.2": (0.2, {"observation_sigma": 0.2}),
    "spread 1, sigma learned from 1": (0.2, {"learn_sigma": True}),
    "spread 1, sigma learned from 0.5": (0.2, {"learn_sigma": True, "observation_sigma": 0.5}),
}


def train(mistake, seed, epochs):
    """One run with a mistake, measured on held-out data with the right model and its parameters."""
    data = mv.load_dataset("pinwheel")
    model = mv.VAE(**ARTICLE, backend=backend(mistake), seed=seed)
    mv.fit(model, data.train, epochs=epochs, seed=seed)
    right = _right_model(model)
    x = data.test.astype(np.float64)
    mu, sigma, drawn = measures.posterior(right, data.test, mistake)
    kl_read, kl_drawn = measures.kl(mu, sigma), measures.kl(mu, drawn)
    samples = measures.sample(right, SAMPLES, seed)
    distance, error = measures.energy_distance(x, samples)
    nll_drawn = measures.nll(right, x, mu, drawn)
    kl_charged = {"wide": kl_drawn, "no_kl": 0.0, "printed": 0.0}.get(mistake, kl_read)
    result = {
        "mistake": mistake,
        "seed": seed,
        "loss_shown": nll_drawn + kl_charged,
        "nll_drawn": nll_drawn,
        "kl_drawn": kl_drawn,
        "nll_read": measures.nll(right, x, mu, sigma),
        "kl_read": kl_read,
        "log_density": measures.log_density(right, x),
        "sigma_meant": float(np.median(sigma)),
        "sigma_drawn": float(np.median(drawn)),
        "sigma_drawn_5_95": np.percentile(drawn, (5, 95)).tolist(),
        "mu_spread": float(np.sqrt(np.mean(mu.var(axis=0)))),
        "energy_distance": distance,
        "energy_error": error,
    }
    result["neg_elbo_drawn"] = result["nll_drawn"] + kl_drawn
    result["neg_elbo_read"] = result["nll_read"] + kl_read
    if mistake not in ("sampler", "printed"):  # their sampler contradicts the sigma that the weights are made of
        result["log_likelihood"] = float(model.log_likelihood(data.test, samples=1000).mean())
    if mistake == "right":
        result["log_density_half_step"] = measures.log_density(right, x, step=measures.STEP / 2)
    if seed == 0:
        result["samples"] = np.round(samples[:DRAWN], 2).tolist()
    return result


def _right_model(model):
    right = mv.VAE(**ARTICLE, backend="numpy")
    right.store.flat[...] = model.store.flat
    return right


def noise_floor():
    """The energy distance between held-out and training data: what equal distributions give."""
    data = mv.load_dataset("pinwheel")
    distance, error = measures.energy_distance(data.test.astype(np.float64), data.train[:SAMPLES].astype(np.float64))
    return {"energy_distance": distance, "energy_error": error}


def sign(seed):
    """step -> held-out negative ELBO in nats per example, for the right sign and the wrong one, on the same batches."""
    data = mv.load_dataset("pinwheel")
    found = {}
    for mistake in ("right", "sign"):
        model, optimizer = mv.VAE(**ARTICLE, backend=backend(mistake), seed=seed), mv.Adam()
        optimizer.attach(model)
        rng = np.random.default_rng(seed)
        values = found[mistake] = {}
        for step in range(SIGN_STEPS[-1] + 1):
            if step in SIGN_STEPS:
                values[step] = float(-_right_model(model).elbo(data.test).mean())
            model.forward(data.train[rng.integers(len(data.train), size=128)])
            model.backward()
            optimizer.update(model)
    return {"seed": seed, **found}


def scale(name, seed, epochs):
    """One run of the right model on data of this spread."""
    factor, options = SCALES[name]
    data = mv.load_dataset("pinwheel")
    train_rows, test_rows = (factor * rows for rows in (data.train, data.test))
    model = mv.VAE(**ARTICLE, **options, seed=seed)
    history = mv.fit(model, train_rows, validation=test_rows, epochs=epochs, seed=seed)
    learned = options.get("learn_sigma", False)
    sigma = np.exp(model.parameters["likelihood.log_sigma"][0]) if learned else options.get("observation_sigma", 1.0)
    return {
        "name": name,
        "seed": seed,
        "observation_sigma": float(sigma),
        "neg_elbo": history["validation_loss"][-1],
        "kl": history["validation_kl"][-1],
        "active_units": history["active_units"][-1],
        # in units of the data of spread 5: the density of a x is that of x divided by a for each feature
        "log_density": measures.log_density(model, test_rows, sigma) + 2 * math.log(factor),
    }
