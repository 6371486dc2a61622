"""What of a model and its data goes into the page: parameters, some held-out examples, many posterior means.

A page has room for some megabytes. Arrays stand in it as {"dtype", "shape", "data"}: "float32", "int32" or "uint8"; and
in base64 the deflated bytes of the numbers, little-endian, all first bytes, then all second bytes and so on, because
the signs and exponents of parameters are alike and the rest of their bits are not. With "divisor" the values are the
numbers divided by it, rounded to float32.
"""

import base64
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..datasets.values import check_labels, number_labels
from ..errors import as_array, brief, expect
from ..evaluation.held_out import Pages
from ..kernels import load_backend
from ..layers import Dense
from ..losses import Gaussian
from ..training.replay import foreign, overrides

VERSION = 1
EXAMPLES = 60  # at most: what a strip of them still shows
POINTS = 2000  # at most, in a plane
MOST_VALUES = 1 << 18  # bytes of the examples, and half as many numbers of the points
MOST_PARAMETERS = 12_000_000  # 48 MB as floats, about 60 in the page: browsers take seconds to open more
MOST_NUMBERED = 40  # classes that are told by their numbers; others get names
LONGEST = 100  # characters of a name

# What a model does when the page is to do the same; `encode` and `decode` as well, which the page shows beside it.
PASSES = ("pass_down", "pass_up", "elbo_terms", "_encode", "encode", "decode", "forward", "backward")
PART_NAMES = {"sampler": "采样器", "kl": "KL 项", "likelihood": "似然"}


class Examples(NamedTuple):
    """Data as they were given: x (n, features), labels (n,) or None, the names of classes and columns or None."""

    name: str
    x: np.ndarray
    labels: np.ndarray | None
    classes: Sequence[str] | None
    columns: Sequence[str] | None
    shape: Sequence[int] | None


def payload(model: Any, data: Examples, name: str, pixels: str = "grey", seed: int = 0) -> dict[str, Any]:
    """The whole of it, ready for `page.render`; ValueError for data that do not suit the model."""
    x = model.as_data("data", data.x, pixels)
    numbers, classes = _numbered(data.labels, data.classes)
    spread = np.unique(
        np.linspace(0, len(x) - 1, min(len(x), _count(model.latent, POINTS, MOST_VALUES // 4)), dtype=int)
    )
    itemsize = 1 if x.dtype == np.uint8 or pixels != "grey" else 4
    index = _examples(spread, numbers, _count(model.features, EXAMPLES, MOST_VALUES // itemsize))
    values = _values(x, np.union1d(spread, index), pixels, seed)
    shown, seen = (np.stack([values[row] for row in rows]) for rows in (index, spread))
    kind = "image" if data.shape else "plane" if model.features == 2 else "profile"
    reason = why_not(model)
    low, high = (0.0, 1.0) if _within_unit(seen) else (float(seen.min()), float(seen.max()))
    return {
        "version": VERSION,
        "name": named(name),
        "beta": float(model.beta),
        "seed": seed if seed < 1 << 53 else str(seed),  # more than a number of JSON holds
        "model": None if reason else _model(model),
        "reason": reason,
        "data": {
            "name": named(data.name),
            "kind": kind,
            "shape": data.shape and [int(side) for side in data.shape],
            "columns": data.columns and [named(column) for column in data.columns],
            "classes": classes and [named(label) for label in classes],
            "pixels": pixels,
            "held_out": len(x),
            "rows": len(index),
            "x": encoded_values(shown),
            "index": encoded(index.astype(np.int32)),
            "labels": None if numbers is None else encoded(numbers[index].astype(np.int32)),
            "low": low,
            "high": high if high > low else low + 1.0,
            "points": _points(model, seen, numbers, spread, kind, reason),
        },
    }


def named(text: Any) -> str:
    """A name as one line of bounded length, in which nothing is hidden: marks that turn the text round, or cannot be
    printed, as Python escapes them.
    """
    return brief(text, LONGEST)


# Arrays


def encoded(array: np.ndarray, divisor: int | None = None) -> dict[str, Any]:
    """An array as the page reads it (see above)."""
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    planes = array.reshape(-1, 1).view(np.uint8).T
    data = base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data} | (
        {} if divisor is None else {"divisor": divisor}
    )


def encoded_values(values: np.ndarray) -> dict[str, Any]:
    """float32 values; such as are bytes divided by 255, or 0 and 1, as bytes."""
    for divisor in (1, 255):
        with np.errstate(invalid="ignore"):  # of numbers that are too large to be bytes
            bytes_ = np.clip(np.rint(values * divisor), 0, 255).astype(np.uint8)
        if np.array_equal(np.divide(bytes_, divisor, dtype=np.float32), values):
            return encoded(bytes_, divisor)
    return encoded(values)


def _count(width, most, room):
    return max(1, min(most, room // width))


# Data


def _values(x, rows, pixels, seed):
    """From each of the rows to its values as the model evaluates them, float32."""
    if pixels == "grey":
        picked = x[rows]
        floats = np.divide(picked, 255, dtype=np.float32) if x.dtype == np.uint8 else picked.astype(np.float32)
        return dict(zip(rows.tolist(), floats, strict=True))
    values, wanted = {}, set(rows.tolist())
    for first, page in Pages(load_backend("numpy"), x, "float32", pixels, seed)(0):
        values |= {row: page[row - first].copy() for row in wanted.intersection(range(first, first + len(page)))}
    return values


def _within_unit(values):
    return bool(values.min() >= 0 and values.max() <= 1)


def _numbered(labels, classes):
    """Labels as numbers from 0, and the names of these, or None where the numbers say it all."""
    if labels is None:
        return None, None
    if classes is not None:
        fits = 0 <= labels.min() and labels.max() < len(classes)
        expect(fits, "labels", f"{labels.min()} to {labels.max()}", f"numbers of the {len(classes)} classes")
        return labels, classes
    if 0 <= labels.min() and labels.max() < MOST_NUMBERED:
        return labels, None
    found, numbers = np.unique(labels, return_inverse=True)
    return numbers, found.tolist()


def labels_of(labels: Any, rows: int) -> tuple[np.ndarray, Sequence[str] | None]:
    """Labels that a user gave, (rows,) whole numbers or texts, as numbers, and the classes' names where they are texts;
    ValueError where they are neither.
    """
    parts, classes, _ = number_labels("labels", {"test": as_array("labels", labels)})
    return check_labels("labels", parts["test"], rows), classes


def _examples(rows, labels, most):
    """Some of the rows: the first of each class, the second of each and so on."""
    if labels is None:
        return rows[:most]
    found = labels[rows]
    place = np.zeros(len(rows), int)  # of a row among those of its class
    for label in np.unique(found):
        place[found == label] = np.arange(np.count_nonzero(found == label))
    return rows[np.lexsort((found, place))][:most]


def _points(model, x, labels, rows, kind, reason):
    """Posterior means; None where a part of one's own cannot give them."""
    try:
        mu = model.encode(x)[0].astype(np.float32)
    except Exception:
        if not reason:
            raise
        return None
    if not np.isfinite(mu).all():
        return None
    found = {
        "mu": encoded(mu),
        "labels": None if labels is None else encoded(labels[rows].astype(np.int32)),
        "count": len(mu),
    }
    return found | ({"x": encoded(x)} if kind == "plane" else {})


# The model


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
            return _because(f"{named(phrase)}", f"{shown}（{kind}）不是 minivae 自带的部件")
        if type(part) is Dense and part.precision != "full":
            return _because(
                f"{name} rounds to {part.precision} in each pass", f"{name} 每次计算都舍入到 {part.precision}"
            )
    if model.kl.scale != model.scale:
        return _because("its KL term means another scale than its sampler", "KL 项与采样器使用的 scale 不同")
    arrays = {name: model.backend.to_host(array) for name, array in model.parameters.items()}
    total = sum(array.size for array in arrays.values())
    if total > MOST_PARAMETERS:
        more = f"{total:,} parameters, more than {MOST_PARAMETERS:,}"
        return _because(more, f"它有 {total:,} 个参数，超过 {MOST_PARAMETERS:,} 个", "has")
    with np.errstate(over="ignore"):
        bad = [name for name, array in arrays.items() if not np.isfinite(array.astype(np.float32)).all()]
    if bad:
        return _because(f"{bad[0]} holds numbers that float32 cannot", f"{bad[0]} 含有 float32 无法表示的数")
    return None


def _because(en, zh, verb=""):
    return {
        "en": f"The model cannot run in this page: {'it has ' * bool(verb)}{en}.",
        "zh": f"此模型不能在页面中运行：{zh}。",
    }


def _model(model):
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
