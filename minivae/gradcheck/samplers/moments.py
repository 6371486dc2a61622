"""The mean, the standard deviation and the KL of samples against what is meant, coordinate by coordinate and pooled."""

import math

import numpy as np

from ...errors import expect
from .significance import Test, chi_square, limit, place, skewed, student


def test_mean(report, m, v, mean, step, shape, noise):
    """`step` is the distance of neighbouring numbers: a mean between them is not told from either."""
    draws = noise.draws
    off = np.sign(m - mean) * np.maximum(np.abs(m - mean) - 0.5 * step, 0.0) / np.sqrt(v)
    scores = student(off * math.sqrt(draws), draws - 1.0)
    size, worst = scores.size, int(np.argmax(np.abs(scores)))
    once, most = limit(report.level), limit(report.level, size)
    pooled, spread = float(np.mean(off)), float(np.sqrt(max(np.mean(off**2) - 1.0 / draws, 0.0)))
    at = f"{place(worst, shape)}: sampled {m[worst]:.4g}, meant {mean[worst]:.4g}"
    single = f"the mean is off by {abs(scores[worst]):.0f} standard errors at {at}"
    if np.sum(np.abs(scores) > most) > 1:
        single += f", and beyond chance at {np.sum(np.abs(scores) > most):,} of {size:,} coordinates"
    signed = f"the mean is off by {abs(pooled):.2g} standard deviations in all of {size:,} coordinates, pooled: "
    signed += "too high" if pooled > 0 else "too low"
    mixed = f"the mean is off by {spread:.2g} standard deviations (root mean square of {size:,} coordinates), "
    mixed += f"most at {at}"
    alike = np.max(np.abs(off - pooled)) * math.sqrt(draws) < 1.5 * most
    total = abs(scores.sum()) / math.sqrt(size * noise.coordinates)
    square = chi_square(np.sum(scores**2), size) / math.sqrt(noise.coordinates)
    tests = [
        Test("mean, pooled, in standard errors", total, once, signed),
        Test("mean, largest, in standard errors", abs(scores[worst]), most, single),
        Test("mean, squares pooled, as a normal score", square, once, mixed),
    ]
    report.family(*(tests if alike and size > 1 else [*tests[1:], tests[0]._replace(sentence=mixed)]))


def test_std(report, v, std, shape, noise, guess):
    """`guess(seen)` is a further half-sentence on what the standard deviation is instead, or empty."""
    draws, df = noise.draws, noise.draws - 1.0
    ratio, seen = v / std**2, np.sqrt(v)
    scores = chi_square(df * ratio, df)
    size, worst = scores.size, int(np.argmax(np.abs(scores)))
    once, most = limit(report.level), limit(report.level, size)
    at = f"{place(worst, shape)}: sampled {seen[worst]:.4g}, meant {std[worst]:.4g}"
    off = 100.0 * (math.sqrt(np.mean(ratio)) - 1.0)
    spread = 100.0 * math.sqrt(max(np.mean((np.sqrt(ratio) - 1.0) ** 2) - 0.5 / draws, 0.0))
    single = f"the standard deviation is wrong at {at}"
    if np.sum(np.abs(scores) > most) > 1:
        single += f", and beyond chance at {np.sum(np.abs(scores) > most):,} of {size:,} coordinates"
    signed = f"the standard deviation is {abs(off):.2g} % too {'large' if off > 0 else 'small'} in all of "
    signed += f"{size:,} coordinates, pooled"
    mixed = f"the standard deviation is off by {spread:.2g} % (root mean square of {size:,} coordinates), most at {at}"
    factor = seen / std / math.sqrt(np.mean(ratio))
    alike = np.max(np.abs(factor - 1.0)) * math.sqrt(2.0 * draws) < 1.5 * most
    total = abs(chi_square(size * df * np.mean(ratio), size * df)) / math.sqrt(noise.coordinates)
    square = chi_square(np.sum(scores**2), size) / math.sqrt(noise.coordinates)
    tests = [
        Test("standard deviation, pooled, as a normal score", total, once, lambda: signed + guess(seen)),
        Test("standard deviation, largest, as a normal score", abs(scores[worst]), most, lambda: single + guess(seen)),
        Test("standard deviation, squares pooled, as a normal score", square, once, lambda: mixed + guess(seen)),
    ]
    if not alike or size == 1:
        tests = [*tests[1:], tests[0]._replace(sentence=tests[2].sentence)]
    report.family(*tests)


def guess_std(seen, std, draws):
    """What the standard deviation is instead of what is meant."""
    slack = 4.0 / math.sqrt(draws)
    others = {
        "its square (a variance taken for a standard deviation)": std**2,
        "its square root (a standard deviation taken for a variance)": np.sqrt(std),
        "1": np.ones_like(std),
        "its inverse": 1.0 / std,
    }
    for text, other in others.items():
        if np.all(np.abs(seen / other - 1.0) < slack) and not np.allclose(other, std, rtol=slack):
            return f"; everywhere it is {text}"
    factor = float(np.median(seen / std))
    alike = np.all(np.abs(seen / std - factor) < slack * factor) and abs(factor - 1.0) > slack
    return f"; everywhere it is {factor:.3g} times what is meant" if alike else ""


def _nearest(m, v, kl, draws):
    """The normal with divergence `kl` from N(0, 1) under which moments m, v of so many draws are likeliest, nearly.

    With x the logarithm of its variance, exp(x) - 1 - x is at most 2 kl, between two roots, and its mean squared is the
    rest.
    """
    kl, near = np.maximum(kl, 0.0), np.log(v)
    ends = []
    for x in (-2.0 * kl - 1.0, np.log(4.0 * kl + 4.0)):
        for _ in range(60):  # from outside, of a convex function: they never pass the root
            slope = np.expm1(x)
            x = x - np.where(slope == 0.0, 0.0, (slope - x - 2.0 * kl) / np.where(slope == 0.0, 1.0, slope))
        ends.append(x)
    low = np.minimum(np.maximum(ends[0], near - 3.0), ends[1])
    high = np.maximum(np.minimum(ends[1], near + 3.0), ends[0])
    for _ in range(4):  # a grid, and finer ones around its best point
        x = low + (high - low) * (0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, 33)))[:, None]
        mean = np.sqrt(np.maximum(2.0 * kl - np.expm1(x) + x, 0.0))
        off = (np.abs(m) - mean) ** 2 * np.exp(-x) + np.expm1(near - x) - near + x
        best = np.argmin(off, axis=0)
        columns = np.arange(kl.size)
        found = x[best, columns], mean[best, columns]
        low, high = x[np.maximum(best - 1, 0), columns], x[np.minimum(best + 1, len(x) - 1), columns]
    return found[1], np.exp(found[0])


def test_kl(report, m, v, kl, shape, noise):
    """The KL of the normal with the moments sampled, against what is charged.

    With d = v / (true v) - 1, of variance 2 / (draws - 1), it is m^2 / 2 + (v - 1) d / 2 + d^2 / 4 and a constant, to
    second order, which gives its first three cumulants. Near m = 0, v = 1 the squares are all there is, and its
    distribution is that of chi-square, far from normal. The moments that the cumulants take are those nearest to the
    ones sampled among those whose KL is the one charged: with the sampled ones a low KL would seem surer than a high.
    """
    rows = kl.shape == shape[:-1] and kl.shape != shape
    if not rows:
        expect(kl.shape == shape, "kl", kl, f"the shape of the samples, {shape}, or that without its last axis")
    eps = float(np.finfo(kl.dtype).eps) if kl.dtype.kind == "f" else 0.0
    kl = kl.astype(np.float64)
    draws, df = noise.draws, noise.draws - 1.0
    rounding = 4.0 * eps * (1.0 + m * m + v + np.abs(np.log(v)))
    sampled = 0.5 * (m * m + v - 1.0 - np.log(v)) - 0.5 * v / draws - 0.5 / df
    charged = kl.ravel()
    if rows:  # shared out as sampled
        parts = np.maximum(sampled, 0.0).reshape(shape) + 1e-300
        charged = (parts * (kl / parts.sum(-1))[..., None]).ravel()
    near, w = _nearest(m, v, charged, draws)
    m2, s2, a, d2 = near**2, w / draws, w - 1.0, 2.0 / df
    second = 0.25 * (2.0 * s2**2 + 4.0 * m2 * s2) + (2.0 * d2**2 + 4.0 * a**2 * d2) / 16.0
    third = s2**3 + 3.0 * m2 * s2**2 + (8.0 * d2**3 + 24.0 * a**2 * d2**2) / 64.0 + a**3 / df**2
    if rows:
        sums = (a.reshape(shape).sum(-1).ravel() for a in (sampled, second, third, rounding))
        sampled, second, third, rounding = sums
    gap = sampled - kl.ravel()
    gap = np.sign(gap) * np.maximum(np.abs(gap) - rounding, 0.0)
    scores = np.abs(skewed(gap / np.sqrt(second), third / second**1.5))
    scores = scores / math.sqrt(noise.coordinates if rows else 1.0)
    worst = int(np.argmax(scores))
    single = f"the KL charged is not that of the distribution sampled: {kl.ravel()[worst]:.4g} nats charged at "
    single += f"{place(worst, kl.shape)}, {sampled[worst]:.4g} sampled"
    second, third = second.sum(), third.sum()
    pooled = abs(float(skewed(gap.sum() / math.sqrt(second), third / second**1.5))) / math.sqrt(noise.coordinates)
    whole = f"the KL charged is not that of the distribution sampled: {kl.sum():.6g} nats charged in all, "
    whole += f"{sampled.sum():.6g} +- {math.sqrt(second):.1g} sampled"
    report.family(
        Test("KL against that of the samples", scores[worst], limit(report.level, scores.size), single),
        Test("KL against that of the samples, pooled", pooled, limit(report.level), whole),
    )
