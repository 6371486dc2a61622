"""The model in the page: its parameters as float32, or why the page cannot compute what it does."""

import json
from importlib import resources
from typing import Any

import numpy as np

from ..layers import Dense
from ..losses import Gaussian
from ..training.replay import foreign, overrides
from .encoding import encoded, named

MOST_PARAMETERS = 12_000_000  # 48 MB as floats, about 60 in the page: browsers take seconds to open more

# What a model does when the page is to do the same; `encode` and `decode` as well, which the page shows beside it.
PASSES = ("pass_down", "pass_up", "elbo_terms", "_encode", "encode", "decode", "forward", "backward")


def why_not(model: Any) -> dict[str, str] | None:
    """Why the page cannot compute what the model does, in each language of the page; None where it can."""
    if changed := model.backend.changed():
        return _because("kernel", name=changed)
    if overrides(model, *PASSES):
        return _because("passes", kind=named(type(model).__name__))
    for name, part in model.parts().items():
        if phrase := foreign(name, part):
            return _because("part", phrase=named(phrase), name=name, kind=named(type(part).__name__))
        if type(part) is Dense and part.precision != "full":
            return _because("precision", name=name, kind=part.precision)
    if model.kl.scale != model.scale:
        return _because("scale")
    arrays = {name: model.backend.to_host(array) for name, array in model.parameters.items()}
    total = sum(array.size for array in arrays.values())
    if total > MOST_PARAMETERS:
        return _because("size", total=total, most=MOST_PARAMETERS)
    with np.errstate(over="ignore"):
        bad = [name for name, array in arrays.items() if not np.isfinite(array.astype(np.float32)).all()]
    return _because("numbers", name=bad[0]) if bad else None


def _because(reason, **words):
    texts = json.loads(resources.files(__package__).joinpath("web", "reasons.json").read_text(encoding="utf-8"))
    return {
        language: whole.format(why=texts[reason][language].format(**words))
        for language, whole in texts["because"].items()
    }


def live(model: Any) -> dict[str, Any]:
    """The parameters and what else the page needs to compute as the model does."""
    *decoder, output = model.decoder.layers
    likelihood = {"name": model.likelihood.name}
    if isinstance(model.likelihood, Gaussian):
        likelihood["log_sigma"] = encoded(_float32(model, model.likelihood._values["log_sigma"]))
    chosen = {key: model.config[key] for key in ("objective", "samples", "outer")}
    return {
        **{"features": model.features, "latent": model.latent, "scale": model.scale, "dtype": model.dtype},
        **{"beta": float(model.beta), "free_bits": float(model.free_bits), **chosen},
        "encoder": [_layer(model, layer) for layer in model.encoder.layers],
        "posterior": _layer(model, model.posterior),
        "decoder": [_layer(model, layer) for layer in decoder],
        "output": _layer(model, output),
        "likelihood": likelihood,
        "parameters": sum(int(array.size) for array in model.parameters.values()),
    }


def _layer(model, layer):
    weight, bias = (encoded(_float32(model, layer.parameters[name])) for name in ("weight", "bias"))
    shape = {"inputs": layer.inputs, "outputs": layer.outputs, "activation": layer.activation}
    return {**shape, "weight": weight, "bias": bias}


def _float32(model, array):
    return np.asarray(model.backend.to_host(array)).astype(np.float32)
