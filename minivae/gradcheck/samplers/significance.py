"""Statistics as normal scores, the limits they are held to, and the report of the checks on samples.

Every statistic is turned into a number that is standard normal for a right sampler, tails included, so that one limit
serves all. The tests of a report share its `level` equally, and within a test the coordinates, pairs or lags do.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from .. import showing

TESTS = 32  # as many as a report may hold: each has level / TESTS
STEP, END = 2.0**-12, 8.5  # the grid on which the normal distribution is tabulated


def limit(level, count=1):
    """What the largest of `count` standard normal numbers exceeds in size with probability level / TESTS at most."""
    return -NormalDist().inv_cdf(level / TESTS / 2.0 / max(1, count))


def student(t, df):
    """Normal score of Student's t (Wallace 1959): wrong by less than 0.02 from 10 degrees of freedom on."""
    return np.sign(t) * (8.0 * df + 1.0) / (8.0 * df + 3.0) * np.sqrt(df * np.log1p(t * t / df))


def correlation(r, n):
    """Normal score of a correlation of n pairs with n - 2 degrees of freedom."""
    r = np.clip(r, -1.0 + 1e-12, 1.0 - 1e-12)
    return student(r * np.sqrt((n - 2.0) / (1.0 - r * r)), n - 2.0)


def chi_square(x, df):
    """Normal score of chi-square (Wilson and Hilferty 1931)."""
    return (np.cbrt(x / df) - 1.0 + 2.0 / (9.0 * df)) / np.sqrt(2.0 / (9.0 * df))


def skewed(z, skewness):
    """Normal score of a number with mean 0, variance 1 and this skewness, taken for a shifted gamma variable."""
    size = np.maximum(np.abs(skewness), 1e-6)
    sign = np.where(np.asarray(skewness) < 0.0, -1.0, 1.0)
    df = 8.0 / size**2
    return sign * chi_square(df + sign * z * np.sqrt(2.0 * df), df)


def skewness(b, n, pooled=1):
    """Normal score of the skewness of n normal samples, or of the mean of `pooled` such (D'Agostino 1970 has its
    moments; Student's t of the same kurtosis stands for it).
    """
    variance = 6.0 * (n - 2.0) / ((n + 1.0) * (n + 3.0))
    excess = 36.0 * (n - 7.0) * (n * n + 2.0 * n - 5.0) / ((n - 2.0) * (n + 5.0) * (n + 7.0) * (n + 9.0)) / pooled
    df = 4.0 + 6.0 / excess
    return student(b * math.sqrt(pooled / variance * df / (df - 2.0)), df)


def kurtosis(b, n, pooled=1):
    """Normal score of the kurtosis (3 for a normal) of n normal samples, or of the mean of `pooled` such (Anscombe and
    Glynn 1983).
    """
    mean = 3.0 * (n - 1.0) / (n + 1.0)
    variance = 24.0 * n * (n - 2.0) * (n - 3.0) / ((n + 1.0) ** 2 * (n + 3.0) * (n + 5.0)) / pooled
    skew = 6.0 * (n * n - 5.0 * n + 2.0) / ((n + 7.0) * (n + 9.0) * math.sqrt(pooled))
    skew *= math.sqrt(6.0 * (n + 3.0) * (n + 5.0) / (n * (n - 2.0) * (n - 3.0)))
    a = 6.0 + 8.0 / skew * (2.0 / skew + math.sqrt(1.0 + 4.0 / skew**2))
    below = np.maximum(1.0 + (b - mean) * math.sqrt(2.0 / (variance * (a - 4.0))), 1e-12)
    return (1.0 - 2.0 / (9.0 * a) - np.cbrt((1.0 - 2.0 / a) / below)) * math.sqrt(4.5 * a)


def counted(count, expected):
    """Normal score of a Poisson count."""
    upper = -chi_square(2.0 * expected, 2.0 * count) if count > 0 else -math.inf
    lower = -chi_square(2.0 * expected, 2.0 * count + 2.0)
    return max(0.0, upper) + min(0.0, lower)


def squares(r, n):
    """Normal score of a sum of squared correlations, each of n pairs, of independent columns."""
    n = float(n)
    mean, deviation = 1.0 / (n - 1.0), math.sqrt(2.0 * (n - 2.0) / (n + 1.0)) / (n - 1.0)
    total = float(np.sum(np.square(r), dtype=np.float64))
    df = r.size
    return float(chi_square(df + (total - df * mean) / deviation * math.sqrt(2.0), df))


@functools.cache
def normal_table():
    """The grid and the normal distribution's CDF on it."""
    grid = np.arange(-END, END + STEP, STEP)
    return grid, np.array([0.5 * math.erfc(-x / math.sqrt(2.0)) for x in grid])


def normal_quantile(p):
    """Normal scores of probabilities, from -6 to 6."""
    grid, cdf = normal_table()
    return np.interp(np.clip(p, 1e-9, 1.0 - 1e-9), cdf, grid)


@functools.cache
def _size_table():
    grid, cdf = normal_table()
    half = grid[grid >= 0.0]
    return np.interp(np.maximum(2.0 * cdf[grid >= 0.0] - 1.0, 0.5 * STEP), cdf, grid), half


def size_score(z):
    """Normal score of |z|: standard normal itself where z is, so that its correlations are distributed as those of z
    are, and rising with |z| and z^2, so that it shows what they share.
    """
    table, _ = _size_table()
    place = np.minimum(np.abs(z) / STEP, len(table) - 2.0)
    index = place.astype(np.int32)
    low = table[index]
    return low + (place - index) * (table[index + 1] - low)


class Test(NamedTuple):
    """One statistic against its limit; the sentence, or what makes it, is said where it exceeds that."""

    what: str
    statistic: float
    limit: float
    sentence: str | Callable[[], str]


@dataclass(repr=False)
class SamplingReport:
    """Result of the sampling checks: `findings` are sentences, `tests` rows (what, statistic, limit). `level` is the
    probability that something right is refused, or 0 where nothing is left to chance.
    """

    name: str
    tests: list[tuple[str, float, float]] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    level: float = 0.0
    prefix: str = ""  # of findings: what the numbers tested are made of

    @property
    def passed(self) -> bool:
        return not self.findings

    def __bool__(self) -> bool:
        return self.passed

    @property
    def _head(self):
        return f"sampling {'right' if self.passed else 'check failed'}: {self.name}"

    def __repr__(self) -> str:
        return f"SamplingReport({self._head}; {len(self.tests)} tests)"

    def __str__(self) -> str:
        lines = [self._head] + [f"  {sentence}" for sentence in self.findings]
        lines += [f"  {what}: {value:.3g} (limit {limit:.3g})" for what, value, limit in self.tests]
        if self.level and self.tests:
            lines.append(f"  what is right is refused with probability {self.level:.0e} at most")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return showing.sampling(self, self._head)

    def test(self, what: str, statistic: float, limit: float, sentence: str) -> None:
        """Note a test; the sentence becomes a finding where the statistic exceeds its limit or is not a number."""
        self.family(Test(what, float(statistic), float(limit), sentence))

    def family(self, *tests: Test) -> bool:
        """Note tests that look at one thing: of those that fail, the first is told. Returns whether all passed."""
        self.tests += [(test.what, float(test.statistic), float(test.limit)) for test in tests]
        failed = [test for test in tests if not test.statistic <= test.limit]
        for test in failed[:1]:
            self.findings.append(self.prefix + (test.sentence if isinstance(test.sentence, str) else test.sentence()))
        return not failed


@dataclass
class Independence:
    """How many independent draws are worth as much as those seen, and how much larger than with independent coordinates
    the variance of a mean over them is: 1 unless dependence was found, whose effect on moments is not told twice.
    """

    draws: float
    coordinates: float = 1.0


def place(index, shape):
    """A flat index as an index of the array."""
    return str([int(i) for i in np.unravel_index(int(index), shape)])
