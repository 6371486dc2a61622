"""A kernel's cases, and what a backend makes of them against the specification.

The cases stand in `naive`, below the kernels. They serve the tests, `minivae gradcheck`, `minivae bench` and the proofs
of the CUDA kernels.
"""

import functools
import inspect

import numpy as np

from . import naive, numpy_backend
from .backend import FAMILIES


class Case:
    """A kernel's arguments by name, and a bound on the error of each argument that it writes.

    `reference` has the function that is right: the specification, or for large arrays a faster backend.
    """

    def __init__(self, kernel, arguments, bounds, reference=naive):
        self.kernel, self.bounds, self._reference = kernel, bounds, reference
        self.arguments = dict(zip(inspect.signature(getattr(naive, kernel)).parameters, arguments, strict=True))

    def run(self, function):
        """The arguments after a call of the function with copies of them."""
        arguments = _copied(self.arguments)
        function(*arguments.values())
        return arguments

    @functools.cached_property
    def exact(self):
        """The arguments after a call of the reference in float64."""
        wide = {name: a.astype(np.float64) if _is_float(a) else a for name, a in _copied(self.arguments).items()}
        getattr(self._reference, self.kernel)(*wide.values())
        return wide

    def judge(self, results):
        """(largest error as a share of its bound, where that is); the share of what may not differ at all is infinite.

        Results below the smallest normal number may be flushed or lose digits.
        """
        worst, text = 0.0, "nothing differs"
        for name, given in self.arguments.items():
            got, exact = results[name], self.exact[name]
            if name in self.bounds:
                room = self.bounds[name] + (np.finfo(got.dtype).tiny if _is_float(got) else 0)
                with np.errstate(all="ignore"):
                    share = np.abs(np.subtract(got, exact, dtype=np.float64)) / room
                same = (got == exact) | (got != got) & (exact != exact)
                share = np.where(same, 0.0, np.where(np.isnan(share), np.inf, share))
                at = np.unravel_index(np.argmax(share), share.shape)
                if share[at] >= worst:
                    place = ", ".join(map(str, at))
                    text = f"{name}[{place}]: {got[at]:.9g}, reference {exact[at]:.9g}, {share[at]:.3g} of the bound"
                    worst = float(share[at])
            elif isinstance(given, np.ndarray) and got.tobytes() != given.tobytes():
                return np.inf, f"{name} was changed"
        return worst, text


def cases_of(kernel, dtype):
    """Yields the cases of a kernel, always the same. Raises NotImplementedError where it has none."""
    make = getattr(naive, f"{kernel}_cases", None)
    if make is None:
        where = f"kernels/naive/{FAMILIES[kernel]}.py"
        raise NotImplementedError(f"{kernel} has no cases: expected {kernel}_cases in {where}")
    for arguments, bounds in make(dtype, np.random.default_rng(list(kernel.encode()))):
        yield Case(kernel, arguments, bounds)


def _is_float(argument):
    return isinstance(argument, np.ndarray) and argument.dtype.kind == "f"


def _copied(arguments):
    """Copies in memory of their own, as models have it; two column blocks of one array stay two of one array."""
    bases: dict[int, np.ndarray] = {}
    copies: dict[str, object] = {}
    for name, a in arguments.items():
        if not isinstance(a, np.ndarray):
            copies[name] = a
        elif isinstance(a.base, np.ndarray) and not a.flags.c_contiguous:
            base, first = a.base, (a.ctypes.data - a.base.ctypes.data) // a.itemsize
            copies[name] = bases.setdefault(id(base), _copy(base))[:, first : first + a.shape[1]]
        else:
            copies[name] = _copy(a)
    return copies


def _copy(array):
    copy = numpy_backend.zeros(array.shape, array.dtype)
    copy[...] = array
    return copy
