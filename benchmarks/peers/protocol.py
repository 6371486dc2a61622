"""How the benchmark talks to a library in a process of its own: one JSON object a line, commands in, answers out.

A peer is a script next to this file with a class `Step(shape)`, where shape has features, hidden (a list), latent,
batch, samples (of z in the bound, 1 for the ELBO), data and seed; calling it makes one training step and waits until it
is done, and `loss_and_gradients(parameters, x, noise)` does the same arithmetic on given arrays, for validation before
anything is timed. The peer's Python needs NumPy and the library, not minivae.
"""

import gzip
import json
import math
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np

IMAGES = Path(__file__).parents[2] / "minivae" / "datasets" / "mnist" / "train-images-idx3-ubyte.gz"
BATCHES = 8


def layer_sizes(shape):
    """(name, inputs, outputs) of each dense layer, in order."""
    hidden = list(shape.hidden)
    encoder = [shape.features, *hidden]
    decoder = [shape.latent, *hidden[::-1]]
    return [
        *((f"encoder.{i}", a, b) for i, (a, b) in enumerate(pairwise(encoder))),
        ("posterior", encoder[-1], 2 * shape.latent),
        *((f"decoder.{i}", a, b) for i, (a, b) in enumerate(pairwise(decoder))),
        ("likelihood", decoder[-1], shape.features),
    ]


def initial_parameters(shape):
    """The parameters that every library starts from: uniform in +-1 / sqrt(inputs), float32."""
    rng = np.random.default_rng(shape.seed)
    parameters = {}
    for name, inputs, outputs in layer_sizes(shape):
        bound = inputs**-0.5
        parameters[f"{name}.weight"] = rng.uniform(-bound, bound, (inputs, outputs)).astype(np.float32)
        parameters[f"{name}.bias"] = rng.uniform(-bound, bound, outputs).astype(np.float32)
    return parameters


def batches(shape):
    """The minibatches, float32 in [0, 1], that every library is given in turn: new ones each step, as in training.

    shape.data: "mnist", rows of its training images, or squares from the middle of them if there are fewer features; or
    "dense", the same with every pixel at least 0.1, so that none is zero.
    """
    rng = np.random.default_rng(shape.seed + 1)
    side = math.isqrt(shape.features)
    if shape.data not in ("mnist", "dense") or side * side != shape.features or side > 28:
        raise ValueError(f"shape: got {shape.data!r}, {shape.features} features, expected mnist, n * n <= 784")
    first = (28 - side) // 2
    images = np.frombuffer(gzip.decompress(IMAGES.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)
    rows = rng.permutation(len(images))[: BATCHES * shape.batch]
    pixels = images[rows, first : first + side, first : first + side].reshape(BATCHES, shape.batch, shape.features)
    x = pixels / np.float32(255)
    return list(x if shape.data == "mnist" else np.float32(0.1) + np.float32(0.9) * x)


def as_shape(mapping):
    return SimpleNamespace(**mapping)


def time_steps(step, repeats):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return seconds


def serve(make_step, describe):
    """Answers commands from standard input until it closes.

    {"do": "describe"}; {"do": "start", "shape": ..., "warmup": n}; {"do": "time", "repeats": n, "after": seconds};
    {"do": "verify", "arrays": file.npz, "out": file.npz}.
    """
    step = None
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is not an answer
    for line in sys.stdin:
        command = json.loads(line)
        answer = {}
        if command["do"] == "describe":
            answer = describe()
        elif command["do"] == "start":
            start = time.perf_counter()
            step = make_step(as_shape(command["shape"]))
            step()
            answer["first_step_seconds"] = time.perf_counter() - start
            time_steps(step, command["warmup"])
        elif command["do"] == "time":
            start = time.perf_counter()
            while time.perf_counter() - start < command["after"]:
                step()
            answer["seconds"] = time_steps(step, command["repeats"])
        elif command["do"] == "verify":
            with np.load(command["arrays"]) as arrays:
                given = dict(arrays)
            x, noise = given.pop("x"), given.pop("noise")
            loss, gradients = step.loss_and_gradients(given, x, noise)
            answer["loss"] = float(loss)
            np.savez(command["out"], **gradients)
        print(json.dumps(answer), file=answers, flush=True)
