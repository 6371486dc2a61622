"""What finite differences cannot see in a layer that samples.

With frozen noise, differences only show that backward is the derivative of forward. They pass a sampler whose forward
is wrong and whose backward agrees with it: one that takes a variance for a standard deviation, say, or shares one draw
between examples. Then the samples do not come from the q that the KL term charges for, and the loss bounds nothing.

Every test here is a fixed computation from its seed. `level` is the probability that a right sampler is refused,
for the whole report (the tests share it equally), if the seed were drawn anew.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import described, expect
from .dependence import residuals, test_dependence, test_shape, unit
from .kl import charge_of, expect_covariance, test_exact
from .moments import guess_std, test_kl, test_mean, test_std
from .significance import SamplingReport, normal_quantile, place, size_score

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

KEPT = 2048  # coordinates whose shape and dependence are looked at; of more, so many at random
FEWEST = 100  # draws


def check_sampler(
    sample: "Callable[[np.random.Generator], ArrayLike]",
    *,
    mean: "ArrayLike | None" = None,
    std: "ArrayLike | None" = None,
    cov: "ArrayLike | None" = None,
    cdf: Any = None,
    kl: "ArrayLike | None" = None,
    draws: int = 4096,
    level: float = 1e-4,
    seed: int = 0,
    name: str = "sampler",
) -> SamplingReport:
    """Whether samples come from the q they should: N(mean, std^2), N(mean, cov), that of `cdf`, or that of `kl`.

    Parameters
    ----------
    sample : callable(rng) -> z
        One draw with a numpy Generator; floats of any shape, independent but for `cov`.
    mean, std : arrays like z, or None
        The q meant.
    cov : (..., d, d) or None
        Covariances over the last axis of z, symmetric and positive definite, instead of `std`.
    cdf : callable(z) -> probabilities of the shape of z, or an object with such a method `cdf` (scipy.stats), or None.
        Any other continuous distribution of each coordinate, instead of `mean`, `std`, `cov` and `kl`.
    kl : array like z, or that summed over the last axis, or None
        What the loss charges, KL(q || N(0, 1)) in nats: compared with the divergence of the distribution really
        sampled. This needs no agreement on what the layer's parameters mean. With `cov` it has one entry a row and
        needs `mean`.
    draws : int
        At least 100. Pooled over all coordinates the standard error of the standard deviation, relative, is
        sqrt(1 / (2 draws size)), that of the mean sqrt(1 / (draws size)) standard deviations.
    level : float
        Probability that a right sampler is refused, all tests together.

    Returns
    -------
    SamplingReport. Tested: mean, standard deviation, KL, each by coordinate and pooled; shape (Kolmogorov-Smirnov,
    third and fourth moments, tails); noise or its size shared between coordinates, all pairs; noise used again by later
    draws, all lags. Of more than 2,048 coordinates, shape and dependence are looked at in so many, chosen at random.
    ValueError for arguments that do not fit together.
    """
    given = any(a is not None for a in (mean, std, cov, cdf, kl))
    expect(given, "mean, std, kl", None, "at least one of them, cov or cdf, to compare the samples with")
    expect(callable(sample), "sample", sample, "a function of a numpy Generator")
    expect(std is None or np.all(np.asarray(std) > 0), "std", std, "positive numbers")
    expect(std is None or cov is None, "std, cov", "both", "one of them")
    moments = any(a is not None for a in (mean, std, cov, kl))
    expect(cdf is None or not moments, "cdf", "mean, std, cov or kl beside it", "none of them")
    method = getattr(cdf, "cdf", cdf)  # SciPy's distributions can be called as well, which freezes them
    expect(cdf is None or callable(method), "cdf", cdf, "a function of the samples, or an object with a method cdf")
    expect(isinstance(draws, (int, np.integer)) and draws >= FEWEST, "draws", draws, f"an integer of at least {FEWEST}")
    expect(0.0 < level < 1.0, "level", level, "a probability")
    report = SamplingReport(name, level=level)
    rng = np.random.default_rng(seed)
    first = np.array(sample(rng))
    expect(first.dtype.kind in "fiub", "sample", f"{described(first)} from it", "real numbers")
    expect(first.size > 0, "sample", f"{described(first)} from it", "at least one number")
    shape = first.shape
    matrix = None if cov is None else expect_covariance(cov, shape)
    expect(cov is None or kl is None or mean is not None, "mean", None, "an array, as cov and kl are given")
    whitening = None if matrix is None else np.linalg.inv(np.linalg.cholesky(matrix))
    mean = None if mean is None else _like(mean, shape, "mean")
    seen = _draw(sample, rng, first, draws, seed, _Meaning(mean, whitening, method))
    if isinstance(seen, str):
        report.findings.append(seen)
        return report
    m, v, step = seen.mean, seen.variance, seen.step
    if cdf is not None:
        mean = np.zeros(m.size)
    elif cov is not None and mean is not None:
        exact, mean = mean, np.zeros(m.size)
        if kl is not None:
            test_exact(report, *charge_of(kl, exact.reshape(shape), cov=matrix))
    report.prefix = "normal scores of cdf(z): " if cdf is not None else "whitened by cov: " if cov is not None else ""
    z, third, fourth = residuals(seen.kept, m[seen.index], v[seen.index])
    hint = "; if they are meant to be correlated, give cov=" if cov is None and cdf is None else ""
    noise = test_dependence(report, z, unit(size_score(z)), shape, seen.index, hint, seen.repeats)
    heavy = test_shape(report, z, third, fourth, shape, seen.index, noise)
    if mean is not None:
        test_mean(report, m, v, mean, step, shape, noise)
    noise.draws /= heavy
    v = np.maximum(v - step**2 / 6.0, 1e-3 * v)  # less what rounding and its undoing added (Sheppard's correction)
    if std is not None:
        meant = _like(std, shape, "std")
        test_std(report, v, meant, shape, noise, lambda sd: guess_std(sd, meant, draws))
    elif cov is not None or cdf is not None:
        test_std(report, v, np.ones(m.size), shape, noise, lambda sd: "")
    if kl is not None and cov is None:
        test_kl(report, m, v, np.asarray(kl), shape, noise)
    if cov is not None and report.findings:
        report.findings[:0] = _guess_cov(seen, matrix, shape)
    return report


@dataclass
class _Meaning:
    """How draws become independent coordinates: whitened by a covariance's factor, or normal scores of a CDF."""

    mean: np.ndarray | None
    whitening: np.ndarray | None
    cdf: Callable | None

    def __call__(self, z):
        if self.cdf is not None:
            p = np.asarray(self.cdf(z), dtype=np.float64)
            expect(p.shape == z.shape, "cdf", f"shape {p.shape} from it", f"that of the samples, {z.shape}")
            within = np.all((p >= 0.0) & (p <= 1.0 + 1e-9))
            wanted = "probabilities; on a circle take them modulo 1, as in lambda z: F(z) % 1"
            expect(within, "cdf", f"values from {p.min():.3g} to {p.max():.3g}", wanted)
            return normal_quantile(p), np.count_nonzero((p <= 0.0) | (p >= 1.0))
        if self.whitening is not None:
            z = z if self.mean is None else z - self.mean.reshape(z.shape)
            z = (self.whitening @ z[..., None])[..., 0]
        return z, 0


@dataclass
class _Seen:
    """Moments of all coordinates, the distance of neighbouring numbers if it is more than float64's, and all draws of
    the coordinates that are kept, (coordinates, draws).
    """

    mean: np.ndarray
    variance: np.ndarray
    step: np.ndarray
    kept: np.ndarray
    index: np.ndarray
    repeats: tuple[int, int]


def _draw(sample, rng, first, draws, seed, meaning):
    """What is seen, or the sentence that says why nothing further can be said."""
    shape, size = first.shape, first.size
    own = np.random.default_rng([seed, 1])
    index = np.arange(size) if size <= KEPT else np.sort(own.choice(size, KEPT, replace=False))
    kept, raw = np.empty((len(index), draws)), np.empty((min(64, len(index)), draws))
    looked = index[np.linspace(0, len(index) - 1, len(raw)).astype(int)]
    low, high = np.full(size, np.inf), np.full(size, -np.inf)
    m, square, shift = np.zeros(size), np.zeros(size), None
    broken = outside = again = 0
    known: dict[bytes, int] = {}
    back = 0
    for t in range(draws):
        z = first if t == 0 else np.asarray(sample(rng))
        expect(z.shape == shape, "sample", f"shape {z.shape} after {shape}", "one shape")
        before = known.setdefault(z.tobytes() if z.nbytes <= 64 else _digest(z), t)
        if before < t:
            again, back = again + 1, back or t - before
        narrow = z.dtype.kind == "f" and z.dtype.itemsize < 8
        wide = z.astype(np.float64)
        flat = wide.ravel()
        bad = size - np.count_nonzero(np.isfinite(flat))
        broken += bad
        if bad:
            continue
        low, high = np.minimum(low, flat), np.maximum(high, flat)
        raw[:, t] = flat[looked]
        if narrow:  # what rounding to few digits took away, put back at random: the samples are continuous again
            wide = wide + (own.random(shape) - 0.5) * np.spacing(np.abs(z)).astype(np.float64)
        wide, beyond = meaning(wide)
        outside += beyond
        flat = wide.ravel()
        shift = flat if shift is None else shift
        gap = flat - m
        m = m + gap / (t + 1.0)
        square += gap * (flat - m)
        kept[:, t] = flat[index]
    if broken:
        return f"{broken} of {size * draws} samples are not finite"
    still = low == high
    if still.any():
        where = f"{int(still.sum())} of {size} coordinates, first {place(int(np.argmax(still)), shape)}"
        return f"the sample never changes at {where}: no noise, or the same each time"
    if meaning.cdf is not None:
        _expect_rising(raw, kept[np.searchsorted(index, looked)])
    if outside > 1e-3 * size * draws:
        return f"{outside:,} of {size * draws:,} samples lie outside the distribution: its cdf is 0 or 1 there"
    values = np.array([len(np.unique(row)) for row in raw])
    digits = first.dtype if first.dtype.kind == "f" else np.dtype(np.float64)
    possible = np.ptp(raw, axis=1) / np.spacing(np.max(np.abs(raw), axis=1).astype(digits)).astype(np.float64)
    few = int(np.argmin(values / np.minimum(possible, draws)))
    whole = first.dtype.kind in "iub" or bool(np.all(raw == np.round(raw)))
    fewer = again <= 0.02 * draws or whole or values[few] < 0.5 * (draws - again)  # than whole draws of their own
    if fewer and values[few] < 0.1 * min(possible[few], draws):
        text = f"only {values[few]} different values in {draws} draws at {place(looked[few], shape)}: the samples are "
        text += "discrete (all are integers)" if whole else "discrete, or the noise is from a short list"
        return text + "; these tests are for continuous distributions"
    again = again if first.nbytes > 8 or again > draws // 2 else 0  # one float32 has copies by chance
    step = np.zeros(size)
    if narrow and meaning.cdf is None and meaning.whitening is None:
        step = np.spacing(np.abs(m).astype(first.dtype)).astype(np.float64)
    return _Seen(m, square / (draws - 1.0), step, kept, index, (again, back))


def _expect_rising(samples, scores):
    """Raises ValueError where a cdf falls; on a circle it may do so in a place."""
    steps = np.diff(np.take_along_axis(scores, np.argsort(samples, axis=1), axis=1), axis=1)
    falling = np.count_nonzero(steps < 0.0, axis=1) > 0.9 * np.count_nonzero(steps, axis=1)
    expect(
        not falling.any(), "cdf", "a function that falls", "one that rises from 0 to 1: 1 - cdf is a survival function"
    )


def _digest(z):
    import hashlib

    return hashlib.blake2b(np.ascontiguousarray(z).data, digest_size=16).digest()


def _like(value, shape, name):
    try:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), shape).ravel()
    except ValueError:
        raise ValueError(f"{name}: got shape {np.shape(value)}, expected that of the samples, {shape}") from None


def _guess_cov(seen, cov, shape):
    """A sentence on what the covariance is instead, or none."""
    if len(seen.index) < len(seen.mean):
        return []
    d, draws = shape[-1], seen.kept.shape[1]
    u = seen.kept.reshape(-1, d, draws)
    u = u - u.mean(2, keepdims=True)
    factor = np.broadcast_to(np.linalg.cholesky(cov), (*shape, d)).reshape(-1, d, d)
    found = factor @ (u @ np.swapaxes(u, 1, 2) / draws) @ np.swapaxes(factor, 1, 2)
    meant = np.broadcast_to(cov, (*shape, d)).reshape(-1, d, d)
    size = np.linalg.norm(found, axis=(1, 2))

    def off(other):
        return float(np.max(np.linalg.norm(found - other, axis=(1, 2)) / size))

    own = np.eye(d) * np.diagonal(meant, axis1=1, axis2=2)[:, None, :]
    others = {
        "L' L, with L the Cholesky factor of cov (the factor is transposed)": np.swapaxes(factor, 1, 2) @ factor,
        "the diagonal of cov (the rest is left out)": own,
        "the square of L's diagonal": np.eye(d) * np.diagonal(factor, axis1=1, axis2=2)[:, None, :] ** 2,
        "cov cov' (the noise is multiplied by cov, not by its factor)": meant @ np.swapaxes(meant, 1, 2),
        "the inverse of cov (a precision)": np.linalg.inv(meant),
        "that of independent coordinates with variance 1": np.broadcast_to(np.eye(d), meant.shape),
    }
    gaps = {text: off(other) for text, other in others.items()}
    best = min(gaps, key=lambda text: gaps[text])
    close = gaps[best] < 6.0 * d / math.sqrt(draws) and gaps[best] < 0.5 * off(meant)
    return [f"the covariance sampled is {best}"] if close else []


def dirichlet_sticks(z: "ArrayLike") -> np.ndarray:
    """Samples (..., K) of a Dirichlet distribution as independent numbers (..., K - 1), so that they can be checked:
    the part that each entry takes of what those before it leave, Beta(a_k, sum of the later a) for parameters a.

    ValueError where rows do not sum to 1.
    """
    z = np.asarray(z)
    expect(z.ndim > 0 and z.shape[-1] > 1, "z", z, "at least two entries on the last axis")
    left = np.cumsum(z[..., ::-1], axis=-1)[..., ::-1]
    whole = np.all(np.abs(left[..., 0] - 1.0) <= 32.0 * z.shape[-1] * np.finfo(z.dtype).eps)
    expect(
        whole, "z", f"rows with sums from {left[..., 0].min():.6g} to {left[..., 0].max():.6g}", "rows that sum to 1"
    )
    return z[..., :-1] / left[..., :-1]
