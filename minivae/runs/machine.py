"""What the bits of a run depend on besides its choices: the libraries, and the processor.

Noise, shuffles and initial parameters are the same everywhere. Sums are not: a compiler or a BLAS orders them as suits
the processor, and BLAS, which the numpy backend uses, by the number of its threads too.
"""

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import numpy as np

# From a backend to what its bits depend on; one that is not here may depend on all.
MATTERS = {
    "numpy": ("minivae", "numpy", "blas", "processor", "threads"),
    "cpu": ("minivae", "numpy", "numba", "llvmlite", "processor"),
}


def described(backend: str, version: str, layer: str = "") -> dict[str, str]:
    """By name, what a run with this backend of this version of minivae is computed with here, as far as it is known.
    layer : the backend's threading layer, where it has one
    """
    found = {
        "minivae": version,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "processor": _processor(),
    }
    if backend == "numpy":
        found |= {"blas": _blas(), "threads": _threads()}
    else:
        found |= {"numba": _version("numba"), "llvmlite": _version("llvmlite"), "threading_layer": layer}
    return {name: value for name, value in found.items() if value}


def differences(before: str, then: Mapping[str, object], after: str, now: Mapping[str, str]) -> str | None:
    """A phrase on what has changed that bits depend on, from backend `before` to `after`; None where nothing has."""
    found = [f"backend {before}, now {after}"] if before != after else []
    for name in MATTERS.get(after, tuple(now)):
        was = then.get(name)
        if isinstance(was, str) and name in now and was != now[name]:
            found.append(f"{name} {was:.60}, now {now[name]:.60}")
    return "; ".join(found) or None


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _processor():
    """The model, and the highest instructions of which NumPy makes use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    found = _built_with().get("SIMD Extensions", {}).get("found") or [platform.machine()]
    return f"{name}, {found[-1]}"


def _blas():
    blas = _built_with().get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', '')} {blas.get('version', '')}".strip()


def _built_with():
    found = np.show_config(mode="dicts")
    return found if isinstance(found, dict) else {}


def _threads():
    """How many BLAS takes, if it has been told, or else the cores that there are."""
    told = (os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return next(filter(None, told), str(cores))
