"""The entropy coder on ARM: compiled for it on any machine, and run where an emulator is at hand."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("numba")

import llvmlite.binding as llvm
from numba import carray, cfunc, njit, types
from numba.np.numpy_support import from_dtype

from minivae.compression import tables
from minivae.kernels import coder

from . import arm
from .test_coder import empty, symbols, whole

LAYOUT = "e-m:e-i8:8:32-i16:16:32-i64:64-i128:128-n32:64-S128"
N, FEATURES, LATENT, DEPTH, WIDTH = 20, 30, 4, 300, 7


def arguments():
    """Everything that the coder is given, by name; and the factors of a product whose sums come near to 2^53."""
    rng = np.random.default_rng(7)
    found = dict(zip(("state", "words"), empty(1 << 14), strict=True))
    for kind, given in whole(rng, N, FEATURES, LATENT).items():
        found[kind] = symbols(kind, N, FEATURES, LATENT)
        found[kind][...] = 0
        found |= {f"{kind} {i}": part for i, part in enumerate(given) if isinstance(part, np.ndarray)}
    factors = rng.integers(1 << 23, size=(N, DEPTH)), rng.integers(1 << 22, size=(DEPTH, WIDTH))
    found |= {f"factor {i}": part.astype(np.float64) for i, part in enumerate(factors)}
    found["product"] = np.zeros((N, WIDTH))
    found["weights"], found["starts"] = np.zeros((3, N), np.int64), np.zeros((N, 4), np.int64)
    found |= {"logs": tables.logarithms(), "powers": tables.powers(), "few pixels": np.ones((N, FEATURES), np.uint8)}
    return {name: np.ascontiguousarray(array) for name, array in found.items()}


def everything(code, multiply):
    """A function that pops symbols of all kinds from nothing, and pushes others of the kinds that take any."""

    kinds = ("normal", "choice", "bernoulli", "bytes", "uniform")
    pop_normal, pop_choice, pop_bernoulli, pop_bytes, pop_uniform = (getattr(code, f"pop_{kind}") for kind in kinds)
    push_normal, push_choice, push_bernoulli, push_bytes, push_uniform = (
        getattr(code, f"push_{kind}") for kind in kinds
    )
    log2_normal, log2_bernoulli, log2_bytes = code.log2_normal, code.log2_bernoulli, code.log2_bytes
    choice_starts = code.choice_starts

    def run(
        state, words, z, mu, sigma, edges, phi, chosen, starts, pixels, index, masses, some, alpha, beta, sigmoid,
        others, mean, scale, sigmoid_again, equal, x, weight, product, weights, fresh, logs, powers, few,
    ):  # fmt: skip
        pop_normal(state, words, z, mu, sigma, edges, phi)
        pop_choice(state, words, chosen, starts)
        pop_bernoulli(state, words, pixels, index, masses)
        pop_bytes(state, words, some, 0, alpha, beta, sigmoid)
        pop_bytes(state, words, others, 1, mean, scale, sigmoid)
        pop_uniform(state, words, equal, 37, 16)
        push_normal(state, words, z, mu, sigma, edges, phi)
        push_bytes(state, words, others, 0, alpha, beta, sigmoid)
        push_bytes(state, words, some, 1, mean, scale, sigmoid)
        push_bernoulli(state, words, few, index, masses)
        push_uniform(state, words, equal, 41, 16)
        push_choice(state, words, chosen, starts)
        log2_normal(z, mu, sigma, edges, phi, logs, weights[0])
        log2_bernoulli(pixels, index, masses, logs, weights[1])
        log2_bytes(some, 0, alpha, beta, sigmoid, logs, weights[2])
        choice_starts(weights.T.copy(), powers, fresh)
        multiply(x, weight, product)

    return run


def multiply(x, weight, product):
    for i in range(x.shape[0]):
        for j in range(weight.shape[1]):
            total = 0.0
            for k in range(x.shape[1]):
                total += x[i, k] * weight[k, j]
            product[i, j] = total


def for_arm(arrays):
    """(assembly, object file) of `everything(void **)`, compiled for ARM."""
    machine = arm.target_machine("static")
    code = vars(coder.build(njit(error_model="numpy", inline="always"))).items()
    plain = njit(error_model="numpy")
    code = {name: function if hasattr(function, "py_func") else plain(function) for name, function in code}
    fused = njit(fastmath={"contract", "reassoc"}, error_model="numpy")(multiply)  # in any order, by multiply-add
    # the entry takes a pointer to each array, and knows their shapes
    given = ", ".join(f"a{i}" for i in range(len(arrays)))
    shaped = ", ".join(f"carray(a{i}, {array.shape})" for i, array in enumerate(arrays.values()))
    scope = {"carray": carray, "run": plain(everything(SimpleNamespace(**code), fused))}
    exec(f"def entry({given}):\n    run({shaped})", scope)
    kinds = [types.CPointer(from_dtype(array.dtype)) for array in arrays.values()]
    entry = cfunc(types.void(*kinds))(scope["entry"])
    text = re.sub(r"target (triple|datalayout) = .*", "", entry.inspect_llvm())
    # an atomic instruction of this machine is in it
    text = re.sub(
        r"define [^{]*@NRT_decref\(.*?^}", "declare void @NRT_decref(ptr)", text, flags=re.DOTALL | re.MULTILINE
    )
    text = f'target triple = "{arm.TRIPLE}"\ntarget datalayout = "{LAYOUT}"\n{text}'
    parsed = [llvm.parse_assembly(text) for _ in range(2)]
    return entry.native_name, machine.emit_assembly(parsed[0]), machine.emit_object(parsed[1])


MAIN = r"""
#include <stdio.h>
#include <stdlib.h>
void entry() __asm__("ENTRY");
/* in the place of Numba's: where an array's data are stands 24 bytes into what describes it */
static void *made(size_t size) {
    char *info = calloc(1, 128 + size + 64);
    *(size_t *)info = 1;
    *(void **)(info + 24) = (void *)(((size_t)info + 127) & ~(size_t)63);
    return info;
}
void *NRT_MemInfo_alloc_aligned(size_t size, unsigned align) { return made(size); }
void *NRT_MemInfo_alloc_safe_aligned(size_t size, unsigned align) { return made(size); }
void NRT_decref(void *info) {}
/* to one dimension, of an array without gaps */
int numba_attempt_nocopy_reshape(long nd, long *shape, long *strides, long flat, long *length, long *step, long size) {
    *step = size;
    return 1;
}
int main(int argc, char **names) {
    static const size_t sizes[] = {SIZES};
    void *arrays[COUNT];
    FILE *file = fopen(names[1], "r+b");
    for (int i = 0; i < COUNT; i++) {
        arrays[i] = malloc(sizes[i]);
        if (fread(arrays[i], 1, sizes[i], file) != sizes[i]) return 1;
    }
    entry(POINTERS);
    rewind(file);
    for (int i = 0; i < COUNT; i++) fwrite(arrays[i], 1, sizes[i], file);
    return fclose(file);
}
"""


def test_on_arm_the_coder_writes_the_words_of_the_specification(tmp_path):
    """And sums of products below 2^53, in another order and with fused multiply-add, are those of NumPy's."""
    arrays = arguments()
    name, assembly, content = for_arm(arrays)
    assert "fmla" in assembly or "fmadd" in assembly
    (tmp_path / "coder.o").write_bytes(content)
    source = MAIN.replace("ENTRY", name).replace("COUNT", str(len(arrays)))
    source = source.replace("SIZES", ", ".join(str(array.nbytes) for array in arrays.values()))
    source = source.replace("POINTERS", ", ".join(f"arrays[{i}]" for i in range(len(arrays))))
    (tmp_path / "arrays").write_bytes(b"".join(array.tobytes() for array in arrays.values()))
    arm.emulated(tmp_path, source, "-Wl,--unresolved-symbols=ignore-all", "coder.o", arguments=["arrays"])
    everything(coder.specification, lambda x, weight, product: np.matmul(x, weight, out=product))(*arrays.values())
    back, place = (tmp_path / "arrays").read_bytes(), 0
    for name, array in arrays.items():
        part = back[place : place + array.nbytes]
        place += array.nbytes
        np.testing.assert_array_equal(np.frombuffer(part, array.dtype).reshape(array.shape), array, err_msg=name)
    assert arrays["state"][coder.TOP] > 300
    assert not arrays["state"][coder.FULL]
    assert 2**51 < arrays["product"].min() < arrays["product"].max() < 2**53
