"""The contract on an NVIDIA GPU. Arguments and results are stated in `naive`; arrays are numba-cuda's device arrays.

A recorded step becomes a `program.CudaProgram`, with fewer launches and, from its third run on, as one CUDA graph.
"""

from . import program, runtime

ON_HOST = False


def zeros(shape, dtype):
    return runtime.current().zeros(shape, dtype)


def from_host(array):
    return runtime.current().from_host(array)


def to_host(array):
    return runtime.current().to_host(array)


def assign(destination, source):
    runtime.current().assign(destination, source)


def compile_program(calls, kernels):
    return program.CudaProgram(calls, kernels)
