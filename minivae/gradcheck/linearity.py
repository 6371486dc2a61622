"""Backward is linear in dy, the gradient of the outputs: a few more calls show it, and what breaks it is named."""

import numpy as np

from .diagnosis.terms import EPS
from .numerics.joint import agrees
from .subject.moving import SAME
from .subject.targets import Finding

UP, DOWN = {8: 40, 4: 20}, {8: -70, 4: -40}  # powers of two by which dy is scaled, by the bytes of its numbers
ROUGH = 1e-6  # sums are only as exact as what cancels in backward; products with powers of two are exact
LEAST = 10  # the power to which float32 may overflow
CLEAR = 1e-4  # of the largest value: differences at a large dy that have their cause there
ZERO = 64  # roundings of the gradient that may be left of it at dy = 0


def linearity(subject, claimed, report):
    """Run backward with dy = 0, tiny, large and in parts; a fault is a problem, and the diagnosis of what is wrong."""
    if not (subject.kind == "pair" or (subject.kind == "layer" and subject._takes_cotangent)):
        return
    calls = _Calls(subject, claimed)
    try:
        found = calls.faults()
    except Finding as finding:  # at a dy where backward should do no more than answer zeros
        if str(finding).startswith("forward"):  # whatever dy is
            raise
        report.problems.append(("linear", f"with {calls.what} {finding}"))
        return
    if found and any(_apart(again, claimed[name]) for name, again in subject.claimed().items()):
        return  # it is no longer what it was at the dy of before: `recheck` says so
    if subject.given_cotangent is not None and all(np.all(c == 1.0) for c in subject.cotangents):
        meant = [name for name, phrase in found.items() if phrase.startswith("dy is ignored")]
        if meant and not any(array.verdict == "wrong" for array in report.arrays if array.name in meant):
            report.notes.append(f"dy is ignored in the gradient of {_named(meant)}: right for the ones that were given")
            found = {name: phrase for name, phrase in found.items() if name not in meant}
    for phrase in dict.fromkeys(found.values()):
        names = [name for name in found if found[name] == phrase]
        report.problems.append(
            ("linear", f"backward is not linear in dy, in the gradient of {_named(names)}: {phrase}")
        )
    if not found:
        found = _unheard(subject, claimed, report)
    for array in report.arrays:
        if array.verdict == "wrong" and found.get(array.name, "").startswith("dy"):
            array.diagnosis = found[array.name]
        elif array.name in found:
            array.diagnosis = array.diagnosis.removesuffix(EPS)


def _named(names):
    return ", ".join(f"'{name}'" for name in names)


class _Calls:
    """Gradients with the target's dy changed, each after a forward of its own."""

    def __init__(self, subject, claimed):
        self.subject, self.claimed = subject, claimed
        self.dy = subject.cotangents
        self.bytes = min(np.finfo(array.dtype).bits // 8 for array in (*self.dy, *subject.arrays.values()))
        self.largest = max(_largest(array) for array in (*self.dy, *claimed.values()))

    def of(self, cotangents, what="another dy"):
        subject, self.what = self.subject, what
        subject.cotangents = [np.asarray(c, dtype=mine.dtype) for c, mine in zip(cotangents, self.dy, strict=True)]
        subject.strict = True
        try:
            found = subject.backward(subject.outputs())
        finally:
            subject.cotangents, subject.strict = self.dy, False
        return {
            name: found.get(name, np.zeros_like(g)) for name, g in self.claimed.items()
        }  # none: it has stopped here

    def scaled(self, factor):
        return self.of([factor * c for c in self.dy], "dy = 0" if factor == 0.0 else f"dy times {factor:.3g}")

    def faults(self):
        """A phrase for each array whose gradient is not linear in dy."""
        zero, (factor, up), power, found = self.scaled(0.0), self._up(), self._down(), {}
        down = self.scaled(2.0**power)
        pieces = [self.of(part, "a part of dy alone") for part in self._parts()]
        for name, gradient in self.claimed.items():
            parts = [piece[name] for piece in pieces]
            if _largest(zero[name]) > ZERO * np.finfo(gradient.dtype).eps * _largest(gradient):
                found[name] = self._constant(name, zero[name])
            elif power < -4 and gradient.any() and not _apart(down[name], gradient):
                found[name] = (
                    "it is the same for dy of any size: its sign alone is used, or it is divided by its own size"
                )
            elif up and _apart(up[name], factor * gradient, CLEAR):
                found[name] = self._grows(gradient, factor, up, name)
            elif _apart(down[name], 2.0**power * gradient):
                found[name] = self._shrinks(name, gradient, power)
            elif up and _apart(up[name], factor * gradient):
                found[name] = "it is not quite in proportion: a large dy gives other digits"
            elif np.any(abs(sum(parts) - gradient) > self._rough(*parts)):
                found[name] = "the gradients for parts of dy do not add up to that for all of it"
        return found

    def _up(self):
        """(factor, gradients) for a large dy, of the other sign; no gradients where float32 overflows."""
        for power in (UP[self.bytes], LEAST):
            try:
                return -(2.0**power), self.scaled(-(2.0**power))
            except Finding as finding:
                if finding.kind != "non-finite" or (power == LEAST and self.bytes == 8):
                    raise
        return 0.0, {}

    def _down(self):
        """The power of two for a small dy: what is multiplied by it must stay above the smallest numbers."""
        limits = np.finfo(f"f{self.bytes}")
        sizes = [_largest(array) for array in (*self.dy, *self.claimed.values(), *self.subject.arrays.values())]
        room = limits.tiny / limits.eps / min((size for size in sizes if size), default=1.0)
        return min(0, max(DOWN[self.bytes], int(np.ceil(np.log2(float(room))))))

    def _parts(self):
        """Two halves of dy at random or, of several outputs, each one's alone."""
        if len(self.dy) > 1:
            return [[c * (i == k) for i, c in enumerate(self.dy)] for k in range(len(self.dy))]
        chosen = np.random.default_rng((self.subject.seed, 5)).random(self.dy[0].shape) < 0.5
        return [[self.dy[0] * chosen], [self.dy[0] * ~chosen]]

    def _rough(self, *parts):
        eps = float(np.finfo(parts[0].dtype).eps)
        return max(ROUGH, 10.0 * np.sqrt(eps)) * max(map(_largest, parts)) + SAME * eps * self.largest

    def _constant(self, name, zero):
        """What is there when dy is zero."""
        ignored = not _apart(zero, self.claimed[name])
        for k in (None, *range(len(self.dy) if len(self.dy) > 1 else 0)):
            ones = [np.ones_like(c) if k in (None, i) else np.zeros_like(c) for i, c in enumerate(self.dy)]
            if self._fits({name: zero}, ones):
                if ignored:
                    return f"dy is ignored: these are the right values for dy{'' if k is None else f' {k}'} = 1"
                return f"dy {k} is ignored and taken for 1" if k is not None else "dy is taken for 1 in a part of it"
        if ignored:
            kept = ": it is that of an earlier call" if self._fits({name: zero}, self.dy) else ""
            return f"dy is ignored: the same values come for every dy{kept}"
        array = self.subject.arrays[name].astype(np.float64)
        factor = float(np.vdot(array, zero) / (np.vdot(array, array) or 1.0))
        if factor and np.all(abs(zero - factor * array) <= ROUGH * _largest(zero)):
            return f"{factor:.6g} * {name} is added whatever dy is: weight decay?"
        return f"up to {_largest(zero):.3g} is added whatever dy is: at dy = 0 the gradient is not zero"

    def _fits(self, claimed, cotangents):
        self.subject.cotangents = cotangents
        try:
            own = getattr(self.subject, "fits", None)  # of a Jacobian-vector product
            return own(claimed) if own else agrees(self.subject, claimed, None, 0.0)
        finally:
            self.subject.cotangents = self.dy

    def _breaks(self, power):
        """The power next to 0, on the way to this one, at which any gradient is out of proportion."""
        right, wrong, sign = 0, power, -1.0 if power > 0 else 1.0
        while abs(wrong - right) > 1:
            middle = (right + wrong) // 2
            values = self.scaled(sign * 2.0**middle)
            seen = any(_apart(values[name], sign * 2.0**middle * g) for name, g in self.claimed.items())
            right, wrong = (right, middle) if seen else (middle, wrong)
        return wrong

    def _shrinks(self, name, gradient, power):
        """What happens to small values, at the largest dy that shows it."""
        power = self._breaks(power)
        values, expected = self.scaled(2.0**power)[name], 2.0**power * gradient
        lost = (values == 0.0) & (expected != 0.0)
        if lost.any() and not _apart(values[~lost], expected[~lost]):
            return f"small values are dropped: none below about {_largest(expected[lost]):.1g} comes through"
        for smaller in range(power, DOWN[self.bytes], -4):
            last, values = values, self.scaled(2.0**smaller)[name]
            if not values.any():
                values = last
                break
        grid = np.min(abs(values[values != 0.0]), initial=np.inf)
        if np.isfinite(grid) and np.all(abs(values / grid - np.round(values / grid)) < ROUGH):
            return f"values are rounded to multiples of {grid:.3g}"
        most = 2.0**power * max(map(_largest, self.dy))
        return f"it is not in proportion where dy is small, {most:.1g} at most"

    def _grows(self, gradient, factor, values, name):
        """What happens to large values."""
        values, expected = {n: np.asarray(v, np.float64) for n, v in values.items()}, factor * gradient
        mine, largest = values[name], _largest(values[name])
        if largest == 0.0:
            least = 2.0 ** self._breaks(int(np.log2(-factor))) * max(map(_largest, self.dy))
            return f"it is zero where dy is large, {least:.2g} and more: what exceeds a limit is dropped"
        for low, high in (
            (-largest, largest),
            (np.min(mine, initial=0.0), np.inf),
            (-np.inf, np.max(mine, initial=0.0)),
        ):
            if not _apart(np.clip(expected, low, high), mine):
                one = "" if np.isfinite(low + high) else " on one side"
                return f"its values are clipped at {high if np.isfinite(high) else low:.6g}{one}"
        ratio = _ratio(mine, expected)
        if ratio is None and _apart(self.scaled(-1.0)[name], -self.claimed[name]):
            return "that of -dy is not minus that of dy"
        if ratio is None:
            least = 2.0 ** self._breaks(int(np.log2(-factor))) * max(map(_largest, self.dy))
            if largest > _largest(expected):
                return f"it grows faster than dy where that is {least:.2g} and more"
            return f"it does not grow with dy where that is {least:.2g} and more: something within is clipped?"
        power = 1.0 + np.log2(abs(ratio)) / np.log2(abs(factor)) if ratio else 0.0
        if abs(power - round(power)) < 0.01 and round(power) > 1:
            return f"it grows with dy to the power of {round(power)}"
        if ratio < 0.0:
            return "its sign does not change with that of dy"
        ratios = [_ratio(values[n], factor * g) for n, g in self.claimed.items()]
        together = all(r is not None and np.isclose(r, ratio, rtol=1e-4) for r in ratios) and len(ratios) > 1
        norm = np.sqrt(sum(_norm(v) ** 2 for v in values.values())) if together else _norm(mine)
        return f"it is cut to {'a joint' if together else 'the'} norm of {norm:.6g}, whatever the size of dy"


def _unheard(subject, claimed, report):
    """For each wrong array a phrase, where all is right but for one output whose dy is not used."""
    wrong = [array.name for array in report.arrays if array.verdict == "wrong"]
    calls = _Calls(subject, claimed)
    for k in range(len(calls.dy) if wrong and len(calls.dy) > 1 else 0):
        alone = calls.of([c * (i == k) for i, c in enumerate(calls.dy)])
        rest = [c * (i != k) for i, c in enumerate(calls.dy)]
        if not any(np.any(alone[name]) for name in wrong) and calls._fits({n: claimed[n] for n in wrong}, rest):
            return dict.fromkeys(wrong, f"dy {k} is ignored: nothing comes back from output {k}; the rest is right")
    return {}


def _apart(a, b, share=0.0):
    """Whether two answers differ by more than rounding, and more than this share of the largest value."""
    share = max(share, SAME * float(np.finfo(a.dtype).eps))
    return bool(np.any(abs(a - b) > share * max(_largest(a), _largest(b))))


def _ratio(a, b):
    """k where a = k * b, else None."""
    square = float(np.vdot(b, b))
    k = float(np.vdot(b, a)) / square if square else 0.0
    return k if np.all(abs(a - k * b) <= CLEAR * _largest(a)) else None


def _largest(array):
    return float(np.max(np.abs(array), initial=0.0))


def _norm(array):
    return float(np.linalg.norm(np.asarray(array, dtype=np.float64)))
