"""Errors that a check at one place cannot show: with another draw, other batch sizes, larger inputs, other parameters,
in the other mode.

Each is one random direction through all arrays (joint.py); what that calls wrong is judged array by array. Where
forward does not go along nothing was promised and nothing is said; where backward alone does not, it is told.
"""

import copy
import inspect
from contextlib import contextmanager
from fractions import Fraction

import numpy as np

from .arguments import draw_on, freezer, real_view
from .modes import switches
from .numerics.joint import agrees
from .numerics.judge import NEGLIGIBLE, rms
from .result import GradientReport
from .subject.inputs import has_rows, reordered
from .subject.keeping import Kept
from .subject.moving import put_back
from .subject.targets import Finding, flat

FACTORS = (1 / 16, 4.0)  # of the inputs; beyond, losses that are kept from overflow by a limit are flat
SHARE = 1 / 3  # of their size, by which other parameters differ
MOST = 3  # arrays named for each place
EFFORT = (32, 8, 2)  # coordinates in full, or else this many, and directions, where something is wrong


def elsewhere(subject, claimed, generator, report, compare, rtol, atol, noise=True):
    """Check in those places; what is wrong is added to the report's problems, and `elsewhere` says what was done.

    `claimed` are the gradients where the caller looks. `compare(claimed, report, effort)` judges every array by itself.
    noise : whether the claim is told of what is passed along, and so of other rows of it
    Everything is left as it was.
    """
    if subject.kind == "function" and not callable(subject._backward):
        return  # an array of numbers, right at one place
    before = subject.evaluations
    places = _Places(subject, claimed, report, compare, rtol, atol)
    if noise:
        places.draws(generator)
        places.rows()
    places.scales()
    places.parameters()
    places.modes()
    if places.seen:
        count = f"{subject.evaluations - before} of {subject.evaluations} evaluations"
        report.elsewhere = f"also checked {', '.join(places.seen)}: {count}"


class _Places:
    def __init__(self, subject, claimed, report, compare, rtol, atol):
        self.subject, self.claimed, self.report, self.compare = subject, claimed, report, compare
        self.rtol, self.atol = rtol, atol
        self.shapes = [c.shape for c in subject.cotangents]
        self.kept = Kept.of(subject)
        self.seen, self.refused = [], ""

    def at(self, place, strict=True, may_refuse=False, may_be_deaf=False):
        """Compare here; returns whether the target went along.

        strict : a gradient that is not finite is an error
        may_refuse : backward may raise, or give what does not fit
        may_be_deaf : the gradient of the first place is no error
        """
        subject, self.refused = self.subject, ""
        try:
            with self._instead(cotangents=subject.cotangents, strict=True):
                outputs = self._finite_outputs()
                if outputs is None:
                    return False
                if [y.shape for y in outputs] != self.shapes:
                    subject.draw_cotangents(outputs)
                claimed = subject.backward(outputs)
                self.seen.append(place)
                if agrees(subject, claimed, self.rtol, self.atol):
                    return True
                if may_be_deaf and all(np.array_equal(claimed.get(name), g) for name, g in self.claimed.items()):
                    text = f"{place} backward gives what it gives without: it is wrong there, or not meant for it"
                    self.report.notes.append(text)
                else:
                    self._name(place, claimed)
        except Finding as finding:
            if finding.kind != "non-finite":
                self.refused = f"{place}, which forward takes: {finding}"
                if not may_refuse:
                    self._tell_refusal()
                return False
            if strict:
                self.report.problems.append(("elsewhere", f"{place}: {finding}"))
        finally:
            self.kept.restore()
        return True

    def _tell_refusal(self):
        """That backward does not go along where forward does: of an object its fault; functions may have closed over
        what fits one place alone.
        """
        if self.refused and self.subject.kind in ("layer", "model"):
            self.report.problems.append(("elsewhere", self.refused))
        elif self.refused:
            self.report.notes.append(self.refused)

    def _finite_outputs(self):
        """Forward's answer, None where it raises or is not finite."""
        try:
            outputs = self.subject.outputs()
        except Finding:
            return None
        return outputs if np.isfinite(flat(outputs)).all() else None

    def _name(self, place, claimed):
        """Judge array by array; report what is wrong without a doubt."""
        alone = GradientReport("")
        self.compare(claimed, alone, EFFORT)
        weighed = float(np.max(np.abs(flat(self.subject.cotangents) * self.subject.vector()), initial=0.0))
        wrong = [a for a in alone.arrays if any(self._certain(a.name, c, weighed) for c in a.judged)]
        for array in wrong[:MOST]:
            worst = array.worst.beside if array.worst.beside is not None else array.worst
            where = "along a random direction" if worst.index is None else f"at {list(worst.index)}"
            numbers = f"{where} backward gives {worst.analytic:.9g}, differences give {worst.numeric:.9g}"
            text = f"{place}: gradient of '{array.name}' is wrong: {array.diagnosis}; {numbers}"
            self.report.problems.append(("elsewhere", text))
        if len(wrong) > MOST:
            self.report.problems.append(("elsewhere", f"{place}: {len(wrong) - MOST} more arrays are wrong"))

    def _certain(self, name, coordinate, weighed):
        """Whether it is wrong by more than what is left of saturated values, whose rounding no small step shows.

        weighed : the largest output, times its weight
        """
        c, claimed = coordinate.beside or coordinate, self.claimed.get(name, np.zeros(0))
        eps = float(np.finfo(claimed.dtype).eps)
        least = max(NEGLIGIBLE, 1e4 * eps) * np.max(np.abs(claimed), initial=0.0)
        if c.numeric == 0.0 and eps > 1e-10:  # in float32 1 - sigmoid(15) is the same over a whole step
            least = max(least, 1e4 * eps * weighed / (rms(self.subject.arrays[name]) or 1.0))
        return c.wrong and c.kind not in ("jump", "undefined") and abs(c.analytic - c.numeric) > least

    @contextmanager
    def _instead(self, **attributes):
        """The subject with other attributes for a while."""
        kept = {name: getattr(self.subject, name) for name in attributes}
        vars(self.subject).update(attributes)
        try:
            yield
        finally:
            vars(self.subject).update(kept)

    def _outputs(self):
        """Forward as one vector, None where it raises or is not finite."""
        outputs = self._finite_outputs()
        return None if outputs is None else flat(outputs)

    def draws(self, generator):
        """Another state of the generator, if forward draws from it; or the rows of the noise in another order."""
        subject = self.subject
        if generator is not None and not inspect.isroutine(generator):
            before = self._outputs()
            subject._freeze()
            if draw_on(generator):
                with self._instead(_freeze=freezer(generator)):
                    if not np.array_equal(before, self._outputs()):
                        self.at("with another draw", may_be_deaf=bool(subject.varied))  # it is not handed the noise
                subject._freeze()
        elif any(reordered(v) is not v for v in subject.fixed.values()):
            with self._instead(inputs=subject.inputs.with_fixed(reordered)):
                self.at("with the rows of what is fixed in another order")

    def rows(self):
        """One row more, and if that is taken, one alone."""
        subject = self.subject
        if not subject.values:
            return
        name = min(
            subject.values, key=lambda name: "." in name
        )  # the first, but rather not of a nest: those are weights
        first = subject.values[name]
        rows = len(first) if first.ndim else 0
        lengths = [len(v) for v in (*subject.values.values(), *subject.fixed.values()) if has_rows(v)]
        if rows == 0 or (first.ndim == 1 and lengths.count(rows) == 1) or subject.given_cotangent is not None:
            return  # a vector alone is one example; weights that were given for the outputs fit no others
        if rows == 1 and subject.kind in ("function", "pair"):
            return  # what it has closed over, of one row, would go along with any number
        refused = ""
        for names, multiples in ((subject.values, 1), (subject.values, rows * 4096), ([name], 1), (subject.values, 0)):
            self.refused = ""
            with self._resized(names, multiples, rows, rows + 1):
                taken = self._counts(subject.values[name]) and self.at(f"with {rows + 1} rows", may_refuse=True)
            refused = refused or self.refused
            if taken and rows > 1:
                with self._resized(names, multiples, rows, 1):
                    self.at("with 1 row", strict=False)
            if taken:
                return
        self.refused = refused if rows > 1 else ""  # what belongs to one row goes along with any number in forward
        self._tell_refusal()

    def _resized(self, names, multiples, rows, wanted):
        """The inputs of these names, and what is fixed, of so many rows (or up to `multiples` as many) with others."""
        values = {
            n: _resize(v, rows, wanted, blend=True) if n in names and has_rows(v) and len(v) == rows else v
            for n, v in self.subject.values.items()
        }
        holders = {n: values.get(n, a) for n, a in self.subject.holders.items()}
        arrays = {n: real_view(a) for n, a in holders.items()}

        def change(v):
            fits = has_rows(v) and len(v) % rows == 0 and len(v) <= multiples * rows
            return _resize(v, rows, wanted) if fits else v

        return self._instead(
            values=values, holders=holders, arrays=arrays, inputs=self.subject.inputs.with_fixed(change)
        )

    def _counts(self, array):
        """Whether forward takes this input as it is now and makes something of its last row."""
        before = self._outputs()
        if before is None or array.dtype.kind not in "fc":
            return before is not None
        with put_back([array]):
            array[-1] += (0.0625 * np.where(array[-1] == 0.0, 1.0, -array[-1])).astype(array.dtype)
            after = self._outputs()
        return after is not None and not np.array_equal(before, after)

    def scales(self):
        """Inputs of other sizes, as far as they may have them."""
        for factor in FACTORS:
            names = (*self.claimed, *self.subject.varied)
            moved = [v for n, v in self.subject.values.items() if n in names and _scalable(v, factor)]
            with put_back(moved):
                for v in moved:
                    v *= v.dtype.type(factor)
                if moved:
                    self.at(f"at {Fraction(factor)} times the inputs")

    def parameters(self):
        """Other parameters: what is wrong may be hidden behind ones and zeros, as they are at first. Of pairs and
        functions those may be among the inputs, but for the first.
        """
        subject, rng = self.subject, np.random.default_rng((self.subject.seed, 6))
        moved = [v for n, v in subject.parameters.items() if n in self.claimed]
        if subject.kind in ("function", "pair"):
            first, *others = subject.values or [""]
            others = [n for n in others if n.partition(".")[0] != first.partition(".")[0] or "." in first]
            moved += [subject.values[n] for n in others if n in self.claimed and _may_differ(subject.values[n])]

        def other(v):
            size = np.where(v == 0.0, rms(np.abs(v)) or 1.0, np.abs(v))
            return v + (SHARE * size * rng.uniform(-1.0, 1.0, v.shape)).astype(v.dtype)

        with put_back(moved):
            for v in moved:
                v[...] = other(v)
            if moved:
                self.at("with other parameters")

    def modes(self):
        """Training instead of evaluation, or the reverse."""
        subject = self.subject
        freeze = subject._freeze
        for label, switch, by_keyword in switches(subject, self.kept):
            inputs = copy.copy(subject.inputs)
            inputs.named = dict(inputs.named)
            with self._instead(_freeze=lambda: (self.kept.freeze(), freeze()), inputs=inputs):
                try:
                    switch()
                except Exception:  # no switch after all
                    first = None
                else:
                    first = self._outputs()
                if first is not None and np.array_equal(first, self._outputs()):
                    self.at(label, may_refuse=True, may_be_deaf=by_keyword)  # backward was not told
                self.kept.restore()


def _resize(value, rows, wanted, blend=False):
    """The array with `wanted` rows in the place of `rows`; the last is its neighbours blended, if it may be."""
    taken = value[np.arange(len(value) // rows * wanted) % len(value)]
    if blend and wanted > rows > 1 and value.dtype.kind in "fc" and not _whole(value):
        taken[-1] = 0.75 * value[-1] + 0.25 * value[-2]
    return taken


def _whole(array):
    return bool(np.all(array == np.round(array)))


def _scalable(value, factor):
    """Whether other sizes may be as good: no labels, no probabilities, nothing that is normalized."""
    if value.dtype.kind not in "fc" or value.size == 0 or _whole(value):
        return False
    if factor > 1.0 and value.dtype.kind == "f" and value.min() >= 0.0 and value.max() <= 1.0:
        return False
    if value.ndim == 0 or value.shape[-1] == 1:
        return True
    sums = np.sum(value, axis=-1), np.sum(np.abs(value) ** 2, axis=-1)
    return not any(np.allclose(s, 1.0, rtol=0.0, atol=1e-5) for s in sums)


def _may_differ(value):
    """Whether other values may be as good as these: where none would fit other sizes, all ones or zeros still may."""
    whole = value.size and value.dtype.kind in "fc" and _whole(value)
    return bool(np.ptp(value.real) == 0.0 and np.size(value) != 1) if whole else _scalable(value, 4.0)
