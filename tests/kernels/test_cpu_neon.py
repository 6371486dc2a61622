"""The tiles that ARM's vector unit would run: compiled for it on any machine, and run where an emulator is at hand."""

import re

import pytest

pytest.importorskip("numba")

import llvmlite.binding as llvm
from llvmlite import ir

from minivae.kernels.cpu import micro

from . import arm

REGISTER, ROWS, VECTORS = 16, 8, 3  # what target.py chooses for aarch64


SHAPES = [(rows, vectors) for rows in range(1, ROWS + 1) for vectors in range(1, VECTORS + 1)]


@pytest.fixture(scope="module")
def tiles():
    """(assembly, object file) with a function for every shape of tile, float32 and float64."""
    machine, module = arm.target_machine("pic"), ir.Module("tiles")
    module.triple = arm.TRIPLE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(micro, "VECTOR_BYTES", REGISTER)
        for itemsize in (4, 8):
            for rows, vectors in SHAPES:
                micro._Variant(itemsize, rows, vectors).function(module).linkage = "external"
    # generating code changes a module, so each form is made from one of its own
    parsed = [llvm.parse_assembly(str(module)) for _ in range(2)]
    return machine.emit_assembly(parsed[0]), machine.emit_object(parsed[1])


@pytest.mark.parametrize("name", ["minivae_tile_f32_8x3", "minivae_tile_f64_8x3"])
def test_the_inner_loop_lives_in_registers(tiles, name):
    assembly, _ = tiles
    body = assembly[assembly.index(f"{name}:") :]
    blocks = re.split(r"\n(?=\.LBB)", body[: body.index(".Lfunc_end")])
    block = max(blocks, key=lambda text: text.count("fmla"))
    loop = block[: block.index("b.lt")]
    assert loop.count("fmla") == ROWS * VECTORS
    assert "[sp" not in loop


CHECK = r"""
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#define CHECK(T, FMA, LANES, TILES) \
    for (int r = 1; r <= 8; r++) for (int v = 1; v <= 3; v++) for (int edge = 1; edge <= LANES; edge++) \
    for (int depth = 1; depth <= 37; depth += 9) for (int relu = 0; relu < 2; relu++) { \
        T a[8 * 64], b[64 * 40], c[12 * 40], init[8 * 40], floor_ = relu ? 0 : -INFINITY; \
        for (int i = 0; i < 8 * 64; i++) a[i] = (T)(rand() % 2001 - 1000) / 500; \
        for (int i = 0; i < 64 * 40; i++) b[i] = (T)(rand() % 2001 - 1000) / 500; \
        for (int i = 0; i < 8 * 40; i++) init[i] = (T)(rand() % 2001 - 1000) / 500; \
        for (int i = 0; i < 12 * 40; i++) c[i] = 777; \
        ((void (*)(T *, long, long, T *, long, T *, long, T *, long, T *, long, long, T, long))TILES[3 * r + v - 4])( \
            a, 64 * sizeof(T), sizeof(T), b, 40 * sizeof(T), b, 0, init, 40 * sizeof(T), c, 40 * sizeof(T), depth, \
            floor_, edge); \
        for (int i = 0; i < 12; i++) for (int j = 0; j < 40; j++) { \
            T expected = 777; \
            if (i < r && j < (v - 1) * LANES + edge) { \
                expected = init[40 * i + j]; \
                for (int k = 0; k < depth; k++) expected = FMA(a[64 * i + k], b[40 * k + j], expected); \
                if (expected < floor_) expected = floor_; \
            } \
            checked++; \
            differ += c[40 * i + j] != expected; \
        } \
    }
DECLARATIONS
int main(void) {
    void *singles[] = {SINGLES}, *doubles[] = {DOUBLES};
    int differ = 0, checked = 0;
    CHECK(float, fmaf, 4, singles)
    CHECK(double, fma, 2, doubles)
    printf("%d of %d\n", differ, checked);
}
"""


def test_every_shape_gives_the_bits_of_a_chain_of_multiply_adds(tiles, tmp_path):
    (tmp_path / "tiles.o").write_bytes(tiles[1])
    names = {bits: [f"minivae_tile_f{bits}_{rows}x{vectors}" for rows, vectors in SHAPES] for bits in (32, 64)}
    source = CHECK.replace("DECLARATIONS", "".join(f"void {name}();\n" for name in names[32] + names[64]))
    source = source.replace("SINGLES", ", ".join(names[32])).replace("DOUBLES", ", ".join(names[64]))
    assert arm.emulated(tmp_path, source, "-fno-builtin", "tiles.o") == "0 of 691200\n"
