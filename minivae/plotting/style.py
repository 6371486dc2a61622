"""What all pictures share: sizes, colours, the header above the panels, and the way to the disk."""

import math
import textwrap
from pathlib import Path

from ..errors import expect
from ..files.atomic import replacing
from .fonts import legible

DPI = 150
WIDTH = 10.0  # inches, of a picture with several panels
MARGIN = 0.12  # inches, around everything

TITLE, SUBTITLE, PANEL, LABEL, TICK, SMALL = 13.0, 9.0, 10.0, 9.0, 8.0, 6.5  # font sizes, points

INK, MUTED, GRID, FAINT = "#222222", "#6b6b6b", "#e4e4e4", "#c9c9c9"
TRAIN, VALIDATION, SINGLE = "#3f90da", "#bd1f01", "#3f6ea8"

# Ten colours that stay apart for readers with colour-vision deficiencies: M. A. Petroff, "Accessible color sequences
# for data visualization", arXiv:2107.02270, table 1. Ordered here so that the digits that models confuse most
# (4, 7, 9 and 3, 5, 8) get colours that lie far apart.
_PALETTE = "bd1f01 3f90da b9ac70 832db6 ffa90e 94a4a2 a96b59 717581 e76300 92dadd"
CLASS_COLOURS = tuple(f"#{code}" for code in _PALETTE.split())
COLOUR_MAP = "viridis"  # perceptually uniform, for continuous labels and for densities

MU, RHO, SIGMA = "\N{GREEK SMALL LETTER MU}", "\N{GREEK SMALL LETTER RHO}", "\N{GREEK SMALL LETTER SIGMA}"
MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"


def new_figure(width, body, title, subtitle=None, *, constrained=True):
    """A figure with a left-aligned header above a body of `width` by `body` inches; the header adds to the height.

    With `constrained` the panels are laid out inside the body; without, the caller places axes in pixels.
    """
    from .figure import Picture

    lines = []
    for text, look in ((title, (TITLE, INK, "bold")), (subtitle, (SUBTITLE, MUTED, "normal"))):
        text, font = legible(text or "", look[-1])
        lines += [(line, *look[:2], font) for line in _wrap(text, width, look[0], font)]
    header = MARGIN + sum(1.35 * size / 72 for _, size, *_ in lines) + 0.06
    # Whole pixels, so that a picture element of an image can be a whole number of pixels of the file.
    header, body, width = (math.ceil(inches * DPI - 1e-6) / DPI for inches in (header, body, width))
    height = header + body
    figure = Picture(figsize=(width, height), dpi=DPI, facecolor="white")
    top = height - MARGIN
    for line, size, colour, font in lines:
        style = {"fontsize": size, "color": colour, **font}
        figure.text(MARGIN / width, top / height, line, va="top", parse_math=False, **style)  # a name may hold a $
        top -= 1.35 * size / 72
    if constrained:
        gaps = {"w_pad": MARGIN / 2, "h_pad": MARGIN / 2, "wspace": 0.02, "hspace": 0.02}
        figure.set_layout_engine("constrained", rect=(0, 0, 1, body / height), **gaps)
    return figure


def axes_at(figure, left, bottom, width, height):
    """Axes of an exact place and size, in pixels of the file, measured from the bottom left."""
    full_width, full_height = figure.get_size_inches() * DPI
    return figure.add_axes((left / full_width, bottom / full_height, width / full_width, height / full_height))


def style_axes(axes, title=None, *, xlabel=None, ylabel=None, grid: str | None = "both"):
    """Thin, quiet axes: two spines, small ticks, a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(labelsize=TICK, color=MUTED, labelcolor=INK, length=3, width=0.8)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(True, axis=grid, color=GRID, linewidth=0.6)
    if title:
        axes.set_title(title, fontsize=PANEL, color=INK, loc="left")
    if xlabel:
        axes.set_xlabel(xlabel, fontsize=LABEL, color=INK)
    if ylabel:
        axes.set_ylabel(ylabel, fontsize=LABEL, color=INK)


def check_axes(ax, path, panels=1):
    """ValueError unless `ax` is None, or matplotlib's axes for a picture of one panel that is written nowhere."""
    if ax is None:
        return
    from matplotlib.axes import Axes

    expect(isinstance(ax, Axes), "ax", type(ax).__name__, "matplotlib's Axes, or None")
    expect(panels == 1, "ax", f"axes for a picture of {panels} panels", "None: such a picture has a figure of its own")
    expect(path is None, "path", str(path), "None beside ax, whose figure you save")


def head_axes(ax, title, subtitle):
    """Title and subtitle above the caller's axes; returns their figure."""
    lines = [line for text in (title, subtitle) for line in (text or "").splitlines()]
    text, font = legible("\n".join(lines))
    ax.set_title(text, fontsize=PANEL, color=INK, loc="left", parse_math=False, **font)
    return ax.get_figure().figure


def halo(width=2.0):
    """A white outline that keeps text readable on top of data."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=width, foreground="white")]


def number(value):
    """A value in nats as a label: four digits where it is at least 1, the same number of decimals below."""
    magnitude = abs(value)
    if magnitude and not 1e-3 <= magnitude < 1e5:
        return f"{value:.3g}"
    decimals = max(0, 3 - math.floor(math.log10(max(magnitude, 1.0))))
    return f"{value:.{decimals}f}"


def end_labels(axes, ends, gap):
    """Texts beside the right ends of lines: `ends` holds (value, text, colour), kept `gap` of the axis apart."""
    low, high = axes.get_ylim()
    places = spread([(value - low) / (high - low) for value, _, _ in ends], gap)
    for (_, text, colour), y in zip(ends, places, strict=True):
        place = {"xy": (1, y), "xycoords": "axes fraction", "xytext": (6, 0), "textcoords": "offset points"}
        axes.annotate(text, **place, fontsize=TICK, color=colour, va="center", weight="bold", linespacing=1.15)


def spread(positions, gap):
    """One or two positions, moved apart around their middle where they are nearer than `gap`."""
    if len(positions) < 2 or abs(positions[1] - positions[0]) >= gap:
        return list(positions)
    middle, half = sum(positions) / 2, gap / 2 if positions[1] >= positions[0] else -gap / 2
    return [middle - half, middle + half]


def check_path(path):
    """The path as a `Path`, or None; refused before anything is drawn where it cannot be written."""
    if path is None:
        return None
    path = Path(path)
    expect(path.suffix.lower() == ".png", "path", path.name, "a name that ends in .png")
    if not path.parent.is_dir():
        raise OSError(f"path: cannot write {path}: its folder does not exist")
    if path.is_dir():
        raise OSError(f"path: cannot write {path}: it is a folder")
    return path


def finish(figure, path):
    """Write the figure to `path` (from `check_path`; None writes nothing) atomically, and return it. Every text
    gets fonts that have its characters.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if not text.get_text().isascii():
            shown, font = legible(text.get_text(), text.get_weight())
            text.set(text=shown, **font)
    if path is not None:
        try:
            with replacing(path) as file:
                # half the time of the usual level, for a tenth more bytes
                figure.savefig(file, format="png", dpi=DPI, pil_kwargs={"compress_level": 3})
        except OSError as error:
            raise OSError(f"path: {error}") from None
    return figure


def _wrap(text, width, size, font):
    """The lines of a text that is this wide in inches, as full as they can be if all have as many characters."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    room, properties, lines = 0.98 * 72 * (width - 2 * MARGIN), FontProperties(size=size, **font), []
    for part in text.splitlines():
        columns = max(1, int(room / (0.4 * size)))
        while True:
            wrapped = textwrap.wrap(part, columns)
            widths = [text_to_path.get_text_width_height_descent(line, properties, False)[0] for line in wrapped]
            if columns == 1 or max(widths, default=0) <= room:
                break
            columns = min(columns - 1, int(0.97 * columns))
        lines += wrapped
    return lines
