"""Where numbers went wrong: the first array with a NaN or an infinity, in the order the values are computed."""

import numpy as np


def stages(model):
    """(name, array) of everything that the model's last pass down computed, in that order; without what parts of one's
    own keep to themselves.
    """
    for index, x in enumerate(model.encoder.values or ()):
        yield f"the output of encoder.{index - 1}" if index else "the input x", x
    if model.head is not None:
        yield "mu, from posterior", model.head[:, : model.latent]
        yield "rho, from posterior", model.head[:, model.latent :]
    yield "sigma, from the sampler", getattr(model.sampler, "sigma", None)
    z, *outputs = model.decoder.values or [None]
    yield "z, from the sampler", z
    yield "the KL term", getattr(model.kl, "kl", None)
    for index, y in enumerate(outputs):
        yield f"the output of decoder.{index}" if index + 1 < len(outputs) else "the output of likelihood", y


def first_non_finite(model):
    """A phrase such as "the output of decoder.0, row 3, column 17 (inf)", or None if the last pass was finite."""
    for name, array in stages(model):
        if getattr(array, "ndim", None) != 2:  # there was no pass, or the part has under this name something else
            continue
        values = model.backend.to_host(array)
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            return f"{name}, row {row}, column {column} ({values[row, column]})"
    return None


def first_non_finite_parameter(model):
    """The name of the first parameter that holds a NaN or an infinity, or None."""
    return _first(model, model.parameters)


def first_non_finite_moment(model, optimizer):
    """Likewise of the optimizer's moments: a square that is infinite keeps its parameter where it is for ever."""
    return _first(model, optimizer.state)


def _first(model, arrays):
    for name, array in arrays.items():
        if not np.isfinite(model.backend.to_host(array)).all():
            return name
    return None
