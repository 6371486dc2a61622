"""Every kernel of the catalogue built ahead, by as many processes as there are cores: PTX and machine code for each
architecture, what the machine code uses, and a library that runs the PTX on this CPU.
"""

import concurrent.futures
import functools
import multiprocessing
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from . import launching, machine_code, offline
from .ptx import Translation

EXECUTED = (9, 0)
# A fused multiply-add must stay one and no other may appear; rounding modes are changed on the way.
GCC = ("gcc", "-O1", "-std=gnu11", "-w", "-ffp-contract=off", "-frounding-math", "-shared", "-fPIC", "-lm", "-o")


class Built(NamedTuple):
    """One specialisation of a kernel. `label` as in the catalogue; `ptx` and `reports` by architecture."""

    name: str
    label: str
    signature: str
    ptx: dict
    reports: dict
    library: Path
    parameters: int


catalogue = functools.cache(launching.catalogue)


def build(index, folder):
    """The kernel of this number in the catalogue."""
    (kernel, signature), label = list(catalogue().items())[index]
    return build_kernel(kernel, signature, Path(folder) / str(index), label)


def build_kernel(kernel, signature, stem, label="", architectures=offline.ARCHITECTURES):
    ptx = offline.compile_ptx(kernel, signature, architectures)
    reports = {cc: machine_code.report(text, cc, stem, kernel in _disassembled()) for cc, text in ptx.items()}
    translation = Translation(ptx[EXECUTED])
    source, library = stem.with_suffix(".c"), stem.with_suffix(".so")
    source.write_text(translation.c)
    subprocess.run([*GCC, library, source], check=True, capture_output=True)
    name, words = kernel.py_func.__name__, len(translation.parameters)
    return Built(name, label, str(signature), ptx, reports, library, words)


@functools.cache
def _disassembled():
    """The kernels whose instructions are counted: a second each."""
    return {
        kernel
        for dtype in launching.DTYPES
        for aligned in (True, False)
        for kernel in launching.products(aligned, dtype)
    }


class Builds:
    """The catalogue's kernels, as they are finished."""

    def __init__(self, folder):
        self._numbers = {key: number for number, key in enumerate(catalogue())}
        context = multiprocessing.get_context("spawn")
        self._pool = concurrent.futures.ProcessPoolExecutor(os.cpu_count(), mp_context=context)
        self._futures = [self._pool.submit(build, number, folder) for number in range(len(self._numbers))]
        self._folder = Path(folder)
        self._more = {}

    def __getitem__(self, key):
        """What was built for (kernel, signature); one that is not in the catalogue is built now."""
        if key in self._numbers:
            return self._futures[self._numbers[key]].result()
        if key not in self._more:
            self._more[key] = build_kernel(*key, self._folder / f"more{len(self._more)}")
        return self._more[key]

    def of(self, kernels):
        """What was built for the catalogue's specialisations of these kernels."""
        return [self[key] for key in self._numbers if key[0] in kernels]

    def __iter__(self):
        return (future.result() for future in self._futures)

    def close(self):
        self._pool.shutdown(cancel_futures=True)
