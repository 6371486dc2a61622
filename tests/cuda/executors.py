"""What runs a launch where there is no device: its compiled PTX, on the CPU."""

import ctypes
import itertools

import numpy as np

from . import offline


class PtxError(RuntimeError):
    """A kernel did what would be an error on a device: the message says what and where."""


class PtxExecutor:
    """Runs launches by their PTX. Threads and blocks run in ascending order, or descending if `backwards`; hardware
    approximations are off by `nudge` units in the last place.

    builds : from (kernel, signature) to what was built (see `build`)
    ran : (name, (kernel, signature)) of every launch so far
    """

    def __init__(self, builds):
        self._builds, self._functions = builds, {}
        self.backwards, self.nudge, self.ran = False, 0, set()

    def __call__(self, launch):
        key = launch.kernel, offline.signature(launch.arguments)
        built = self._builds[key]
        if built.library not in self._functions:
            self._functions[built.library] = ctypes.CDLL(str(built.library)).run
        values, ranges = parameter_words(launch.arguments)
        assert len(values) == built.parameters, f"{launch}: {len(values)} words, the PTX has {built.parameters}"
        error = ctypes.create_string_buffer(256)
        failed = self._functions[built.library](
            (ctypes.c_uint64 * len(values))(*values),
            (ctypes.c_uint64 * len(ranges))(*ranges),
            len(ranges) // 2,
            launch.blocks,
            launch.threads,
            int(self.backwards),
            self.nudge,
            error,
        )
        if failed:
            raise PtxError(f"{launch}: {error.value.decode()}")
        self.ran.add((launch.kernel.py_func.__name__, key))


def parameter_words(arguments):
    """The kernel's parameters as 64-bit words, as numba-cuda lays them out, and the first and last address of each
    array.
    """
    values, ranges = [], []
    for argument in itertools.chain.from_iterable(a if isinstance(a, tuple) else (a,) for a in arguments):
        if isinstance(argument, np.ndarray):
            ranges += np.lib.array_utils.byte_bounds(argument)
            values += [0, 0, argument.size, argument.itemsize, argument.ctypes.data]
            values += [*argument.shape, *argument.strides]
        elif isinstance(argument, float):
            values.append(int(np.float64(argument).view(np.uint64)))
        else:
            values.append(int(argument) & (2**64 - 1))
    return values, ranges
