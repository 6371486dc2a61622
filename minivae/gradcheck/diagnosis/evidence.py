"""The coordinates of a wrong array as vectors, and what a claim is that is the truth times a number."""

import contextlib
import copy
import inspect
import math
import numbers
from fractions import Fraction

import numpy as np

CLOSE = 1e-5  # relative size of what a pattern may leave unexplained
PART = 1e-2  # and relative to the largest error
PLAIN = {"{}": lambda v: v, "1/{}": lambda v: 1.0 / v}
ROOTS = {"sqrt({})": math.sqrt, "1/sqrt({})": lambda v: v**-0.5, "{}^2": lambda v: v**2, "1/{}^2": lambda v: v**-2.0}
LESS_ONE = {"({0} - 1)/{0}": lambda v: (v - 1.0) / v, "{0}/({0} - 1)": lambda v: v / (v - 1.0)}
REST = {"1 - {}": lambda v: 1.0 - v, "1/(1 - {})": lambda v: 1.0 / (1.0 - v)}


class Table:
    """The coordinates off kinks: claimed a, measured n, and where they lie.

    blur: what the measurement leaves open. slack: how far apart two values may lie that are called the same; beside
    the blur a small part of the values and of the errors, so that a pattern in small errors is no accident.
    """

    def __init__(self, result, claimed):
        beside = [c.beside if c.kind == "kink" and c.beside is not None and c.wrong else c for c in result.coordinates]
        kept = [c for c in beside if c.kind != "kink"]
        self.result, self.claimed, self.shape = result, claimed, result.shape
        self.index = [c.index for c in kept]
        self.a = np.array([c.analytic for c in kept])
        self.n = np.array([c.numeric for c in kept])
        self.wrong = np.array([c.wrong for c in kept], dtype=bool)
        self.every = np.ones(len(kept), dtype=bool)
        self.complete = len(kept) == result.size
        self.gap = self.a - self.n
        self.size = float(np.max(np.abs(self.n), initial=0.0) or np.max(np.abs(self.a), initial=0.0))
        self.error = float(np.max(np.abs(self.gap), initial=0.0))
        eps = float(np.finfo(result.dtype).eps)
        self.blur = np.array([min(10.0 * c.error + 64.0 * eps * self.size, c.tolerance) for c in kept])
        self.slack = self.blur + min(CLOSE * self.size, PART * self.error)
        self.untouched = (np.abs(self.n) <= self.blur) & ~self.wrong  # zeros, which most mistakes leave alone

    def only(self, chosen):
        """The table of some coordinates: a mask or positions."""
        part = copy.copy(self)
        part.complete = False
        part.index = [self.index[i] for i in np.arange(len(self.index))[chosen]]
        for name in ("a", "n", "wrong", "every", "gap", "blur", "slack", "untouched"):
            setattr(part, name, getattr(self, name)[chosen])
        return part

    def at(self, array):
        """Values of an array of this shape at the coordinates looked at."""
        return np.array([array[i] for i in self.index], dtype=np.float64)

    def same(self, guess, value):
        """Whether two vectors are the same, where a difference as large as the error would show."""
        return bool(np.all(np.abs(guess - value) <= self.slack) and np.median(self.slack) <= 0.1 * self.error)

    def fits(self, target, guess):
        """The k with target = k * guess, else None."""
        k = self.ratio(target, guess) if target.size >= 3 else None
        if not k:
            return None
        scale = min(1.0, self.size / float(np.max(np.abs(target)) or 1.0))  # what is large has large errors
        return k if self.same(scale * k * guess, scale * target) else None

    def ratio(self, target, guess):
        """The k with target nearest to k * guess, where what is measured well counts for more; None without one."""
        weight = (np.min(self.slack) / self.slack) ** 2
        square = float(guess * weight @ guess)
        return float(target * weight @ guess) / square if np.isfinite(square) and square > 0.0 else None


def conjugated(table):
    """What is wrong with complex numbers as such: one part of them, or their phase."""
    second = np.array([i[-1] == 1 for i in table.index], dtype=bool)
    for part, word in ((second, "imaginary"), (~second, "real")):
        if table.wrong[part].any() and not table.wrong[~part].any() and np.any(~table.untouched[~part]):
            what = relation(table.only(part))
            conjugate = ": the conjugate?" if what == "sign flipped" and word == "imaginary" else ""
            return f"only the {word} part is wrong{what and f' ({what})'}{conjugate}"
    if not table.complete:
        return ""
    a, n = (v.reshape(table.shape) for v in (table.a, table.n))
    same = table.same(np.hypot(*np.moveaxis(a, -1, 0)).repeat(2), np.hypot(*np.moveaxis(n, -1, 0)).repeat(2))
    return "right absolute values with another phase: a conjugate is missing or extra?" if same and a.size > 4 else ""


def relation(table, subject=None):
    """Zero, sign, factor: a claim that is the truth times a number, which is named where the subject is given."""
    a, n, blur = table.a, table.n, table.blur
    moved = np.any(np.abs(n) > blur)
    if not np.any(a) or not moved:
        nothing = "should be zero: the outputs do not depend on this array" if subject else "should be zero there"
        return "zero: no gradient arrives here" if moved else nothing if np.any(a) else ""
    if subject and a.size < 2 and table.result.size > 1:
        return ""
    factor = table.ratio(a, n)
    if not factor or not table.same(n, a / factor):
        return ""
    if abs(factor + 1.0) < 1e-6:
        return "sign flipped"
    twice = abs(factor - 2.0) < 1e-6
    named = named_factor(2.0 if twice else abs(factor), subject) if subject else ""
    if twice:
        return f"twice the right values: a factor 2{named}, or added up twice"
    if a.size < 2 and not named:  # one number is a multiple of any other
        return f"{'one number, ' if subject else ''}{factor:.6g} times the right one"
    near = abs(factor - 1.0) < 1e-3
    text = f"1 {'+' if factor > 1.0 else '-'} {abs(factor - 1.0):.3g}" if near else f"{factor:.6g}"
    flipped = " and the sign is flipped" if factor < 0.0 else ""
    return f"constant factor {text}{flipped}{named}"


def named_factor(factor, subject):
    """What the factor may be, as a remark after it: a scalar that the target holds, a length, a simple fraction. More
    than one may be true, and a length may be it by chance: all are said.
    """
    lengths: dict[float, str] = {}
    for name, array in {**subject.values, **subject.parameters}.items():
        for axis, length in enumerate(np.shape(array)):
            lengths.setdefault(length, f"the length of axis {axis} of '{name}' is {length}")
        lengths.setdefault(np.size(array), f"the number of entries of '{name}' is {np.size(array)}")
    scalars = {value: name for name, value in reversed(_scalars(subject).items())}
    held = [form.format(name) for form, _, name in _forms(factor, PLAIN | REST | ROOTS, scalars)]
    text = f" = {' or '.join(held)}" if held else ""
    simple = Fraction(factor).limit_denominator(12)
    fraction = simple.denominator > 1 and _is(factor, float(simple))
    maybe = [f"{what}: a sum where a mean is meant, or the reverse?" for *_, what in _forms(factor, PLAIN, lengths)]
    text = f" = {simple}" if maybe and fraction and not held else text
    if fraction and simple == Fraction(1, 2):
        maybe.append("a half too many, or a factor 2 missing?")
    elif not (held or maybe or _is(factor, float(round(factor)))):
        maybe = [f"{form.format(n)}, {what}?" for form, n, what in _forms(factor, ROOTS | LESS_ONE, lengths)][:1]
        maybe += [f"or simply {simple}"] if maybe and fraction else []
    return f"{text} ({'; '.join(maybe)})" if maybe else text


def _forms(factor, forms, values):
    """(form, value, what it is) for each form that gives the factor, of the first value with which it does."""
    for form, function in forms.items():
        for value, what in values.items():
            if value > 0.0 and value != 1.0 and _is(factor, function(value)):
                yield form, value, what
                break


def _is(factor, value):
    """Whether they are the same, and by how much they differ from 1 as well."""
    return math.isclose(factor, value, rel_tol=CLOSE) and math.isclose(factor - 1.0, value - 1.0, rel_tol=1e-3)


def _scalars(subject):
    """Numbers by name that the target holds: attributes, and variables that its functions enclose."""
    found = dict(getattr(subject.target, "__dict__", {})) if subject.kind != "function" else {}
    found |= subject.fixed
    for function in (subject._forward, subject._backward):
        if inspect.isfunction(function):
            with contextlib.suppress(ValueError):  # a variable that has no value yet
                found |= inspect.getclosurevars(function).nonlocals
    known = {n: float(v) for n, v in found.items() if isinstance(v, numbers.Real) and not isinstance(v, bool)}
    return {n: v for n, v in known.items() if math.isfinite(v)}
