"""The tables of the docs from this machine's results/*/*.json: `python -m benchmarks report`.

Tables go between the lines `<!-- benchmarks -->` and `<!-- /benchmarks -->`. Every row is shown, the lost ones too.
"""

import json
import math

from minivae.kernels.ladder import measure as ladder

from . import breakdown, harness
from .step import DENSE

START, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
LIBRARIES = ("minivae cpu", "minivae cpu, own loop", "minivae cpu, 1 thread", "minivae numpy")
LIBRARIES += ("NumPy", "PyTorch eager", "torch.compile", "JAX jit")
BF16 = ("minivae cpu, bf16", "PyTorch eager, bf16", "torch.compile, bf16", "JAX jit, bf16")


def load(name):
    path = harness.folder() / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def rows_of(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "| --- |" + " --: |" * (len(header) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def machine_line(result):
    machine = result["machine"]
    return f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}"


def step_table(result):
    """Milliseconds a step in each library, and how many times as fast as the fastest peer minivae cpu is."""
    rows = {name: {k: 1e-3 * v["median_us"] for k, v in row["times"].items()} for name, row in result["rows"].items()}
    dense = {name.removesuffix(DENSE): row for name, row in rows.items() if name.endswith(DENSE)}
    mnist = {name: row for name, row in rows.items() if not name.endswith(DENSE)}
    yield "Milliseconds a training step (float32, Adam, Bernoulli likelihood) on rows of MNIST, medians of one run:"
    yield ""
    yield from _steps(mnist, LIBRARIES)
    if any(name in row for row in mnist.values() for name in BF16):
        yield ""
        yield 'The same with bf16 operands in the products (`precision="bf16"`; autocast; bfloat16 in JAX):'
        yield ""
        yield from _steps(mnist, BF16)
    yield ""
    yield "On data without zeros (the same rows, every pixel at least 0.1), where there is nothing to skip:"
    yield ""
    yield from _steps(dense, LIBRARIES)
    reference = result["rows"]["reference"]
    threads, roof = max(result["roof_gflops"].items(), key=lambda item: int(item[0]))
    speed = 1e-6 * reference["flops"] / dense["reference"]["minivae cpu"]
    agreement = {
        library: max(row["agreement"].get(library, 0) for row in result["rows"].values())
        for library in (*LIBRARIES, *BF16)
    }
    worst = max(agreement[name] for name in LIBRARIES)
    bf16 = ", ".join(f"{library} {agreement[library]:.0e}" for library in BF16 if agreement[library])
    yield ""
    yield (
        "The reference is 784-400-20-400-784 at batch 128, the tiny model 64-32-2-32-64 at batch 32, IWAE "
        "784-1000-1000-50 with 5 draws at batch 128; others change one thing of the reference. Without zeros its step "
        "runs at "
        f"{speed:.0f} GFLOP/s, {100 * speed / roof:.0f} % of the {roof:.0f} GFLOP/s that the micro-kernel reaches on "
        f"{threads} threads with data in the first-level cache. "
        f"Before timing, all libraries agreed on loss and gradients to {worst:.0e} of "
        f"the largest element{f' (with bf16: {bf16})' if bf16 else ''}."
    )
    libraries = [name for name in (*LIBRARIES, *BF16, "control") if name in result["libraries"]]
    yield ""
    yield f"{machine_line(result)}; {'; '.join(_described(result['libraries'][name]) for name in libraries)}."


def _steps(rows, libraries):
    """A table of these libraries; the first is compared with the fastest of those that are not minivae."""
    libraries = [name for name in libraries if any(name in row for row in rows.values())]
    peers = [name for name in libraries if not name.startswith("minivae")]
    cells = []
    for name, times in rows.items():
        shown = [f"{times[library]:.3g}" if library in times else "" for library in libraries]
        fastest = min((times[peer] for peer in peers if peer in times), default=math.nan)
        cells.append([name, *shown, f"{fastest / times[libraries[0]]:.2f}x"])
    yield from rows_of(["model", *libraries, "against the fastest peer"], cells)


def _described(library):
    facts = {key: ", ".join(value) if isinstance(value, list) else value for key, value in library.items()}
    return ", ".join(value if key == "library" else f"{key} {value}" for key, value in facts.items())


def kernel_table(result):
    backends = result["backends"]
    yield "Kernels: matrix products in GFLOP/s, passes in millions of elements a second, medians:"
    yield ""
    names = list(dict.fromkeys(name for backend in backends.values() for name in backend["rows"]))
    rows = []
    for name in names:
        cells = []
        for backend in backends.values():
            row = backend["rows"].get(name)
            if row is None:
                cells.append("")
            elif "flops" in row:
                cells.append(f"{1e-3 * row['flops'] / row['median_us']:.0f}")
            else:
                cells.append(f"{row['elements'] / row['median_us']:.0f}")
        both = [backend["rows"][name]["median_us"] for backend in backends.values() if name in backend["rows"]]
        rows.append([name, *cells, f"{both[1] / both[0]:.2f}x" if len(both) == 2 else ""])
    yield from rows_of(["kernel", *backends, "ratio"], rows)


def runs_table(result):
    start = result["start"]
    yield f"Whole runs of {result['epochs']} epochs on MNIST, from starting the process to its end:"
    yield ""
    rows = [[name, f"{row['seconds']:.1f} s", f"{row['peak_mb']:.0f} MB"] for name, row in result["runs"].items()]
    yield from rows_of(["run", "time", "peak memory"], rows)
    yield ""
    yield (
        f"Starting: import {start['import_s']:.2f} s; to the end of a first training step "
        f"{start['first_step_warm_s']:.1f} s with a warm cache, {start['first_step_cold_s']:.1f} s when the kernels "
        "must be compiled."
    )


def ladder_table(result):
    yield from ladder.table(result["backends"])
    yield ""
    yield f"{machine_line(result)}, {result['machine']['date']}."


TABLES = {
    "step": step_table,
    "kernels": kernel_table,
    "ladder": ladder_table,
    "runs": runs_table,
    "breakdown": breakdown.table,
}
PAGES = {
    "docs/benchmarks.md": ("step", "kernels", "runs"),
    "docs/performance.md": ("breakdown",),
    "docs/ladder.md": ("ladder",),
}


def lines(names):
    for name in names:
        result = load(name)
        if result:
            yield from TABLES[name](result)
            yield ""


def write_pages():
    """Replaces what is between the markers of each page that has results; ValueError where one has no markers."""
    for page, names in PAGES.items():
        if not any(map(load, names)):
            continue
        path = harness.HERE.parent / page
        text = path.read_text()
        if START not in text or END not in text:
            raise ValueError(f"{page}: got no lines {START} and {END}, expected both")
        before, rest = text.split(START, 1)
        after = rest.split(END, 1)[1]
        path.write_text(f"{before}{START}\n\n" + "\n".join(lines(names)) + f"{END}{after}")
