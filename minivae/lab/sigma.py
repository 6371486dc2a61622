"""softplus against exp: values, slopes and gradients of the KL over rho, in the arithmetic a model uses."""

import numpy as np

from ..kernels import load_backend
from ..kernels.naive import SCALES
from ..plotting import style
from . import report

RHO = np.arange(-110, 111, 1.0)
RATE, STEPS = 0.1, 200
STARTS = (0.01, 30.0)


def evaluate(rho, scale, dtype="float32"):
    """sigma, dsigma/drho, KL of N(0, sigma^2) from N(0, 1) and dKL/drho at each rho, as the kernels compute them."""
    backend, n = load_backend("numpy"), len(rho)
    rho = np.array(rho, dtype)[:, None]
    mu, noise, one = np.zeros((n, 1), dtype), np.ones((n, 1), dtype), np.ones(n, dtype)
    sigma, z, kl, dmu, slope = (np.zeros((n, 1), dtype) for _ in range(5))
    backend.reparameterize_forward(mu, rho, noise, scale, sigma, z)
    # with noise = dz = 1 the gradient with respect to rho is dsigma/drho
    backend.reparameterize_backward(rho, sigma, noise, noise, scale, dmu, slope)
    backend.gaussian_kl_forward(mu, rho, sigma, scale, kl)
    dkl = np.zeros((n, 1), dtype)
    backend.gaussian_kl_backward(mu, rho, sigma, one, scale, dmu, dkl)
    return {"sigma": sigma[:, 0], "dsigma": slope[:, 0], "kl": kl[:, 0], "dkl": dkl[:, 0]}


def descend(scale, start):
    """sigma after each of STEPS steps of gradient descent on the KL alone, from `start`; its minimum is at 1."""
    rho = np.log(start) if scale == "exp" else np.log(np.expm1(start))
    path = [start]
    for _ in range(STEPS):
        rho -= RATE * float(evaluate([rho], scale, "float64")["dkl"][0])
        path.append(float(evaluate([rho], scale, "float64")["sigma"][0]))
    return path


def run(folder, seed=0, progress=None):
    rows = []
    for scale in report.bar(SCALES, "sigma", progress):
        single, double = evaluate(RHO, scale), evaluate(RHO, scale, "float64")
        for i, rho in enumerate(RHO):
            row = {"scale": scale, "rho": float(rho)}
            for name in single:
                row |= {f"{name}_float32": float(single[name][i]), f"{name}_float64": float(double[name][i])}
            rows.append(row)
    report.write_table(folder / "sigma.csv", rows)
    paths = {(scale, start): descend(scale, start) for scale in SCALES for start in STARTS}
    draw(rows, paths, folder / "sigma.png")
    lines = []
    for scale in SCALES:
        chosen = [row for row in rows if row["scale"] == scale]
        zero = max(row["rho"] for row in chosen if row["sigma_float32"] == 0)
        infinite = min((row["rho"] for row in chosen if not np.isfinite(row["dkl_float32"])), default=None)
        slope = "finite everywhere" if infinite is None else f"infinite from {infinite:g}"
        lines.append(f"sigma.csv: {scale}, float32: sigma is 0 up to rho = {zero:g}; dKL/drho is {slope}")
    return lines


def draw(rows, paths, path):
    far = paths["exp", STARTS[1]][1]
    rho_letter = style.RHO
    title = f"From {rho_letter} to {style.SIGMA}: alike below zero, and softplus is tame far out"
    text = f"float32, as the kernels compute it. Right: {STEPS} steps of gradient descent on the KL alone, rate {RATE}"
    text += f"; the optimum is {style.SIGMA} = 1. A line that ends has become infinite or 0; exp from {style.SIGMA} = "
    text += f"{STARTS[1]:g} is at {far:.0e} after one step, below the panel."
    figure = style.new_figure(style.WIDTH, 3.0, title, text)
    values, slopes, kl, descent = figure.subplots(1, 4)
    report.panel(values, style.SIGMA, rho_letter, None, logy=True)
    report.panel(slopes, f"d{style.SIGMA}/d{rho_letter}", rho_letter, None, logy=True)
    report.panel(kl, f"dKL/d{rho_letter} (signed log)", rho_letter, None)
    report.panel(descent, f"{style.SIGMA} over steps", "step", None, logy=True)
    kl.set_yscale("symlog", linthresh=1)
    kl.set_yticks([0, 1e10, 1e20, 1e30])
    for scale, colour in zip(SCALES, report.COLOURS[1::-1], strict=True):
        chosen = [row for row in rows if row["scale"] == scale]
        rho = [row["rho"] for row in chosen]
        for axes, name in ((values, "sigma"), (slopes, "dsigma"), (kl, "dkl")):
            shown = np.array([row[f"{name}_float32"] for row in chosen])
            shown[~np.isfinite(shown) | ((shown == 0) & (name != "dkl"))] = np.nan
            axes.plot(rho, shown, color=colour, linewidth=1.5, label=scale)
        for start in STARTS:
            steps = np.array(paths[scale, start])
            steps[~np.isfinite(steps) | (steps < 1e-12)] = np.nan
            descent.plot(steps, color=colour, linewidth=1.5, label=scale if start == STARTS[0] else None)
    descent.axhline(1, color=style.MUTED, linewidth=0.8, linestyle="--")
    for axes in (values, descent):
        report.legend(axes)
    return style.finish(figure, style.check_path(path))
