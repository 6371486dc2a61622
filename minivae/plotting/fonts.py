"""Names in any script: drawn with fonts that have their characters, or escaped where none is installed."""

import functools
import logging
from typing import Any

BOLD = ("semibold", "demibold", "demi", "bold", "heavy", "extra bold", "black", 600, 700, 800, 900)

log = logging.getLogger("minivae")
_told: list[str] = []  # the characters of which it was said that no font has them


def legible(text: str, weight: str = "normal") -> tuple[str, dict[str, Any]]:
    """The text with what no installed font has as Python escapes it, and how to draw it: its families and weight.

    The first time that a font is lacking, a line of the log says so.
    """
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties, findfont

    families = list(rcParams["font.family"])
    missing = frozenset(text) - {"\n"} - _characters(findfont(FontProperties(family=families, weight=weight)))
    wanted = weight
    while missing and (found := _font_with(missing, wanted)):
        family, own, has = found
        families.append(family)
        weight = weight if own == wanted else own
        missing -= has
    if lacking := dict.fromkeys(c for c in text if c in missing and c.isprintable()):
        _tell("".join(lacking)[:12])
    escaped = (c.encode("unicode_escape").decode() if c in missing else c for c in text)
    return "".join(escaped), {"family": families, "weight": weight}


def _tell(characters):
    if _told:
        return
    _told.append(characters)
    log.warning(
        "no installed font has %s: pictures show such characters as \\u and a number; a font for them mends it, "
        "such as Noto Sans CJK for Chinese",
        characters,
    )


@functools.cache
def _characters(path):
    from matplotlib.font_manager import get_font

    font = get_font(path)
    return {chr(code) for code in font.get_charmap()} if font.scalable else set()


@functools.lru_cache(64)
def _font_with(characters, weight):
    """(family, weight, those of the characters that it has) of the installed font that has most of them, of equal ones
    at this weight and without serifs, as all other text, if there is one; None where no font has any.
    """
    from matplotlib.font_manager import fontManager

    best, most = None, (0, False, False)
    for entry in fontManager.ttflist:
        bold = entry.weight in BOLD
        plain = entry.style == "normal" and not entry.name.startswith("Last Resort")  # which has boxes for all there is
        if not plain or (bold and weight != "bold"):
            continue
        try:
            has = characters & _characters(entry.fname)
        except (OSError, RuntimeError):  # a font that cannot be read
            continue
        if (value := (len(has), bold == (weight == "bold"), "serif" not in entry.name.lower())) > most and has:
            best, most = (entry.name, "bold" if bold else "normal", has), value
        if most == (len(characters), True, True):
            break
    return best
