"""The kernels' source against the specification, in a simulator that sees races and divergent barriers."""

import inspect

import numpy as np
import pytest

from . import extra

extra.require("numba_cuda", "greenlet")

from benchmarks import large_weights  # noqa: E402
from minivae.kernels import CONTRACT, load_backend, naive  # noqa: E402
from minivae.kernels.cuda import program, runtime  # noqa: E402

from . import launching  # noqa: E402
from .comparing import check  # noqa: E402
from .host import HostRuntime, cuda_backend  # noqa: E402
from .simulator import Simulator  # noqa: E402

ORDERS = "up", "down", 3


def picked(kernel, dtype):
    """Of the dense kernels, which take seconds each, a few shapes and activations; of the others all."""
    if not kernel.startswith("dense"):
        return list(launching.cases_of(kernel, dtype))
    with launching.aligned_shapes(((20, 36, 8), (5, 7, 66)), ("relu", "tanh", "gelu")):
        return list(launching.cases_of(kernel, dtype))


def parameters(kernel):
    """The arguments of a kernel in the contract, in order, by name."""
    return inspect.signature(getattr(naive, kernel)).parameters


def call(kernel, values):
    return kernel, tuple(values[name] for name in parameters(kernel))


def test_neighbours_share_a_launch_only_where_they_belong_together():
    kernels = {name: getattr(cuda_backend(), name) for name in CONTRACT}
    pairs = [(one, other) for one in CONTRACT for other in kernels[one].__kwdefaults__ or ()]
    assert len(pairs) == 10
    for one, other in pairs:
        values = {name: object() for name in [*parameters(one), *parameters(other)]}
        first, second = call(one, values), call(other, values)
        (together,) = program.fuse(kernels, [first, second])
        assert together.args == first[1]
        assert vars(together.keywords[other]) == {name: values[name] for name in parameters(other)}
        for name in parameters(one).keys() & parameters(other).keys():
            launches = program.fuse(kernels, [first, call(other, {**values, name: object()})])
            expected = [kernels[one]] if name in ("seed", "stream") else [kernels[one], kernels[other]]
            assert [launch.func for launch in launches] == expected, (one, other, name)


@pytest.mark.parametrize("dtype", launching.DTYPES)
@pytest.mark.parametrize("kernel", launching.CONTRACT)
def test_kernel_agrees_with_the_specification_in_every_thread_order(kernel, dtype, proven):
    for number, case in enumerate(picked(kernel, dtype)):
        # of many cases each is run in one order, of few in all
        for order in ORDERS if number < 2 and not kernel.startswith("dense") else (ORDERS[number % 3],):
            simulator = Simulator(order)
            check(case, HostRuntime(simulator), f"{kernel} {dtype}, case {number}, order {order}")
            proven("simulated", simulator.ran)


def test_gradients_where_log_weights_are_large():
    with runtime.use(HostRuntime(Simulator())):
        gradient, loss, largest = large_weights.errors("piwae", "float32", "spread", 1e8, cuda_backend())
    assert largest > 1e8
    assert max(gradient, loss) <= large_weights.LIMITS["float32"]


@pytest.mark.parametrize("options", launching.TRAININGS, ids=str)
def test_training_steps_agree_with_numpy(options, proven):
    parameters, totals = launching.train(load_backend("numpy"), steps=3, **options)
    simulator = Simulator("down")
    with runtime.use(HostRuntime(simulator)):
        got, got_totals = launching.train(cuda_backend(), steps=3, **options)
    np.testing.assert_allclose(got_totals, totals, rtol=1e-5)
    np.testing.assert_allclose(got, parameters, atol=2e-5)
    proven("simulated", simulator.ran)
