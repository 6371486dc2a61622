"""Names in any script: drawn with a font that has their characters, or escaped where none is installed."""

import functools
from typing import Any

BOLD = ("semibold", "demibold", "demi", "bold", "heavy", "extra bold", "black", 600, 700, 800, 900)


def legible(text: str, weight: str = "normal") -> tuple[str, dict[str, Any]]:
    """The text with what no installed font has as Python escapes it, and how to draw it: its families and weight."""
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties, findfont

    families = list(rcParams["font.family"])
    missing = frozenset(text) - {"\n"} - _characters(findfont(FontProperties(family=families, weight=weight)))
    if missing and (found := _font_with(missing, weight)):
        return text, {"family": [*families, found[0]], "weight": found[1]}
    escaped = (c.encode("unicode_escape").decode() if c in missing else c for c in text)
    return "".join(escaped), {"family": families, "weight": weight}


@functools.cache
def _characters(path):
    from matplotlib.font_manager import get_font

    font = get_font(path)
    return {chr(code) for code in font.get_charmap()} if font.scalable else set()


@functools.lru_cache(64)
def _font_with(characters, weight):
    """(family, weight) of an installed font that has all the characters, at this weight if there is one; or None."""
    from matplotlib.font_manager import fontManager

    found = None
    for entry in fontManager.ttflist:
        bold = entry.weight in BOLD
        plain = entry.style == "normal" and not entry.name.startswith("Last Resort")  # which has boxes for all there is
        if not plain or (bold and weight != "bold") or (found and not bold):
            continue
        try:
            if characters <= _characters(entry.fname):
                found = entry.name, "bold" if bold else "normal"
        except (OSError, RuntimeError):  # a font that cannot be read
            continue
        if found and bold == (weight == "bold"):
            break
    return found
