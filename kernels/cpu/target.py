"""What the kernels are compiled for: the vector unit of this machine, and every size that was chosen by measurement."""

import llvmlite.binding as llvm
from numba.core import config

# LLVM may contract a * b + c.
FASTMATH = {"contract"}
# Where a loop adds up a row, LLVM may also reorder the sum, so that it becomes vector code. Nowhere else: it would turn
# beta * v + (1 - beta) * g into g + beta * (v - g), which loses digits. And it may never assume that NaN and infinity
# do not occur: a loss that goes wrong must show it.
FASTMATH_SUMS = {"contract", "reassoc", "nsz"}

CACHE_LINE = 64
PAGE = 4096
# Rows a multiple of this many bytes apart fall into few sets of a cache and push each other out.
COLLIDING = 1024


def host_features():
    """The features that Numba compiles for: the host's, or what NUMBA_CPU_FEATURES says."""
    if config.CPU_FEATURES is not None:
        return {name[1:] for name in config.CPU_FEATURES.split(",") if name.startswith("+")}
    if config.CPU_NAME is not None:
        return set()
    return {name for name, present in llvm.get_host_cpu_features().items() if present}


def _tile():
    """(bytes of a vector register, rows of a tile, vectors in a row of a tile).

    A tile's rows * vectors accumulators, one row of B and the broadcast element of A fill the register file; products
    of 24 accumulators hide the latency of two fused multiply-add units with room to spare.
    """
    features = host_features()
    machine = llvm.get_process_triple().split("-")[0]
    if "avx512f" in features:
        return 64, 8, 3  # 32 registers
    if machine in ("aarch64", "arm64"):
        return 16, 8, 3  # 32 registers
    if "avx2" in features:
        return 32, 4, 3  # 16 registers
    return 16, 4, 3  # 16 registers


VECTOR_BYTES, TILE_ROWS, TILE_VECTORS = _tile()
HAS_COMPRESS = VECTOR_BYTES == 64 and "avx512vbmi2" in host_features()

# Matrix products are cut in depth so that a panel of B (depth x tile columns) stays in the second-level cache, and in
# rows so that the block of A beside it does too.
DEPTH_BLOCK = 512
ROW_BLOCK = 256
# A panel of B is copied if at least this many tiles of a thread use the copy.
PACK_FROM = 3

# Products with an A that holds at most this share of elements that are not zero, in as many of its rows, are made from
# lists of them, if they have at least so many multiply-adds (a narrow C, of less than a panel, gains less); lists in
# blocks of the depth that stay in the first-level cache beside the rows of B that they stand for, so many vectors wide.
MOST_LISTED, MOST_LISTED_NARROW = 0.4, 0.25
PROBED_ROWS = 8
LISTED_FROM = 1_100_000
LIST_BLOCK = 128
LIST_VECTORS = 5
# Rows of B are copied if at least so many rows of C are made from the copy.
PACK_LISTED_FROM = 32

# A sum over a flat array is a sum of sums over pieces of this many elements, whatever the number of threads.
PIECE = 8192

# Work below this many element operations takes less time than waking a second thread (about 2 us).
SERIAL_WORK = 60_000
# Work that is split is cut into parts of about this much, but only a few for each thread: with every part of a product
# panels are copied and operands read again.
PART_WORK = 600_000
PARTS_OF_THREAD = 4
# A product of at least this many rows is cut by rows, so that a part keeps its rows of A in the second-level cache, and
# into fewer parts, because each reads all of B.
CUT_BY_ROWS_FROM = 512
PARTS_BY_ROWS = 3

# Calls outside of programs whose tables a thread keeps, about 1 KB each: those of some models in turn.
MOST_READY = 1024
