"""How fast the CUDA backend is: medians of wall-clock times between synchronisations, after a warm-up."""

import math
import statistics
import time

import numpy as np

from minivae.kernels.cuda import runtime

from .gpu_checks import cuda, make_step


def median_seconds(function, repeats, inner=10):
    """Of one call: the median over `repeats` of the mean over `inner` calls that are queued together."""
    device = runtime.current()
    inner = inner if repeats > 1 else 1
    function()
    device.synchronize()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(inner):
            function()
        device.synchronize()
        times.append((time.perf_counter() - start) / inner)
    return statistics.median(times)


def captured(function, repeats):
    """The median of the launches that `function` makes, as a graph: without the host's part."""
    device = runtime.current()
    function()
    with device.collecting() as launches:
        function()
    return median_seconds(device.capture(launches), repeats)


def run(sizes):
    return {
        "products": [product(shape, sizes) for shape in sizes.products],
        "copy_gb_per_s": copy_bandwidth(sizes),
        "kernels": list(kernels(sizes)),
        "steps": [step(batch_size, sizes) for batch_size in sizes.batch_sizes],
    }


def filled(shape, dtype="float32"):
    return runtime.current().from_host(np.random.default_rng(0).random(shape).astype(dtype))


def product(shape, sizes):
    """y = x @ weight + bias for (rows, inputs, outputs)."""
    rows, inputs, outputs = shape
    backend, x, weight, bias = cuda(), filled((rows, inputs)), filled((inputs, outputs)), filled((outputs,))
    y = backend.zeros((rows, outputs), "float32")
    seconds = captured(lambda: backend.dense_forward(x, weight, bias, "identity", y), sizes.repeats)
    return {"shape": shape, "ms": 1e3 * seconds, "tflops": 2e-12 * math.prod(shape) / seconds}


def copy_bandwidth(sizes):
    """Bytes read and written per second by the runtime's own copy from device to device."""
    source = cuda().zeros((sizes.elements,), "float32")
    target = cuda().zeros((sizes.elements,), "float32")
    copy = getattr(target, "copy_to_device", None) or (lambda array: np.copyto(target, array))
    return 8e-9 * sizes.elements / median_seconds(lambda: copy(source), sizes.repeats)


def kernels(sizes):
    """The kernels that are bound by memory, on arrays far beyond the second-level cache, with the bytes each must
    move.
    """
    backend, n = cuda(), sizes.elements
    device = runtime.current()
    clock, rates = device.from_host(np.array([3])), device.from_host(np.array([1e-9]))
    parameter, gradient, first, second = (filled((n,)) for _ in range(4))
    norm = backend.zeros((1,), "float64")
    width = min(sizes.features, n)
    rows = n // width
    x, logits = (array[: rows * width].reshape((rows, width)) for array in (first, gradient))
    nll, weight = backend.zeros((rows,), "float32"), backend.zeros((rows,), "float32")
    data = device.from_host(np.zeros((rows, width), np.uint8))
    order = device.from_host(np.arange(rows))
    wide, latent = backend.zeros((n // 4, 2), "float32"), 1
    mu, rho, noise = wide[:, :latent], wide[:, latent:], second[: n // 4].reshape((n // 4, 1))
    sigma, z = (array[: n // 4].reshape((n // 4, 1)) for array in (first, parameter))
    calls = {
        "adam_update": (28 * n, (parameter, gradient, first, second, rates, clock, 0.9, 0.999, 1e-8, 0.0)),
        "sgd_update": (20 * n, (parameter, gradient, first, rates, clock, 0.9, False)),
        "adagrad_update": (20 * n, (parameter, gradient, first, rates, clock, 1e-10, 0.0)),
        "clip_norm": (4 * n, (gradient, 1e30, norm)),
        "standard_normal": (4 * n, (0, 0, clock, second)),
        "gather": (5 * rows * width, (data, order, clock, rows, "grey", 0, 0, x)),
        "bernoulli_nll": (12 * rows * width, (x, logits, weight, nll, logits)),
        "reparameterize_forward": (5 * n, (mu, rho, noise, "softplus", sigma, z)),
    }
    for name, (moved, arguments) in calls.items():
        kernel = getattr(backend, name)
        seconds = captured(lambda kernel=kernel, arguments=arguments: kernel(*arguments), sizes.repeats)
        yield {"name": name, "us": 1e6 * seconds, "bytes": moved, "gb_per_s": 1e-9 * moved / seconds}


def step(batch_size, sizes):
    """One training step: call by call, by fused launches, and as a graph."""
    backend = cuda()
    _, _, program = make_step(sizes, batch_size, backend)

    def eager():
        for name, arguments in program.calls:
            getattr(backend, name)(*arguments)

    program()
    program()
    times = {
        "eager_us": median_seconds(eager, sizes.repeats),
        "fused_us": median_seconds(program.launch_each, sizes.repeats),
        "graph_us": median_seconds(program, sizes.repeats),
    }
    return {
        "batch_size": batch_size,
        "launches": len(program.launches),
        "list": list(map(str, program.launches)),
        **{name: 1e6 * seconds for name, seconds in times.items()},
    }
