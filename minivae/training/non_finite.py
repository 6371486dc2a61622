"""Where numbers went wrong: the first array with a NaN or an infinity, in the order the values are computed."""

import numpy as np


def stages(model):
    """(name, array) of everything that the model's last pass down computed, in that order."""
    yield "the input x", model.encoder.layers[0].x if model.encoder.layers else model.posterior.x
    for index, layer in enumerate(model.encoder.layers):
        yield f"the output of encoder.{index}", layer.y
    yield "mu, from posterior", model.posterior.y[:, : model.latent]
    yield "rho, from posterior", model.posterior.y[:, model.latent :]
    yield "sigma, from the sampler", model.sampler.sigma
    yield "z, from the sampler", model.sampler.z
    yield "the KL term", model.kl.kl
    for index, layer in enumerate(model.decoder.layers[:-1]):
        yield f"the output of decoder.{index}", layer.y
    yield "the output of likelihood", model.decoder.layers[-1].y


def first_non_finite(model):
    """A phrase such as "the output of decoder.0, row 3, column 17 (inf)", or None if the last pass was finite."""
    if model.likelihood.x is None:
        return None
    for name, array in stages(model):
        values = model.backend.to_host(array)
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            return f"{name}, row {row}, column {column} ({values[row, column]})"
    return None


def first_non_finite_parameter(model):
    """The name of the first parameter that holds a NaN or an infinity, or None."""
    for name, array in model.parameters.items():
        if not np.isfinite(model.backend.to_host(array)).all():
            return name
    return None
