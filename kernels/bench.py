"""Times the kernels on this machine: `minivae bench`. Each backend runs in a process of its own.

Two thread pools in one process wait for each other, so the matrix products of NumPy's BLAS and of the CPU backend must
not share one. Every measurement is preceded by a comparison with float64, warmed up, and repeated in rounds in which
the processes take turns, so that a machine that slows down slows all of them; figures are medians. A control that runs
none of this package's code (`math.fsum` over a fixed list) tells a busy machine from a slow kernel.
"""

import functools
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from . import naive
from .backend import available_backends, load_backend
from .cases import Case

# What is multiplied in a step of 784-400-20-400-784 at batch 128, and a large square: (name, m, n, k, form).
PRODUCTS = (
    ("x @ W1", 128, 400, 784, "plain"),
    ("h @ W2", 128, 784, 400, "plain"),
    ("h @ Wp", 128, 40, 400, "plain"),
    ("z @ Wd", 128, 400, 20, "plain"),
    ("x.T @ dh", 784, 400, 128, "transposed a"),
    ("h.T @ dy", 400, 784, 128, "transposed a"),
    ("dy @ W2.T", 128, 400, 784, "transposed b"),
    ("square 1024", 1024, 1024, 1024, "plain"),
)
ROUNDS = 9
# Seconds before a process has its turn: until then the threads of the one before it have stopped waiting actively.
PAUSE = 0.2
# The kernel that OpenBLAS chooses for this machine must not be overridden in a comparison.
OPENBLAS_OVERRIDES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def operands(m, n, k, dtype):
    """(a, b, c, function that says whether the first rows of c are those of a @ b)."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    c = np.full((m, n), np.nan, dtype)

    exact = a.astype(np.float64) @ b
    bound = np.finfo(dtype).eps * k * (np.abs(a).astype(np.float64) @ np.abs(b))

    def is_right(rows=m):
        return (np.abs(c - exact) <= bound)[:rows].all()

    return a, b, c, is_right


def _product(backend, m, n, k, form, dtype):
    """(function that computes a product into c, check that c is right)."""
    a, b, c, is_right = operands(m, n, k, dtype)
    stored_a = np.ascontiguousarray(a.T) if form == "transposed a" else a
    stored_b = np.ascontiguousarray(b.T) if form == "transposed b" else b
    if backend == "cpu":
        from .cpu.matmul import product_program

        run = product_program(stored_a, stored_b, c, form)
    else:
        left = stored_a.T if form == "transposed a" else stored_a
        right = stored_b.T if form == "transposed b" else stored_b

        def run():
            np.matmul(left, right, out=c)

    def check():
        if not is_right():
            raise RuntimeError(f"{backend}: {form} product {m}x{n}x{k} in {dtype} is wrong")

    return run, check


def _passes(backend):
    """name: (function, elements) of kernels that are passes over arrays, at the step's sizes in float32.

    Each is first compared with NumPy in float64.
    """
    loaded, reference, rng = load_backend(backend), load_backend("numpy"), np.random.default_rng(0)
    passes: dict[str, tuple[Callable[[], object], int]] = {}
    results: dict[str, np.ndarray] = {}
    for name, kernel, arguments, bounds in (
        ("standard normals", "standard_normal", *naive.standard_normal_case("float32", 1, 2, 0, (1 << 20,))),
        ("Bernoulli nll and gradient", "bernoulli_nll", *naive.bernoulli_nll_case("float32", rng, 128, 784, 1)),
        ("Adam", "adam_update", *naive.adam_update_case("float32", rng, 652_000)),
        ("gather, bytes to floats", "gather", *naive.gather_case("float32", rng, "uint8", 1000, 784, 128, 0, "grey")),
    ):
        case = Case(kernel, arguments, bounds, reference)

        def call(case=case):
            results.update(case.run(getattr(loaded, case.kernel)))

        program = loaded.record(call)
        share, text = case.judge(results)
        if not share <= 1:
            raise RuntimeError(f"{backend}: {name} is wrong in {text}")
        passes[name] = (program, max(results[written].size for written in bounds))
    if backend == "numpy":
        generator, noise = np.random.default_rng(0), np.empty(1 << 20, np.float32)
        passes["standard normals, NumPy's Generator"] = (
            lambda: generator.standard_normal(out=noise, dtype=np.float32),
            noise.size,
        )
    return passes


def _control():
    values = [0.1] * 20_000
    start = time.perf_counter()
    math.fsum(values)
    return time.perf_counter() - start


def seconds(function, repeats):
    function()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return found


class Measurement:
    """What is measured of one backend, in this process."""

    def __init__(self, backend):
        self.backend = backend
        self.work = {}  # name: (function, size)
        for dtype in ("float32", "float64"):
            for name, m, n, k, form in PRODUCTS:
                run, check = _product(backend, m, n, k, form, dtype)
                run()
                check()
                self.work[f"{name} {dtype}"] = (run, {"flops": 2 * m * n * k})
        for name, (run, elements) in _passes(backend).items():
            self.work[name] = (run, {"elements": elements})

    def describe(self):
        """The library and what was verified."""
        about = {"backend": self.backend, "numpy": np.__version__}
        about["verified"] = [name for name in self.work if "Generator" not in name]
        if self.backend == "cpu":
            import numba

            from .cpu import threads

            about |= {"numba": numba.__version__, "threads": threads.count(), "thread layer": threads.layer()}
        return about

    @functools.cached_property
    def _roofs(self):
        if self.backend != "cpu":
            return {}
        from .cpu import threads
        from .cpu.roof import Roof

        counts = sorted({1, threads.count()})
        return {f"{name} on {count}": Roof(name, count) for name in ("float32", "float64") for count in counts}

    def repeats(self, name):
        """How often a round times this."""
        return 2 if "1024" in name else 8

    def round(self):
        """Seconds of one round, floating-point operations a second of the roofs, seconds of the control."""
        return {
            "control": _control(),
            # the best of some turns: a core that has slept does not run at its full speed at once
            "roofs": {name: max(roof() for _ in range(10)) for name, roof in self._roofs.items()},
            "seconds": {name: seconds(run, self.repeats(name)) for name, (run, _) in self.work.items()},
        }

    def sizes(self):
        return {name: size for name, (_, size) in self.work.items()}


def serve(measurement):
    """Answers lines on standard input, `describe`, `sizes` or `round`, each with a line of JSON."""
    for line in sys.stdin:
        print(json.dumps(getattr(measurement, line.strip())()), flush=True)


class Process:
    """A process that runs a module for a backend, and serves."""

    def __init__(self, backend, module=__spec__.name, **more):
        environment = {name: value for name, value in os.environ.items() if name not in OPENBLAS_OVERRIDES} | more
        command = [sys.executable, "-m", module, backend]
        self._backend = backend
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, question):
        """The answer; RuntimeError if the process has ended, as it does when a result is wrong."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(f"{question}\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RuntimeError(f"the benchmark of backend {self._backend!r} ended, status {self._process.wait()}")
        return json.loads(answer)

    def close(self):
        self._process.kill()
        self._process.communicate()


def run(backends=None, verify_only=False, say=print):
    """Measures each host backend in a process of its own, in turns: {backend: what was found}.

    say(line) is told what happens. Raises ValueError if a backend is not available here.
    """
    available = available_backends()
    backends = [name for name in ("cpu", "numpy") if name in (backends or available)]
    for name in backends:
        if name not in available:
            raise ValueError(f"backend: got {name!r}, which is not available here; there are {', '.join(available)}")
    return in_turns({name: functools.partial(Process, name) for name in backends}, verify_only, say)


def in_turns(starts, verify_only, say):
    """What `run` does, with the processes that these functions start."""
    processes = {}
    try:
        for name, start in starts.items():
            say(f"{name}: checking every result ...")
            processes[name] = start()
            processes[name].ask("sizes")
        results = {name: process.ask("describe") for name, process in processes.items()}
        if verify_only:
            return results
        say(f"{ROUNDS} rounds ...")
        rounds: dict[str, list] = {name: [] for name in processes}
        for _ in range(ROUNDS):
            for name, process in processes.items():
                time.sleep(PAUSE)
                rounds[name].append(process.ask("round"))
        for name, process in processes.items():
            results[name] |= _summary(rounds[name], process.ask("sizes"))
    finally:
        for process in processes.values():
            process.close()
    return results


def _summary(rounds, sizes):
    def every(name):
        return 1e6 * np.concatenate([found["seconds"][name] for found in rounds])

    return {
        "control_us": 1e6 * float(np.median([found["control"] for found in rounds])),
        "roof_gflops": {
            name: 1e-9 * float(np.median([found["roofs"][name] for found in rounds])) for name in rounds[0]["roofs"]
        },
        "rows": {
            name: size
            | {
                "median_us": float(np.median(every(name))),
                "quartiles_us": [float(q) for q in np.percentile(every(name), [25, 75])],
            }
            for name, size in sizes.items()
        },
    }


def table(results):
    """The results as lines of text: GFLOP/s for products, millions of elements a second for passes."""
    names = list(dict.fromkeys(name for result in results.values() for name in result["rows"]))
    width = max(map(len, names))
    yield f"{'':{width}}  " + "  ".join(f"{backend:>12}" for backend in results)
    for name in names:
        cells = []
        for result in results.values():
            row = result["rows"].get(name)
            if row is None:
                cells.append(f"{'':>12}")
            elif "flops" in row:
                cells.append(f"{1e-3 * row['flops'] / row['median_us']:>5.0f} GFLOP/s")
            else:
                cells.append(f"{row['elements'] / row['median_us']:>9.0f} M/s")
        yield f"{name:{width}}  " + "  ".join(cells)
    for result in results.values():
        for name, value in result["roof_gflops"].items():
            yield f"roof, {name} threads: {value:.0f} GFLOP/s"
        yield f"control beside {result['backend']}: {result['control_us']:.0f} us"


if __name__ == "__main__":
    serve(Measurement(sys.argv[1]))
