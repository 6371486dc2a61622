"""The processes that train one model together: who computes which shards of a batch, and how they add up.

Gradients of S shards are added as one binary tree: shard s and s + S/2, then s and s + S/4, ..., down to 0 and 1. Rank
r of N has the shards r, r + N, r + 2N, ..., so that the upper levels of the tree lie within a rank, and the others
between ranks that are N/2, N/4, ... apart. IEEE addition commutes: whatever power of two N is, every sum has the same
bits, which a library's own Allreduce does not promise.

Between ranks each level exchanges half of what the level before left, and the sums then go back the same way (recursive
halving and doubling: Thakur, Rabenseifner and Gropp, "Optimization of collective communication operations in MPICH",
2005, section 4.4). Only `MPITeam` knows of MPI.
"""

import atexit
import contextlib
import hashlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import brief, described, expect, expect_integer
from .interrupts import Deadly, Interrupt
from .leaving import RANKS

# What a launcher sets in the processes that it starts, with how many there are.
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS")


def _largest(names):
    return max(int(value) if value.isdigit() else 0 for value in (os.environ.get(name, "") for name in names))


def launched() -> bool:
    """Whether a launcher of MPI (mpiexec, srun) has started this process as one of several."""
    return _largest(SIZES) > 1


def launched_rank() -> int:
    """Which of the processes that a launcher has started this is; known before MPI is."""
    return _largest(RANKS) if launched() else 0


PATIENCE = 3.0  # seconds that what all ranks have begun may take to end where one of them is no more


class Team:
    """One process that has all shards: every exchange is with itself."""

    rank, size = 0, 1
    _raised: BaseException | None = None  # that all ranks raise
    threads: int | None = None  # of the kernels of each rank, where fit is told none

    def total(self, array: np.ndarray) -> None:
        """array = its sum over the ranks, in place: the same bits on each."""

    def merge(self, array: np.ndarray) -> np.ndarray:
        """array (float64) = its sum over the ranks, in place, where all but one have 0 or all the same: exact."""
        return array

    def broadcast(self, value: Any) -> Any:
        """What rank 0 has."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """What each rank has."""
        return [value]

    def first(self, work: Callable[[], Any]) -> Any:
        """work() on rank 0 alone, and what it returns on all; where it raises, all do."""
        outcome = None
        with self.agreed():
            outcome = work() if self.rank == 0 else None
        return self.broadcast(outcome)

    @contextlib.contextmanager
    def agreed(self) -> Iterator[None]:
        """What is raised within this context on one rank is raised on all, and so need not end the job.

        The error of the first rank that has one: as it is where it came, as a ValueError that names the rank on the
        others. Ctrl-C comes to all ranks, but not at the same moment.
        """
        if self.size == 1:
            yield
            return
        own = None
        try:
            yield
        except BaseException as error:
            own = error
        with Interrupt() as interrupt:
            failures = self.gather(_failure(own))
        rank = next((rank for rank, failure in enumerate(failures) if failure), None)
        if rank is None:
            if interrupt.requested:
                raise KeyboardInterrupt
            return
        kind, text = failures[rank]
        if own is None or rank < self.rank:
            own = ValueError(f"rank {rank}: {text}" if rank else text) if kind is ValueError else kind()
        self._raised = own
        raise own

    def by_all(self, error: Exception) -> Exception:
        """The error, which each rank raises, so that none need end the job."""
        if self.size > 1:
            self._raised = error
        return error

    def in_turn(self, work: Callable[[], object]) -> None:
        """work() on each rank: on the first of each machine before the others, which find its kernels compiled."""
        work()

    def any(self, flag: bool) -> bool:
        """Whether the flag of any rank is true; on each rank the same."""
        return any(self.gather(bool(flag)))

    def expect_same(self, name: str, *values: Any) -> None:
        """ValueError on all ranks unless they all have equal arrays, or whatever else has a repr, in `values`."""
        digest = hashlib.blake2b()
        for value in values:
            if isinstance(value, np.ndarray):
                digest.update(f"{value.dtype.str} {value.shape}".encode())
                digest.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)  # no copy of a file's pages
            else:
                digest.update(f"{value!r};".encode())
        said = brief(described(values[0]), 80) if len(values) == 1 else ""
        (first, told), *others = self.gather((digest.digest(), said))
        rank, text = next(((rank, text) for rank, (one, text) in enumerate(others, 1) if one != first), (0, ""))
        with self.agreed():
            if rank:
                got = f"another on rank {rank}" if text == told else f"{told} on rank 0 and {text} on rank {rank}"
                raise ValueError(f"{name}: got {got}, expected the same on all ranks")

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Where the work ends; with an error that the other ranks do not raise, which would wait, all must end."""


class MPITeam(Team):
    """The ranks of an MPI communicator; their number is a power of two.

    Importing mpi4py initialises MPI, so that is done here: make it before whatever else may fail on one rank. From then
    on an exception that ends this process ends the job, as the other ranks would wait for it for ever; so does a rank
    that leaves (sys.exit) while others wait for it, after `PATIENCE` seconds.

    Parameters
    ----------
    comm : an mpi4py communicator; by default all processes, `MPI.COMM_WORLD`. One team serves any number of trainings:
        each team keeps three communicators, of which MPICH has 2,048
    report : called with an error of this rank that ends the job; returns the exit status of the job, None for 1. By
        default it prints the rank and the traceback

    Raises
    ------
    ValueError
        Where mpi4py, or an MPI that it can load, is not there or is another than that of the launcher, or the ranks
        are no power of two.
    """

    def __init__(self, comm: Any = None, report: Callable[[BaseException], int | None] | None = None) -> None:
        self._report = report or self._print
        with Deadly():  # no rank waits here for one that a signal has ended
            self._meet(comm)
        if self.size > 1:
            sys.excepthook = self._hook(sys.excepthook)

    def _meet(self, comm):
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:
            reason, needs = brief(error), "mpi4py and an MPI: pip install 'minivae[mpi]' mpich"
            raise ValueError(f"team: MPI cannot be used here ({reason}), expected {needs}") from error
        self._mpi = MPI
        if launched() and MPI.COMM_WORLD.Get_size() == 1:
            library = MPI.Get_library_version().split(",")[0]
            expect(
                False, "team", f"one rank of {_largest(SIZES)}", f"the launcher of mpi4py's MPI, {brief(library, 60)}"
            )
        self.comm = (MPI.COMM_WORLD if comm is None else comm).Dup()
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()
        expect(self.size & self.size - 1 == 0, "team", f"{self.size} ranks", "a power of two")
        self._near = self.comm.Split_type(MPI.COMM_TYPE_SHARED)
        self._other = np.empty(0)
        cores = self._near.allgather(sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None)
        own = cores[self._near.Get_rank()]
        shared = cores.count(own)  # a launcher may give each its own
        self.threads = max(1, (len(own or ()) or os.cpu_count() or 1) // shared) if self.size > 1 else None
        if self.size > 1:
            # Whoever ends tells the next rank, which may be waiting for it: a ring, so that someone hears of it.
            self._ring = self.comm.Dup()
            self._left = self._ring.Irecv(bytearray(1), (self.rank - 1) % self.size)
            atexit.register(self._leave)

    def total(self, array):
        if self.size == 1:
            return
        if self._other.shape != array.shape or self._other.dtype != array.dtype:
            self._other = np.empty_like(array)
        for part, partner, into in exchanges(array, self._other, self.rank, self.size):
            self.comm.Sendrecv(part, partner, recvbuf=into, source=partner)

    def merge(self, array):
        if self.size > 1:
            bits = array.view(np.uint64)  # a sum would lose the sign of a zero
            self._wait(self.comm.Iallreduce(self._mpi.IN_PLACE, bits, self._mpi.BOR))
        return array

    def broadcast(self, value):
        self._wait(self.comm.Ibarrier())
        return self.comm.bcast(value)

    def gather(self, value):
        self._wait(self.comm.Ibarrier())
        return self.comm.allgather(value)

    def in_turn(self, work):
        first = self._near.Get_rank() == 0
        if first:
            work()
        self._wait(self._near.Ibarrier())
        if not first:
            work()

    def _wait(self, request):
        """For all ranks to get here; where the rank before this one has ended instead, the job is over."""
        if self.size == 1 or (self._left and self._mpi.Request.Waitany([request, self._left]) == 0):
            request.Wait()
            return
        until = time.monotonic() + PATIENCE  # it may have been here first, with others on their way
        while not request.Test():
            if time.monotonic() > until:
                before = (self.rank - 1) % self.size
                self.end(RuntimeError(f"rank {before} has ended, and rank {self.rank} waits for it"))
            time.sleep(1e-3)

    def _leave(self):
        if not self._mpi.Is_finalized():
            self._ring.Send(bytearray(1), (self.rank + 1) % self.size)
            self._left.Wait()

    def __exit__(self, kind, error, trace):
        """SystemExit ends this process in good order, and by that the others, unless all leave so."""
        if error is not None and self.size > 1 and not isinstance(error, SystemExit) and error is not self._raised:
            self.end(error)

    def end(self, error: BaseException) -> None:
        """Tells of the error and ends all processes of the job."""
        status = None
        try:
            status = self._report(error)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            self._abort(status or 1)

    def _abort(self, status):
        time.sleep(0.2)  # a launcher may drop what it has not passed on by then
        self._mpi.COMM_WORLD.Abort(status)
        os._exit(status)  # MPICH may return before it has ended this process

    def _print(self, error):
        lines = [f"rank {self.rank} of {self.size} ends the job:\n", *traceback.format_exception(error)]
        sys.stderr.write("".join(lines))  # in one piece: others may end it, too
        return 130 if isinstance(error, KeyboardInterrupt) else 1

    def _hook(self, before):
        def hook(kind, error, trace):
            on_all = error is self._raised
            if self.rank == 0 or not on_all:  # one of them is enough to read
                before(kind, error, trace)
                sys.stderr.flush()
            if not on_all:
                self._abort(130 if issubclass(kind, KeyboardInterrupt) else 1)

        return hook


def _failure(error):
    """What other ranks are told of an error."""
    if error is None:
        return None
    kind = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ValueError
    return kind, str(error) or type(error).__name__


def exchanges(
    array: np.ndarray, other: np.ndarray, rank: int, size: int
) -> Iterator[tuple[np.ndarray, int, np.ndarray]]:
    """What rank does to have array = its sum over `size` ranks, in place; `other` is memory of the same shape.

    Yields (what to send, the partner, where to put what the partner sends) for each exchange, which must be over when
    the next is asked for.
    """
    first, last, cuts = 0, array.size, []
    distance = size // 2
    while distance:
        partner, middle = rank ^ distance, (first + last) // 2
        keep, send = slice(first, middle), slice(middle, last)
        if rank & distance:
            keep, send = send, keep
        yield array[send], partner, other[keep]
        np.add(array[keep], other[keep], out=array[keep])
        cuts.append((partner, keep, send))
        first, last, distance = keep.start, keep.stop, distance // 2
    for partner, keep, send in reversed(cuts):
        yield array[keep], partner, array[send]


def expect_shards(shards: Any, team: Team, batch_size: int) -> int:
    """The number of shards, by default that of the ranks; ValueError unless batch and ranks can be cut so."""
    shards = team.size if shards is None else expect_integer("shards", shards, 1)
    expect(shards & shards - 1 == 0, "shards", shards, "a power of two")
    expect(shards % team.size == 0, "shards", shards, f"a multiple of the {team.size} ranks")
    expect(batch_size % shards == 0, "batch_size", batch_size, f"a multiple of the {shards} shards")
    return shards
