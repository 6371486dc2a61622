"""Numba on the CPU, parallel. The kernels are stated in `naive.py`; this page says how they are run here.

- `target.py`: the vector unit this machine has, and all sizes chosen by measurement.
- `micro.py`, `packing.py`, `matmul.py`: the matrix product; `dense.py` the layers around it.
- `latents.py`, `importance.py`, `likelihoods.py`, `optimizers.py`, `data.py`, `random.py`, `scalar.py`: everything
  else.
- `jit.py`: compiling and the cache on disk; `program.py`: running; `threads.py`: the thread pool; `contract.py`,
  `checks.py`: from a call with arrays to an entry of a program.

Results are the same bit for bit whatever the number of threads. There is no BLAS call: its threads and these would wait
for each other.
"""

from ..numpy_backend import assign, from_host, to_host, zeros
from .contract import PLANNERS
from .data import accumulate, gather, standard_normal, tick
from .dense import dense_backward, dense_forward
from .importance import importance_gradient, importance_weights, log_sigma_backward, log_weights
from .latents import gaussian_kl_backward, gaussian_kl_forward, reparameterize_backward, reparameterize_forward
from .likelihoods import bernoulli_nll, gaussian_nll
from .optimizers import adam_update, clip_norm, sgd_update
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
