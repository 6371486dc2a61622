"""Two-dimensional toy sets: small enough to plot whole, hard enough for one Gaussian to miss."""

import numpy as np

from ..errors import expect

LARGEST = 10_000_000  # rows
SPREAD = 5.0  # standard deviation of a feature: wide enough that noise of unit variance leaves the shape to be seen


def make_toy(name: str, size: int = 10_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw a toy set; return ``train, test, train_labels, test_labels``.

    With k the label (uniform), t uniform and n, m standard normal, one row before standardisation is

    - ``rings``, k in {0, 1, 2}: ``r (cos t, sin t)``, radius ``r = 1 + k + 0.08 n``, t in [0, 2 pi);
    - ``moons``, k in {0, 1}: ``(cos t, sin t)`` if k is 0, else ``(1 - cos t, 1/2 - sin t)``, plus ``0.08 (n, m)``,
      t in [0, pi);
    - ``pinwheel``, k in {0, ..., 4}: ``(a, b) = (1 + 0.3 n, 0.1 m)`` turned by the angle ``2 pi k / 5 + exp(a) / 4``
      (Johnson et al. 2016, arXiv:1603.06277, Fig. 1: a warped mixture of Gaussians).

    Each feature is then shifted and scaled to mean 0 and standard deviation 5 over the training rows; the test rows are
    moved by the same amounts. Against a Gaussian likelihood of unit variance, data of unit variance would all be noise.

    Parameters
    ----------
    name : "rings", "moons" or "pinwheel"
    size : int
        Training rows, 2 to 10,000,000. The test set has a tenth of that, rounded down, and at least one row.
    seed : int
        Seed of ``numpy.random.default_rng``.

    Returns
    -------
    train, test : (size, 2), (max(1, size // 10), 2) float32
    train_labels, test_labels : int64
    """
    expect(2 <= size <= LARGEST, "size", size, f"2 to {LARGEST} rows for the toy set {name!r}")
    rng = np.random.default_rng(seed)
    points, labels = TOY_SETS[name](rng, size + max(1, size // 10))
    points -= points[:size].mean(axis=0)
    points *= SPREAD / points[:size].std(axis=0)
    points = points.astype(np.float32)
    return points[:size], points[size:], labels[:size], labels[size:]


def _rings(rng, rows):
    labels = rng.integers(3, size=rows)
    angle = rng.uniform(0, 2 * np.pi, rows)
    radius = 1 + labels + 0.08 * rng.standard_normal(rows)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), labels


def _moons(rng, rows):
    labels = rng.integers(2, size=rows)
    angle = rng.uniform(0, np.pi, rows)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.where(labels[:, None] == 0, upper, [1, 0.5] - upper)
    return points + 0.08 * rng.standard_normal((rows, 2)), labels


def _pinwheel(rng, rows):
    labels = rng.integers(5, size=rows)
    a, b = [[1], [0]] + [[0.3], [0.1]] * rng.standard_normal((2, rows))
    angle = 2 * np.pi / 5 * labels + np.exp(a) / 4
    return np.stack([a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)], axis=1), labels


TOY_SETS = {"rings": _rings, "moons": _moons, "pinwheel": _pinwheel}
