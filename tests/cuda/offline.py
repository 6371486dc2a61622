"""Compiling kernels with no driver and no device: to PTX, and by ptxas to machine code whose resources are read back.

numba-cuda asks the current device for its compute capability where a kernel calls a device function; `enable` answers
in its place. The internals it replaces are those of the pinned version.
"""

import functools
import types

from numba.cuda import codegen, compiler, dispatcher
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


def compile_ptx(kernel, kernel_signature, architectures=ARCHITECTURES):
    """{architecture: PTX}. What Numba does is done once for all; what differs is NVVM's part."""
    enable()
    library, _ = compiler._compile_pyfunc_with_fixup(
        kernel.py_func,
        kernel_signature,
        device=False,
        abi="numba",
        cc=ARCHITECTURES[-1],
        launch_bounds=kernel.targetoptions.get("launch_bounds"),
    )
    return {cc: library.get_asm_str(cc=cc) for cc in architectures}
