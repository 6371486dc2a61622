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
from types import SimpleNamespace

import numpy as np

from .backend import available_backends, load_backend

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


# name: (call of a backend on `_arrays`, what it writes): the kernels that are passes over arrays, at the step's sizes.
PASSES = {
    "standard normals": (lambda b, a: b.standard_normal(1, 2, a.clock, a.noise), ["noise"]),
    "Bernoulli nll and gradient": (
        lambda b, a: b.bernoulli_nll(a.x, a.logits, a.weight, a.nll, a.dlogits),
        ["dlogits", "nll"],
    ),
    "Adam": (
        lambda b, a: b.adam_update(a.p, a.g, a.first, a.second, a.rates, a.clock, 0.9, 0.999, 1e-8, 0.0),
        ["p", "first", "second"],
    ),
    "gather, bytes to floats": (lambda b, a: b.gather(a.data, a.order, a.clock, 128, "grey", 0, a.pixels), ["pixels"]),
}


def _arrays(real):
    """The same numbers in any dtype."""
    rng = np.random.default_rng(0)

    def normals(*shape):
        return rng.standard_normal(shape, np.float32).astype(real)

    return SimpleNamespace(
        clock=np.zeros(1, np.int64), rates=np.full(1, 1e-3), noise=np.empty(1 << 20, real),
        x=rng.random((128, 784), np.float32).astype(real), logits=normals(128, 784), dlogits=np.empty((128, 784), real),
        weight=np.full(128, 1 / 128, real), nll=np.empty(128, real),
        p=normals(652_000), g=normals(652_000), first=normals(652_000), second=normals(652_000) ** 2,
        data=rng.integers(0, 256, (1000, 784)).astype(np.uint8), order=rng.permutation(1000),
        pixels=np.empty((128, 784), real),
    )  # fmt: skip


def _passes(backend):
    """name: (function, elements) for each of PASSES in float32, after a comparison with NumPy in float64.

    The normals are compared bit for bit in float32: other dtypes use other bits.
    """
    loaded, reference = load_backend(backend), load_backend("numpy")
    arrays, single, double = _arrays(np.float32), _arrays(np.float32), _arrays(np.float64)
    passes = {}
    for name, (call, written) in PASSES.items():
        expected = single if name == "standard normals" else double
        program = loaded.record(lambda call=call: call(loaded, arrays))
        call(reference, expected)
        for output in written:
            got, exact = getattr(arrays, output), getattr(expected, output)
            bound = 0 if got.dtype == exact.dtype else 1e-5 * np.abs(exact).max()
            if not (np.abs(got - exact) <= bound).all():
                raise RuntimeError(f"{backend}: {name} is wrong in {output}")
        passes[name] = (program, getattr(arrays, written[0]).size)
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

            about |= {"numba": numba.__version__, "threads": numba.get_num_threads()}
            about |= {"thread layer": numba.threading_layer()}
        return about

    @functools.cached_property
    def _roofs(self):
        if self.backend != "cpu":
            return {}
        import numba

        from .cpu.roof import Roof

        counts = sorted({1, numba.get_num_threads()})
        return {f"{name} on {count}": Roof(name, count) for name in ("float32", "float64") for count in counts}

    def repeats(self, name):
        """How often a round times this."""
        return 2 if "1024" in name else 8

    def round(self):
        """Seconds of one round, floating-point operations a second of the roofs, seconds of the control."""
        return {
            "control": _control(),
            "roofs": {name: roof() for name, roof in self._roofs.items()},
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
        rounds = {name: [] for name in processes}
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
