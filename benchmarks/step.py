"""One training step in every library: validated against each other, then timed in turns."""

import json
import sys
import tempfile

import numpy as np

from . import harness
from .peers import protocol

REFERENCE = {"features": 784, "hidden": [400], "latent": 20, "batch": 128, "samples": 1, "data": "mnist", "seed": 0}
TINY = REFERENCE | {"features": 64, "hidden": [32], "latent": 2, "batch": 32}
DENSE = ", dense"


def grid(quick):
    """name: shape. The reference, the tiny model, and what varies around the reference: on rows of MNIST, of which four
    fifths are zero, and on data without zeros.
    """
    shapes = {"reference": REFERENCE}
    if not quick:
        shapes |= {f"batch {batch}": REFERENCE | {"batch": batch} for batch in (16, 32, 64, 256, 512, 1024)}
        shapes |= {f"hidden {width}": REFERENCE | {"hidden": [width]} for width in (100, 200, 1000)}
        shapes["hidden 400 200"] = REFERENCE | {"hidden": [400, 200]}
    dense = {f"{name}{DENSE}": shape | {"data": "dense"} for name, shape in shapes.items()}
    iwae = {} if quick else {"IWAE": REFERENCE | {"hidden": [1000, 1000], "latent": 50, "samples": 5}}
    return {**shapes, "tiny": TINY, **iwae, **dense}


def flops(shape):
    """Multiplications and additions of the matrix products: forward, dweight, and dx where it is needed."""
    products = 0
    for name, inputs, outputs in protocol.layer_sizes(protocol.as_shape(shape)):
        rows = shape["batch"] * (shape["samples"] if name.startswith(("decoder", "likelihood")) else 1)
        products += (2 if name == "encoder.0" else 3) * rows * inputs * outputs
    return 2 * products


def open_workers(peer_python):
    workers = [
        harness.Worker("minivae cpu", sys.executable, "minivae_step.py", "cpu"),
        harness.Worker("minivae cpu, 1 thread", sys.executable, "minivae_step.py", "cpu", NUMBA_NUM_THREADS="1"),
        harness.Worker("minivae cpu, own loop", sys.executable, "minivae_step.py", "cpu", "--loop"),
        harness.Worker("minivae numpy", sys.executable, "minivae_step.py", "numpy"),
        harness.Worker("minivae cpu, bf16", sys.executable, "minivae_step.py", "cpu", "--bf16"),
        harness.Worker("NumPy", sys.executable, "numpy_step.py"),
        harness.Worker("control", sys.executable, "control.py"),
    ]
    if peer_python:
        for how in ((), ("--bf16",)):
            end = ", bf16" if how else ""
            workers += [
                harness.Worker(f"PyTorch eager{end}", peer_python, "torch_step.py", *how),
                harness.Worker(f"torch.compile{end}", peer_python, "torch_step.py", "--compile", *how),
                harness.Worker(f"JAX jit{end}", peer_python, "jax_step.py", *how),
            ]
    return workers


def takes_part(worker, shape):
    """Whether a worker runs a shape: on dense data one minivae and its peers; the plain script has no other bound."""
    if shape["data"] == "dense":
        return worker.name in ("minivae cpu", "NumPy", "control", "PyTorch eager", "torch.compile", "JAX jit")
    return worker.name != "NumPy" or shape["samples"] == 1


def verify(workers, shape):
    """Raises unless all libraries find the same loss and gradients for the same parameters, data and noise.

    A gradient's error is measured against the largest element of its array; 2e-4 is a few hundred float32 roundings.
    With bf16 a few hundredths are its roundings; autocast, which keeps activations in it too, goes further. Returns the
    error of each library.
    """
    parameters = protocol.initial_parameters(protocol.as_shape(shape))
    rng = np.random.default_rng(3)
    x = protocol.batches(protocol.as_shape(shape))[0]
    noise = rng.standard_normal((shape["batch"] * shape["samples"], shape["latent"]), dtype=np.float32)
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
    loss, gradients = found["NumPy" if "NumPy" in found else "minivae numpy"]
    errors = {}
    for name, (other_loss, other) in found.items():
        error = abs(other_loss - loss) / abs(loss)
        for key, gradient in gradients.items():
            error = max(error, float(np.abs(other[key] - gradient).max() / np.abs(gradient).max()))
        if error > (0.3 if name.endswith("bf16") else 2e-4):
            raise RuntimeError(f"{name} and NumPy disagree by {error:.1e} on {shape}")
        errors[name] = error
    return errors


def run(peer_python=None, quick=False, verify_only=False, only=""):
    """Runs the rows of the grid whose names have `only` in them; of the others, what was found before is kept."""
    workers = open_workers(peer_python)
    try:
        result = {"machine": harness.machine(), "libraries": {w.name: w.ask(do="describe") for w in workers}}
        roof = None if verify_only else measure_roof()
        before = harness.folder() / "step.json"
        rows = json.loads(before.read_text())["rows"] if only and before.exists() else {}
        for name, shape in grid(quick).items():
            if only not in name:
                continue
            running = [worker for worker in workers if takes_part(worker, shape)]
            for worker in running:
                worker.ask(do="start", shape=shape, warmup=0 if verify_only else 20)
            errors = verify(running, shape)
            agreed = ", ".join(f"{library} {error:.0e}" for library, error in errors.items() if error)
            print(f"{name}: the libraries agree: {agreed}", file=sys.stderr)
            if verify_only:
                continue
            steps = max(6, min(100, int(1e10 / flops(shape))))
            timed = harness.rounds(running, steps, 5)
            rows[name] = {
                "shape": shape,
                "flops": flops(shape),
                "agreement": errors,
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
