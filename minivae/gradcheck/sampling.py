"""What finite differences cannot see in a layer that samples.

With frozen noise, differences only show that backward is the derivative of forward. They pass a sampler whose forward
is wrong and whose backward agrees with it: one that takes a variance for a standard deviation, say, or shares one draw
between examples. Then the samples do not come from the q that the KL term charges for, and the loss bounds nothing.

Every test here is a fixed computation from its seed. `level` is the probability that a right sampler is refused,
for the whole report (the tests share it equally), if the seed were drawn anew.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from ..errors import described, expect

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

PAIRS = 48  # coordinates compared pairwise for shared noise


@dataclass
class SamplingReport:
    """Result of the sampling checks: `findings` are sentences, `tests` rows (what, statistic, limit)."""

    name: str
    tests: list[tuple[str, float, float]] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.findings

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        head = "sampling right" if self.passed else "sampling check failed"
        lines = [f"{head}: {self.name}"] + [f"  {sentence}" for sentence in self.findings]
        lines += [f"  {what}: {value:.3g} (limit {limit:.3g})" for what, value, limit in self.tests]
        return "\n".join(lines)

    def test(self, what: str, statistic: float, limit: float, sentence: str) -> None:
        """Note a test; the sentence becomes a finding where the statistic exceeds its limit or is not a number."""
        self.tests.append((what, float(statistic), float(limit)))
        if not statistic <= limit:
            self.findings.append(sentence)


def check_sampler(
    sample: "Callable[[np.random.Generator], ArrayLike]",
    *,
    mean: "ArrayLike | None" = None,
    std: "ArrayLike | None" = None,
    kl: "ArrayLike | None" = None,
    draws: int = 4096,
    level: float = 1e-9,
    seed: int = 0,
    name: str = "sampler",
) -> SamplingReport:
    """Whether samples come from the q they should: N(mean, std^2), and the one that `kl` charges for.

    Parameters
    ----------
    sample : callable(rng) -> z
        One draw with a numpy Generator; any shape, independent coordinates.
    mean, std : arrays like z, or None
        The q meant.
    kl : array like z, or that summed over the last axis, or None
        What the loss charges, KL(q || N(0, 1)) in nats: compared with the divergence of the distribution really
        sampled. This needs no agreement on what the layer's parameters mean.

    Returns
    -------
    SamplingReport. Tested: mean, standard deviation, KL, shape (Kolmogorov-Smirnov), shared noise between coordinates,
    repeated noise between draws.
    """
    given = mean is not None or std is not None or kl is not None
    expect(given, "mean, std, kl", None, "at least one of them to compare the samples with")
    expect(callable(sample), "sample", sample, "a function of a numpy Generator")
    expect(std is None or np.all(np.asarray(std) > 0), "std", std, "positive numbers")
    report = SamplingReport(name)
    rng = np.random.default_rng(seed)
    z = np.stack([np.array(sample(rng), dtype=np.float64) for _ in range(draws)])
    shape, flat = z.shape[1:], z.reshape(draws, -1)
    if not np.isfinite(flat).all():
        report.findings.append(f"{np.sum(~np.isfinite(flat))} of {flat.size} samples are not finite")
        return report
    m, v = flat.mean(0), flat.var(0, ddof=1)
    limit = NormalDist().inv_cdf(1.0 - level / 12.0 / max(1, flat.shape[1]))
    still = np.ptp(flat, axis=0) == 0.0
    if still.any():
        report.findings.append(f"the sample never changes at {_where(still, shape)}: no noise, or the same each time")
        return report
    if mean is not None:
        _test_mean(report, m, v, _like(mean, shape, "mean"), draws, limit, shape)
    if std is not None:
        _test_std(report, v, _like(std, shape, "std"), draws, limit, shape)
    if kl is not None:
        _test_kl(report, m, v, np.asarray(kl, dtype=np.float64), draws, limit, shape)
    standard = (flat - m) / np.sqrt(v)
    _test_shape(report, standard, level)
    _test_shared(report, standard, level, shape)
    repeats = np.abs(np.mean(standard[1:] * standard[:-1], axis=0)) * math.sqrt(draws)
    worst = int(np.argmax(repeats))
    text = f"successive draws are correlated ({repeats[worst] / math.sqrt(draws):.2f} at {_name(worst, shape)})"
    text += ": noise is used again"
    report.test("correlation of successive draws, in standard errors", repeats[worst], limit, text)
    return report


def _like(value, shape, name):
    try:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), shape).ravel()
    except ValueError:
        raise ValueError(f"{name}: got shape {np.shape(value)}, expected that of the samples, {shape}") from None


def _name(flat_index, shape):
    return str([int(i) for i in np.unravel_index(flat_index, shape)])


def _where(mask, shape):
    return f"{int(mask.sum())} of {mask.size} coordinates, first {_name(int(np.argmax(mask)), shape)}"


def _test_mean(report, m, v, mean, draws, limit, shape):
    errors = np.abs(m - mean) / np.sqrt(v / draws)
    worst = int(np.argmax(errors))
    text = f"the mean is off by {errors[worst]:.0f} standard errors at {_name(worst, shape)}"
    text += f": sampled {m[worst]:.4g}, meant {mean[worst]:.4g}"
    report.test("mean, in standard errors", errors[worst], limit, text)


def _test_std(report, v, std, draws, limit, shape):
    errors = np.abs(v / std**2 - 1.0) / math.sqrt(2.0 / draws)
    worst = int(np.argmax(errors))
    seen = np.sqrt(v)
    text = f"the standard deviation is wrong at {_name(worst, shape)}: sampled {seen[worst]:.4g}, "
    text += f"meant {std[worst]:.4g}{_guess_std(seen, std, 4.0 / math.sqrt(draws)) if errors[worst] > limit else ''}"
    report.test("standard deviation, in standard errors", errors[worst], limit, text)


def _guess_std(seen, std, slack):
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
    alike = np.all(np.abs(seen / std - factor) < slack * factor)
    return f"; everywhere it is {factor:.3g} times what is meant" if alike else ""


def _test_kl(report, m, v, kl, draws, limit, shape):
    sampled = 0.5 * (m * m + v - 1.0 - np.log(v))
    variance = (m * m * v + 0.5 * (v - 1.0) ** 2) / draws  # delta method, from those of m and v
    bias = 0.5 * (1.0 + v) / draws
    if kl.shape == shape[:-1] and kl.shape != shape:
        sampled, variance, bias = (a.reshape(shape).sum(-1).ravel() for a in (sampled, variance, bias))
    else:
        expect(kl.shape == shape, "kl", kl, f"the shape of the samples, {shape}")
    errors = np.abs(sampled - bias - kl.ravel()) / (np.sqrt(variance) + bias)
    worst = int(np.argmax(errors))
    text = f"the KL charged is not that of the distribution sampled: {kl.ravel()[worst]:.4g} nats charged at "
    text += f"{_name(worst, kl.shape)}, {sampled[worst]:.4g} sampled"
    report.test("KL against that of the samples, in standard errors", errors[worst], limit, text)


def _test_shape(report, standard, level):
    ordered = np.sort(standard.ravel())
    grid = np.arange(ordered.size + 1) / ordered.size
    normal = 0.5 * (1.0 + np.vectorize(math.erf)(ordered / math.sqrt(2.0)))
    distance = max(np.max(grid[1:] - normal), np.max(normal - grid[:-1])) * math.sqrt(ordered.size)
    limit, text = math.sqrt(-0.5 * math.log(level / 12)), "the samples are not normal: the noise has another shape"
    report.test("distance from the normal shape (Kolmogorov-Smirnov)", distance, limit, text)


def _test_shared(report, standard, level, shape):
    draws, size = standard.shape
    kept = np.unique(np.linspace(0, size - 1, min(size, PAIRS)).astype(int))
    if len(kept) < 2:
        return
    r = np.abs(np.corrcoef(standard[:, kept].T))
    np.fill_diagonal(r, 0.0)
    i, j = np.unravel_index(int(np.argmax(r)), r.shape)
    limit = NormalDist().inv_cdf(1.0 - level / 12.0 / len(kept) ** 2)
    text = f"coordinates {_name(kept[i], shape)} and {_name(kept[j], shape)} share noise "
    text += f"(correlation {r[i, j]:.2f}): one draw is used for both"
    report.test("correlation between coordinates, in standard errors", r[i, j] * math.sqrt(draws), limit, text)


def check_kl(
    kl: "ArrayLike",
    mean: "ArrayLike",
    std: "ArrayLike",
    *,
    sample: "Callable[[np.random.Generator], ArrayLike] | None" = None,
    draws: int = 4096,
    level: float = 1e-9,
    seed: int = 0,
    name: str = "KL",
) -> SamplingReport:
    """Whether `kl` is E_q[log q(z) - log p(z)] for q = N(mean, std^2), p = N(0, 1), in nats.

    kl, mean, std are arrays of one shape. Two tests: the expectation by three-point Gauss-Hermite quadrature, exact for
    this integrand, to rounding; and by Monte Carlo, with z from `sample(rng)` where given, so that the sampler and
    the loss are held against each other.
    """
    kl, mean, std = (np.asarray(a) for a in (kl, mean, std))
    eps = float(np.finfo(kl.dtype).eps) if kl.dtype.kind == "f" else 2.0**-52
    shapes = (kl.shape, mean.shape, std.shape)
    expect(len(set(shapes)) == 1, "kl, mean, std", shapes, "one shape")
    expect(np.all(std > 0), "std", std, "positive numbers")
    expect(sample is None or callable(sample), "sample", sample, "a function of a numpy Generator")
    report = SamplingReport(name)
    kl, mean, std = (a.astype(np.float64).ravel() for a in (kl, mean, std))

    def integrand(z):
        return -np.log(std) - 0.5 * ((z - mean) / std) ** 2 + 0.5 * z * z

    exact = integrand(mean) * (2.0 / 3.0)
    for sign in (1.0, -1.0):
        exact = exact + integrand(mean + sign * math.sqrt(3.0) * std) / 6.0
    size = 1.0 + mean**2 + std**2 + np.abs(np.log(std))
    errors = np.abs(kl - exact) / (eps * size)
    worst = int(np.argmax(errors))
    text = f"KL is {kl[worst]:.9g} nats for mean {mean[worst]:.4g}, std {std[worst]:.4g}"
    text += f": quadrature gives {exact[worst]:.9g}{_guess_kl(kl, exact)}"
    report.test("KL against quadrature, in roundings", errors[worst], 64.0, text)
    rng = np.random.default_rng(seed)
    total, square = np.zeros_like(kl), np.zeros_like(kl)
    for _ in range(draws):
        z = mean + std * rng.standard_normal(kl.shape) if sample is None else np.ravel(sample(rng)).astype(np.float64)
        value = integrand(z) - exact
        total += value
        square += value * value
    error = np.sqrt(np.maximum(square - total**2 / draws, 0.0)) / draws + 64.0 * eps * size
    gaps = np.abs(exact + total / draws - kl) / error
    worst = int(np.argmax(gaps))
    limit = NormalDist().inv_cdf(1.0 - level / 12.0 / max(1, kl.size))
    text = f"KL is {kl[worst]:.5g} nats, Monte Carlo with {draws} samples gives "
    text += f"{(exact + total / draws)[worst]:.5g} +- {error[worst]:.1g}"
    report.test("KL against Monte Carlo, in standard errors", gaps[worst], limit, text)
    return report


def _guess_kl(kl, exact):
    if np.allclose(kl, -exact, rtol=1e-5):
        return "; everywhere the sign is flipped"
    factor = float(kl @ exact / (exact @ exact)) if np.any(exact) else 1.0
    if np.allclose(kl, factor * exact, rtol=1e-5):
        return f"; everywhere it is {factor:.4g} times that"
    gap = kl - exact
    return f"; everywhere it is off by {gap[0]:.4g}" if np.allclose(gap, gap[0], rtol=1e-4) and gap.size > 2 else ""


def check_same_draw(
    draw: "Callable[[np.random.Generator], Sequence[ArrayLike]]",
    mean: "ArrayLike",
    *,
    draws: int = 32,
    tolerance: float | None = None,
    seed: int = 0,
    name: str = "sampler",
) -> SamplingReport:
    """Whether backward used the noise that forward used, for a layer whose z = mean + std(parameter) * noise.

    Parameters
    ----------
    draw : callable(rng) -> (z, dz, dparameter)
        One forward and one backward: the sample, the gradient handed to backward, and what backward returned for the
        parameter behind the standard deviation.
    mean : array like z

    dparameter = dz * noise * dstd/dparameter and z - mean = std * noise, so dparameter / (dz * (z - mean)) is the same
    in every draw, whatever std is as a function of the parameter. With a fresh draw in backward it is not: the gradient
    is then unrelated to the sample, and zero on average.
    """
    expect(callable(draw), "draw", draw, "a function of a numpy Generator")
    rng = np.random.default_rng(seed)
    mean = np.asarray(mean, dtype=np.float64)
    rows, eps = [], 0.0
    for _ in range(draws):
        drawn = draw(rng)
        triple = isinstance(drawn, (tuple, list)) and len(drawn) == 3
        expect(triple, "draw", f"{described(drawn)} from it", "(z, dz, dparameter)")
        z, dz, dparameter = (np.array(a) for a in drawn)
        eps = float(np.finfo(z.dtype).eps)
        rows.append((dparameter.astype(np.float64), dz.astype(np.float64) * (z.astype(np.float64) - mean)))
    left, right = (np.array(side) for side in zip(*rows, strict=True))
    square = np.sum(right**2, axis=0)
    slope = np.sum(left * right, axis=0) / np.where(square > 0.0, square, 1.0)
    unexplained = math.sqrt(np.sum((left - slope * right) ** 2) / max(np.sum(left**2), np.finfo(float).tiny))
    alike = float(np.sum(left * right) / max(np.linalg.norm(left) * np.linalg.norm(right), np.finfo(float).tiny))
    report = SamplingReport(name)
    text = f"backward did not use forward's noise: {100 * unexplained:.0f} % of the gradient with respect to the scale "
    text += f"is not explained by it (correlation {alike:.2f})"
    limit = math.sqrt(eps) if tolerance is None else tolerance
    report.test("part of the gradient that forward's noise does not explain", unexplained, limit, text)
    return report
