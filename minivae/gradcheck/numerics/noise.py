"""How much rounding the outputs carry, measured by moving what they are computed from by a few roundings."""

import numpy as np

from .differences import first_step

LOUD = 64.0  # roundings that outputs may carry before they are looked at for cancelling
NEARBY = 1.0 / 128.0  # part of the first step within which smooth functions are straight but for rounding
UNEVEN = 1.0, 0.75  # two spacings: rounding to equal steps may keep time with one
LONGER = 16.0  # factor between distances at which outputs that stood still are looked at again


def noise_amplification(line, start, cotangent, eps):
    """How many units of rounding phi carries, and the size of the numbers each output is computed from where these are
    larger than it and known, with their rounding (else 0).

    Nine values a few roundings apart, `line` being moved by multiples of a rounding of every element. Where they
    scatter much the outputs may be small by cancelling: the size is then what they change by, relative to what is
    moved. Outputs that stand still are differences of much larger numbers, unless they depend on nothing here.
    """
    near = _nearby(line, start, 8.0 * eps)
    if near is None:
        return 1.0, 0.0
    level = _scatter(near @ cotangent)
    touched, usual = near.any(axis=0), 0.0

    def units():
        unit = eps * float(np.linalg.norm((cotangent * np.maximum(np.abs(start), usual))[touched]))
        return max(1.0, level / unit) if unit > 0.0 else 1.0 if level == 0.0 else np.inf

    if units() > LOUD:
        step = first_step(1.0, eps)
        _, y = line(step)
        if y is not None:
            usual = np.maximum(usual, np.abs(y - start) / step)
    stairs = _stairs(line, start, eps, ~touched)
    return (units(), np.maximum(units() * usual, stairs)) if np.isfinite(units()) else (1.0, np.maximum(usual, stairs))


def carried(line, start, eps, scale):
    """The numbers that each output is computed from, by how it scatters within a small part of the first step, or a
    larger one where that moves none of them; 0 if unknown."""
    spacing, sizes = NEARBY * first_step(scale, eps), np.zeros(start.shape)
    for wider in (1.0, 8.0, 64.0):
        for part in UNEVEN:
            near = _nearby(line, start, part * wider * spacing)
            if near is not None:
                sizes = np.maximum(sizes, _scatter(near) / eps)
        if near is None or sizes.any():
            break
    return sizes


def _stairs(line, start, eps, still):
    """The size of the numbers that these outputs, which a few roundings do not move, are differences of."""
    sizes, far = np.zeros(start.shape), NEARBY * first_step(1.0, eps)
    _, y = line(far)
    still = still & (y != start) if y is not None else np.zeros_like(still)
    distance = 64.0 * eps
    while still.any() and distance < far:
        distance *= LONGER
        (_, up), (_, down) = line(distance), line(-distance)
        if up is None or down is None:
            break
        # What moves on one side only is no stair, but starts here, as beside the kink of a rectifier.
        moved = still & (up != start) & (down != start)
        if moved.any():
            for part in UNEVEN:
                near = _nearby(line, start, 0.25 * part * distance)
                if near is not None:
                    sizes = np.where(moved, np.maximum(sizes, _scatter(near) / eps), sizes)
            still &= ~moved
    return sizes


def _nearby(line, start, spacing):
    """Changes of the outputs at nine places on a line: (9, outputs), None where one is not finite."""
    changes = []
    for k in range(9):
        _, y = line(spacing * k)
        if y is None:
            return None
        changes.append(y - start)
    return np.array(changes)


def _scatter(values):
    """The noise in nine values, by the difference table of More and Wild (SISC 33, 2011): third and fourth differences
    remove every trend."""
    level = np.zeros(values.shape[1:])
    for order, weight in ((3, 1 / 20), (4, 1 / 70)):  # (k!)^2 / (2k)!
        level = np.maximum(level, np.sqrt(weight * np.mean(np.diff(values, n=order, axis=0) ** 2, axis=0)))
    return level
