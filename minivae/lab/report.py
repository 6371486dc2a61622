"""What the experiments share: a progress bar, CSV tables, panels with curves."""

import csv
import io

import numpy as np

from ..files import progress as progress_bar
from ..files.atomic import write_text
from ..plotting import style

COLOURS = (style.CLASS_COLOURS[0], style.CLASS_COLOURS[1], style.CLASS_COLOURS[3], style.CLASS_COLOURS[4], style.INK)
MEASURED = "points: measured; lines: exact"


def bar(items, label, progress=None):
    return progress_bar.bar(items, show=progress, desc=label)


def write_table(path, rows):
    """A CSV file from dicts with the same keys; floats with seven digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: f"{value:.7g}" if isinstance(value, float) else value for key, value in row.items()})
    write_text(path, text.getvalue())


def moments(estimates):
    """Mean, variance and the standard error sqrt((m4 - v^2) / n) of the variance, of each column of (n, columns)."""
    mean = estimates.mean(axis=0)
    variance = ((estimates - mean) ** 2).mean(axis=0)
    fourth = ((estimates - mean) ** 4).mean(axis=0)
    return mean, variance, np.sqrt(np.maximum(fourth - variance**2, 0) / len(estimates))


def inside(rows):
    """How many measured variances of table rows lie in their 99 % intervals of the exact ones, and of how many."""
    checked = [row for row in rows if row["exact_variance"] > 1e-20]
    within = [abs(row["measured_variance"] - row["exact_variance"]) < 2.576 * row["standard_error"] for row in checked]
    return sum(within), len(checked)


def panel(axes, title, xlabel, ylabel, *, logx=False, logy=False):
    """Quiet axes with the scales asked for."""
    style.style_axes(axes, title, xlabel=xlabel, ylabel=ylabel)
    if logx:
        axes.set_xscale("log")
    if logy:
        axes.set_yscale("log")
    axes.minorticks_off()


def curve(axes, rows, x, y, *options, **settings):
    """A column of the rows against another."""
    axes.plot([row[x] for row in rows], [row[y] for row in rows], *options, **settings)


def exact_and_measured(axes, x_exact, exact, x, measured, colour, label=None):
    """The exact curve as a line, what was measured as points on it."""
    axes.plot(x_exact, exact, color=colour, linewidth=1.4, label=label)
    axes.plot(x, measured, "o", color=colour, markersize=4, markeredgecolor="white", markeredgewidth=0.5)


def legend(axes, **options):
    settings = {"fontsize": style.TICK, "frameon": False, "labelcolor": style.INK, "handlelength": 1.5}
    axes.legend(**(settings | options))
