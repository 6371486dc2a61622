"""The latent space: where the posterior means lie, which latents are used, and what the decoder makes of them."""

import os
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from ..errors import expect
from ..evaluation.held_out import ACTIVE
from . import checks, style
from .colouring import class_colours, classes_of, inset_bar, name_classes, scatter
from .images import gray_levels, value_limits
from .points import frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL_SIDE = 640  # pixels


def manifold_grid(size: int) -> np.ndarray:
    """Points of the plane that are spread as the prior is: (size * size, 2), to be decoded for `plot_latent`.

    Row ``k * size + i`` is ``(z_i, z_k)`` with ``z_i = Phi^-1((i + 0.5) / size)``, the inverse of the normal
    distribution function: the first axis runs left to right, the second bottom to top.
    """
    expect(size >= 1, "size", size, "at least 1")
    inverse = NormalDist().inv_cdf
    z = np.array([inverse((i + 0.5) / size) for i in range(size)])
    return np.stack([np.tile(z, size), np.repeat(z, size)], axis=1)


def plot_latent(
    mu: np.ndarray,
    labels: np.ndarray | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    sigma: np.ndarray | None = None,
    kl_per_latent: np.ndarray | None = None,
    active: np.ndarray | None = None,
    decoded: np.ndarray | None = None,
    image_shape: tuple[int, ...] | None = None,
    data: np.ndarray | None = None,
    title: str = "Latent space",
    subtitle: str | None = None,
) -> "Figure":
    """Posterior means coloured by label, with the prior's circles; beside them what suits the number of latents.

    mu, sigma : (n, latent), mean and standard deviation of the posterior of each example
    labels : (n,), classes (up to a hundred whole numbers) or numbers; None colours by density
    kl_per_latent : (latent,), nats per example; without it, taken from mu and sigma
    active : (latent,), booleans; without it, latents whose posterior mean varies: Cov_x(E[u]) > 0.01 (Burda et al.,
        "Importance weighted autoencoders", arXiv:1509.00519, section 5.2)
    decoded : (size * size, features), the decoded `manifold_grid(size)`, for two latents: images of `image_shape`, or
        points of the plane, drawn as the warped grid over `data` (m, 2) if given

    One latent: a histogram per class. Two: a scatter, and the manifold. More: a scatter of the two latents of
    largest KL, and the KL of each latent.
    """
    mu = checks.matrix("mu", mu).astype(np.float64)
    count, latents = mu.shape
    labels = checks.vector("labels", labels, count)
    if sigma is not None:
        sigma = checks.matrix("sigma", sigma, rows=count, columns=latents).astype(np.float64)
        expect(sigma.min() >= 0, "sigma", f"{sigma.min():g}", "no negative numbers")
    kl = checks.vector("kl_per_latent", kl_per_latent, latents)
    if kl is None and sigma is not None:
        # A posterior may be too narrow for float32, where sigma is 0: for the smallest number above, KL is finite.
        kl = 0.5 * (mu**2 + sigma**2 - 1 - 2 * np.log(np.maximum(sigma, 1e-45))).mean(axis=0)
    flags = checks.vector("active", active, latents)
    used = mu.var(axis=0) > ACTIVE if flags is None else flags > 0
    manifold = None if decoded is None else _manifold(decoded, image_shape, latents)
    if data is not None:
        data = checks.matrix("data", data, columns=2)
    path = style.check_path(path)

    if latents == 1:
        classes = classes_of(labels)
        height = 4.2 if classes is None else max(4.2, 0.8 + 0.2 * len(classes))
        figure = style.new_figure(0.65 * style.WIDTH, height, title, subtitle)
        _ridge(figure.subplots(), mu[:, 0], labels, classes)
    elif latents == 2:
        figure, left, right = _square_panels(1 if manifold is None else 2, title, subtitle)
        _means(left, mu, sigma, labels, (0, 1))
        if manifold is not None:
            _draw_manifold(right, *manifold, data)
    else:
        figure, left, right = _square_panels(2, title, subtitle)
        strength = mu.var(axis=0) if kl is None else kl
        order = np.argsort(-strength, kind="stable")
        first, second = (int(index) for index in order[:2])
        pair = [first, second]
        _means(left, mu[:, pair], None if sigma is None else sigma[:, pair], labels, pair)
        _bars(right, strength[order], order, used[order], kl is not None)
    return style.finish(figure, path)


def _manifold(decoded, image_shape, latents) -> tuple[int, np.ndarray]:
    expect(latents == 2, "decoded", f"mu with {latents} latents", "2 latents: no other manifold is drawn")
    if image_shape is not None:
        decoded = checks.images("decoded", decoded, image_shape)
    else:
        decoded = checks.matrix("decoded", decoded, columns=2)
    size = round(len(decoded) ** 0.5)
    expect(size * size == len(decoded), "decoded", decoded, "size * size rows, as from manifold_grid(size)")
    return size, decoded


def _square_panels(count, title, subtitle):
    """A figure with one or two square panels of equal size and height, and those (the second may be None)."""
    before, between, after = (round(inches * style.DPI) for inches in (0.62, 0.72, 0.16))
    below, above = round(0.5 * style.DPI), round(0.3 * style.DPI)
    width = before + count * PANEL_SIDE + (count - 1) * between + after
    height = below + PANEL_SIDE + above
    figure = style.new_figure(width / style.DPI, height / style.DPI, title, subtitle, constrained=False)
    lefts = [before + i * (PANEL_SIDE + between) for i in range(count)]
    panels = [style.axes_at(figure, left, below, PANEL_SIDE, PANEL_SIDE) for left in lefts]
    return figure, panels[0], panels[-1] if count == 2 else None


def _means(axes, means, sigma, labels, pair):
    """Scatter of the posterior means, the prior's circles around zero, and the size of a typical posterior."""
    from matplotlib.patches import Circle, Ellipse

    reach = np.abs(means).max(axis=1)
    half = max(2.3, 1.05 * min(reach.max(), 1.25 * np.percentile(reach, 99.5)))
    xlabel, ylabel = (f"latent {index}" for index in pair)
    style.style_axes(axes, f"posterior means of {_examples(means)}", xlabel=xlabel, ylabel=ylabel, grid=None)
    mapping = scatter(axes, means, labels)
    dashes = {"fill": False, "color": style.INK, "linewidth": 0.9, "linestyle": (0, (4, 3)), "zorder": 4}
    for radius in (1, 2):
        axes.add_patch(Circle((0, 0), radius, **dashes))
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
        look = {"fontsize": style.SMALL, "color": style.INK, "bbox": box, "zorder": 5, "ha": "center", "va": "center"}
        axes.text(0, -radius, f"prior {radius}{style.SIGMA}", **look)
    if (classes := classes_of(labels)) is not None:
        name_classes(axes, means, labels, classes, (-half, -half), (half, half))
    elif mapping is not None:
        inset_bar(axes, mapping)
    if sigma is not None:
        wide, tall = np.median(sigma, axis=0)
        centre = (-half + 0.04 * half + wide, -half + 0.04 * half + tall)
        disc = Ellipse(centre, 2 * wide, 2 * tall, facecolor="white", edgecolor=style.INK, linewidth=1, zorder=5)
        axes.add_patch(disc)
        text = {"fontsize": style.SMALL, "color": style.INK, "path_effects": style.halo(), "va": "center", "zorder": 5}
        axes.text(centre[0] + wide + 0.03 * half, centre[1], f"median posterior, 1{style.SIGMA}", **text)
    axes.set(xlim=(-half, half), ylim=(-half, half), aspect="equal")
    outside = int(np.count_nonzero(reach > half))
    if outside:
        look = {"fontsize": style.SMALL, "color": style.MUTED, "ha": "right", "path_effects": style.halo()}
        axes.text(0.99, 0.01, f"{outside} outside the frame", transform=axes.transAxes, **look)


def _draw_manifold(axes, size, decoded, data):
    if decoded.ndim == 2:
        _draw_warped_grid(axes, decoded.reshape(size, size, 2), data)
        return
    title = "decoder mean over the prior's quantiles"
    style.style_axes(axes, title, xlabel="latent 0", ylabel="latent 1", grid=None)
    height, width, *colours = decoded.shape[1:]
    levels = gray_levels(decoded, value_limits(decoded)).reshape(size, size, height, width, *colours)
    # Rows of an image run downwards, the second latent upwards.
    picture = levels[::-1].swapaxes(1, 2).reshape(size * height, size * width, *colours)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=(0, size, 0, size), aspect=height / width)
    axes.set_anchor("NW")
    axes.spines[["left", "bottom"]].set_visible(False)
    quantiles = [-2, -1, -0.5, 0, 0.5, 1, 2]
    places = [size * NormalDist().cdf(z) for z in quantiles]
    names = [f"{z:g}".replace("-", style.MINUS) for z in quantiles]
    axes.set_xticks(places, names)
    axes.set_yticks(places, names)


def _draw_warped_grid(axes, lattice, data):
    from matplotlib.collections import LineCollection

    title = "decoder mean: the prior's quantile grid in data space"
    style.style_axes(axes, title, xlabel="feature 0", ylabel="feature 1")
    if data is not None:
        axes.scatter(*data.T, s=3, color=style.FAINT, linewidths=0)
    across, along = style.CLASS_COLOURS[1], style.CLASS_COLOURS[8]
    axes.add_collection(LineCollection(list(lattice), colors=across, linewidths=0.9))
    axes.add_collection(LineCollection(list(lattice.transpose(1, 0, 2)), colors=along, linewidths=0.9))
    clouds = [lattice.reshape(-1, 2)] + ([] if data is None else [data])
    low, high, aspect = frame(clouds)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect=aspect)
    for y, colour, text in ((0.99, across, "latent 0 varies"), (0.945, along, "latent 1 varies")):
        axes.text(0.99, y, text, transform=axes.transAxes, color=colour, fontsize=style.TICK, ha="right", va="top")


def _examples(means):
    return f"{len(means):,} example{'s' if len(means) != 1 else ''}"


def _bars(axes, strength, order, active, is_kl):
    count = len(strength)
    what, ylabel = "variance of the posterior mean per latent", "Cov(posterior mean), no unit"
    if is_kl:
        what, ylabel = f"KL per latent: {style.number(strength.sum())} nats", "KL(q || prior), nats per example"
    title = f"{what}, {int(active.sum())} of {count} active"
    style.style_axes(axes, title, xlabel="latent, largest first", ylabel=ylabel, grid="y")
    colours = np.where(active, style.SINGLE, style.FAINT)
    axes.bar(np.arange(count), strength, color=colours, width=0.85 if count <= 64 else 1.0)
    every = -(-count // 40)
    axes.set_xticks(np.arange(0, count, every), [f"{index}" for index in order[::every]])
    size, turn = (style.TICK, 0) if count <= 24 else (style.SMALL, 90)
    axes.tick_params(axis="x", labelsize=size, rotation=turn, length=0)
    axes.set_xlim(-0.7, count - 0.3)
    for text, on in zip(axes.get_xticklabels(), active[::every], strict=True):
        text.set_color(style.INK if on else style.FAINT)
    lines = [(style.SINGLE, f"active: variance of the mean > {ACTIVE}"), (style.MUTED, "grey: inactive")]
    for line, (colour, text) in enumerate(lines[: 1 if active.all() else 2]):
        look = {"transform": axes.transAxes, "fontsize": style.TICK, "ha": "right", "va": "top"}
        axes.text(0.99, 0.98 - 0.05 * line, text, color=colour, **look)


def _ridge(axes, means, labels, classes):
    """A histogram of the posterior means per class, one above the other, over the prior's density."""
    groups = [(None, means, style.SINGLE)]
    if classes is not None:
        groups = [(v, means[labels == v], c) for v, c in zip(classes, class_colours(classes), strict=True)]
    half = max(3.0, 1.05 * float(np.abs(means).max()))
    edges = np.linspace(-half, half, 97)
    centres = (edges[:-1] + edges[1:]) / 2
    prior = np.exp(-(centres**2) / 2) / np.sqrt(2 * np.pi)
    heights = [np.histogram(values, edges)[0] / (len(values) * (edges[1] - edges[0])) for _, values, _ in groups]
    # One unit between rows; tall classes may reach into the rows above, as in any ridge plot.
    peaks = [height.max() for height in heights]
    unit = max(float(np.median(peaks)) / 0.85, max(peaks) / 2.2)
    whose = " per class" if classes is not None else "" if labels is None else ", all labels together"
    heading = f"density of the posterior means{whose}"
    style.style_axes(axes, f"{heading} ({_examples(means)}); dashed: the prior", xlabel="latent 0", grid="x")
    near = np.abs(centres) < 3.2
    for row, ((value, _, colour), height) in enumerate(zip(groups, heights, strict=True)):
        base, layer = len(groups) - 1 - row, 2 + row
        curve = base + height / unit
        axes.fill_between(centres, base, curve, step="mid", color=colour, alpha=0.85, linewidth=0, zorder=layer)
        axes.step(centres, curve, where="mid", color="white", linewidth=0.8, zorder=layer)
        axes.axhline(base, color=style.FAINT, linewidth=0.6, zorder=layer)
        dashes = {"linewidth": 0.8, "linestyle": (0, (4, 3)), "zorder": layer}
        axes.plot(centres[near], base + (prior / unit)[near], color=style.INK, **dashes)
        if value is not None:
            look = {"fontsize": style.LABEL, "weight": "bold", "color": style.INK}
            axes.text(-0.01, base + 0.15, f"{value:g}", transform=axes.get_yaxis_transform(), ha="right", **look)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlim(-half, half)
    axes.set_ylim(bottom=0)
