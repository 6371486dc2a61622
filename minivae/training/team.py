"""The processes that train one model together: who computes which shards of a batch, and how they add up.

Gradients of S shards are added as one binary tree: shard s and s + S/2, then s and s + S/4, ..., down to 0 and 1. Rank
r of N has the shards r, r + N, r + 2N, ..., so that the upper levels of the tree lie within a rank, and the others
between ranks that are N/2, N/4, ... apart. IEEE addition commutes: whatever power of two N is, every sum has the same
bits, which a library's own Allreduce does not promise.

Between ranks each level exchanges half of what the level before left, and the sums then go back the same way (recursive
halving and doubling: Thakur, Rabenseifner and Gropp, "Optimization of collective communication operations in MPICH",
2005, section 4.4). Only `MPITeam` knows of MPI.
"""

import hashlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import TrainingDiverged, expect, expect_integer

# What a launcher sets in the processes that it starts, with the number of them.
LAUNCHERS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS")


def launched() -> bool:
    """Whether a launcher of MPI (mpiexec, srun) has started this process as one of several."""
    return any(os.environ.get(name, "1").isdigit() and int(os.environ.get(name, "1")) > 1 for name in LAUNCHERS)


class Team:
    """One process that has all shards: every exchange is with itself."""

    rank, size = 0, 1
    threads: int | None = None  # of the kernels of each rank, where fit is told none

    def total(self, array: np.ndarray) -> None:
        """array = its sum over the ranks, in place: the same bits on each."""

    def merge(self, array: np.ndarray) -> np.ndarray:
        """The sum over the ranks of arrays, each element of which is 0 on all ranks but one: exact."""
        return array

    def broadcast(self, value: Any) -> Any:
        """What rank 0 has."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """What each rank has."""
        return [value]

    def in_turn(self, work: Callable[[], object]) -> None:
        """work() on each rank: on the first of each machine before the others, which find its kernels compiled."""
        work()

    def any(self, flag: bool) -> bool:
        return any(self.gather(bool(flag)))

    def expect_same(self, name: str, *values: Any) -> None:
        """ValueError on all ranks unless they all have equal arrays, or whatever else has a repr, in `values`."""
        digest = hashlib.blake2b()
        for value in values:
            array = isinstance(value, np.ndarray)
            digest.update(np.ascontiguousarray(value).tobytes() if array else repr(value).encode())
        found = self.gather(digest.digest())
        other = [rank for rank, one in enumerate(found) if one != found[0]]
        expect(
            not other, name, f"others on rank {', '.join(map(str, other[:4]))} than on rank 0", "the same on all ranks"
        )

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Where a training ends; with an error that the other ranks do not have, all must end."""


class MPITeam(Team):
    """The ranks of an MPI communicator; their number is a power of two.

    Importing mpi4py initialises MPI, so that is done here. From then on an exception that ends this process ends the
    job: the other ranks would wait for it for ever.

    Parameters
    ----------
    comm : an mpi4py communicator; by default all processes, `MPI.COMM_WORLD`
    report : called with an error of this rank that ends the job; by default it prints the traceback

    Raises
    ------
    ValueError
        Where mpi4py, or an MPI that it can load, is not there, or the ranks are no power of two.
    """

    def __init__(self, comm: Any = None, report: Callable[[BaseException], object] = traceback.print_exception) -> None:
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:
            needs = "mpi4py and an MPI: pip install 'minivae[mpi]' mpich"
            raise ValueError(f"team: MPI cannot be used here ({error}), expected {needs}") from error
        self._mpi, self._report = MPI, report
        self.comm = MPI.COMM_WORLD.Dup() if comm is None else comm
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()
        expect(self.size & self.size - 1 == 0, "team", f"{self.size} ranks", "a power of two")
        self._near = self.comm.Split_type(MPI.COMM_TYPE_SHARED)
        self._other = np.empty(0)
        cores = self._near.allgather(sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None)
        shared = sum(own == cores[self._near.Get_rank()] for own in cores)  # a launcher may give each its own
        self.threads = max(1, (len(cores[0] or ()) or os.cpu_count() or 1) // shared) if self.size > 1 else None
        if self.size > 1:
            sys.excepthook = self._hook(sys.excepthook)

    def total(self, array):
        if self.size == 1:
            return
        if self._other.shape != array.shape or self._other.dtype != array.dtype:
            self._other = np.empty_like(array)
        for part, partner, into in exchanges(array, self._other, self.rank, self.size):
            self.comm.Sendrecv(part, partner, recvbuf=into, source=partner)

    def merge(self, array):
        if self.size > 1:
            self.comm.Allreduce(self._mpi.IN_PLACE, array)
        return array

    def broadcast(self, value):
        return self.comm.bcast(value)

    def gather(self, value):
        return self.comm.allgather(value)

    def in_turn(self, work):
        first = self._near.Get_rank() == 0
        if first:
            work()
        self._near.Barrier()
        if not first:
            work()

    def __exit__(self, kind, error, trace):
        if error is not None and self.size > 1 and not isinstance(error, TrainingDiverged):  # which all ranks raise
            self.end(error)

    def end(self, error: BaseException, status: int = 1) -> None:
        """Tells of the error and ends all processes of the job."""
        try:
            if self._near.Get_size() > 1 or self.size > 1:
                print(f"rank {self.rank} of {self.size} ends the job:", file=sys.stderr)
            self._report(error)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            self._mpi.COMM_WORLD.Abort(status)

    def _hook(self, before):
        def hook(kind, error, trace):
            before(kind, error, trace)
            sys.stderr.flush()
            self._mpi.COMM_WORLD.Abort(1)

        return hook


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
