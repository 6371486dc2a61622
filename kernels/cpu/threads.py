"""Which thread pool Numba uses, on how many threads programs run, and what happens when a process forks.

The pool is chosen when the first split program runs: OpenMP where it is present, then TBB. Numba's own pool,
`workqueue`, is the last resort: it takes some 100 us to start a kernel, against about 1 us, and it aborts the process
when two Python threads start kernels at once, so calls take turns under it.

Nothing else in the package asks Numba about threads: a setting may be changed while the pool has its size.
"""

import contextlib
import functools
import importlib
import math
import os
import pathlib
import sys
import threading
import warnings

import numba
from numba.core import config
from numba.np.ufunc import parallel

from .probe import Forks

# Name and extension module of the pools that are fast and let two Python threads in, best first.
_GOOD = (("omp", "omppool"), ("tbb", "tbbpool"))
_one_at_a_time = threading.Lock()
_free = contextlib.nullcontext()


# Numba's settings of the pool where nobody has chosen.
_NOBODYS = "default", ["tbb", "omp", "workqueue"]


class _Process:
    """What is known of this process: the lock under the pool, once one is chosen."""

    turn = None
    choosing = threading.Lock()


class _Asked(threading.local):
    """How many threads a Python thread wants its programs to use at most."""

    most = sys.maxsize


_asked = _Asked()


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
    """Starts the pool, unless an earlier Numba call has; the one that the user has set, or the best that is present.
    Returns the lock that a call must hold.

    ValueError where the pool that is set is not here.
    """
    if not parallel._is_initialized:
        chosen = str(config.THREADING_LAYER).lower(), list(config.THREADING_LAYER_PRIORITY)
        if chosen == _NOBODYS:
            config.THREADING_LAYER = next((name for name, module in _GOOD if _present(module)), "workqueue")
        try:
            with _short_spin():
                parallel._launch_threads()
        except ValueError as error:
            wanted, reason = config.THREADING_LAYER, " ".join(str(error).split())
            expected = f"a pool that is here ({reason})"
            raise ValueError(f"Numba's threading layer: got {wanted!r}, expected {expected}") from error
    if numba.threading_layer() != "workqueue":
        return _free
    warnings.warn(
        "Numba's workqueue thread pool is in use: each parallel kernel takes about 100 us to start instead of 1 us, "
        "and models in other Python threads wait for each other; install OpenMP (libgomp) or the package tbb",
        RuntimeWarning,
        stacklevel=2,
    )
    return _one_at_a_time


def layer():
    """The name of the pool: "omp", "tbb" or "workqueue"."""
    turn()
    return numba.threading_layer()


def turn():
    """The context in which a split program may run."""
    if _Process.turn is None and not Forks.lost_threads:
        with _Process.choosing:
            _Process.turn = _Process.turn or choose()
    return _Process.turn


def most():
    """How many threads there may ever be use for: Numba's setting, now and when its pool was given its size, but no
    more than the process has cores.
    """
    setting = config.NUMBA_NUM_THREADS
    if type(setting) is not int or setting < 1:
        raise ValueError(f"numba.config.NUMBA_NUM_THREADS: got {setting!r:.80}, expected a whole number of at least 1")
    return min(setting, parallel.NUM_THREADS, _cores(), _quota())


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _quota():
    """The cores that a container may keep busy: Linux stops all threads of one that uses more for a while."""
    try:
        quota, period = pathlib.Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # there is none, or it is "max"
        return sys.maxsize


def count():
    """How many threads a program may use now: `most`, or fewer where Numba was told so or `at_most` is in force, or one
    in a process whose pool was lost in a fork.
    """
    if Forks.lost_threads:
        return 1
    turn()
    return min(numba.get_num_threads(), most(), _asked.most)


@contextlib.contextmanager
def at_most(wanted):
    """Within this context the programs of this Python thread use no more threads; None leaves it as it is."""
    before = _asked.most
    _asked.most = before if wanted is None else wanted
    try:
        yield
    finally:
        _asked.most = before


@contextlib.contextmanager
def only(wanted):
    """Within this context parallel loops wake so many threads of the pool, and no others."""
    before = numba.get_num_threads()
    if before == wanted:
        yield
        return
    numba.set_num_threads(wanted)
    try:
        yield
    finally:
        numba.set_num_threads(before)


class Pace:
    """Chooses how many threads a program runs on, from how long its runs took: all there are, or half of them.

    Beside another process that keeps a core busy, a step on two threads waits for the one that has no core, and takes
    longer than on one. If a program takes twice its usual time for a while, it goes on with half its threads, unless
    that takes as long, and tries all of them again now and then. No number depends on it.
    """

    SLOW, PATIENCE, TRIAL = 2.0, 16, 64  # times the usual; slow runs in a row; runs before all threads are tried again
    LEAST = 2e-4  # seconds; shorter programs are left alone

    def __init__(self):
        self.halved, self._usual, self._slow, self._half, self._wait = False, math.inf, [], [], self.TRIAL

    def count(self, allowed):
        return max(1, allowed // 2) if self.halved else allowed

    def note(self, seconds):
        """Takes notice of how long the last run took."""
        if self.halved:
            self._half.append(seconds)
            no_better = len(self._half) == self.PATIENCE and _middle(self._half) >= _middle(self._slow)
            if no_better or len(self._half) == self._wait:
                self.halved, self._half = False, []
                self._usual = _middle(self._slow) if no_better else self._usual
                self._slow = self._slow[: self.PATIENCE // 2]  # a shorter look this time
                self._wait = min(2 * self._wait, 16 * self.TRIAL)
        elif seconds < max(self.LEAST, self.SLOW * self._usual):
            self._usual = min(seconds, 1.001 * self._usual)  # which may change with the data, but not at once
            self._slow.clear()
            self._wait = max(self.TRIAL, self._wait - 1)
        else:
            self._slow.append(seconds)
            self.halved = len(self._slow) >= self.PATIENCE


def _middle(seconds):
    return sorted(seconds)[len(seconds) // 2]


def _after_fork():
    _Process.choosing = threading.Lock()  # another thread may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
