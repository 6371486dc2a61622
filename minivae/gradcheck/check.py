"""check_gradients and assert_gradients: a claimed gradient against the function's own values."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from .conduct import observe, only_float32, recheck
from .diagnosis import diagnose, locate
from .differences import SAFETY, Derivative, Differences, differentiate, noise_amplification
from .probe import ComplexProbe, coordinate_line, direction_line
from .result import ArrayResult, Coordinate, GradientReport
from .targets import Finding, Target, flat

ANALYTIC_ROUNDING = 64.0  # roundings of the largest derivative that a hand-written backward may carry
LEAK = 2e-10  # noise relative to the outputs beyond this, in float64, is float32 inside
NUDGE = 1e-3  # how far to step off a kink, relative to the array's values
BESIDE = 64  # coordinates on kinks that are judged again beside them
GIVE_UP = 12  # wrong coordinates confirmed with all steps; the rest of the array gets the first three


def check_gradients(target, inputs, *, gradient=None, parameters=None, parameter_gradients=None, fixed=(),
                    generator=None, cotangent=None, method="auto", rtol=None, atol=0.0, full=256, coordinates=24,
                    directions=3, accumulates=False, allow_unresolved=False, seed=0, name=None):  # fmt: skip
    """Check the gradient of a function, a layer, a model or a pair of functions against differences.

    Parameters
    ----------
    target : one of
        a scalar function, with `gradient`: a callable of the same arguments, or the array(s) it should give;
        a layer: `forward(*inputs, **fixed) -> y` (or a tuple) and `backward(dy)` (one per output) returning the
        gradient of each input (None: not differentiated), checked with a seeded random dy;
        a model: `forward` returns an object with `loss`, `backward()` fills `gradients`;
        a pair `(forward, backward)`: `forward(*inputs) -> (y, cache)`, `backward(dy, cache)`.
    inputs : array, sequence of arrays (handed over by position) or mapping (by keyword)
        Float arrays are differentiated, others are passed as they are. They are copied; nothing is changed.
    parameters : mapping of name to float array, default target.parameters
        Perturbed in place and put back. Their gradients are read after backward from `parameter_gradients` (a mapping
        or a callable returning one), default target.gradients.
    fixed : mapping or sequence
        Passed along and not differentiated: frozen noise, labels.
    generator : numpy Generator, RandomState, or callable
        What the target draws from, set back before every forward, so that every evaluation sees the same draw.
    cotangent : array(s) like the outputs, default seeded standard normals
    method : "auto", "differences" or "complex"
        "auto" adds the complex step where a function or pair accepts complex inputs and both agree.
    rtol, atol : float
        Tolerance: rtol * size + atol + 10 * estimated error of the differences + 64 roundings of the array's largest
        derivative. Default rtol: sqrt(machine epsilon), 1.5e-8 in float64 and 3.5e-4 in float32.
    full, coordinates, directions : int
        Arrays up to `full` entries are checked at every coordinate, larger ones at `coordinates` random ones and along
        `directions` random directions; the report states the probability of missing a wrong coordinate.
    accumulates : bool
        The target adds to its parameter gradients; they are zeroed before each backward. False: adding is reported.
    allow_unresolved : bool
        Pass arrays whose derivatives drown in rounding. Default: report them, since nothing was shown.

    Returns
    -------
    GradientReport, true when the gradient is right. What the target does wrong is in the report; only a wrong call of
    this function raises ValueError.
    """
    started = time.perf_counter()
    if method not in ("auto", "differences", "complex"):
        raise ValueError(f"method is {method!r}: expected 'auto', 'differences' or 'complex'")
    subject = Target(target, inputs, gradient=gradient, parameters=parameters, parameter_gradients=parameter_gradients,
                     fixed=fixed, generator=generator, cotangent=cotangent, accumulates=accumulates,
                     seed=seed)  # fmt: skip
    report = GradientReport(name or subject.name, allow_unresolved=allow_unresolved)
    try:
        with np.errstate(all="ignore"):
            claimed = observe(subject, report)
            _compare(subject, claimed, report, method, rtol, atol, (full, coordinates, directions), seed)
            recheck(subject, claimed, report)
    except Finding as finding:
        report.problems.append((finding.kind, str(finding)))
        report.cause = finding.__cause__
    report.evaluations = subject.evaluations
    report.seconds = time.perf_counter() - started
    return report


def assert_gradients(target, inputs, **options):
    """check_gradients for tests: AssertionError with the report's text if the check fails, else the report."""
    report = check_gradients(target, inputs, **options)
    if not report.passed:
        raise AssertionError(str(report)) from report.cause
    return report


def _compare(subject, claimed, report, method, rtol, atol, effort, seed):
    arrays = {name: subject.arrays[name] for name in subject.differentiated}
    lowest = max((a.dtype for a in arrays.values()), key=lambda dtype: np.finfo(dtype).eps)
    eps = float(np.finfo(lowest).eps)
    report.dtype = str(lowest)
    rtol = np.sqrt(eps) if rtol is None else rtol
    start = subject.vector()
    cotangent = flat(subject.cotangents)
    rng = np.random.default_rng((seed, 2))
    probe = ComplexProbe.offered(subject, start) if _wants_complex(method, subject) else None
    if method == "complex" and probe is None:
        raise ValueError("method='complex': the target does not take complex inputs, or loses the imaginary part")
    judges = {
        name: _Judge(subject, name, array, claimed[name], start, cotangent, eps, rtol, atol, probe)
        for name, array in arrays.items()
    }
    for judge in judges.values():
        report.arrays.append(judge.run(*effort, rng))
    _beside_kinks(subject, judges, rng)
    for name, judge in judges.items():
        result = judge.result
        if judge.noise > LEAK and eps < 1e-10:
            report.problems.append((
                "noise",
                f"outputs move by {judge.noise:.0e} of their size at random when '{name}' moves by a few roundings: "
                "part of forward runs in less than float64",
            ))  # fmt: skip
        if result.wrong:
            result.diagnosis = diagnose(result, report.arrays, claimed, subject)
        elif only_float32(claimed[name]) and not only_float32(subject.arrays[name]):
            report.problems.append(
                ("dtype", f"every gradient of '{name}' is a float32 number: backward rounds to float32")
            )
    where = locate(report, subject)
    if where:
        report.notes.append(where)
    if probe is not None and probe.used:
        report.method = "differences and complex step"


def _wants_complex(method, subject):
    return method == "complex" or (method == "auto" and subject.kind in ("function", "pair"))


def _beside_kinks(subject, judges, rng):
    """Judge what lies on a kink again, with every array moved a little: there the derivative exists."""
    if not any(c.kind == "kink" for judge in judges.values() for c in judge.result.coordinates):
        return
    kept = {name: array.copy() for name, array in subject.arrays.items()}
    for array in subject.arrays.values():
        array += (NUDGE * (_rms(array) or 1.0) * rng.standard_normal(array.shape)).astype(array.dtype)
    try:
        claimed, start = subject.claimed(), subject.vector()
        for name, judge in judges.items():
            judge.again(claimed[name], start)
    finally:
        for name, array in subject.arrays.items():
            array[...] = kept[name]


class _Judge:
    """Everything judged of one array."""

    def __init__(self, subject, name, array, claimed, start, cotangent, eps, rtol, atol, probe):
        self.subject, self.name, self.array, self.claimed = subject, name, array, claimed
        self.start, self.cotangent, self.eps, self.rtol, self.atol = start, cotangent, eps, rtol, atol
        self.probe = probe if probe is not None and name in subject.values else None
        self.result = ArrayResult(name, array.shape, str(array.dtype), rms=_rms(claimed))
        self.typical = _rms(array) or 1.0
        self.largest = float(np.max(np.abs(claimed), initial=0.0))

    def run(self, full, coordinates, directions, rng):
        """Judge coordinates and, of a large array, directions."""
        size = self.array.size
        signs = rng.choice([-1.0, 1.0], self.array.shape) * np.maximum(np.abs(self.array), self.typical)
        line = direction_line(self.subject, self.array, signs)
        self.amplification = noise_amplification(line, self.start, self.cotangent, self.eps, 1.0)
        self.noise = self.amplification * self.eps
        if size <= full:
            chosen = np.arange(size)
        else:
            chosen = np.sort(rng.choice(size, coordinates, replace=False))
            for _ in range(directions):
                self.result.directions.append(self._along(rng.standard_normal(self.array.shape)))
            if any(c.wrong for c in self.result.directions):
                chosen = np.union1d(chosen, self._hunt(rng))
        failures = 0
        for flat_index in chosen:
            coordinate = self._at(np.unravel_index(flat_index, self.array.shape), failures < GIVE_UP)
            failures += coordinate.wrong
            self.result.coordinates.append(coordinate)
        self._resolve()
        return self.result

    def again(self, claimed, start):
        """Judge the coordinates found on a kink once more, from here."""
        self.claimed, self.start = claimed, start
        kinks = [i for i, c in enumerate(self.result.coordinates) if c.kind == "kink"]
        for i in kinks[:BESIDE]:
            c = self.result.coordinates[i]
            self.result.coordinates[i] = replace(c, beside=self._at(c.index))

    def _at(self, index, thorough=True):
        index = tuple(int(i) for i in index)
        differences = Differences(coordinate_line(self.subject, self.array, index), self.start, self.cotangent,
                                  self.eps, self.amplification)  # fmt: skip
        scale = max(abs(float(self.array[index])), self.typical)
        found = self._differentiate(differences, scale, float(self.claimed[index]), self.largest, thorough)
        if self.probe is not None and found.kind == "smooth":
            found = self.probe.refine(found, self.name, index, self.cotangent, self.eps, self.rtol)
        return self._judged(index, float(self.claimed[index]), found, self.largest)

    def _along(self, direction):
        differences = Differences(direction_line(self.subject, self.array, direction), self.start, self.cotangent,
                                  self.eps, self.amplification)  # fmt: skip
        expected = float(np.sum(self.claimed * direction, dtype=np.float64))
        size = float(np.linalg.norm(self.claimed))
        return self._judged(None, expected, self._differentiate(differences, self.typical, expected, size), size)

    def _differentiate(self, differences, scale, expected, size, thorough=True) -> Derivative:
        floor = self.atol + ANALYTIC_ROUNDING * self.eps * size
        return differentiate(differences, scale, expected, self.rtol, floor, thorough)

    def _judged(self, index, expected, found, size):
        largest = max(abs(expected), abs(found.value)) if np.isfinite(found.value) else abs(expected)
        tolerance = self.rtol * largest + self.atol + ANALYTIC_ROUNDING * self.eps * size
        if np.isfinite(found.error):
            tolerance += SAFETY * found.error
        bend = self.subject.output_place(found.bend) if found.bend >= 0 else ""
        return Coordinate(
            index, expected, found.value, found.error, tolerance, found.kind, found.left, found.right, bend
        )

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
                other = list(index)
                other[axis] = i
                found.add(int(np.ravel_multi_index(other, self.array.shape)))
        return np.array(sorted(found))

    def _resolve(self):
        result = self.result
        seen = [abs(v) for c in result.coordinates for v in (c.analytic, c.numeric) if np.isfinite(v)]
        result.scale = max(seen, default=0.0)
        result.scale = max(result.scale, self.largest)
        blurred = [c for c in result.coordinates if c.tolerance > 0.1 * result.scale and not _untouched(c)]
        result.unresolved = len(blurred)
        sharp = any(c.tolerance <= 0.1 * result.rms for c in result.directions)
        result.blind = bool(blurred) and len(blurred) == len(result.coordinates) and not sharp


def _untouched(coordinate):
    """Claimed and measured as exactly zero: the outputs do not depend on it."""
    return coordinate.analytic == 0.0 and coordinate.numeric == 0.0


def _rms(array):
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64)))) if array.size else 0.0
