"""The contract on an NVIDIA GPU. Arguments and results are stated in `naive.py`; arrays are numba-cuda's device arrays.

A recorded step becomes a `program.CudaProgram`, with fewer launches and, from its third run on, as one CUDA graph.
"""

from . import program, runtime
from .data import accumulate, gather, standard_normal, tick
from .dense import dense_backward, dense_forward
from .importance import importance_gradient, importance_weights, log_sigma_backward, log_weights
from .likelihoods import bernoulli_nll, gaussian_nll
from .optimizers import adam_update, clip_norm, sgd_update
from .posterior import gaussian_kl_backward, gaussian_kl_forward, reparameterize_backward, reparameterize_forward

KERNELS = (
    *(accumulate, gather, standard_normal, tick, dense_backward, dense_forward),
    *(importance_gradient, importance_weights, log_sigma_backward, log_weights, bernoulli_nll, gaussian_nll),
    *(adam_update, clip_norm, sgd_update),
    *(gaussian_kl_backward, gaussian_kl_forward, reparameterize_backward, reparameterize_forward),
)
ON_HOST = False


def zeros(shape, dtype):
    return runtime.current().zeros(shape, dtype)


def from_host(array):
    return runtime.current().from_host(array)


def to_host(array):
    return runtime.current().to_host(array)


def assign(destination, source):
    runtime.current().assign(destination, source)


def compile_program(calls):
    return program.CudaProgram(calls, {kernel.__name__: kernel for kernel in KERNELS})
