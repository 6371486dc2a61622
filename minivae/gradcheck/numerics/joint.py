"""One random direction through all arrays at once: few evaluations, and almost every wrong gradient shows."""

import numpy as np

from ..subject.moving import put_back
from ..subject.targets import Finding, flat
from .differences import SAFETY, Differences, differentiate
from .judge import ANALYTIC_ROUNDING, rms
from .kinks import NUDGE
from .noise import carried, noise_amplification
from .probe import finite_outputs


def agrees(subject, claimed, rtol, atol):
    """Whether the gradient claimed is that of forward at the current values, weighted with `subject.cotangents`.

    True also where rounding or kinks leave it open: what says False is to be judged array by array.
    """
    rng = np.random.default_rng((subject.seed, 4))
    arrays = [subject.arrays[name] for name in claimed]
    verdict = _along(subject, arrays, list(claimed.values()), rtol, atol, rng)
    if verdict is None:  # a kink lies here: a little way off it
        with put_back(arrays):
            for array in arrays:
                array += (NUDGE * (rms(array) or 1.0) * rng.standard_normal(array.shape)).astype(array.dtype)
            try:
                moved = subject.claimed()
                verdict = _along(subject, arrays, [moved[name] for name in claimed], rtol, atol, rng)
            except Finding:  # beyond the edge of its domain
                return True
    return verdict is not False


def _along(subject, arrays, claims, rtol, atol, rng):
    """True, False, or None where there is no derivative."""
    eps = max((float(np.finfo(a.dtype).eps) for a in arrays), default=0.0)
    rtol = np.sqrt(eps) if rtol is None else rtol
    # In proportion to each entry, so that signs and limits are kept; zeros stay where not all are.
    ways = [rng.standard_normal(a.shape) * (np.abs(a, dtype=np.float64) if a.any() else 1.0) for a in arrays]

    def line(t):
        with put_back(arrays):
            for array, way in zip(arrays, ways, strict=True):
                array[...] = array + t * way
            return t, finite_outputs(subject)

    start = finite_outputs(subject)
    if start is None:
        return None
    parts = [np.multiply(g, way, dtype=np.float64) for g, way in zip(claims, ways, strict=True)]
    expected = float(sum(part.sum() for part in parts))
    size = float(np.sqrt(sum(np.square(part).sum() for part in parts)))
    floor = atol + ANALYTIC_ROUNDING * eps * size
    cotangent = flat(subject.cotangents)
    amplification, usual = None, 0.0
    while True:
        differences = Differences(line, start, cotangent, eps, amplification or 1.0, usual)
        found = differentiate(differences, 1.0, expected, rtol, floor)
        if found.kind not in ("smooth", "near kink"):
            return None
        tolerance = rtol * max(abs(expected), abs(found.value)) + floor + SAFETY * found.error
        if abs(expected - found.value) <= tolerance or not np.isfinite(found.error):
            return True
        if amplification is not None:
            return False
        amplification, usual = noise_amplification(line, start, cotangent, eps)
        usual = np.maximum(usual, carried(line, start, eps, 1.0))
