"""Moving a target's arrays along one coordinate, one direction, or into the complex plane."""

import warnings

import numpy as np

from .differences import SAFETY, complex_step
from .targets import Finding, flat


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


class ComplexProbe:
    """The complex step on a target's inputs. Where it contradicts the differences it is not used: abs(), a comparison
    or a cast to real has cut the imaginary part."""

    def __init__(self, subject):
        self.subject, self.used = subject, False

    @classmethod
    def offered(cls, subject, start):
        """A probe if forward takes complex inputs and answers with the same real part, else None."""
        probe = cls(subject)
        y = probe.outputs(None, None, 0.0)
        if y is None or np.max(np.abs(y.real - start), initial=0.0) > 1e-6 * np.max(np.abs(start), initial=0.0):
            return None
        return probe

    def outputs(self, name, index, step):
        """Outputs with one coordinate moved by `step`; None if the target does not do complex numbers."""
        wide = dict(self.subject.values)
        for n, v in wide.items():
            wide[n] = v.astype(np.result_type(v.dtype, np.complex64)) if v.dtype.kind == "f" else v
        if name is not None:
            wide[name][index] += step
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                y = flat(self.subject.unpack(self.subject.call(wide)))
        except Exception:  # anything may go wrong in code that was not written for complex numbers
            return None
        return y if np.iscomplexobj(y) else None

    def refine(self, found, name, index, cotangent, eps, rtol):
        """The complex step's derivative where it agrees with the differences, else theirs."""
        y = self.outputs(name, index, 1e-30j)
        if y is None:
            return found
        refined = complex_step(lambda _: y, cotangent, eps)
        gap = abs(refined.value - found.value)
        if not gap <= rtol * max(abs(refined.value), abs(found.value)) + SAFETY * (found.error + refined.error):
            return found
        self.used = True
        return refined
