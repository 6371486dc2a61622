"""The derivative at 0 of phi(t) = <cotangent, y(t)> from values of y alone, with an error estimate and kinks named.

Central differences with steps h, h/2, h/4, ... are extrapolated to h = 0 (Richardson; the error estimate and the choice
among entries follow Ridders, Adv. Eng. Software 4, 1982). Truncation shows as disagreement between neighbouring
entries; rounding is the measured noise of phi divided by the step. The same values, taken one side at a time, give the
one-sided derivatives: where they disagree at every step the function has a kink at 0 and no derivative.
"""

from dataclasses import dataclass, field, replace

import numpy as np

SAFETY = 10.0  # tolerance in units of the estimated error
COLUMNS = 4  # extrapolation beyond h^8 only fits noise
DOWN, UP = 14, 4  # halvings below and doublings above the first three steps, when those do not settle it
ENOUGH = 1e-8  # of the largest derivative: tolerance at which larger steps are no longer tried against rounding
COARSE = 1e-4  # part of the derivative beyond which an error that rounding does not explain calls for smaller steps
FAR, DROWNED = 48, 0.01  # doublings while rounding hides all but this part of the derivative


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
    low: float = np.nan  # on a kink the sums over the outputs of the smaller and of the larger slope
    high: float = np.nan
    sides: dict[int, tuple[float, float]] = field(default_factory=dict)  # on a kink of the outputs that move


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
    usual : 1-D float64
        Size of the numbers that each output is computed from: a small output may be the difference of two such.
    """

    def __init__(self, line, start, cotangent, eps, amplification=1.0, usual=0.0):
        self.line, self.start, self.cotangent = line, start, cotangent
        self.eps, self.amplification, self.usual = eps, amplification, usual
        self.rows = {}  # step -> (up, moved up, down, moved down), None on a side where y is not finite
        self.changes = {}  # step -> (up, down): of each output, where both sides are finite
        self.slopes = []  # sum of |cotangent * change| per step
        self.size = np.zeros_like(start)  # of the outputs that any step has changed; the others add no rounding
        self.noise = 0.0
        self._forget()

    def _forget(self):
        self._roughness: dict[float, float] = {}
        self._central = None

    def add(self, step):
        """Evaluate at +step and -step."""
        sides: list[float | None] = []
        changes = []
        for t in (step, -step):
            moved, y = self.line(t)
            if y is None or moved == 0.0:
                sides += [None, None]
                continue
            change = y - self.start
            changes.append(change)
            self._grow(change)
            sides += [float(self.cotangent @ change), abs(moved)]
            self.slopes.append(float(np.abs(self.cotangent) @ np.abs(change)) / abs(moved))
        self.rows[step] = tuple(sides)
        if len(changes) == 2:
            self.changes[step] = tuple(changes)
        self._measure()

    def _grow(self, change):
        sizes = np.maximum(abs(self.start + change), abs(self.start))
        self.size = np.where(change != 0.0, np.maximum(self.size, sizes), self.size)

    def _measure(self):
        # Nothing changed at all: the changes, if any, lie below the rounding of every output.
        size = self.size if self.size.any() else np.abs(self.start)
        carried = np.maximum(self.amplification * size, np.where(size > 0.0, self.usual, 0.0))
        self.noises = self.eps * np.abs(self.cotangent) * carried  # of each output, weighed
        self.noise = float(np.linalg.norm(self.noises))
        self._forget()

    def _steps(self, need):
        return [h for h in sorted(self.rows, reverse=True) if all(self.rows[h][i] is not None for i in need)]

    def central(self):
        """Best entry of the central tableau: (value, error, step); error is infinite with fewer than two rows."""
        if self._central is None:
            steps = self._steps((0, 2))
            quotients = [(up - down) / (a + b) for up, a, down, b in (self.rows[h] for h in steps)]
            self._central = self._extrapolate(steps, quotients, 2, list(self.roughness().values()))
        return self._central

    def one_sided(self, side):
        """Best entry of the right (side 0) or left (side 2) tableau."""
        steps = self._steps((side,))
        sign = 1.0 if side == 0 else -1.0
        quotients = [sign * self.rows[h][side] / self.rows[h][side + 1] for h in steps]
        return self._extrapolate(steps, quotients, 1)

    def _extrapolate(self, steps, quotients, power, rough=()):
        best = (quotients[-1] if quotients else np.nan, np.inf, steps[-1] if steps else np.nan)
        entries: list[tuple[float, int, float]] = []
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
                # A kink between -h and h moves the central quotient by up to half the gap, which neighbouring entries
                # may share: their agreement is then no estimate.
                error = max([error, *(0.5 * r for r in rough[max(0, k - max(j, 2)) : k + 2])])
                entries.append((error, k, row[j]))
            previous = row
        for error, k, value in sorted(entries):
            if error >= best[1]:
                break
            # Entries may agree by chance; quotients with smaller steps, nearer to the truth as h^power, tell.
            bend = 2.0 * abs(quotients[k] - value) / steps[k] ** power
            for h, quotient in zip(steps[k + 1 :], quotients[k + 1 :], strict=True):
                error = max(error, abs(quotient - value) - bend * h**power - 4.0 * self.noise / h)
            if error < best[1]:
                best = (value, error, steps[k])
        return best

    def gaps(self):
        """(step, right minus left quotient), largest first: h times the second derivative, or constant at a kink."""
        return [(h, u / a + d / b) for h in self._steps((0, 2)) for u, a, d, b in [self.rows[h]]]

    def roughness(self):
        """step -> the gaps of those outputs whose gap does not shrink from step to step as for a smooth function, by 2
        (2nd derivative) to 8 (4th). Kinks of several outputs may cancel in their sum, so their norm is taken.
        """
        if not self._roughness and self.changes:
            steps = self._steps((0, 2))
            moving = np.flatnonzero(self.size) if self.size.any() else np.arange(self.size.size)
            weights, table = self.cotangent[moving], []
            for h in steps:
                (up, down), (_, a, _, b) = self.changes[h], self.rows[h]
                table.append(np.abs(weights * (up[moving] / a + down[moving] / b)))
            gaps = np.array(table)
            noise = 8.0 * self.noises[moving] / np.array(steps)[:, None]
            wide, narrow = gaps[:-1], gaps[1:]
            odd = (narrow > 0.75 * wide + noise[1:]) | (wide > 12.0 * narrow + 12.0 * noise[1:])
            rough = np.zeros(gaps.shape, dtype=bool)
            rough[:-1] |= odd
            rough[1:] |= odd
            norms = np.linalg.norm(np.where(rough, gaps, 0.0), axis=1)
            self._roughness = dict(zip(steps, norms.tolist(), strict=True))
        return self._roughness

    def keeps_gap(self, gap):
        """Whether the smallest three steps at which rounding allows a look all show this gap."""
        clear = [g for h, g in self.gaps() if 8.0 * self.noise / h < 0.25 * abs(gap)][-3:]
        return len(clear) == 3 and all(abs(g - gap) < 0.3 * abs(gap) for g in clear)

    def sides(self, gap):
        """The slopes of each output to the left and to the right, weighed, at the smallest step that shows this gap."""
        step = min((h for h, _ in self.gaps() if 8.0 * self.noise / h < 0.25 * abs(gap)), default=max(self.changes))
        (up, down), (_, a, _, b) = self.changes[step], self.rows[step]
        return -self.cotangent * down / b, self.cotangent * up / a

    def spread(self, gap):
        left, right = self.sides(gap)
        places = {int(i): (float(left[i]), float(right[i])) for i in np.flatnonzero((left != 0.0) | (right != 0.0))}
        low, high = float(np.minimum(left, right).sum()), float(np.maximum(left, right).sum())
        return {"low": low, "high": high, "sides": places}

    def straight(self, first):
        """Whether no output bends near 0, at steps which would show that of a smooth function."""
        for h in [h for h in self._steps((0, 2)) if h >= first / 64.0][-3:]:
            (up, down), (_, a, _, b) = self.changes[h], self.rows[h]
            if np.any(np.abs(self.cotangent * (up / a + down / b)) > 8.0 * self.noises / h):
                return False
        return True

    def reach(self):
        """The derivative that the outputs would give without cancelling each other."""
        return float(np.median(self.slopes)) if self.slopes else 0.0

    def limited_by_rounding(self):
        """Whether the best entry's error is mostly rounding, which smaller steps would only raise."""
        _, error, step = self.central()
        return error <= 8.0 * self.noise / step

    def forget_unseen(self, far):
        """Forget steps beyond `far` if even they moved phi by no more than rounding: small is not shown to be zero."""
        value, _, step = self.central()
        if step > far / 2.0**COLUMNS and 2.0 * step * abs(value) <= 16.0 * self.noise:
            self.drop([h for h in self.rows if h > far])

    def drop(self, steps):
        """Forget these steps, and what they made of the rounding."""
        for h in steps:
            del self.rows[h]
            self.changes.pop(h, None)
        self.size = np.zeros_like(self.start)
        for change in (change for sides in self.changes.values() for change in sides):
            self._grow(change)
        self._measure()

    def too_coarse(self, found, size):
        """Whether nothing was resolved though rounding would allow smaller steps than any that were tried."""
        if found.kind == "jump":
            return True
        bar = COARSE * max(abs(found.value), 0.1 * size)
        poor = found.kind in ("smooth", "near kink") and SAFETY * found.error > bar
        return poor and found.error > 100.0 * self.noise / min(self.rows)

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
        return int(np.argmax(np.abs(self.cotangent * sum(self.changes[max(self.changes)])))) if self.changes else -1


def first_step(scale, eps):
    """The smallest of the first three steps: truncation h^4 and rounding eps / h balance at eps^(1/5).

    A power of two, so that x + h is exact wherever x has the bits to spare.
    """
    return 2.0 ** np.round(np.log2(2.0 * scale * eps**0.2))


def differentiate(differences, scale, expected, rtol, floor, size=0.0, thorough=True):
    """Derivative at 0, in six evaluations where the function is smooth, in up to 34 where it is not.

    Parameters
    ----------
    scale : float
        Typical size of what is moved: the first steps are about eps^(1/5) of it.
    expected : float
        The derivative to be judged. It decides only how hard to try: agreement with a small error ends the search.
    rtol, floor : float
        Relative tolerance, and the absolute size below which differences do not matter.
    size : float
        The largest derivative of the array. Where rounding forbids rtol, larger steps are tried until SAFETY times the
        estimated error is ENOUGH of it.
    thorough : bool
        False stops after the first three steps.
    """
    step = first_step(scale, differences.eps)
    for factor in (4.0, 2.0, 1.0):
        differences.add(factor * step)

    def settled(bar=0.0):
        value, error, _ = differences.central()
        allowed = rtol * max(abs(value), abs(expected)) + floor
        return abs(value - expected) <= allowed + SAFETY * error and SAFETY * error <= max(allowed, bar)

    if not thorough or settled():
        return Derivative(*differences.central())
    if differences.limited_by_rounding():
        value, error, _ = differences.central()
        if abs(value - expected) > rtol * max(abs(value), abs(expected)) + floor + SAFETY * error:
            for factor in (2.0, 4.0):  # three quotients across one kink may agree by chance
                differences.add(step / factor)
    if differences.limited_by_rounding():
        for k in range(3, FAR + 3):  # larger steps round less, and a wrong claim is confirmed
            value, error, _ = differences.central()
            bar = max(DROWNED * max(abs(value), abs(expected)), 0.1 * DROWNED * size)
            drowned = SAFETY * error > bar > 0.0 and differences.limited_by_rounding()
            if settled(ENOUGH * size) or (k >= UP + 3 and not drowned):
                break
            noise = differences.noise
            differences.add(step * 2.0**k)
            if differences.noise > 2.0 * noise:  # as exp() does it grows faster than the step
                differences.drop([step * 2.0**k])
                break
        differences.forget_unseen(step * 2.0 ** (UP + 2))
        return _conclude(differences, step, rtol)
    for k in range(1, DOWN + 1):
        differences.add(step / 2.0**k)
        if k >= 3 and (settled() or differences.limited_by_rounding()):
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
        found = Derivative(0.5 * (left + right), right_error + left_error, step, "kink", left, right)
        return replace(found, bend=differences.most_bent(), **differences.spread(right - left))
    rough = max([0.0, *(r for h, r in differences.roughness().items() if h <= 4.0 * first)])
    kind = "smooth" if rough <= 0.1 * rtol * abs(value) else "near kink"
    if SAFETY * error > rtol * abs(value):
        error = max(error, differences.contradiction(value, step))
    return Derivative(value, error, step, kind, left, right, differences.most_bent())
