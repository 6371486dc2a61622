"""The derivative at 0 of phi(t) = <cotangent, y(t)> from values of y alone, with an error estimate and kinks named.

Central differences with steps h, h/2, h/4, ... are extrapolated to h = 0 (Richardson; the error estimate and the choice
among entries follow Ridders, Adv. Eng. Software 4, 1982). Truncation shows as disagreement between neighbouring
entries; rounding is the measured noise of phi divided by the step. The same values, taken one side at a time, give the
one-sided derivatives: where they disagree at every step the function has a kink at 0 and no derivative.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

SAFETY = 10.0  # tolerance in units of the estimated error
COLUMNS = 4  # extrapolation beyond h^8 only fits noise
DOWN, UP = 14, 4  # halvings below and doublings above the first three steps, when those do not settle it


@dataclass(frozen=True)
class Derivative:
    """A derivative and how far to trust it.

    kind: "smooth"; "near kink" (a kink lies within the larger steps, settled with smaller ones); "kink" (the one-sided
    derivatives `left` and `right` differ); "edge" (defined on one side only); "jump" (not continuous); "undefined".
    """

    value: float
    error: float
    step: float
    kind: str = "smooth"
    left: float = np.nan
    right: float = np.nan
    bend: int = -1  # the flat index of the output that bends most, for "kink" and "near kink"


class Differences:
    """Values of y along one line through x, and what follows from them.

    Parameters
    ----------
    line : callable(t) -> (moved, y)
        y (1-D float64) at x + t * direction, None where it is not finite; `moved` is the t that rounding left.
    start, cotangent : 1-D float64
        y(0), and the weights that make it a scalar.
    eps, amplification : float
        Unit rounding of the computation, and how many of them its outputs really carry (see `noise_amplification`).
    """

    def __init__(self, line, start, cotangent, eps, amplification=1.0):
        self.line, self.start, self.cotangent = line, start, cotangent
        self.eps, self.amplification = eps, amplification
        self.rows = {}  # step -> (up, moved up, down, moved down), None on a side where y is not finite
        self.bends = {}
        self.slopes = []  # sum of |cotangent * change| per step
        self.size = np.zeros_like(start)  # of the outputs that any step has changed; the others add no rounding
        self.noise = 0.0

    def add(self, step):
        """Evaluate at +step and -step."""
        sides: list[float | None] = []
        bend = np.zeros_like(self.start)
        for t in (step, -step):
            moved, y = self.line(t)
            if y is None or moved == 0.0:
                sides += [None, None]
                continue
            change = y - self.start
            bend = bend + change
            self.size = np.where(change != 0.0, np.maximum(self.size, np.maximum(abs(y), abs(self.start))), self.size)
            sides += [float(self.cotangent @ change), abs(moved)]
            self.slopes.append(float(np.abs(self.cotangent) @ np.abs(change)) / abs(moved))
        self.rows[step] = tuple(sides)
        self.bends[step] = bend
        # Nothing changed at all: the changes, if any, lie below the rounding of every output.
        size = self.size if self.size.any() else self.start
        self.noise = self.amplification * self.eps * float(np.linalg.norm(self.cotangent * size))

    def _steps(self, need):
        return [h for h in sorted(self.rows, reverse=True) if all(self.rows[h][i] is not None for i in need)]

    def central(self):
        """Best entry of the central tableau: (value, error, step); error is infinite with fewer than two rows."""
        steps = self._steps((0, 2))
        quotients = [(up - down) / (a + b) for up, a, down, b in (self.rows[h] for h in steps)]
        return self._extrapolate(steps, quotients, 2, self.gaps())

    def one_sided(self, side):
        """Best entry of the right (side 0) or left (side 2) tableau."""
        steps = self._steps((side,))
        sign = 1.0 if side == 0 else -1.0
        quotients = [sign * self.rows[h][side] / self.rows[h][side + 1] for h in steps]
        return self._extrapolate(steps, quotients, 1)

    def _extrapolate(self, steps, quotients, power, gaps=None):
        best = (quotients[-1] if quotients else np.nan, np.inf, steps[-1] if steps else np.nan)
        previous: list[float] = []
        for k, quotient in enumerate(quotients):
            row = [quotient]
            rounding = (2.0 if power == 1 else 1.0) * self.noise / steps[k]
            if k and steps[k - 1] != 2.0 * steps[k]:
                previous = []  # a step in between was not finite: the weights below assume halving
            for j in range(1, min(len(previous), COLUMNS) + 1):
                row.append(row[j - 1] + (row[j - 1] - previous[j - 1]) / (2.0 ** (power * j) - 1.0))
                rounding *= 1.0 if power == 2 else 2.0  # one-sided weights add up faster
                error = max(abs(row[j] - row[j - 1]), abs(row[j] - previous[j - 1])) + 2.0 * rounding
                window = slice(max(0, k - max(j, 2)), k + 2)
                if gaps is not None and not self._smooth(gaps[window]):
                    # A kink between -h and h moves the central quotient by up to half the gap, which neighbouring
                    # entries may share: their agreement is then no estimate.
                    error = max(error, 0.5 * max(abs(g) for _, g in gaps[max(0, k - 3) : k + 2]))
                if error < best[1]:
                    best = (row[j], error, steps[k])
            previous = row
        return best

    def gaps(self):
        """(step, right minus left quotient), largest first: h times the second derivative, or constant at a kink."""
        return [(h, u / a + d / b) for h in self._steps((0, 2)) for u, a, d, b in [self.rows[h]]]

    def _smooth(self, gaps, floor=0.0):
        """Whether the gaps shrink from step to step as for a smooth function: by 2 (2nd derivative) to 8 (4th)."""
        for (_, a), (h, b) in pairwise(gaps):
            noise = 8.0 * self.noise / h + floor
            if abs(b) > 0.75 * abs(a) + noise or abs(a) > 12.0 * abs(b) + 12.0 * noise:
                return False
        return True

    def smooth_at_the_end(self):
        """Whether the three smallest steps show no kink."""
        gaps = self.gaps()
        return len(gaps) > 1 and self._smooth(gaps[-3:])

    def smooth_below(self, step, floor):
        """Whether no step up to this one shows a kink that matters against `floor`."""
        return self._smooth([(h, g) for h, g in self.gaps() if h <= step], floor)

    def keeps_gap(self, gap):
        """Whether the smallest three steps at which rounding allows a look all show this gap."""
        clear = [g for h, g in self.gaps() if 8.0 * self.noise / h < 0.25 * abs(gap)][-3:]
        return len(clear) == 3 and all(abs(g - gap) < 0.3 * abs(gap) for g in clear)

    def doubt(self, first, chosen):
        """Error that kinks may hide in an entry that ends at step `chosen`, where rounding forbids going lower.

        If the gap seen at larger steps would show at three steps around the chosen one, and does not, what is left is
        what rounding can hide; else half of that gap.
        """
        gaps = self.gaps()
        largest = max(abs(g) for h, g in gaps if h <= first)
        clear = [(h, g) for h, g in gaps if h <= 4.0 * chosen and 8.0 * self.noise / h < 0.25 * largest]
        if len(clear) >= 3 and self._smooth(clear):
            return 8.0 * self.noise / chosen
        return 0.5 * largest

    def reach(self):
        """The derivative that the outputs would give without cancelling each other."""
        return float(np.median(self.slopes)) if self.slopes else 0.0

    def limited_by_rounding(self):
        """Whether the best entry's error is mostly rounding, which smaller steps would only raise."""
        _, error, step = self.central()
        return error <= 8.0 * self.noise / step

    def contradiction(self, value, step):
        """By how much quotients with smaller steps differ from `value` beyond their rounding."""
        excess = 0.0
        for h in self._steps((0, 2)):
            if h < step:
                up, a, down, b = self.rows[h]
                excess = max(excess, abs((up - down) / (a + b) - value) - 4.0 * self.noise / h)
        return excess

    def jump(self):
        """How far phi jumps at 0: what |phi(+-h) - phi(0)| keeps as h shrinks; 0 where it is continuous."""
        for side in (0, 2):
            steps = self._steps((side,))[-6:]
            moves = [abs(self.rows[h][side]) for h in steps]
            if len(moves) == 6 and moves[-1] > 1e3 * self.noise and max(moves) < 1.5 * min(moves):
                return moves[-1]
        return 0.0

    def most_bent(self):
        """Flat index of the output that contributes most to the gap at the largest step."""
        steps = self._steps((0, 2))
        return int(np.argmax(np.abs(self.cotangent * self.bends[steps[0]]))) if steps else -1


def first_step(scale, eps):
    """The smallest of the first three steps: truncation h^4 and rounding eps / h balance at eps^(1/5).

    A power of two, so that x + h is exact wherever x has the bits to spare.
    """
    return 2.0 ** np.round(np.log2(2.0 * scale * eps**0.2))


def differentiate(differences, scale, expected, rtol, floor, enough=0.0, thorough=True):
    """Derivative at 0, in six evaluations where the function is smooth, in up to 34 where it is not.

    Parameters
    ----------
    scale : float
        Typical size of what is moved: the first steps are about eps^(1/5) of it.
    expected : float
        The derivative to be judged. It decides only how hard to try: agreement with a small error ends the search.
    rtol, floor : float
        Relative tolerance, and the absolute size below which differences do not matter.
    enough : float
        Estimated error, times SAFETY, at which larger steps are no longer tried where rounding forbids rtol.
    thorough : bool
        False stops after the first three steps.
    """
    step = first_step(scale, differences.eps)
    for factor in (4.0, 2.0, 1.0):
        differences.add(factor * step)

    def settled(bar=0.0):
        value, error, _ = differences.central()
        size = max(abs(value), abs(expected))
        agrees = abs(value - expected) <= rtol * size + SAFETY * error + floor
        return agrees and SAFETY * error <= max(rtol * size + floor, bar)

    if not thorough:
        return Derivative(*differences.central())
    if differences.smooth_at_the_end() and (settled() or differences.limited_by_rounding()):
        for k in range(3, UP + 3):  # larger steps round less, and a wrong claim is confirmed
            if settled(enough):
                return Derivative(*differences.central())
            differences.add(step * 2.0**k)
        return _conclude(differences, step, rtol)
    for k in range(1, DOWN + 1):
        differences.add(step / 2.0**k)
        if k >= 3 and differences.smooth_at_the_end() and (settled() or differences.limited_by_rounding()):
            break
    return _conclude(differences, step, rtol)


def _conclude(differences, first, rtol):
    value, error, step = differences.central()
    right, right_error, right_step = differences.one_sided(0)
    left, left_error, left_step = differences.one_sided(2)
    if not np.isfinite(right_error) and not np.isfinite(left_error):
        return Derivative(np.nan, np.inf, step, "undefined")
    if not np.isfinite(right_error) or not np.isfinite(left_error):
        sides = (right, right_error, right_step) if np.isfinite(right_error) else (left, left_error, left_step)
        return Derivative(*sides, "edge", left, right)
    jump = differences.jump()
    if jump:
        return Derivative(value, jump, step, "jump", left, right, differences.most_bent())
    apart = SAFETY * (right_error + left_error) + rtol * max(abs(right), abs(left))
    if abs(right - left) > apart and differences.keeps_gap(right - left):
        both = right_error + left_error
        return Derivative(0.5 * (left + right), both, step, "kink", left, right, differences.most_bent())
    kind = "smooth" if differences.smooth_below(4.0 * first, 0.1 * rtol * abs(value)) else "near kink"
    if SAFETY * error > rtol * abs(value):
        error = max(error, differences.contradiction(value, step))
    if kind == "near kink" and SAFETY * error > rtol * abs(value):
        error = max(error, differences.doubt(4.0 * first, step))
    return Derivative(value, error, step, kind, left, right, differences.most_bent())


def noise_amplification(line, start, cotangent, eps, scale):
    """How many units of rounding phi carries, measured (the difference table of More and Wild, SISC 33, 2011).

    Nine values a few roundings apart; third and fourth differences remove every trend and leave the noise.
    """
    spacing = 8.0 * eps * scale
    values, touched = [], np.zeros(start.shape, dtype=bool)
    for k in range(9):
        _, y = line(k * spacing)
        if y is None:
            return 1.0
        touched |= y != start
        values.append(float(cotangent @ (y - start)))
    unit = eps * float(np.linalg.norm((cotangent * start)[touched]))
    if unit == 0.0:
        return 1.0
    level = 0.0
    for order, weight in ((3, 1 / 20), (4, 1 / 70)):  # (k!)^2 / (2k)!
        table = np.diff(values, n=order)
        level = max(level, np.sqrt(weight * np.mean(table**2)))
    return max(1.0, level / unit)


def complex_step(line, cotangent, eps):
    """Im phi(ih) / h: no subtraction, so no rounding to balance (Squire and Trapp, SIAM Review 40, 1998)."""
    step = 1e-30
    slope = line(1j * step).imag / step
    error = 4.0 * eps * float(np.linalg.norm(cotangent * slope))
    return Derivative(float(cotangent @ slope), error, step)
