"""Everything the proofs launch: the contract's cases, aligned shapes for the large tile, and training steps."""

import contextlib
import functools
from unittest import mock

import numpy as np

from minivae import VAE, Adam, kernels
from minivae.kernels import Backend
from minivae.kernels.cases import cases_of
from minivae.kernels.cuda import constants, runtime
from minivae.kernels.cuda.dense import backward_kernel, forward_kernel
from minivae.kernels.naive import dense
from minivae.training.step import TrainingStep

from . import offline
from .host import HostRuntime, cuda_backend

CONTRACT = kernels.CONTRACT
DTYPES = "float32", "float64"
DENSE = "dense_forward", "dense_backward"
# rows, inputs, outputs: multiples of four, so that rows move as vectors; several tiles; a split inner sum
ALIGNED_SHAPES = (4, 8, 4), (20, 100, 40), (132, 68, 136)


@contextlib.contextmanager
def aligned_shapes(shapes=ALIGNED_SHAPES, activations=("relu", "softplus", "gelu")):
    """Within this context the cases of the dense kernels have these shapes, and few activations: how rows move and what
    is done to their elements are independent, and the other shapes go through all activations.
    """
    with mock.patch.multiple(dense, _shapes=lambda rng: iter(shapes), ACTIVATIONS=activations):
        yield


@contextlib.contextmanager
def large_tiles():
    """Within this context every product that may take the large tile does, and splits its inner sum."""
    with mock.patch.multiple(constants, LARGE_FROM_BLOCKS=1, LARGE_MIN_DEPTH=16):
        yield


# Arguments of a model for each likelihood, and what is learned of it.
LIKELIHOODS = {
    "bernoulli": {},
    "gaussian": {"likelihood": "gaussian", "learn_sigma": True},
    "gaussian, each feature": {"likelihood": "gaussian", "learn_sigma": "features"},
    "beta_binomial": {"likelihood": "beta_binomial"},
    "logistic": {"likelihood": "logistic"},
}
# Of `small_model`; the KLs of its latents cross these free bits.
TRAININGS = (*({"likelihood": likelihood} for likelihood in LIKELIHOODS), {"free_bits": 0.1})


def small_model(backend, likelihood="bernoulli", **options):
    """A model of 22 inputs and 3 latents, data for it, and its training step; `likelihood` of LIKELIHOODS."""
    model = VAE(22, 3, (8,), seed=5, backend=backend, **LIKELIHOODS[likelihood], **options)
    data = np.random.default_rng(8).integers(0, 256, (17, 22), dtype=np.uint8)
    optimizer = Adam(3e-2)
    step = TrainingStep(model, data, 6, optimizer, "dynamic" if likelihood == "bernoulli" else "grey", 9)
    optimizer.plan(9)
    return model, step


def train(backend, steps=9, **options):
    """The flat parameters and the totals after some steps: three epochs of two full batches and a partial one."""
    model, step = small_model(backend, **options)
    for number in range(steps):
        if number % step.batches == 0:
            step.shuffle(number // step.batches)
        step(number)
    return backend.to_host(model.store.flat), step.tally.capture()


def default_step(batch_size=128):
    """The launches of one training step of the default model."""
    backend, executed = cuda_backend(), []
    with runtime.use(HostRuntime(executed.append)):
        model = VAE(784, backend=backend)
        optimizer = Adam()
        data = np.zeros((2 * batch_size, 784), np.uint8)
        step = TrainingStep(model, data, batch_size, optimizer, "grey", 0)
        optimizer.plan(2)
        step(0)
        (program,) = step.replay.programs.values()
    return program.launches, executed


def products(aligned, dtype="float32"):
    """The variants of the matrix products, with ReLU, as kernels."""
    for tile in (constants.LARGE, constants.SMALL) if aligned and dtype == "float32" else (constants.SMALL,):
        yield forward_kernel("relu", tile, aligned, dtype, "full")
        for input_gradient in (False, True):
            yield backward_kernel("relu", tile, aligned, dtype, "full", input_gradient)


def catalogue():
    """{(kernel, signature): label} of everything the proofs launch, in a fixed order; labels, such as "norm float32",
    stand for what shares a budget. Nothing is computed.
    """
    backend, found = cuda_backend(), {}

    def launch_all(kernels, dtype, tile=""):
        for kernel in kernels:
            for case in cases_of(kernel, dtype):
                rounded = ", bf16" if case.arguments.get("precision") == "bf16" else ""
                with runtime.use(HostRuntime(functools.partial(note, f"{dtype}{tile}{rounded}"))):
                    getattr(backend, kernel)(*case.arguments.values())

    def note(what, launch):
        key = launch.kernel, offline.signature(launch.arguments)
        found.setdefault(key, f"{launch.kernel.py_func.__name__} {what}")

    with mock.patch.object(dense, "_activated", lambda x, weight, bias, activation: (x @ weight,) * 2):
        for dtype in DTYPES:
            launch_all(CONTRACT, dtype)
            with aligned_shapes():
                launch_all(DENSE, dtype)
        with aligned_shapes(), large_tiles():
            launch_all(DENSE, "float32", ", large tile")
        for options in TRAININGS:
            with runtime.use(HostRuntime(functools.partial(note, "float32"))):
                train(Backend("cuda", backend.module), steps=4, **options)
    return found
