"""A model in a notebook: its layers, the shapes of their arrays, how many numbers they hold."""

import math

from ..files import html


def page(model) -> str:
    """HTML of a model that has `parts` by name, `parameters`, `features`, `latent`, `dtype` and a backend."""
    parts = model.parts()
    shapes = {name: tuple(array.shape) for name, array in model.parameters.items()}
    rows = []
    for name, part in parts.items():
        own = {full: shape for full, shape in shapes.items() if _owner(full, parts) == name}
        sides = [getattr(part, side, None) for side in ("inputs", "outputs")]
        width = " → ".join(map(html.number, sides)) if all(isinstance(side, int) for side in sides) else ""
        arrays = html.lines(f"{full} {shape}" for full, shape in own.items())
        rows.append((name, _what(part), width, arrays, html.number(sum(map(math.prod, own.values())) or None)))
    total = html.number(sum(map(math.prod, shapes.values())))
    head = f"{type(model).__name__}: {html.number(model.features)} features, {html.number(model.latent)} latents, "
    head += f"{total} parameters, {model.dtype}, backend {model.backend.name}"
    columns = ("part", "layer", "width", "arrays", "parameters")
    return html.block(html.heading(head), html.table(columns, rows, "llllr"))


def _owner(full, parts):
    """The part that has an array: the output layer's are called likelihood.NAME."""
    name = full.removeprefix("likelihood.")
    if name != full:
        return "output" if name in getattr(parts["output"], "parameters", ()) else "likelihood"
    return next((owner for owner in parts if full.startswith(f"{owner}.")), None)


def _what(part):
    """The class of a part, and its activation or scale where it has one."""
    told = (getattr(part, name, None) for name in ("activation", "scale"))
    return ", ".join([type(part).__name__, *(value for value in told if isinstance(value, str))])
