"""Whether a KL term is the expectation that it stands for."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ...errors import expect
from .significance import SamplingReport, Test, limit, place, skewed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def expect_covariance(cov, shape):
    """`cov` as float64; ValueError unless it broadcasts to symmetric positive definite matrices over the last axis."""
    cov = np.asarray(cov, dtype=np.float64)
    wanted = (*shape, shape[-1]) if shape else ()
    fits = bool(shape) and cov.shape[-2:] == wanted[-2:] and cov.ndim <= len(wanted)
    fits = fits and all(a in (1, b) for a, b in zip(cov.shape[::-1], wanted[::-1], strict=False))
    expect(fits, "cov", cov, f"shape {wanted}: a matrix for each row")
    size = np.max(np.abs(cov), axis=(-2, -1), keepdims=True)
    alike = np.abs(cov - np.swapaxes(cov, -1, -2)) <= 1e-6 * size
    expect(np.all(alike) and np.all(np.linalg.eigvalsh(cov) > 0), "cov", cov, "symmetric positive definite matrices")
    return cov


class _Charge:
    """log q(z) - log p(z), q = N(mean, std^2) or N(mean, cov), p = N(0, 1) after what makes the prior so, axis by axis.

    A sample is z = axes (centre + root x) with x standard normal; without `cov` the axes are the coordinates. `size` is
    what the terms of the usual formulas add up to, so that their rounding is a few times eps * size.
    """

    def __init__(self, mean, std, cov, prior_mean, prior_std, rows):
        self.rows, self.prior = rows or cov is not None, (prior_mean, prior_std)
        self.mean = mean
        self.axes = None
        around = (np.abs(mean) + np.abs(prior_mean)) ** 2 / prior_std**2
        if cov is None:
            self.root = std / prior_std
        else:
            values, self.axes = np.linalg.eigh(cov / (prior_std[..., :, None] * prior_std[..., None, :]))
            expect(np.all(values > 0.0), "cov", cov, "matrices that are positive definite beyond rounding")
            self.root = np.sqrt(values)
            around = around + np.max(values, -1, keepdims=True) / values  # rounding of the matrix moves its determinant
        self.centre = self.along((mean - prior_mean) / prior_std)
        log = np.abs(np.log(self.root))
        self.size = self.total(1.0 + around + self.root**2 * (1.0 + log) + log)

    def total(self, values):
        return values.sum(-1) if self.rows else values

    def along(self, z):
        return z if self.axes is None else np.einsum("...ij,...i->...j", self.axes, z)

    def exact(self):
        """The expectation by the three-point Gauss-Hermite rule along each axis, exact for a quadratic."""
        value = -np.log(self.root) + self.centre**2 / 3.0
        for node in (math.sqrt(3.0), -math.sqrt(3.0)):
            value = value + (0.5 * (self.centre + node * self.root) ** 2 - 1.5) / 6.0
        return self.total(value)

    def cumulants(self):
        """Second and third cumulant of one draw, which is a x + b (x^2 - 1) and a constant along each axis."""
        a2, b = (self.centre * self.root) ** 2, 0.5 * (self.root**2 - 1.0)
        return self.total(a2 + 2.0 * b**2), self.total(6.0 * a2 * b + 8.0 * b**3)

    def of_noise(self, x):
        return self.total(-np.log(self.root) - 0.5 * x**2 + 0.5 * (self.centre + self.root * x) ** 2)

    def of_sample(self, z):
        z = self.along((z.reshape(self.mean.shape) - self.prior[0]) / self.prior[1])
        return self.total(-np.log(self.root) - 0.5 * ((z - self.centre) / self.root) ** 2 + 0.5 * z**2)

    def rounding(self, dtype):
        """What the rounding of samples to a dtype may add, where the noise is not much larger."""
        step = np.spacing(np.abs(self.mean).astype(dtype)).astype(np.float64) / self.prior[1]
        step = step if self.axes is None else np.max(step, -1, keepdims=True)
        return self.total((step / self.root) ** 2)


def test_exact(report, kl, charge):
    """`kl` against the expectation, to rounding of its own dtype. Returns what was found: (exact, allowance)."""
    eps = float(np.finfo(kl.dtype).eps) if kl.dtype.kind == "f" else 2.0**-52
    kl, exact = kl.astype(np.float64), charge.exact()
    errors = np.ravel(np.abs(kl - exact) / (eps * charge.size))
    worst = int(np.argmax(errors))
    where = f"mean {charge.mean.flat[worst]:.4g}, std {charge.root.flat[worst]:.4g}"
    where = place(worst, kl.shape) if charge.rows else where
    text = f"KL is {kl.flat[worst]:.9g} nats for {where}"
    text += f": quadrature gives {exact.flat[worst]:.9g}"
    text += _guess_kl(kl.ravel(), exact.ravel(), charge, eps * np.ravel(charge.size)) if errors[worst] > 64.0 else ""
    report.test("KL against quadrature, in roundings", errors[worst], 64.0, text)
    return exact, 64.0 * eps * charge.size


def charge_of(kl, mean, std=None, cov=None, prior_mean=0.0, prior_std=1.0):
    """The arguments of a KL, checked, as (kl, charge); ValueError for what does not fit together."""
    kl, mean = np.asarray(kl), np.asarray(mean)
    expect((std is None) != (cov is None), "std, cov", "neither" if std is None else "both", "one of them")
    shapes = (kl.shape, mean.shape) if std is None else (kl.shape, mean.shape, np.shape(std))
    rows = kl.shape == mean.shape[:-1] and mean.ndim > 0
    alike = len(set(shapes[1:])) == 1 and (rows or (cov is None and kl.shape == mean.shape))
    text = "one shape, or kl without the last axis" if cov is None else "kl without mean's last axis"
    expect(alike, "kl, mean, std" if cov is None else "kl, mean", shapes, text)
    expect(kl.size > 0, "kl", kl, "at least one number")
    mean = mean.astype(np.float64)
    if std is not None:
        std = np.asarray(std)
        expect(np.all(std > 0), "std", std, "positive numbers")
        std = std.astype(np.float64)
    else:
        cov = np.broadcast_to(expect_covariance(cov, mean.shape), (*mean.shape, mean.shape[-1]))
    prior = []
    for what, value in (("prior_mean", prior_mean), ("prior_std", prior_std)):
        value = np.asarray(value, dtype=np.float64)
        fits = value.ndim <= mean.ndim and all(
            a in (1, b) for a, b in zip(value.shape[::-1], mean.shape[::-1], strict=False)
        )
        expect(fits, what, value, f"what broadcasts to the shape of mean, {mean.shape}")
        prior.append(np.broadcast_to(value, mean.shape))
    expect(np.all(prior[1] > 0), "prior_std", prior[1], "positive numbers")
    return kl, _Charge(mean, std, cov, prior[0], prior[1], rows)


def check_kl(
    kl: "ArrayLike",
    mean: "ArrayLike",
    std: "ArrayLike | None" = None,
    *,
    cov: "ArrayLike | None" = None,
    prior_mean: "ArrayLike" = 0.0,
    prior_std: "ArrayLike" = 1.0,
    sample: "Callable[[np.random.Generator], ArrayLike] | None" = None,
    draws: int = 4096,
    level: float = 1e-4,
    seed: int = 0,
    name: str = "KL",
) -> SamplingReport:
    """Whether `kl` is E_q[log q(z) - log p(z)] in nats, for q = N(mean, std^2) or N(mean, cov) and a prior
    p = N(prior_mean, prior_std^2), by default N(0, 1).

    mean and std are arrays of one shape, cov is (..., d, d) for a mean (..., d). kl has the shape of mean, or is summed
    over its last axis, as it must be with cov. Two tests: the expectation by three-point Gauss-Hermite quadrature along
    every axis, exact for this integrand, to 64 roundings (kl's dtype) of the terms that the KL consists of; and by
    Monte Carlo, each entry and pooled, with z from `sample(rng)` where given, so that sampler and loss are held against
    each other. `level` is the probability that what is right is refused. ValueError for arguments that do not fit.
    """
    expect(sample is None or callable(sample), "sample", sample, "a function of a numpy Generator")
    told, charge = charge_of(kl, mean, std, cov, prior_mean, prior_std)
    report = SamplingReport(name, level=level)
    exact, allowed = test_exact(report, told, charge)
    rng = np.random.default_rng(seed)
    total, dtype = np.zeros(told.shape), np.dtype(np.float64)
    for _ in range(draws):
        if sample is None:
            total += charge.of_noise(rng.standard_normal(charge.mean.shape)) - exact
            continue
        z = np.asarray(sample(rng))
        expect(z.size == charge.mean.size, "sample", f"shape {z.shape} from it", f"that of mean, {charge.mean.shape}")
        dtype = z.dtype if z.dtype.kind == "f" else dtype
        total += charge.of_sample(z.astype(np.float64)) - exact
    allowed = np.ravel(allowed + charge.rounding(dtype))
    second, third = (np.ravel(a) for a in charge.cumulants())
    found = np.ravel(exact + total / draws)
    gap = found - told.ravel()

    def score(gap, allowed, second, third):
        second = np.maximum(second, allowed**2)
        rest = np.sign(gap) * np.maximum(np.abs(gap) - allowed, 0.0)
        return np.abs(skewed(rest * np.sqrt(draws / second), third / second**1.5 / math.sqrt(draws)))

    scores = score(gap, allowed, second, third)
    pooled = float(score(gap.sum(), allowed.sum(), second.sum(), third.sum()))
    worst = int(np.argmax(scores))
    text = f"KL is {told.flat[worst]:.5g} nats, Monte Carlo with {draws} samples gives "
    text += f"{found[worst]:.5g} +- {math.sqrt(second[worst] / draws) + allowed[worst]:.1g}"
    whole = f"KL is {float(told.sum()):.7g} nats in all, Monte Carlo with {draws} samples gives "
    whole += f"{found.sum():.7g} +- {math.sqrt(second.sum() / draws) + allowed.sum():.1g}"
    report.family(
        Test("KL against Monte Carlo", scores[worst], limit(level, told.size), text),
        Test("KL against Monte Carlo, pooled", pooled, limit(level), whole),
    )
    return report


def _guess_kl(kl, exact, charge, rounding):
    gap = kl - exact
    if not np.isfinite(kl).all():
        return ""
    room = 1e-3 * np.max(np.abs(gap)) + rounding  # what a pattern in the errors may leave unexplained
    if np.all(np.abs(kl + exact) <= room):
        return "; everywhere the sign is flipped"
    factor = float(kl @ exact / (exact @ exact)) if np.any(exact) else 1.0
    if gap.size > 1 and np.all(np.abs(kl - factor * exact) <= room):
        return f"; everywhere it is {factor:.10g} times that"
    if gap.size > 2 and np.all(np.abs(gap - gap.mean()) <= room):
        return f"; everywhere it is off by {gap.mean():.4g}"
    for power, name in ((1, "std"), (2, "std^2")) if not charge.rows else ():
        inverse = charge.root.ravel() ** -power
        k = float(gap @ inverse / (inverse @ inverse))
        if gap.size > 2 and np.ptp(inverse) > 0.1 * inverse.max() and np.all(np.abs(gap - k * inverse) <= room):
            return f"; everywhere it is off by {k:.3g} / {name}: {-k * power:.3g} added to {name} inside the logarithm?"
    if charge.rows or gap.size < 8:
        return ""
    root = charge.root
    columns = (np.square(charge.centre), np.square(root), np.log(root), np.ones(root.shape))
    terms = np.stack([column.ravel() for column in columns], 1)
    weights, right = np.linalg.lstsq(terms, kl, rcond=None)[0], (0.5, 0.5, -1.0, -0.5)
    if not np.allclose(terms @ weights, kl, rtol=1e-5, atol=1e-5 * np.max(np.abs(kl))):
        return ""
    names = ("mean^2", "std^2", "log std", "the constant")
    wrong = [k for k in range(4) if abs(weights[k] - right[k]) > 1e-3]
    said = ", ".join(f"{names[k]} has weight {weights[k]:.4g}, not {right[k]:g}" for k in wrong)
    return f"; everywhere {said}" if wrong else ""
