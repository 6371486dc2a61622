"""Measures the rungs, and NumPy's BLAS beside them: `minivae bench --ladder`."""

import functools
import os
import sys

from .. import bench
from ..backend import available_backends
from . import rungs

# Squares. Rows of the second are a multiple of 4096 bytes apart, at which the lines of a column share few cache sets.
SIZES = (1000, 1024)
# A rung computes the first so many rows of the product, which take about so many seconds, or all.
SECONDS = 0.04
BLAS = "NumPy's BLAS"
ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS"), "1"
)


def _on_one_thread(product):
    from ..cpu import threads

    return threads.at_most(1)(product)


def _products(backend):
    """(title, on how many threads, product) for all that is measured in this process."""
    if backend == "numpy":
        import numpy as np

        one = all(os.environ.get(name) == value for name, value in ONE_THREAD.items())
        yield BLAS, 1 if one else None, lambda a, b, c: np.matmul(a, b, out=c)
        return
    from ..cpu import threads

    count = threads.count()
    for number, module in enumerate(rungs().values(), 1):
        title = module.__doc__.partition(".")[0]
        title = f"{number} {title[0].lower()}{title[1:]}"
        yield title, 1, _on_one_thread(module.product)
    if count > 1:
        yield title, count, module.product


def _rows(product, a, b, c):
    """How many rows of the product take about SECONDS."""
    rows = 8
    while rows < len(a) and min(bench.seconds(functools.partial(product, a[:rows], b, c[:rows]), 2)) < SECONDS / 2:
        rows *= 2
    return min(rows, len(a))


class Measurement(bench.Measurement):
    """The rungs or BLAS, in this process."""

    def __init__(self, backend):
        self.backend, self.work = backend, {}
        for size in SIZES:
            a, b, c, is_right = bench.operands(size, size, size, "float32")
            for title, threads, product in _products(backend):
                rows = _rows(product, a, b, c)
                c[:] = float("nan")
                run = functools.partial(product, a[:rows], b, c[:rows])
                run()
                if not is_right(rows):
                    raise RuntimeError(f"{title}: the product of size {size} is wrong")
                about = {"flops": 2 * rows * size * size, "title": title, "threads": threads, "size": size}
                self.work[f"{title}, {threads or 'all'} threads, {size}"] = (run, about)

    def repeats(self, name):
        return 2


def run(backends=None, verify_only=False, say=print):
    """As `bench.run`, for the ladder; backends must not be chosen."""
    if backends:
        raise ValueError(
            f"--backend: got {backends[0]!r}, expected none with --ladder, which measures cpu beside NumPy"
        )
    if "cpu" not in available_backends():
        raise ValueError("--ladder: got no backend cpu here, expected Numba, in which the rungs are written")
    start = functools.partial(bench.Process, module=__spec__.name)
    starts = {
        "cpu": functools.partial(start, "cpu"),
        "numpy on 1 thread": functools.partial(start, "numpy", **ONE_THREAD),
        "numpy": functools.partial(start, "numpy"),
    }
    return bench.in_turns(starts, verify_only, say)


def table(results):
    """Lines of Markdown: for each size a rung's speed, its share of the roof, and how many times the rung before."""
    about = results["cpu"]
    roofs = {int(name.split()[-1]): roof for name, roof in about["roof_gflops"].items() if "float32" in name}
    lines: dict[tuple, list[str]] = {}  # (process, title, threads): cells
    for name, result in results.items():
        before = dict.fromkeys(SIZES)
        for row in result["rows"].values():
            speed = 1e-3 * row["flops"] / row["median_us"]
            share = speed / roofs[row["threads"] or max(roofs)]
            times = f"{speed / before[row['size']]:.2f}x" if before[row["size"]] else ""
            before[row["size"]] = speed
            cells = lines.setdefault((name, row["title"], row["threads"]), [row["title"], str(row["threads"] or "all")])
            cells += [f"{speed:.3g}", f"{100 * share:.0f} %", times]
    header = ["rung", "threads", *(cell for size in SIZES for cell in (f"GFLOP/s, {size}", "of roof", "step"))]
    widths = [max(map(len, column)) for column in zip(header, *lines.values(), strict=True)]
    marks = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    for cells in (header, marks, *lines.values()):
        first, *rest = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        yield " | ".join([f"| {first.strip():{widths[0]}}", *rest]) + " |"
    yield ""
    yield (
        "Medians; roof: "
        + ", ".join(f"{roof:.0f} GFLOP/s on {threads}" for threads, roof in roofs.items())
        + f"; control {about['control_us']:.0f} us; numba {about['numba']}, NumPy {about['numpy']}"
    )


if __name__ == "__main__":
    bench.serve(Measurement(sys.argv[1]))
