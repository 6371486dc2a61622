"""The table and the answers to the exercises of docs/discrete-estimators.md, each computed."""

import numpy as np

from .. import estimators as est
from ..estimators import enumeration
from . import bits

TABLE_LOGITS = (-2.0, 0.0, 2.0)


def table():
    """Exact variances for the network, added up over its three logits: of a row, and times evaluations of f."""
    f, count = bits.PROBLEMS["network"]
    tables = [bits.methods(f, est.Bernoulli((logit,) * count)) for logit in TABLE_LOGITS]
    header = "| estimator | evaluations"
    for what in ("row", "times evaluations"):
        header += "".join(f" | {what}, {logit:g}" for logit in TABLE_LOGITS)
    lines = [f"{header} |"]
    lines.append("| --- " + "| --: " * (2 * len(TABLE_LOGITS) + 1) + "|")
    for name, label in bits.NAMES.items():
        cost, variances = tables[0][name][0], np.array([part[name][2][1].sum() for part in tables])
        numbers = "".join(f" | {value:.3g}" for value in (*variances, *(cost * variances)))
        lines.append(f"| {label} | {cost}{numbers} |")
    return "\n".join(lines)


def single_bit():
    """1: the best baseline of one bit, f = (b - 0.45)^2 at logit 1, and the variance that is left."""
    f, q = bits.FirstBit(0.45), est.Bernoulli((1.0,))
    baseline = enumeration.best_baseline(f, q)
    variance = enumeration.score_function(f, q, baseline)[1][0]
    return f"baseline {baseline[0]:.4f}, variance {'0' if variance < 1e-30 else variance}"


def price_of_two():
    """2: variance times evaluations of leave-one-out baselines for the network, by K, and with the best baseline."""
    f, parts = bits.PROBLEMS["network"][0], []
    for logit in (0.0, -2.0):
        q = est.Bernoulli((logit,) * 3)
        products = [k * enumeration.leave_one_out(f, q, k)[1].sum() for k in (2, 16, 1000)]
        best = enumeration.score_function(f, q, enumeration.best_baseline(f, q))[1].sum()
        parts.append(f"logits {logit:g}: {', '.join(f'{value:.3f}' for value in products)}, best {best:.3f}")
    return "; ".join(parts)


def half_the_variance():
    """3: the p at which DisARM has half the variance of two independent draws, by bisection on enumerated ones."""

    def excess(p):
        f, q = bits.FirstBit(0.45), est.Bernoulli((np.log(p) - np.log1p(-p),))
        return 0.5 * enumeration.leave_one_out(f, q, 2)[1][0] - enumeration.disarm(f, q)[1][0]

    p = _rise(excess, 1e-3, 0.5)
    return f"p = {p:.4f} and {1 - p:.4f}"


def straight_through_end():
    """4: where descent along the mean of two biased gradients ends for t = 0.45: where the mean rises through 0."""
    ends = []
    for name in ("straight_through", "gumbel_softmax"):
        logit = _rise(lambda x, name=name: bits.relaxed(0.45, x)[name][1][0][0], -4.0, 4.0)
        ends.append(f"{bits.RELAXED[name]} p = {est.Bernoulli((logit,)).probabilities[0]:.3f}")
    return ", ".join(ends) + "; E f is least at p = 0"


def _rise(function, low, high):
    """Where a rising function goes through 0."""
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if function(middle) > 0 else (middle, high)
    return 0.5 * (low + high)


def credit():
    """5: variances of the two gradients of L_16, network at logits 0, added up over the logits."""
    f, q = bits.PROBLEMS["network"][0], est.Bernoulli((0.0,) * 3)
    plain, vimco = (enumeration.vimco(f, q, 16, baseline)[1].sum() for baseline in (None, "geometric"))
    return f"{plain:.0f} without, {vimco:.3f} with them"


def relaxation_as_control():
    """6: the part of the score function's variance that REBAR with the best eta leaves, logits 0."""
    parts = []
    for problem in ("t = 0.45", "network"):
        f, count = bits.PROBLEMS[problem]
        table = bits.methods(f, est.Bernoulli((0.0,) * count))
        left = table["rebar"][2][1].sum() / table["score_function"][2][1].sum()
        parts.append(f"{problem}: {100 * left:.1f} %")
    return ", ".join(parts)


ANSWERS = (single_bit, price_of_two, half_the_variance, straight_through_end, credit, relaxation_as_control)
