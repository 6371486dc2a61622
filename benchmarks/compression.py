"""Compression measured: rates beside the bounds, speed, other compressors, the same bytes on other processors.

    python -m benchmarks.compression rates [--model FILE]   K = 1, 16, 64 and fewer rows
    python -m benchmarks.compression bytes                  grey MNIST with the likelihoods of bytes
    python -m benchmarks.compression others                 other compressors, on the same 0 and 1 and on grey values
    python -m benchmarks.compression peer                   the rate of the same model by the coder `constriction`
    python -m benchmarks.compression rounding               weights of fewer bits, and fewer buckets
    python -m benchmarks.compression speed                  one thread, beside the cold start of the report
    python -m benchmarks.compression processors             the same file from other BLAS kernels, threads, instructions
    python -m benchmarks.compression fuzz [--files 100000]  damaged, lying, forged files; most checksums fit
    python -m benchmarks.compression table                  what was written before, as Markdown

The models are trained first, and kept in --work: 784-400-20 on dynamically binarised MNIST, 784-200-50 on grey values.
Test images are binarised once, each pixel 1 with its grey value as the probability (NumPy's generator, seed 0).
"""

import argparse
import json
import math
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np

import minivae as mv
from minivae.compression.codec import Codec
from minivae.compression.file import as_pixels
from minivae.compression.networks import networks_of, pack

from . import compressors, damaged_files, harness

LN2 = math.log(2)


def model_of(kind, arguments):
    """A trained model, from --model or --work."""
    path = Path(arguments.model or f"{arguments.work}/{kind}.npz")
    if path.exists():
        return mv.VAE.load(path, arguments.backend)
    data = mv.load_dataset("mnist").train
    bernoulli = kind == "bernoulli"
    model = mv.VAE(
        784, 20 if bernoulli else 50, (400 if bernoulli else 200,), likelihood=kind, backend=arguments.backend
    )
    options = {"epochs": arguments.epochs, "batch_size": 128, "pixels": "dynamic" if bernoulli else "grey", "seed": 0}
    mv.fit(model, data, optimizer=mv.Adam(1e-3), progress=False, **options)
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return model


def binary():
    test = mv.load_dataset("mnist").test
    return np.random.default_rng(0).random(test.shape) < test / 255


def rate_row(model, x, samples):
    """One compressed and decoded set of rows; ELBO and bound are of the same rows, by `draws` estimates."""
    data = mv.compress(model, x, samples)
    same = np.array_equal(mv.decompress(model, data), x)
    pixels, _ = as_pixels(model, x)
    codec = Codec(networks_of(model), samples)
    _, drawn = codec.encode(pixels, codec.growth(pixels))
    found = [mv.importance_estimate(model, x, samples, seed, progress=False).log_likelihood for seed in range(3)]
    means = [-value.mean() / (model.features * LN2) for value in found]
    return {
        "rows": len(x),
        "K": samples,
        "rate": 8 * len(data) / x.size,
        "bound": float(np.mean(means)),
        "bound_spread": float(np.std(means, ddof=1)),
        "initial_bits": 32 * drawn,
        "same": bool(same),
    }


def rates(arguments):
    model, x = model_of("bernoulli", arguments), binary()
    rows = []
    for n, samples in ((1, 1), (10, 1), (100, 1), (1000, 1), (10_000, 1), (10_000, 16), (10_000, 64)):
        if n <= arguments.rows and samples <= arguments.most:
            rows.append(rate_row(model, x[:n], samples))
            print(rows[-1], flush=True)
    return {"rows": rows, "model": str(model)}


def beside_peer(arguments):
    return compare(model_of("bernoulli", arguments), binary()[: arguments.rows].astype(np.uint8))


def compare(model, x, seed=0):
    """Net rates of the same model and rows by the coder of `constriction`, image by image with its own masses, and by
    ours, in bits per pixel.
    """
    from constriction import stream

    grid, limit = 16, 8 * 16
    words = np.random.default_rng(seed).integers(1 << 32, size=64, dtype=np.uint32)
    coder = stream.stack.AnsCoder(words, seal=True)
    start = coder.num_bits()
    gaussian, bernoulli = stream.model.QuantizedGaussian, stream.model.Bernoulli(perfect=False)
    prior, posterior = gaussian(-limit, limit, 0.0, float(grid)), gaussian(-limit, limit)
    for row in x:
        mu, sigma = (part[0].astype(np.float64) for part in model.encode(row[None].astype(np.float32)))
        z = coder.decode(posterior, mu * grid, sigma * grid)
        p = model.decode((z / grid)[None].astype(np.float32))[0].astype(np.float64)
        coder.encode_reverse(row.astype(np.int32), bernoulli, np.clip(p, 2.0**-16, 1 - 2.0**-16))
        coder.encode_reverse(z, prior)
    ours = net_rate(Codec(networks_of(model)), x)
    return {"rows": len(x), "constriction": (coder.num_bits() - start) / x.size, "ours": ours}


def net_rate(codec, x):
    """Bits per pixel, without header and initial bits."""
    words, drawn = codec.encode(x, codec.growth(x))
    return 32 * (len(words) - drawn) / x.size


def rounding(arguments):
    """What fewer bits of a weight and fewer buckets of z cost, net, and the bytes of the model inside."""
    model, x = model_of("bernoulli", arguments), binary()[: arguments.rows].astype(np.uint8)
    found = {"buckets": {}, "weight_bits": {}}
    for bits in range(4, 17, 2):
        found["buckets"][bits] = net_rate(Codec(networks_of(model), bucket_bits=bits), x)
    for bits in (8, 9, 10, 12, 16):
        networks = networks_of(model, bits)
        found["weight_bits"][bits] = net_rate(Codec(networks), x), len(zlib.compress(pack(networks), 9))
    return found


def of_bytes(arguments):
    x = mv.load_dataset("mnist").test
    rows = []
    for kind in ("beta_binomial", "logistic"):
        rows.append({"likelihood": kind} | rate_row(model_of(kind, arguments), x[: arguments.rows], 1))
        print(rows[-1], flush=True)
    return {"rows": rows}


def others(arguments):
    return compressors.rates(binary(), mv.load_dataset("mnist"))


SPEED = """
import os, time, sys, numpy as np
start = time.perf_counter()
import minivae as mv
from minivae.compression import tables
from minivae.kernels import coder
imported = time.perf_counter()
model = mv.VAE.load(sys.argv[1], "numpy")
x = np.load(sys.argv[2])
mv.decompress(model, mv.compress(model, x[:2]))
first = time.perf_counter()
seconds = []
for _ in range(int(sys.argv[3])):
    a = time.process_time(); data = mv.compress(model, x)
    b = time.process_time(); back = mv.decompress(model, data)
    seconds.append((b - a, time.process_time() - b))
assert (back == x).all()
import json; print(json.dumps({"import": imported - start, "first": first - imported, "seconds": seconds}))
"""


def speed(arguments):
    """Images a second of one thread, processor time; and how long the first two images take, tables and loading."""
    model, x = model_of("bernoulli", arguments), binary()
    work = Path(arguments.work)
    model.save(work / "speed.npz")
    np.save(work / "speed.npy", x)
    command = [sys.executable, "-c", SPEED, str(work / "speed.npz"), str(work / "speed.npy"), "5"]
    environment = harness.clean_environment() | {"OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    for _ in range(2):  # the first finds no compiled coder
        found = json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    encode, decode = (float(np.median([pair[i] for pair in found["seconds"]])) for i in (0, 1))
    return {
        "encode": len(x) / encode,
        "decode": len(x) / decode,
        "import_s": found["import"],
        "first_two_s": found["first"],
    }


DIGEST = """
import sys, hashlib, os
if os.environ.get("WITHOUT_NUMBA"): sys.modules["numba"] = None
import numpy as np, minivae as mv
model = mv.VAE.load(sys.argv[1], sys.argv[3]); x = np.load(sys.argv[2])
data = mv.compress(model, x)
assert (mv.decompress(model, data) == x).all()
print(hashlib.sha256(data).hexdigest())
"""
PROCESSORS = {
    "numpy, 1 thread": ("numpy", {"OPENBLAS_NUM_THREADS": "1"}),
    "numpy, 2 threads": ("numpy", {"OPENBLAS_NUM_THREADS": "2"}),
    "numpy, Haswell kernels": ("numpy", {"OPENBLAS_CORETYPE": "Haswell"}),
    "numpy, Nehalem kernels": ("numpy", {"OPENBLAS_CORETYPE": "Nehalem"}),
    "cpu": ("cpu", {}),
    "coder for haswell": ("cpu", {"NUMBA_CPU_NAME": "haswell"}),
    "coder for nehalem, no FMA": ("cpu", {"NUMBA_CPU_NAME": "nehalem"}),
    "coder in plain Python": ("numpy", {"WITHOUT_NUMBA": "1"}),
}


def processors(arguments):
    model, x = model_of("bernoulli", arguments), binary()[:200]
    work = Path(arguments.work)
    model.save(work / "speed.npz")
    np.save(work / "few.npy", x)
    found = {}
    for name, (backend, environment) in PROCESSORS.items():
        command = [sys.executable, "-c", DIGEST, str(work / "speed.npz"), str(work / "few.npy"), backend]
        done = subprocess.run(
            command, env=harness.clean_environment() | environment, capture_output=True, text=True, check=True
        )
        found[name] = done.stdout.strip()
        print(found[name][:16], name, flush=True)
    return {"rows": len(x), "digests": found, "same": len(set(found.values())) == 1}


PARTS = {
    "rates": rates,
    "bytes": of_bytes,
    "others": others,
    "peer": beside_peer,
    "rounding": rounding,
    "speed": speed,
    "processors": processors,
    "fuzz": damaged_files.fuzz,
}


def table(results):
    """The rates as Markdown."""
    lines = [
        "| rows | K | bits per pixel, every byte | the bound | above it | initial bits |",
        "| --: | --: | --: | --: | --: | --: |",
    ]
    for row in results["rates"]["rows"]:
        above = f"{100 * (row['rate'] / row['bound'] - 1):+.2f} %"
        bound = f"{row['bound']:.5f} +- {row['bound_spread']:.5f}"
        cells = f"{row['rows']:,}", str(row["K"]), f"{row['rate']:.5f}", bound, above, str(row["initial_bits"])
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compression", description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=[*PARTS, "table"])
    parser.add_argument("--model", help="a checkpoint in the place of the one that is trained")
    parser.add_argument("--work", default="runs/compression", help="folder of the trained models (runs/compression)")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--most", type=int, default=64, help="the largest K (64)")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--name", default="compression", help="of the results (compression)")
    arguments = parser.parse_args()
    path = harness.folder() / f"{arguments.name}.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    if arguments.part == "table":
        return print(table(results))
    Path(arguments.work).mkdir(parents=True, exist_ok=True)
    found = PARTS[arguments.part](arguments)
    print(json.dumps(found, indent=1))
    harness.write(arguments.name, results | {"machine": harness.machine(), arguments.part: found})


if __name__ == "__main__":
    main()
