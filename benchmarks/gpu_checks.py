"""Whether the CUDA backend is right on this device: what `benchmarks.gpu` does first."""

import hashlib
from dataclasses import dataclass, field

import numpy as np

from minivae import VAE, Adam, fit, load_dataset
from minivae.kernels import CONTRACT, load_backend, philox
from minivae.kernels.cases import cases_of
from minivae.kernels.cuda import runtime
from minivae.training.step import TrainingStep
from tests.cuda.comparing import check as check_case
from tests.cuda.host import cuda_backend as cuda


@dataclass(frozen=True)
class Sizes:
    """How much of everything is done."""

    kernels: tuple = CONTRACT
    dtypes: tuple = ("float32", "float64")
    normals: int = 2**22
    epochs: int = 3
    train_rows: int = 60_000
    batch_sizes: tuple = (128, 1024, 8192)
    features: int = 784
    hidden: int = 400
    latent: int = 20
    products: tuple = field(
        default=(
            *((128, 784, 400), (128, 400, 784), (1024, 784, 400), (8192, 784, 400), (8192, 400, 784)),
            *((512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (4096, 4096, 4096)),
        )
    )
    elements: int = 2**26
    repeats: int = 30

    @classmethod
    def quick(cls):
        return cls(epochs=1, batch_sizes=(128,), products=((128, 784, 400), (4096, 4096, 4096)), repeats=10)

    @classmethod
    def dry(cls):
        return cls(
            kernels=("standard_normal", "gather", "gaussian_kl_backward", "tick"),
            dtypes=("float32",),
            normals=2**10,
            epochs=1,
            train_rows=0,
            batch_sizes=(5,),
            features=12,
            hidden=8,
            latent=3,
            products=((5, 7, 6),),
            elements=2**10,
            repeats=1,
        )


def run(sizes):
    """A list of {name, passed, detail}."""
    checks = []

    def check(name, function, *arguments):
        try:
            passed, detail = function(*arguments)
        except Exception as error:  # a failure of one check must not hide the others
            passed, detail = False, f"{type(error).__name__}: {error}"
        checks.append({"name": name, "passed": bool(passed), "detail": detail})

    for dtype in sizes.dtypes:
        for kernel in sizes.kernels:
            check(f"{kernel} {dtype}", kernel_agrees, kernel, dtype)
    check("noise bits", noise_bits, sizes.normals)
    check("graph and eager steps", graph_is_eager, sizes)
    if sizes.train_rows:
        check("MNIST losses", training_agrees, sizes)
    return checks


def kernel_agrees(kernel, dtype):
    """Every case of the kernel; the detail is the largest error as a share of the bound."""
    shares = [
        check_case(case, runtime.current(), f"case {number}") for number, case in enumerate(cases_of(kernel, dtype), 1)
    ]
    return True, f"{len(shares)} cases, at most {100 * max(shares):.0f} % of the bound"


def noise_bits(count):
    backend, clock = cuda(), runtime.current().from_host(np.array([7]))
    noise = backend.zeros((count,), "float32")
    backend.standard_normal(12345, philox.NOISE, clock, noise)
    expected = np.empty(count, np.float32)
    philox.fill_normals(12345, philox.NOISE, 7, expected)
    got = runtime.current().to_host(noise)
    different = int((got.view(np.uint32) != expected.view(np.uint32)).sum())
    return not different, f"{different} of {count} differ, sha256 {hashlib.sha256(got.tobytes()).hexdigest()[:16]}"


def make_step(sizes, batch_size, backend):
    """A training step of the benchmark's model that has been recorded, and its program."""
    model = VAE(sizes.features, sizes.latent, (sizes.hidden,), backend=backend)
    data = np.random.default_rng(0).integers(0, 256, (2 * batch_size, sizes.features), dtype=np.uint8)
    optimizer = Adam()
    step = TrainingStep(model, data, batch_size, optimizer, "grey", 0)
    optimizer.plan(1000)
    step(0)
    (program,) = step.replay.programs.values()
    return model, step, program


def graph_is_eager(sizes):
    """The same twenty steps launch by launch and as a graph."""
    parameters = []
    for graph in (False, True):
        model, _, program = make_step(sizes, sizes.batch_sizes[0], cuda())
        for _ in range(4 if sizes.repeats == 1 else 20):
            program() if graph else program.launch_each()
        parameters.append(runtime.current().to_host(model.store.flat))
    same = np.array_equal(parameters[0].view(np.uint32), parameters[1].view(np.uint32))
    return same and np.isfinite(parameters[0]).all(), "the same bits" if same else "different parameters"


def training_agrees(sizes):
    """Epochs of MNIST on the device and on the host from the same seed: losses within 0.2 %."""
    data, losses = load_dataset("mnist").train[: sizes.train_rows], []
    for backend in (cuda(), load_backend("numpy")):
        model = VAE(784, backend=backend)
        losses.append(fit(model, data, epochs=sizes.epochs, progress=False)["train_loss"])
    apart = max(abs(a - b) / b for a, b in zip(*losses, strict=True))
    return apart < 2e-3, f"{losses[0]} here, {losses[1]} on the host"
