"""The model in the page: its parameters as float32, or why the page cannot compute what it does."""

from typing import Any

import numpy as np

from ..layers import Dense
from ..losses import Gaussian
from ..training.replay import foreign, overrides
from .encoding import encoded, named

MOST_PARAMETERS = 12_000_000  # 48 MB as floats, about 60 in the page: browsers take seconds to open more

# What a model does when the page is to do the same; `encode` and `decode` as well, which the page shows beside it.
PASSES = ("pass_down", "pass_up", "elbo_terms", "_encode", "encode", "decode", "forward", "backward")
PART_NAMES = {"sampler": "采样器", "kl": "KL 项", "likelihood": "似然"}


def why_not(model: Any) -> dict[str, str] | None:
    """Why the page cannot compute what the model does, in English and Chinese; None where it can."""
    changed = model.backend.changed()
    if changed:
        return _because(f"the kernel {changed} of its backend was replaced", f"后端的内核 {changed} 已被替换")
    if overrides(model, *PASSES):
        kind = named(type(model).__name__)
        return _because(f"{kind} has passes of its own", f"{kind} 改写了模型的计算过程")
    for name, part in model.parts().items():
        phrase = foreign(name, part)
        if phrase:
            kind, shown = named(type(part).__name__), PART_NAMES.get(name, name)
            return _because(named(phrase), f"{shown}（{kind}）不是 minivae 自带的部件")
        if type(part) is Dense and part.precision != "full":
            return _because(
                f"{name} rounds to {part.precision} in each pass", f"{name} 每次计算都舍入到 {part.precision}"
            )
    if model.kl.scale != model.scale:
        return _because("its KL term means another scale than its sampler", "KL 项与采样器使用的 scale 不同")
    arrays = {name: model.backend.to_host(array) for name, array in model.parameters.items()}
    total = sum(array.size for array in arrays.values())
    if total > MOST_PARAMETERS:
        most = f"{MOST_PARAMETERS:,}"
        return _because(f"it has {total:,} parameters, more than {most}", f"它有 {total:,} 个参数，超过 {most} 个")
    with np.errstate(over="ignore"):
        bad = [name for name, array in arrays.items() if not np.isfinite(array.astype(np.float32)).all()]
    if bad:
        return _because(f"{bad[0]} holds numbers that float32 cannot", f"{bad[0]} 含有 float32 无法表示的数")
    return None


def _because(en, zh):
    return {"en": f"The model cannot run in this page: {en}.", "zh": f"此模型不能在页面中运行：{zh}。"}


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
