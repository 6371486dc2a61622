"""Judging one array: which coordinates and directions, with what tolerance, and what rounding leaves open."""

from dataclasses import replace

import numpy as np

from .differences import SAFETY, Differences, differentiate, noise_amplification
from .probe import coordinate_line, direction_line
from .result import ArrayResult, Coordinate

ANALYTIC_ROUNDING = 64.0  # roundings of the largest derivative that a hand-written backward may carry
NUDGE = 1e-3  # how far to step off a kink, relative to the array's values
BESIDE = 64  # coordinates on kinks that are judged again beside them
GIVE_UP = 12  # wrong coordinates confirmed with all steps; the rest of the array gets the first three
FINER, FINEST = 2.0**-12, 1e6  # factor between scales that are tried; the last in roundings of the number moved
NEGLIGIBLE = 1e-6  # of the largest derivative of all arrays


def beside_kinks(subject, judges, rng):
    """Judge what lies on a kink, or too near one, again with every array moved a little off it.

    Data that are not differentiated stay: a model may refuse what lies beside them.
    """
    if not any(judge.kinked() for judge in judges.values()):
        return
    arrays = {name: judge.array for name, judge in judges.items()}
    kept = {name: array.copy() for name, array in arrays.items()}
    for array in arrays.values():
        array += (NUDGE * (rms(array) or 1.0) * rng.standard_normal(array.shape)).astype(array.dtype)
    try:
        claimed, start = subject.claimed(), subject.vector()
        for name, judge in judges.items():
            judge.again(claimed[name], start)
    finally:
        for name, array in arrays.items():
            array[...] = kept[name]


class Judge:
    """Everything judged of one array."""

    def __init__(self, subject, name, array, claimed, start, cotangent, eps, rtol, atol, probe):
        self.subject, self.name, self.array, self.claimed = subject, name, array, claimed
        self.start, self.cotangent, self.eps, self.rtol, self.atol = start, cotangent, eps, rtol, atol
        self.probe = probe if probe is not None and name in subject.values else None
        self.typical = rms(array) or 1.0
        self.largest = float(np.max(np.abs(claimed), initial=0.0))
        self.usual = self._usual()
        self.result = ArrayResult(name, array.shape, str(array.dtype), scale=self.largest, rms=rms(claimed))

    def run(self, full, coordinates, directions, rng):
        """Judge coordinates and, of a large array, directions."""
        size = self.array.size
        # Multiples of a rounding of each element, so that what is moved is moved exactly.
        spread = rms(self.array - self.array.mean()) or self.typical
        sizes = 2.0 ** np.floor(np.log2(np.maximum(np.abs(self.array) / 8.0, np.maximum(spread, np.finfo(float).tiny))))
        line = direction_line(self.subject, self.array, rng.choice([-1.0, 1.0], self.array.shape) * sizes)
        self.amplification = noise_amplification(line, self.start, self.cotangent, self.eps)
        self.noise = self.amplification * self.eps
        if size <= full:
            chosen = np.arange(size)
        else:
            chosen = np.sort(rng.choice(size, min(coordinates, size), replace=False))
            for _ in range(directions):
                self.result.directions.append(self._along(rng.standard_normal(self.array.shape)))
            if any(c.wrong for c in self.result.directions):
                chosen = np.union1d(chosen, self._hunt(rng))
        failures = 0
        for flat_index in chosen:
            coordinate = self._at(np.unravel_index(flat_index, self.array.shape), failures < GIVE_UP)
            failures += coordinate.wrong
            self.result.coordinates.append(coordinate)
        return self.result

    def _usual(self):
        """Of each output the root mean square of the array it belongs to."""
        sizes = [c.size for c in self.subject.cotangents]
        parts = np.split(self.start, np.cumsum(sizes)[:-1]) if sum(sizes) == self.start.size else [self.start]
        return np.concatenate([np.full(part.shape, rms(part)) for part in parts])

    def kinked(self):
        """Positions of the coordinates that have no derivative, or one blurred by a kink nearby."""
        size = 0.1 * max([self.largest, *(abs(c.numeric) for c in self.result.coordinates)])
        blurred = [c.kind == "kink" or (c.kind == "near kink" and c.tolerance > size) for c in self.result.coordinates]
        return np.flatnonzero(blurred)[:BESIDE].tolist()

    def again(self, claimed, start):
        """Judge those once more, from here, and what is wrong: where kinks of several units meet, both slopes may agree
        and still be none that the chain rule gives. Leaky ReLU of -leaky ReLU(x) has -0.01 on both sides of 0, and
        -0.0001 by it.
        """
        coordinates, positions = self.result.coordinates, self.kinked()
        wrong = [i for i, c in enumerate(coordinates) if c.wrong and i not in positions][:BESIDE]
        self.claimed, self.start = claimed, start
        for i in positions + wrong:
            c = coordinates[i]
            beside = self._at(c.index)
            if i in positions:
                coordinates[i] = replace(c, beside=beside)
            elif not beside.wrong:
                coordinates[i] = replace(c, kind="kink", left=c.numeric, right=c.numeric, beside=beside)

    def _at(self, index, thorough=True):
        index = tuple(int(i) for i in index)
        own = abs(float(self.array[index]))
        scale = max(own, self.typical)
        differences, found = self._from(index, scale, thorough)
        if found.kind in ("edge", "undefined", "jump") and 0.0 < own < self.typical:
            # The function ends within the steps, as log does beside a small number: its own size is the better scale.
            scale = own
            differences, found = self._from(index, scale, thorough)
        while thorough and scale > FINEST * self.eps * own and differences.too_coarse(found, self.largest):
            # The function's own scale is not that of its argument: a softmax of numbers near 1e8, a sine of times.
            scale *= FINER
            closer, finer = self._from(index, scale, thorough)
            if found.kind == "jump" or finer.error < found.error:
                differences, found = closer, finer
        reach = differences.reach()
        if self.probe is not None and found.kind == "smooth":
            found = self.probe.refine(found, self.name, index, self.cotangent, self.eps, self.rtol)
        return self._judged(index, float(self.claimed[index]), found, self.largest, reach)

    def _from(self, index, scale, thorough):
        differences = self._differences(coordinate_line(self.subject, self.array, index))
        claimed = float(self.claimed[index])
        return differences, self._differentiate(differences, scale, claimed, self.largest, thorough)

    def _along(self, direction):
        differences = self._differences(direction_line(self.subject, self.array, direction))
        expected = float(np.sum(self.claimed * direction, dtype=np.float64))
        size = float(np.linalg.norm(self.claimed))
        return self._judged(None, expected, self._differentiate(differences, self.typical, expected, size), size)

    def _differences(self, line):
        return Differences(line, self.start, self.cotangent, self.eps, self.amplification, self.usual)

    def _differentiate(self, differences, scale, expected, size, thorough=True):
        floor = self.atol + ANALYTIC_ROUNDING * self.eps * size
        return differentiate(differences, scale, expected, self.rtol, floor, size, thorough)

    def _judged(self, index, expected, found, size, reach=0.0):
        largest = max(abs(expected), abs(found.value)) if np.isfinite(found.value) else abs(expected)
        tolerance = self.rtol * largest + self.atol + ANALYTIC_ROUNDING * self.eps * size
        if np.isfinite(found.error):
            tolerance += SAFETY * found.error
        bend = self.subject.output_place(found.bend) if found.bend >= 0 else ""
        slopes = {"left": found.left, "right": found.right, "bend": bend, "reach": reach}
        return Coordinate(index, expected, found.value, found.error, tolerance, found.kind, **slopes)

    def _hunt(self, rng):
        """Halve the array until one wrong coordinate is left; its row and column come along for the diagnosis."""
        low, high = 0, self.array.size
        while high - low > 1:
            middle = (low + high) // 2
            direction = np.zeros(self.array.size)
            direction[low:middle] = rng.standard_normal(middle - low)
            low, high = (low, middle) if self._along(direction.reshape(self.array.shape)).wrong else (middle, high)
        index = np.unravel_index(low, self.array.shape)
        found = {low}
        for axis, length in enumerate(self.array.shape):
            for i in {*range(min(8, length)), *range(max(0, length - 8), length)}:
                found.add(int(np.ravel_multi_index((*index[:axis], i, *index[axis + 1 :]), self.array.shape)))
        return np.array(sorted(found))


def resolve(results):
    """Say where rounding forbids a judgement: a tolerance beyond a tenth of the array's largest derivative.

    An array of which nothing could be told is `blind`, unless what could hide there is NEGLIGIBLE beside the largest
    derivative of all arrays.
    """
    for result in results:
        seen = [abs(v) for c in result.coordinates for v in (c.analytic, c.numeric) if np.isfinite(v)]
        result.scale = max([result.scale, *seen])
    largest = max((result.scale for result in results), default=0.0)
    for result in results:
        judged = [c.beside or c for c in result.coordinates]
        blurred = [c for c in judged if c.tolerance > 0.1 * max(result.scale, c.reach) and not _untouched(c)]
        result.unresolved = len(blurred)
        sharp = any(c.tolerance <= 0.1 * result.rms for c in result.directions)
        hidden = max((c.tolerance for c in blurred), default=0.0)
        alone = len(results) == 1 or hidden > NEGLIGIBLE * largest
        result.blind = bool(blurred) and len(blurred) == len(judged) and not sharp and alone


def _untouched(coordinate):
    """Claimed and measured as exactly zero: the outputs do not depend on it."""
    return coordinate.analytic == 0.0 and coordinate.numeric == 0.0


def rms(array):
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64)))) if array.size else 0.0
