"""What objects show in a notebook: tables, lists, small curves and pictures, every text in them escaped."""

import base64
import html
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import escaped

GOOD, BAD = "#1a7f37", "#cf222e"
COLOUR = "#3f90da"  # of a curve
WIDTH, HEIGHT = 120, 28  # pixels, of a small curve


class Markup(str):
    """What is HTML already."""


def text(value: Any) -> Markup:
    """A text, or what `str` makes of a value, as HTML."""
    return value if isinstance(value, Markup) else Markup(html.escape(escaped(str(value))))


def lines(values: Iterable[Any]) -> Markup:
    return Markup("<br>".join(map(text, values)))


def heading(value: Any, colour: str = "") -> Markup:
    style = f' style="color:{colour}"' if colour else ""
    return Markup(f"<p><b{style}>{text(value)}</b></p>")


def block(*parts: Any) -> str:
    """All that an object shows."""
    return f"<div>{''.join(map(text, parts))}</div>"


def bullets(values: Sequence[Any]) -> Markup:
    items = "".join(f"<li>{text(value)}</li>" for value in values)
    return Markup(f"<ul>{items}</ul>" if items else "")


def table(head: Sequence[Any], rows: Iterable[Sequence[Any]], align: str) -> Markup:
    """align : "l" or "r" for each column, the last for all that follow; the first has one line in each row"""
    sides = [{"l": "left", "r": "right"}[align[min(i, len(align) - 1)]] for i in range(len(head))]
    sides[0] += ";white-space:nowrap"

    def row(tag, cells):
        made = (
            f'<{tag} style="text-align:{side}">{text(cell)}</{tag}>' for side, cell in zip(sides, cells, strict=True)
        )
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(row("td", cells) for cells in rows)
    return Markup(f"<table><thead>{row('th', head)}</thead><tbody>{body}</tbody></table>")


def number(value: Any) -> str:
    """A number in few characters, whole ones in full; nothing for None."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def curve(values: Sequence[float | None]) -> Markup:
    """A small curve, of evenly spaced values; what is not finite is left out, of very many what no pixel would show."""
    points = [(i, y) for i, y in enumerate(values) if y is not None and math.isfinite(y)]
    if not points:
        return Markup("")
    step = len(points) // WIDTH
    if step > 2:
        parts = [points[start : start + step] for start in range(0, len(points), step)]
        kept = {pick(part, key=lambda point: point[1]) for part in parts for pick in (min, max)}
        points = sorted({*kept, points[-1]})
    low, top = (pick(y for _, y in points) for pick in (min, max))
    wide, tall = (WIDTH - 6) / max(1, len(values) - 1), (HEIGHT - 6) / (top - low or 1)
    places = [(f"{3 + wide * i:.1f}", f"{HEIGHT - 3 - tall * (y - low):.1f}") for i, y in points]
    line = f'<polyline points="{" ".join(map(",".join, places))}" fill="none" stroke="{COLOUR}"/>'
    end = f'<circle cx="{places[-1][0]}" cy="{places[-1][1]}" r="2" fill="{COLOUR}"/>'
    return Markup(f'<svg width="{WIDTH}" height="{HEIGHT}">{line}{end}</svg>')


def picture(pixels: np.ndarray, height: int) -> Markup:
    """uint8 pixels, (h, w) grey or (h, w, 3), as a PNG inside the page, shown so many pixels high."""
    from PIL import Image  # matplotlib's

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    data = base64.b64encode(file.getvalue()).decode()
    style = f"height:{height}px;image-rendering:pixelated"
    return Markup(f'<img alt="the first examples" src="data:image/png;base64,{data}" style="{style}">')
