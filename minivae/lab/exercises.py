"""Answers to the exercises of docs/backprop-through-sampling.md, each computed."""

from types import SimpleNamespace

import numpy as np

from .. import estimators as est
from ..estimators.functions import Quadratic
from . import derivations, linear_gaussian, report, signal_to_noise, variance


def crossing():
    """1: where pathwise and measure-valued gradients with respect to mu vary alike, 4 = 1.0930 d^2, or twice that."""
    return f"|mu - k| = {variance.crossing():.4f} per draw, {variance.crossing(2):.4f} at equal evaluations of f or f'"


def draws_needed():
    """2: draws that the score function needs for the error of one pathwise draw, for mu at d = 4, sigma = 1."""
    table = Quadratic(-3.0).variances(est.Normal(1.0, 1.0))
    plain, best, path = (table[name][0] for name in ("score_function", "baseline", "pathwise"))
    return f"{plain / path:.2f} without, {best / path:.1f} with the best baseline"


def fresh_noise():
    """3: the mean of f'(z) * fresh noise, whatever f: by a million draws for f = z^2 at mu = sigma = 1."""
    rng = np.random.default_rng(0)
    slope = 2 * (1 + rng.standard_normal(1_000_000))
    fresh = (slope * rng.standard_normal(1_000_000)).mean()
    return f"{fresh:+.3f} where the same noise gives 2"


def elbo_gap():
    """4: log p(x) - ELBO of the shifted model of `minivae lab bounds`, and KL(q || p(z|x)) by its formula."""
    curve = signal_to_noise.curve_rows()
    measured = curve[0]["log_likelihood"] - curve[0]["bound"]
    return f"measured {measured:.4f}, formula {derivations.kl_of_shift():.4f} nats"


def landing():
    """5: the encoder's gradient at the exact posterior: largest element over 1000 draws."""
    result = []
    for objective in ("elbo", "iwae", "stl"):
        model = linear_gaussian.make(objective=objective, backend="numpy")
        x = np.repeat(linear_gaussian.draw(model, 1, seed=1), 1000, 0)
        noise = np.random.default_rng(0).standard_normal((1000, 2))
        dmu, drho, _ = linear_gaussian.gradients_of_replicates(model, x, noise)
        largest = max(np.abs(dmu).max(), np.abs(drho).max())
        result.append(f"{objective} {'below 1e-12' if largest < 1e-12 else f'{largest:.1f}'}")
    return ", ".join(result)


def temperature():
    """6: bias and variance of the Gumbel-softmax gradient as it cools, f = |z - t|^2 over three categories."""
    q, target = est.Categorical((0.3, -0.8, 1.1)), np.array([0.2, 0.5, -0.1])
    bowl = SimpleNamespace(derivative=lambda z: 2 * (z - target))
    p, values = q.probabilities, ((np.eye(3) - target) ** 2).sum(axis=1)
    exact, parts = p * (values - p @ values), []
    for tau in (2.0, 0.5, 0.1):
        rows = est.gumbel_softmax(bowl, q, np.random.default_rng(0), 200_000, temperature=tau)
        bias = np.abs(rows.mean(axis=0) - exact).max()
        parts.append(f"temperature {tau}: bias {bias:.3f}, variance {rows.var(axis=0).sum():.2f}")
    return "; ".join(parts)


ANSWERS = (crossing, draws_needed, fresh_noise, elbo_gap, landing, temperature)


def run(folder, seed=0, progress=None):
    answers = [answer() for answer in report.bar(ANSWERS, "exercises", progress)]
    rows = [{"exercise": number, "answer": answer} for number, answer in enumerate(answers, 1)]
    report.write_table(folder / "exercises.csv", rows)
    return [f"exercise {row['exercise']}: {row['answer']}" for row in rows]
