"""Whether backward used the noise that forward used."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...errors import described, expect
from .significance import SamplingReport

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


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
    is then unrelated to the sample, and zero on average. Where dz or dparameter is zero in every draw, or z the mean,
    nothing is shown, and the check fails.
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
    report = SamplingReport(name)
    for side, what in ((right, "dz * (z - mean)"), (left, "dparameter")):
        if not side.any():
            report.findings.append(f"nothing was shown: {what} is zero in every draw")
            return report
    square = np.sum(right**2, axis=0)
    slope = np.sum(left * right, axis=0) / np.where(square > 0.0, square, 1.0)
    unexplained = math.sqrt(np.sum((left - slope * right) ** 2) / max(np.sum(left**2), np.finfo(float).tiny))
    alike = float(np.sum(left * right) / max(np.linalg.norm(left) * np.linalg.norm(right), np.finfo(float).tiny))
    text = f"backward did not use forward's noise: {100 * unexplained:.0f} % of the gradient with respect to the scale "
    text += f"is not explained by it (correlation {alike:.2f})"
    limit = math.sqrt(eps) if tolerance is None else tolerance
    report.test("part of the gradient that forward's noise does not explain", unexplained, limit, text)
    return report
