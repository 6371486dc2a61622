"""What runs a launch where there is no device: its compiled PTX, on the CPU."""

import ctypes
import itertools
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from . import offline
from .ptx import Translation

ARCHITECTURE = (9, 0)
# A fused multiply-add must stay one and no other may appear; rounding modes are changed on the way.
GCC = ("gcc", "-O1", "-std=gnu11", "-w", "-ffp-contract=off", "-frounding-math", "-shared", "-fPIC", "-lm", "-o")


class PtxError(RuntimeError):
    """A kernel did what would be an error on a device: the message says what and where."""


class PtxKernel:
    """One specialisation of a kernel, compiled to PTX and from there to a library for this CPU."""

    def __init__(self, kernel, signature, folder):
        self.name = kernel.py_func.__name__
        self.ptx = offline.compile_ptx(kernel, signature, ARCHITECTURE)
        self.translation = Translation(self.ptx)
        source = folder.with_suffix(".c")
        source.write_text(self.translation.c)
        subprocess.run([*GCC, folder.with_suffix(".so"), source], check=True, capture_output=True)
        self._run = ctypes.CDLL(str(folder.with_suffix(".so"))).run

    def __call__(self, blocks, threads, arguments, *, backwards=False, nudge=0):
        values, ranges = [], []
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                low, high = np.lib.array_utils.byte_bounds(argument)
                ranges += [low, high]
                pointer = argument.ctypes.data
                values += [0, 0, argument.size, argument.itemsize, pointer, *argument.shape, *argument.strides]
            elif isinstance(argument, float):
                values.append(int(np.float64(argument).view(np.uint64)))
            else:
                values.append(int(argument) & (2**64 - 1))
        expected = len(self.translation.parameters)
        assert len(values) == expected, f"{self.name}: {len(values)} parameter words, the PTX has {expected}"
        error = ctypes.create_string_buffer(256)
        failed = self._run(
            (ctypes.c_uint64 * len(values))(*values),
            (ctypes.c_uint64 * len(ranges))(*ranges),
            len(ranges) // 2,
            blocks,
            threads,
            int(backwards),
            nudge,
            error,
        )
        if failed:
            raise PtxError(f"{self.name}: {error.value.decode()}")


class PtxExecutor:
    """Runs launches by their PTX. Threads and blocks run in ascending order, or descending if `backwards`; hardware
    approximations are off by `nudge` units in the last place.

    kernels : every specialisation that ran, by (kernel, signature)
    """

    def __init__(self):
        self.kernels = {}
        self.backwards, self.nudge = False, 0
        self._folder = tempfile.TemporaryDirectory()
        self._numbers = itertools.count()

    def __call__(self, launch):
        kernel = self.kernel(launch.kernel, offline.signature(launch.arguments))
        kernel(launch.blocks, launch.threads, launch.arguments, backwards=self.backwards, nudge=self.nudge)

    def kernel(self, kernel, signature):
        key = kernel, signature
        if key not in self.kernels:
            self.kernels[key] = PtxKernel(kernel, signature, Path(self._folder.name) / str(next(self._numbers)))
        return self.kernels[key]
