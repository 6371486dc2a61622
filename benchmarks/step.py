"""One training step in every library: validated against each other, then timed in turns."""

import sys
import tempfile

import numpy as np

from . import harness
from .peers import protocol

REFERENCE = {"features": 784, "hidden": [400], "latent": 20, "batch": 128, "data": "mnist", "seed": 0}
TINY = {"features": 64, "hidden": [32], "latent": 2, "batch": 32, "data": "mnist", "seed": 0}


def grid(quick):
    """name: shape. The reference, the tiny model, and what varies around the reference."""
    shapes = {"reference": REFERENCE, "tiny": TINY}
    if not quick:
        shapes |= {f"batch {batch}": REFERENCE | {"batch": batch} for batch in (16, 32, 64, 256, 512, 1024)}
        shapes |= {f"hidden {width}": REFERENCE | {"hidden": [width]} for width in (100, 200, 1000)}
        shapes["hidden 400 200"] = REFERENCE | {"hidden": [400, 200]}
    return shapes


def flops(shape):
    """Multiplications and additions of the matrix products: forward, dweight, and dx where it is needed."""
    layers = protocol.layer_sizes(protocol.as_shape(shape))
    products = sum((2 if name == "encoder.0" else 3) * inputs * outputs for name, inputs, outputs in layers)
    return 2 * shape["batch"] * products


def open_workers(peer_python):
    workers = [
        harness.Worker("minivae cpu", sys.executable, "minivae_step.py", "cpu"),
        harness.Worker("minivae cpu, 1 thread", sys.executable, "minivae_step.py", "cpu", NUMBA_NUM_THREADS="1"),
        harness.Worker("minivae cpu, own loop", sys.executable, "minivae_step.py", "cpu", "--loop"),
        harness.Worker("minivae numpy", sys.executable, "minivae_step.py", "numpy"),
        harness.Worker("NumPy", sys.executable, "numpy_step.py"),
        harness.Worker("control", sys.executable, "control.py"),
    ]
    if peer_python:
        workers += [
            harness.Worker("PyTorch eager", peer_python, "torch_step.py"),
            harness.Worker("torch.compile", peer_python, "torch_step.py", "--compile"),
            harness.Worker("JAX jit", peer_python, "jax_step.py"),
        ]
    return workers


def verify(workers, shape):
    """Raises unless all libraries find the same loss and gradients for the same parameters, data and noise.

    A gradient's error is measured against the largest element of its array; 2e-4 is a few hundred float32 roundings.
    """
    parameters = protocol.initial_parameters(protocol.as_shape(shape))
    rng = np.random.default_rng(3)
    x = protocol.batches(protocol.as_shape(shape))[0]
    noise = rng.standard_normal((shape["batch"], shape["latent"]), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        given = f"{folder}/given.npz"
        np.savez(given, x=x, noise=noise, **parameters)
        found = {}
        for worker in workers:
            if worker.name != "control":
                out = f"{folder}/out.npz"
                loss = worker.ask(do="verify", arrays=given, out=out)["loss"]
                with np.load(out) as arrays:
                    found[worker.name] = loss, dict(arrays)
    loss, gradients = found["NumPy"]
    worst = 0.0
    for name, (other_loss, other) in found.items():
        error = abs(other_loss - loss) / abs(loss)
        for key, gradient in gradients.items():
            error = max(error, float(np.abs(other[key] - gradient).max() / np.abs(gradient).max()))
        if error > 2e-4:
            raise RuntimeError(f"{name} and NumPy disagree by {error:.1e} on {shape}")
        worst = max(worst, error)
    return worst


def run(peer_python=None, quick=False, verify_only=False):
    workers = open_workers(peer_python)
    try:
        result = {"machine": harness.machine(), "libraries": {w.name: w.ask(do="describe") for w in workers}}
        roof = None if verify_only else measure_roof()
        rows = {}
        for name, shape in grid(quick).items():
            for worker in workers:
                worker.ask(do="start", shape=shape, warmup=0 if verify_only else 20)
            error = verify(workers, shape)
            print(f"{name}: the libraries agree to {error:.0e}", file=sys.stderr)
            if verify_only:
                continue
            steps = max(6, min(100, int(1e10 / flops(shape))))
            timed = harness.rounds(workers, steps, 7)
            rows[name] = {
                "shape": shape,
                "flops": flops(shape),
                "agreement": error,
                "times": {library: harness.summary(seconds) for library, seconds in timed.items()},
            }
            medians = {library: row["median_us"] for library, row in rows[name]["times"].items()}
            print("   " + ", ".join(f"{k} {v:.0f} us" for k, v in medians.items()), file=sys.stderr)
        result |= {"roof_gflops": roof, "rows": rows}
    finally:
        for worker in workers:
            worker.close()
    if not verify_only:
        harness.write("step", result)
    return result


def measure_roof():
    """GFLOP/s of the micro-kernel on data in the first-level cache, on one thread and on all: medians of 20."""
    from minivae.kernels.cpu import threads
    from minivae.kernels.cpu.roof import Roof

    return {
        str(count): float(np.median([1e-9 * measure() for _ in range(20)]))
        for count, measure in ((count, Roof("float32", count)) for count in sorted({1, threads.count()}))
    }
