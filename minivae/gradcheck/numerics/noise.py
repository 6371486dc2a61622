"""How much rounding the outputs carry, measured by moving what they are computed from by a few roundings."""

import numpy as np

from .differences import first_step

LOUD = 64.0  # roundings that outputs may carry before they are looked at for cancelling


def noise_amplification(line, start, cotangent, eps, usual=0.0):
    """How many units of rounding phi carries, measured (the difference table of More and Wild, SISC 33, 2011), and the
    size of the numbers its outputs are computed from.

    Nine values a few roundings apart, `line` being moved by multiples of a rounding of every element; third and fourth
    differences remove every trend and leave the noise. Where that is large the outputs may be small by cancelling: the
    size is then what they change by, relative to what is moved.
    """
    values, touched = [], np.zeros(start.shape, dtype=bool)
    for k in range(9):
        _, y = line(8.0 * k * eps)
        if y is None:
            return 1.0, usual
        touched |= y != start
        values.append(float(cotangent @ (y - start)))
    level = 0.0
    for order, weight in ((3, 1 / 20), (4, 1 / 70)):  # (k!)^2 / (2k)!
        table = np.diff(values, n=order)
        level = max(level, np.sqrt(weight * np.mean(table**2)))

    def units():
        unit = eps * float(np.linalg.norm((cotangent * np.maximum(np.abs(start), usual))[touched]))
        return max(1.0, level / unit) if unit > 0.0 else 1.0 if level == 0.0 else np.inf

    if units() > LOUD:
        step = first_step(1.0, eps)
        _, y = line(step)
        if y is not None:
            usual = np.maximum(usual, np.abs(y - start) / step)
    return (units(), usual) if np.isfinite(units()) else (1.0, usual)
