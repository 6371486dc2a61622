"""Judging one array: which coordinates and directions, with what tolerance, and what rounding leaves open."""

from dataclasses import replace

import numpy as np

from ..result import ArrayResult, Coordinate
from .differences import SAFETY, Differences, differentiate, first_step
from .noise import carried, noise_amplification
from .probe import coordinate_line, direction_line

ANALYTIC_ROUNDING = 64.0  # roundings of the largest derivative that a hand-written backward may carry
BESIDE = 64  # coordinates on kinks that are judged again beside them
FLOAT32_ROUNDING = 2e-9  # relative: rounding to float32 changes numbers by 2e-8 on average
UNLIKE = 1e-6  # a derivative smaller than this part of another says nothing of that
FEW = 4  # wrong coordinates that are looked at beside to tell hidden kinks from mistakes
GIVE_UP = 12  # wrong coordinates confirmed with all steps; the rest of the array gets the first three
FINER, FINEST = 2.0**-12, 1e6  # factor between scales that are tried; the last in roundings of the number moved
NEGLIGIBLE = 1e-6  # of the largest derivative of all arrays


class Judge:
    """Everything judged of one array."""

    def __init__(self, subject, name, array, claimed, start, cotangent, eps, rtol, atol, probe, beyond=0.0):
        self.subject, self.name, self.array, self.claimed = subject, name, array, claimed
        self.start, self.cotangent, self.eps, self.rtol, self.atol = start, cotangent, eps, rtol, atol
        self.probe = probe if probe is not None and name in subject.values else None
        self.typical = rms(array) or 1.0
        self.largest = float(np.max(np.abs(claimed), initial=0.0))
        self.usual = self._usual()
        # A claim of this size may be the rounding of terms that cancel to zero: of the largest derivative of all arrays
        # (`beyond`), or of the outputs themselves.
        weighed = float(np.linalg.norm(cotangent * start))
        self.residue = eps * max(ANALYTIC_ROUNDING * beyond, weighed / max(self.typical, 1.0))
        self.misled = "" if self.probe is not None else "it cannot be taken on parameters"
        self.result = ArrayResult(name, array.shape, str(array.dtype), scale=self.largest, rms=rms(claimed))
        self.result.parts = np.iscomplexobj(subject.holders[name])

    def run(self, full, coordinates, directions, rng):
        """Judge coordinates and, of a large array, directions."""
        size = self.array.size
        # Multiples of a rounding of each element, so that what is moved is moved exactly.
        spread = (rms(self.array - self.array.mean()) if size else 0.0) or self.typical
        own = np.abs(self.array)
        own = np.maximum(own / 8.0, np.where(own > 0.0, np.minimum(own, spread), spread))
        sizes = 2.0 ** np.floor(np.log2(np.maximum(own, np.finfo(float).tiny)))
        line = direction_line(self.subject, self.array, rng.choice([-1.0, 1.0], self.array.shape) * sizes)
        self.amplification, natural = noise_amplification(line, self.start, self.cotangent, self.eps)
        self.usual = np.maximum(self.usual, natural)
        self.noise = self.amplification * self.eps
        if size <= full:
            chosen = np.arange(size)
        else:
            chosen = np.sort(rng.choice(size, min(coordinates, size), replace=False))
            for _ in range(directions):
                self.result.directions.append(self._along(rng.standard_normal(self.array.shape)))
        self._look_at(chosen)
        if any(c.wrong for c in self.result.directions):
            wrong = [i for i, c in zip(chosen, self.result.coordinates, strict=True) if c.wrong]
            around = self._around(wrong[0] if len(wrong) >= FEW else self._hunt(rng))
            self._look_at(np.setdiff1d(around, chosen))
            self.result.coordinates.sort(key=lambda c: c.index or ())
        if self.probe is not None:
            self._refine(self.probe)
            self.probe.kept.restore()
        return self.result

    def _look_at(self, places):
        failures = sum(c.wrong for c in self.result.coordinates)
        for flat_index in places:
            coordinate = self._at(np.unravel_index(flat_index, self.array.shape), failures < GIVE_UP)
            failures += coordinate.wrong
            self.result.coordinates.append(coordinate)

    def _refine(self, probe):
        """Take the complex step's values if they agree with the differences everywhere in this array: where abs(), a
        comparison or a variance has cut imaginary parts it may agree here and there, within the differences' error.
        """
        refined = {}
        for i, c in enumerate(self.result.coordinates):
            found = probe.refined(self.name, c.index, self.cotangent, self.eps) if c.kind == "smooth" else None
            if found is None:
                continue
            gap, size = abs(found.value - c.numeric), max(abs(found.value), abs(c.numeric))
            if not gap <= self.rtol * size + SAFETY * (c.error + found.error) + self.floor(self.largest):
                self.misled = f"at {list(c.index or ())} it gives {found.value:.6g}, differences {c.numeric:.6g}"
                return
            refined[i] = replace(self._judged(c.index, c.analytic, found, self.largest, c.reach), straight=c.straight)
        for i, c in refined.items():
            probe.used = True
            # It was confirmed within the differences' error only, so it does not refuse alone.
            if not c.wrong or self.result.coordinates[i].wrong:
                self.result.coordinates[i] = c

    def rounded(self):
        """Whether claims that pass differ from the differences by more than those err; None if that cannot be told."""
        judged = [c for c in self.result.coordinates if c.kind == "smooth" and c.numeric != 0.0]
        sharp = [c for c in judged if SAFETY * c.error + self.floor(self.largest) < FLOAT32_ROUNDING * abs(c.numeric)]
        if len(sharp) < FEW:
            return None
        return any(abs(c.analytic - c.numeric) > FLOAT32_ROUNDING * abs(c.numeric) for c in sharp)

    def _usual(self):
        """Of each output the root mean square of the array it belongs to."""
        sizes = [c.size for c in self.subject.cotangents]
        parts = np.split(self.start, np.cumsum(sizes)[:-1]) if sum(sizes) == self.start.size else [self.start]
        return np.concatenate([np.full(part.shape, rms(np.abs(part))) for part in parts])

    def kinked(self):
        """Positions of the coordinates that have no derivative, or one blurred by a kink nearby; of those that were
        judged beside it, the ones that are blurred there as well.
        """
        size, found = 0.1 * max([self.largest, *(abs(c.numeric) for c in self.result.coordinates)]), []
        for i, c in enumerate(self.result.coordinates):
            here = c.beside or c
            blurred = here.kind == "near kink" and here.tolerance > size and not (c.beside and here.wrong)
            if blurred or (c.kind == "kink" and c.beside is None):
                found.append(i)
        return found[:BESIDE]

    def straight(self):
        """Positions of wrong claims where no output bends: kinks of several units may hide each other, as those of
        leaky ReLU of -leaky ReLU(x), which has the slope -0.01 on both sides of 0 and -0.0001 by the chain rule.
        """
        return [i for i, c in enumerate(self.result.coordinates) if c.straight and c.wrong][:FEW]

    def again(self, claimed, start, first=True):
        """Judge those once more, from here, and the first time a few of what is wrong."""
        coordinates, positions = self.result.coordinates, self.kinked()
        wrong = [i for i, c in enumerate(coordinates) if first and c.wrong and i not in positions][:BESIDE]
        kept, failures = (self.claimed, self.start), 0
        self.claimed, self.start = claimed, start
        for i in positions + wrong:
            c = coordinates[i]
            beside = self._at(c.index, failures < GIVE_UP)
            failures += beside.wrong
            if i in positions and (c.beside is None or beside.wrong or beside.tolerance < c.beside.tolerance):
                coordinates[i] = replace(c, beside=beside)
            elif i in positions:
                continue
            elif not beside.wrong and abs(beside.numeric) >= UNLIKE * abs(c.numeric):
                sides = {"left": c.numeric, "right": c.numeric, "low": c.numeric, "high": c.numeric}
                coordinates[i] = replace(c, kind="kink", **sides, beside=beside)
            elif failures == FEW and not positions:
                break
        self.claimed, self.start = kept

    def other_slopes(self, coordinate, start, far):
        """Whether any output has here, this part of the arrays beside a kink, a slope that is neither of those it has
        on it.
        """
        step = 2.0 ** np.round(np.log2(self.typical * self.eps**0.5))
        line = coordinate_line(self.subject, self.array, coordinate.index)
        (up, y), (down, z) = line(step), line(-step)
        if y is None or z is None:
            return False
        sides = np.zeros((2, start.size))
        for output, slopes in coordinate.sides.items():
            sides[:, output] = slopes
        right, left = self.cotangent * (y - start) / up, self.cotangent * (z - start) / down
        near = 0.02 * np.abs(sides).max(axis=0) + 4.0 * max(far, 12.0 * self.eps**0.5) * self.largest
        near += 16.0 * self.noise * np.abs(self.cotangent) * np.maximum(np.abs(y), self.usual) / step
        straight = np.abs(right - left) <= near  # else a kink lies within the step
        return bool(np.any(straight & (np.abs(right - sides).min(axis=0) > near)))

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
        judged = self._judge(index, differences, found)
        if thorough and (judged.wrong or (found.kind == "kink" and not judged.between)):
            if 0.0 < own < scale:  # numbers of very different size in one array: what smaller steps give is nearer
                closer, finer = self._from(index, own, thorough)
                if abs(finer.value - found.value) > SAFETY * (finer.error + found.error):
                    scale, differences, found = own, closer, finer
            line = coordinate_line(self.subject, self.array, index)
            usual = np.maximum(self.usual, carried(line, self.start, self.eps, scale))
            if np.any(usual > 2.0 * self.usual):
                differences, found = self._from(index, scale, thorough, usual)
            judged = self._judge(index, differences, found)
        if judged.wrong and differences.straight(first_step(scale, self.eps)):
            return replace(judged, straight=True)
        return judged

    def _judge(self, index, differences, found):
        return self._judged(index, float(self.claimed[index]), found, self.largest, differences.reach())

    def _from(self, index, scale, thorough, usual=None):
        differences = self._differences(coordinate_line(self.subject, self.array, index), usual)
        claimed = float(self.claimed[index])
        return differences, self._differentiate(differences, scale, claimed, self.largest, thorough)

    def _along(self, direction):
        differences = self._differences(direction_line(self.subject, self.array, direction))
        expected = float(np.sum(self.claimed * direction, dtype=np.float64))
        size = float(np.linalg.norm(self.claimed))
        return self._judged(None, expected, self._differentiate(differences, self.typical, expected, size), size)

    def _differences(self, line, usual=None):
        usual = self.usual if usual is None else usual
        return Differences(line, self.start, self.cotangent, self.eps, self.amplification, usual)

    def _differentiate(self, differences, scale, expected, size, thorough=True):
        return differentiate(differences, scale, expected, self.rtol, self.floor(size), size, thorough)

    def floor(self, size):
        """What does not matter beside a derivative of this size."""
        return self.atol + ANALYTIC_ROUNDING * self.eps * size

    def allowed(self, error):
        return SAFETY * error if np.isfinite(error) else 0.0

    def _judged(self, index, expected, found, size, reach=0.0):
        largest = max(abs(expected), abs(found.value)) if np.isfinite(found.value) else abs(expected)
        tolerance = self.rtol * largest + self.floor(size) + self.allowed(found.error)
        if abs(expected) <= self.residue and abs(found.value) <= max(SAFETY * found.error, self.eps * self.residue):
            tolerance = max(tolerance, self.residue)
        bend = self.subject.output_place(found.bend) if found.bend >= 0 else ""
        slopes = {name: getattr(found, name) for name in ("left", "right", "low", "high", "sides")}
        slopes |= {"bend": bend, "reach": reach}
        return Coordinate(index, expected, found.value, found.error, tolerance, found.kind, **slopes)

    def _hunt(self, rng):
        """Halve the array until one wrong coordinate is left."""
        low, high = 0, self.array.size
        while high - low > 1:
            middle = (low + high) // 2
            direction = np.zeros(self.array.size)
            direction[low:middle] = rng.standard_normal(middle - low)
            low, high = (low, middle) if self._along(direction.reshape(self.array.shape)).wrong else (middle, high)
        return low

    def _around(self, place):
        """A coordinate with both ends of its row and its column, for the diagnosis."""
        index = np.unravel_index(place, self.array.shape)
        found = {int(place)}
        for axis, length in enumerate(self.array.shape):
            for i in {*range(min(8, length)), *range(max(0, length - 8), length)}:
                found.add(int(np.ravel_multi_index((*index[:axis], i, *index[axis + 1 :]), self.array.shape)))
        return np.array(sorted(found))


def resolve(results, eps=0.0):
    """Say where rounding forbids a judgement: a tolerance beyond a tenth of the array's largest derivative.

    An array of which nothing could be told is `blind`, unless what could hide there is NEGLIGIBLE, or a thousand
    roundings, beside the largest derivative of all arrays.
    """
    for result in results:
        seen = [abs(v) for c in result.coordinates for v in (c.analytic, c.numeric) if np.isfinite(v)]
        result.scale = max([result.scale, *seen])
    largest = max((result.scale for result in results), default=0.0)
    for result in results:
        judged = [c.beside or c for c in result.coordinates]
        telling = [c for c in judged if not _untouched(c)]
        blurred = [c for c in telling if c.tolerance > 0.1 * max(result.scale, c.reach)]
        result.unresolved = len(blurred)
        sharp = any(c.tolerance <= 0.1 * result.rms for c in result.directions)
        hidden = max((c.tolerance for c in blurred), default=0.0)
        alone = len(results) == 1 or hidden > max(NEGLIGIBLE, 1e3 * eps) * largest
        result.blind = bool(blurred) and len(blurred) == len(telling) and not sharp and alone


def _untouched(coordinate):
    """Claimed and measured as exactly zero: the outputs do not depend on it."""
    return coordinate.analytic == 0.0 and coordinate.numeric == 0.0


def rms(array):
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64)))) if array.size else 0.0
