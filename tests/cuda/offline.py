"""Compiling kernels with no driver and no device: to PTX, and by ptxas to machine code whose resources are read back.

numba-cuda asks the current device for its compute capability where a kernel calls a device function; `enable` answers
in its place. The internals it replaces are those of the pinned version.
"""

import functools
import types

from numba import cuda
from numba.cuda import codegen, dispatcher
from numba.cuda import types as cuda_types
from numba.cuda.typing.typeof import typeof

ARCHITECTURES = (8, 0), (9, 0)


@functools.cache
def enable():
    device = types.SimpleNamespace(compute_capability=ARCHITECTURES[-1])
    dispatcher.get_current_device = lambda: device
    dispatcher._Kernel.bind = lambda self: None  # there is nothing to load the code into
    codegen.CUDACodeLibrary._ensure_cc = lambda self, cc=None: cc or ARCHITECTURES[-1]


def signature(arguments):
    return cuda_types.void(*(typeof(argument) for argument in arguments))


def compile_ptx(kernel, kernel_signature, cc):
    enable()
    options = {key: kernel.targetoptions[key] for key in ("launch_bounds",) if key in kernel.targetoptions}
    return cuda.compile_ptx(kernel.py_func, kernel_signature, cc=cc, **options)[0]
