"""The CUDA backend on a GPU, in one command: first whether it is right, then how fast it is.

    python -m benchmarks.gpu [--out FILE] [--quick] [--dry-run]

Runs from a plain checkout with a Python that has numba-cuda, numpy and pytest, without a network, in a few minutes.
Checks: every kernel against the specification, the noise bits, recorded steps against eager ones, three epochs of MNIST
against the NumPy backend. Timings: matrix products beside cuBLAS (through PyTorch or CuPy where there is one), every
kernel beside the memory bandwidth measured here, training steps eager and as a graph beside PyTorch's. Writes JSON and
prints a table last; exit status 1 if a check failed.

--dry-run goes the whole way without a GPU, on tiny sizes in the simulator of tests/cuda, which needs greenlet, to
prove that the command works; its times mean nothing and say so.
"""

import argparse
import contextlib
import datetime
import importlib.util
import json
import platform
import sys
import time
from importlib import metadata
from pathlib import Path

from . import checkout

checkout.prepare()

import numpy as np  # noqa: E402

from . import gpu_checks, gpu_peers, gpu_times  # noqa: E402


def versions():
    names = "numpy", "numba", "numba-cuda", "cuda-core", "cuda-bindings", "torch", "cupy-cuda13x"
    found = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def machine():
    from numba import cuda

    device = cuda.get_current_device()
    name = device.name.decode() if isinstance(device.name, bytes) else str(device.name)
    return {"gpu": name, "compute_capability": list(device.compute_capability), "host": platform.processor()}


def run(options, sizes):
    """All checks and timings as one dict."""
    started = time.perf_counter()
    result = {"date": datetime.date.today().isoformat(), "dry_run": options.dry_run, "versions": versions()}
    result["machine"] = {"gpu": "none: a dry run"} if options.dry_run else machine()
    result["checks"] = gpu_checks.run(sizes)
    result["times"] = gpu_times.run(sizes)
    result["peers"] = {} if options.dry_run else gpu_peers.run(sizes)
    result["seconds"] = time.perf_counter() - started
    return result


def table(result):
    """The short table, as lines."""
    yield f"minivae on {result['machine']['gpu']}, {result['date']}, {result['seconds']:.0f} s in all"
    if result["dry_run"]:
        yield "DRY RUN in a simulator: the times below mean nothing"
    for check in result["checks"]:
        yield f"{'ok    ' if check['passed'] else 'FAILED'} {check['name']}: {check['detail']}"
    peers = result["peers"]
    for row in result["times"]["products"]:
        key = "x".join(map(str, row["shape"]))
        peer = peers.get("products", {}).get(key)
        beside = f"   cuBLAS {peer:8.2f} ms, {100 * peer / row['ms']:.0f} % of its speed" if peer else ""
        yield f"product {key:>18} {row['ms']:8.2f} ms {row['tflops']:7.2f} TFLOP/s{beside}"
    copy = result["times"]["copy_gb_per_s"]
    yield f"memory: a copy moves {copy:.0f} GB/s"
    for row in result["times"]["kernels"]:
        yield f"{row['name']:24} {row['us']:9.1f} us {row['gb_per_s']:8.0f} GB/s, {100 * row['gb_per_s'] / copy:.0f} %"
    for row in result["times"]["steps"]:
        theirs = peers.get("steps", {}).get(str(row["batch_size"]), {})
        beside = "".join(f", {name} {us:.0f}" for name, us in theirs.items())
        yield (
            f"step of {row['batch_size']:5}: {row['launches']} launches, us: eager {row['eager_us']:.0f}, fused "
            f"{row['fused_us']:.0f}, graph {row['graph_us']:.0f}{beside}"
        )


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--out", type=Path, help="where the JSON goes (default: benchmarks/results/gpu-NAME.json)")
    parser.add_argument("--quick", action="store_true", help="checks and a few timings only")
    parser.add_argument("--dry-run", action="store_true", help="without a GPU, in a simulator, on tiny sizes")
    options = parser.parse_args(arguments)
    np.seterr(all="ignore")
    if options.dry_run:
        if missing := [name for name in ("numba_cuda", "greenlet") if importlib.util.find_spec(name) is None]:
            print(f"no dry run without {' and '.join(missing)}: pip install 'minivae[cuda-proof]'", file=sys.stderr)
            return 2
        from minivae.kernels.cuda import runtime
        from tests.cuda import host, simulator

        context = runtime.use(host.HostRuntime(simulator.Simulator()))
        sizes = gpu_checks.Sizes.dry()
    else:
        from minivae.kernels.cuda import probe

        if missing := probe.why_not():
            print(f"no timing without a device: {missing}; --dry-run shows that the command works", file=sys.stderr)
            return 2
        context, sizes = contextlib.nullcontext(), gpu_checks.Sizes.quick() if options.quick else gpu_checks.Sizes()
    with context:
        result = run(options, sizes)
    name = "dry-run" if options.dry_run else result["machine"]["gpu"].lower().replace(" ", "-")
    out = options.out or checkout.ROOT / "benchmarks" / "results" / f"gpu-{name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(*table(result), f"written to {out}", sep="\n")
    return 0 if all(check["passed"] for check in result["checks"]) else 1


if __name__ == "__main__":
    sys.exit(main())
