"""The contract on the CPU, in Numba. Arguments and results are stated in `naive.py`; arrays are NumPy arrays."""

from ..numpy_backend import assign, from_host, to_host, zeros
from .contract import PLANNERS
from .data import accumulate, gather, standard_normal, tick
from .dense import dense_backward, dense_forward
from .importance import importance_gradient, importance_weights, log_sigma_backward, log_weights
from .likelihoods import bernoulli_nll, gaussian_nll
from .optimizers import adam_update, clip_norm, sgd_update
from .posterior import gaussian_kl_backward, gaussian_kl_forward, reparameterize_backward, reparameterize_forward
from .program import CompiledProgram

__all__ = [
    "accumulate",
    "adam_update",
    "assign",
    "bernoulli_nll",
    "clip_norm",
    "compile_program",
    "dense_backward",
    "dense_forward",
    "from_host",
    "gather",
    "gaussian_kl_backward",
    "gaussian_kl_forward",
    "gaussian_nll",
    "importance_gradient",
    "importance_weights",
    "log_sigma_backward",
    "log_weights",
    "reparameterize_backward",
    "reparameterize_forward",
    "sgd_update",
    "standard_normal",
    "tick",
    "to_host",
    "zeros",
]


def compile_program(calls):
    """Recorded calls as a program that runs in one call from Python."""
    return CompiledProgram(calls, PLANNERS)
