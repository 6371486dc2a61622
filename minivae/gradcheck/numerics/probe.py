"""Moving a target's arrays along one coordinate, one direction, or into the complex plane."""

import warnings

import numpy as np

from ..subject.keeping import Kept
from ..subject.targets import Finding
from .differences import Derivative

TINY = 1e-30  # a step whose square is nothing beside one


def finite_outputs(subject):
    """Outputs, or None where forward raises or answers with anything not finite (outside of its domain)."""
    try:
        y = subject.vector()
    except Finding as finding:
        if finding.kind == "raises":
            return None
        raise
    return y if np.isfinite(y).all() else None


def coordinate_line(subject, array, index):
    """t -> (what rounding left of t, outputs with array[index] moved by t)."""

    def line(t):
        original = array[index]
        array[index] = original + array.dtype.type(t)
        try:
            return float(array[index]) - float(original), finite_outputs(subject)
        finally:
            array[index] = original

    return line


def direction_line(subject, array, direction):
    """t -> (t, outputs with the array moved by t * direction)."""

    def line(t):
        original = array.copy()
        array[...] = original + t * direction
        try:
            return t, finite_outputs(subject)
        finally:
            array[...] = original

    return line


def group_line(subject, places):
    """t -> (t, outputs with array[index] moved by t for each of these places)."""

    def line(t):
        kept = [array[index] for array, index in places]
        for array, index in places:
            array[index] += array.dtype.type(t)
        try:
            return t, finite_outputs(subject)
        finally:
            for (array, index), value in zip(places, kept, strict=True):
                array[index] = value

    return line


class ComplexProbe:
    """The complex step on a target's inputs. Where it contradicts the differences it is not used: abs(), a comparison
    or a cast to real has cut the imaginary part.

    A forward with a state, as running averages, leaves complex numbers there: `kept.restore()` puts it back.
    """

    def __init__(self, subject):
        self.subject, self.used, self.kept = subject, False, Kept.of(subject, objects_only=True)

    @classmethod
    def offered(cls, subject, start):
        """A probe if forward takes complex inputs and answers with the same real part, else None."""
        probe = cls(subject)
        y = probe.outputs(None, None, 0.0)
        probe.kept.restore()
        if y is None or np.max(np.abs(y.real - start), initial=0.0) > 1e-6 * np.max(np.abs(start), initial=0.0):
            return None
        return probe

    def outputs(self, name, index, step):
        """Outputs with one coordinate moved by `step`; None if the target does not do complex numbers."""
        wide = dict(self.subject.values)
        for n, v in wide.items():
            wide[n] = v.astype(np.complex128) if v.dtype.kind == "f" else v
        if name is not None:
            wide[name][index] += step
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                parts = self.subject.unpack(self.subject.call(wide))
                y = np.concatenate([np.ravel(part) for part in parts])
        except Exception:  # anything may go wrong in code that was not written for complex numbers
            return None
        return y.astype(np.complex128) if np.iscomplexobj(y) else None

    def refined(self, name, index, cotangent, eps):
        """The complex step's derivative, None where forward does not do complex numbers."""
        y = self.outputs(name, index, 1j * TINY)
        if y is None:
            return None
        # Im phi(ih) / h: no subtraction, so no rounding to balance (Squire and Trapp, SIAM Review 40, 1998).
        slope = y.imag / TINY
        return Derivative(float(cotangent @ slope), 4.0 * eps * float(np.linalg.norm(cotangent * slope)), TINY)
