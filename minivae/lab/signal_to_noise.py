"""Importance-weighted bounds on exact ground: how they rise with K, and what that does to their gradients."""

import numpy as np

from ..evaluation.importance import bound_curve, divisor_chain
from ..plotting import style
from . import linear_gaussian, report

DRAWS = (1, 4, 16, 64, 256, 512)
OUTER = (1, 4, 16, 64)
INNER = 16  # K of the sweep over M
ROWS = 2_000_000  # decoded rows for each point of a curve
MOST = 20_000  # replicates for each point
PAGE = 200_000
ASYMPTOTIC = 16  # slopes in K are fitted from here on
SHIFT = {"mean": 0.5, "log_sigma": 0.3}  # how q differs from the exact posterior
CURVES = {"theta": "decoder, iwae", "phi_iwae": "encoder, iwae", "phi_dreg": "encoder, dreg"}


def setting(objective="iwae", samples=1, outer=1, seed=0):
    """A model of two features and one latent with a q that is off by SHIFT, and one example from it."""
    model = linear_gaussian.make(2, 1, objective=objective, samples=samples, outer=outer, backend="numpy")
    linear_gaussian.shift_posterior(model, **SHIFT)
    return model, linear_gaussian.draw(model, 1, seed=1)


def replicate(objective, samples, outer, replicates, seed):
    """Gradients of `replicates` independent estimates for one example: encoder (., 2) at mu, rho; decoder (., 2)."""
    model, x = setting(objective, samples, outer)
    rng, parts = np.random.default_rng(seed), []
    page = max(1, PAGE // (samples * outer))
    for start in range(0, replicates, page):
        n = min(page, replicates - start)
        noise = rng.standard_normal((n * samples * outer, 1))
        dmu, drho, dmean = linear_gaussian.gradients_of_replicates(model, np.repeat(x, n, 0), noise)
        parts.append((np.hstack([dmu, drho]), dmean.copy()))
    return (np.vstack(part) for part in zip(*parts, strict=True))


def signal_to_noise(samples, outer, seed=0, rows=ROWS):
    """|mean| / standard deviation of the gradient vectors of CURVES, and the z-score of dreg's mean against iwae's.

    Norms over the components of the mean and of the standard deviation. iwae and dreg have the same mean for the
    encoder; it is taken from dreg's draws for both, because those of iwae, whose mean falls with K much faster than its
    deviation, could not resolve it. The largest z-score over the components of the two means is the check on that.
    """
    replicates = max(1000, min(MOST, rows // (samples * outer)))
    phi, theta = replicate("miwae", samples, outer, replicates, [seed, samples, outer, 0])
    dreg, _ = replicate("dreg", samples, outer, replicates, [seed, samples, outer, 1])
    mean = dreg.mean(axis=0)
    error = np.sqrt((phi.var(axis=0) + dreg.var(axis=0)) / replicates)
    return {
        "theta": _norm(theta.mean(axis=0)) / _norm(theta.std(axis=0)),
        "phi_iwae": _norm(mean) / _norm(phi.std(axis=0)),
        "phi_dreg": _norm(mean) / _norm(dreg.std(axis=0)),
        "bias_z": float(np.abs((phi.mean(axis=0) - mean) / error).max()),
        "replicates": replicates,
    }


def _norm(vector):
    return float(np.sqrt((vector**2).sum()))


def slope(x, y):
    """The least-squares slope of log y over log x."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def slopes(rows):
    """{(sweep, curve): slope}; over K from ASYMPTOTIC on, over M from 1 on."""
    result = {}
    for sweep, key, first in (("K", "K", ASYMPTOTIC), ("M", "M", 1)):
        chosen = [row for row in rows if row["sweep"] == sweep and row[key] >= first]
        for curve in CURVES:
            result[sweep, curve] = slope([row[key] for row in chosen], [row[curve] for row in chosen])
    return result


def measure(seed=0, progress=None, rows=ROWS):
    plan = [("K", k, 1) for k in DRAWS] + [("M", INNER, m) for m in OUTER]
    return [
        {"sweep": sweep, "K": k, "M": m} | signal_to_noise(k, m, seed, rows)
        for sweep, k, m in report.bar(plan, "bounds", progress)
    ]


def curve_rows(seed=0, draws=1024, examples=500):
    """The bound with K draws and exact log p(x), nats per example, means over examples: a row for each K."""
    model, _ = setting()
    x = linear_gaussian.draw(model, examples, seed=2)
    noise = np.random.default_rng([seed, 9]).standard_normal((examples * draws, 1))
    nll, _ = model.elbo_terms(x, noise)
    sampler, weights = model.sampler, np.empty(len(noise))
    model.backend.log_weights(nll, sampler.rho, sampler.sigma, sampler.noise, sampler.z, model.scale, weights)
    counts = divisor_chain(draws)
    means = bound_curve(weights.reshape(examples, draws), counts).mean(axis=0)
    exact = float(linear_gaussian.log_likelihood(model, x).mean())
    return [{"K": k, "bound": float(mean), "log_likelihood": exact} for k, mean in zip(counts, means, strict=True)]


def run(folder, seed=0, progress=None):
    rows, curve = measure(seed, progress), curve_rows(seed)
    report.write_table(folder / "bounds.csv", rows)
    report.write_table(folder / "bounds-by-k.csv", curve)
    fitted = slopes(rows)
    draw(rows, curve, fitted, folder / "bounds.png")
    lines = [
        f"bounds.csv: slope of log SNR over log {sweep}, {CURVES[name]}: {value:+.3f}"
        for (sweep, name), value in fitted.items()
    ]
    worst = max(row["bias_z"] for row in rows)
    lines.append(f"bounds.csv: mean of dreg against that of iwae, largest z-score in {len(rows)} settings: {worst:.2f}")
    return lines


def draw(rows, curve, fitted, path):
    log_p = curve[0]["log_likelihood"]
    title = "Tighter bounds: better for the decoder, noisier for the encoder; DReG mends that"
    text = "Probabilistic PCA with a q off by a known amount. Signal-to-noise ratio = |mean| / standard deviation of "
    text += "the gradient for one example; K draws in a bound, M bounds averaged. "
    text += f"Slopes fitted over K from {ASYMPTOTIC} on."
    figure = style.new_figure(style.WIDTH, 3.2, title, text)
    bound, by_k, by_m = figure.subplots(1, 3)
    report.panel(bound, "The bound rises to log p(x)", "K", "nats per example", logx=True)
    report.curve(bound, curve, "K", "bound", "o-", color=style.SINGLE, markersize=3.5)
    bound.axhline(log_p, color=style.INK, linewidth=1, linestyle="--")
    exact, elbo = f"exact log p(x) = {style.number(log_p)}", f"ELBO {style.number(curve[0]['bound'])}"
    exact, elbo = (label.replace("-", style.MINUS) for label in (exact, elbo))
    note = {"textcoords": "offset points", "fontsize": style.TICK}
    bound.annotate(exact, (curve[-1]["K"], log_p), xytext=(0, -26), ha="right", **note)
    bound.annotate(elbo, (1, curve[0]["bound"]), xytext=(8, -3), **note)
    for axes, sweep, title in ((by_k, "K", "Signal to noise over K, M = 1"), (by_m, "M", f"over M, K = {INNER}")):
        report.panel(axes, title, sweep, "SNR" if sweep == "K" else None, logx=True, logy=True)
        chosen = [row for row in rows if row["sweep"] == sweep]
        for (name, label), colour in zip(CURVES.items(), report.COLOURS, strict=False):
            text = f"{label}: slope {fitted[sweep, name]:+.2f}".replace("-", style.MINUS)
            report.curve(axes, chosen, sweep, name, "o-", color=colour, label=text, markersize=3.5)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * 12)
        report.legend(axes, loc="upper left")
    return style.finish(figure, style.check_path(path))
