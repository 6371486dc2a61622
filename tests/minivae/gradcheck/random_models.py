"""Random correct models, with what makes differences hard: relu kinks, zeros in the data, tiny and large weights."""

import numpy as np

from minivae import VAE
from minivae.kernels.naive import ACTIVATIONS


def random_model(number):
    """(model, x, noise, a line that describes them), a function of the number alone."""
    rng = np.random.default_rng((2024, number))
    features, latent, batch, samples = (int(rng.integers(1, high)) for high in (12, 5, 9, 4))
    hidden = tuple(int(width) for width in rng.integers(1, 10, int(rng.integers(0, 3))))
    activation = "relu" if rng.random() < 0.4 else str(rng.choice(ACTIVATIONS))
    scale, learn = str(rng.choice(["softplus", "exp"])), bool(rng.random() < 0.5)
    likelihood = str(rng.choice(["bernoulli", "gaussian"]))
    options = {"dtype": "float64", "backend": "numpy", "seed": number}
    if likelihood == "gaussian":
        options |= {"learn_sigma": learn, "observation_sigma": float(rng.uniform(0.3, 2))}
    options["beta"] = float(rng.uniform(0, 4))
    model = VAE(features, latent, hidden, activation, scale, likelihood, **options)
    stretch = float(10 ** rng.uniform(-1, 0.7))
    zero_bias = rng.random() < 0.3
    for name, value in model.parameters.items():
        if name.endswith("weight"):
            value *= stretch
        elif name.endswith("bias") and zero_bias:
            value[...] = 0  # with a row of zeros in x: pre-activations exactly on the kink
    x = rng.random((batch, features))
    x *= rng.random(x.shape) < rng.choice([0.3, 1.0])
    if rng.random() < 0.3:
        x[0] = 0
    if rng.random() < 0.3:
        x = np.round(x)
    noise = rng.standard_normal((batch * samples, latent))
    text = f"model {number}: {model!r}, batch {batch}, {samples} samples, weights x {stretch:.2g}"
    return model, x, noise, text
