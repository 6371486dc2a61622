"""What the CPU backend has besides its kernels. Its arrays are NumPy arrays."""

from ..numpy_backend import assign, from_host, to_host, zeros  # noqa: F401
from .contract import PLANNERS
from .jit import seconds_preparing  # noqa: F401
from .program import CompiledProgram
from .threads import at_most  # noqa: F401
from .threads import layer as threading_layer  # noqa: F401


def compile_program(calls, kernels):
    """Recorded calls as a program that runs in one call from Python."""
    return CompiledProgram(calls, PLANNERS)
