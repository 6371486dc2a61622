"""Starting the ranks of a job with the MPI of this environment, where it has one."""

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HANGS = 120  # seconds after which a job is taken to hang
ROOT = Path(__file__).parents[2]


def _mpiexec():
    """The launcher beside this Python, or that of the system."""
    beside = Path(sys.executable).parent / "mpiexec"
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def _is_open_mpi(launcher):
    said = subprocess.run([launcher, "--version"], capture_output=True, text=True)
    return any(name in said.stdout + said.stderr for name in ("Open MPI", "OpenRTE", "prte"))


MPIEXEC = _mpiexec() if importlib.util.find_spec("mpi4py") else None
OPEN_MPI = MPIEXEC is not None and _is_open_mpi(MPIEXEC)
needs_mpi = pytest.mark.skipif(
    MPIEXEC is None, reason="no mpi4py with an mpiexec here: pip install 'minivae[mpi]' mpich"
)


def launcher(ranks):
    """The command that starts so many ranks here, more than there are cores if need be."""
    return [MPIEXEC, *(["--oversubscribe"] if OPEN_MPI else []), "-n", str(ranks)]


def environment(**more):
    """Of a job: one thread a rank, this checkout, lines that stay whole, and leave for root to start Open MPI."""
    own = {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": ""}
    own |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return {**os.environ, **own, **more}


@contextlib.contextmanager
def started(ranks, *arguments, **more):
    """A job of `python *arguments` on so many ranks, which is ended with the context; 0 for one without a launcher."""
    command = [*(launcher(ranks) if ranks else []), sys.executable, *map(str, arguments)]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment(**more), **pipes) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()  # a launcher that is killed leaves its ranks behind
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()


def launched(ranks, *arguments, **more):
    """(status, standard output, standard error) of a job that has ended."""
    with started(ranks, *arguments, **more) as process:
        out, error = process.communicate(timeout=HANGS)
    return process.returncode, out, error


def digest(*values):
    """SHA-256 of the bytes of arrays, and of what else there is as it is printed."""
    found = hashlib.sha256()
    for value in values:
        found.update(value.tobytes() if hasattr(value, "tobytes") else repr(value).encode())
    return found.hexdigest()
