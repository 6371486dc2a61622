"""Dense layers: what the tiled product of `products` is launched on, and as how many blocks."""

import functools

from numba import cuda

from ..naive import PRECISIONS
from ..naive.tools import derivative_source
from .access import U
from .constants import PRODUCT_BLOCKS_PER_MULTIPROCESSOR, PRODUCT_THREADS, VECTOR
from .plans import plans
from .products import shared_memory, tile_product
from .runtime import current

BOUNDS = (PRODUCT_THREADS, PRODUCT_BLOCKS_PER_MULTIPROCESSOR)


def _aligned(*arrays):
    """Whether every row of every array starts on 16 bytes and is a whole number of vectors long."""
    address = current().address
    return all(array.shape[1] % VECTOR == 0 and address(array) % 16 == 0 for array in arrays)


def _checked(precision, dtype):
    if precision not in (PRECISIONS if dtype == "float32" else PRECISIONS[:1]):
        raise ValueError(f"precision: got {precision!r} for {dtype}, expected 'full', or 'bf16' for float32")
    return precision


@functools.cache
def forward_kernel(activation, tile, aligned, dtype, precision):
    product = tile_product("forward", activation, tile, aligned, dtype, precision)
    shared = shared_memory(tile, dtype)

    @cuda.jit(launch_bounds=BOUNDS)
    def dense_forward(x, weight, bias, y, a, cut, partial, counters):
        parts = cut, partial, counters
        product(U(cuda.blockIdx.x), x, x, weight, weight, y, bias, a, U(x.shape[1]), parts, shared())

    return dense_forward


def dense_forward(x, weight, bias, activation, y, a=None, precision="full"):
    before = derivative_source(activation, y, a)
    device, dtype, aligned = current(), y.dtype.name, _aligned(x, weight, y, before)
    (plan,) = plans([(*y.shape, x.shape[1])], dtype, aligned)
    kernel = forward_kernel(activation, plan.tile, aligned, dtype, _checked(precision, dtype))
    arguments = x, weight, bias, y, before, *device.product_arguments("first", plan, dtype)
    device.launch(kernel, plan.blocks, PRODUCT_THREADS, *arguments)


@functools.cache
def backward_kernel(activation, tile, aligned, dtype, precision, input_gradient):
    """dweight and dbias, and dx too if asked for: its blocks come after those of dweight, which end at tn_end."""
    tn, nt = (tile_product(form, activation, tile, aligned, dtype, precision) for form in ("tn", "nt"))
    shared = shared_memory(tile, dtype)

    @cuda.jit(launch_bounds=BOUNDS)
    def dense_backward(
        x, weight, y, dy, dx, dweight, dbias, tn_cut, tn_partial, tn_counters, tn_end, nt_cut, nt_partial, nt_counters
    ):
        tn_parts, nt_parts = (tn_cut, tn_partial, tn_counters), (nt_cut, nt_partial, nt_counters)
        block, memory = U(cuda.blockIdx.x), shared()
        if block < tn_end:
            tn(block, x, x, dy, y, dweight, dbias, dweight, U(dy.shape[0]), tn_parts, memory)
        elif input_gradient:
            nt(block - tn_end, dy, y, weight, weight, dx, dbias, dx, U(dy.shape[1]), nt_parts, memory)

    return dense_backward


def dense_backward(x, weight, y, dy, activation, dx, dweight, dbias, a=None, precision="full"):
    device, dtype, wanted = current(), dy.dtype.name, dx is not None
    source, target = derivative_source(activation, y, a), dx if wanted else x
    aligned = _aligned(x, weight, source, dy, target, dweight)
    rows, (inputs, outputs) = dy.shape[0], weight.shape
    shapes = [(inputs, outputs, rows), (rows, inputs, outputs)]
    chosen = plans(shapes if wanted else shapes[:1], dtype, aligned)
    tn, nt = chosen[0], chosen[-1]
    device.launch(
        backward_kernel(activation, tn.tile, aligned, dtype, _checked(precision, dtype), wanted),
        sum(plan.blocks for plan in chosen),
        PRODUCT_THREADS,
        *(x, weight, source, dy, target, dweight, dbias),
        *(*device.product_arguments("first", tn, dtype), U(tn.blocks)),
        *device.product_arguments("second", nt, dtype),
    )
