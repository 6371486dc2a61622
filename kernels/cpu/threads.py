"""Which thread pool Numba uses, and what happens when a process forks.

The pool is chosen when the first split program runs: OpenMP where it is present, then TBB. Numba's own pool,
`workqueue`, is the last resort: it takes some 100 us to start a kernel, against about 1 us, and it aborts the process
when two Python threads start kernels at once, so calls take turns under it.
"""

import contextlib
import importlib
import os
import threading
import warnings

import numba
from numba.core import config
from numba.np.ufunc import parallel

# Name and extension module of the pools that are fast and let two Python threads in, best first.
_GOOD = (("omp", "omppool"), ("tbb", "tbbpool"))
_one_at_a_time = threading.Lock()
_free = contextlib.nullcontext()


class _Process:
    """What is known of this process: whether a pool is chosen, the lock under it, and whether threads are lost."""

    turn = None
    forked = False


def _present(module):
    try:
        with _short_spin():
            importlib.import_module(f"numba.np.ufunc.{module}")
    except ImportError:
        return False
    return True


@contextlib.contextmanager
def _short_spin():
    """Lets GNU OpenMP, if it is loaded in here for the first time, wait actively for about 100 us only.

    By itself it spins for some 20 ms. Within a step threads wait for a few microseconds; but where another process
    keeps a core busy, a thread that spins holds the core that the one it waits for needs: a step took 260 ms instead
    of 20. What the user has set stays.
    """
    if any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")):
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = "2000"
    try:
        yield
    finally:
        del os.environ["GOMP_SPINCOUNT"]


def choose():
    """Chooses the pool, unless the user or an earlier Numba call has, and returns the lock that a call must hold."""
    if config.THREADING_LAYER == "omp":
        _present("omppool")
    if not parallel._is_initialized and config.THREADING_LAYER == "default":
        config.THREADING_LAYER = next((name for name, module in _GOOD if _present(module)), "workqueue")
    layer = numba.threading_layer() if parallel._is_initialized else config.THREADING_LAYER
    if layer != "workqueue":
        return _free
    warnings.warn(
        "Numba's workqueue thread pool is in use: each parallel kernel takes about 100 us to start instead of 1 us, "
        "and models in other Python threads wait for each other; install OpenMP (libgomp) or the package tbb",
        RuntimeWarning,
        stacklevel=2,
    )
    return _one_at_a_time


def turn():
    """The context in which a split program may run."""
    if _Process.turn is None and not _Process.forked:
        _Process.turn = choose()
    return _Process.turn


def count():
    """How many threads a program may use: Numba's setting, or one in a process whose pool was lost in a fork."""
    if _Process.forked:
        return 1
    turn()  # Numba starts its pool when it is asked for the number of threads
    return numba.get_num_threads()


def _after_fork():
    # The pool's threads do not exist in the child, and GNU OpenMP ends a process that uses it again.
    if parallel._is_initialized:
        _Process.forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
