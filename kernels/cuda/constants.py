"""Block and tile sizes, and when to use which: all the numbers that tuning would change.

They do not depend on the device that is present, so that results do not either: how a sum is divided decides how it is
rounded.
"""

from typing import NamedTuple

WARP = 32

# Elementwise kernels: threads in a block, and the most blocks a grid-stride kernel is launched with (an H100 has 132
# multiprocessors and keeps 8 such blocks on each).
FLAT_THREADS = 256
FLAT_BLOCKS = 2048

# Kernels that give each block whole rows.
ROW_THREADS = 128
ROW_BLOCKS = 1024
# The sums that each block of a row kernel leaves for the last one: of nll, of kl, and of the slope of log sigma.
PARTS = 3

# Every global or shared access of the matrix products moves this many elements.
VECTOR = 4


class Tile(NamedTuple):
    """One block computes `rows` x `columns` results, `depth` steps of the inner sum at a time; each thread computes
    `micro` x `micro` of them in registers, as groups of VECTOR x VECTOR. `unrolled` steps follow each other without a
    branch: with few results for each thread, counting and addressing would else be half of what it does.
    """

    rows: int
    columns: int
    depth: int
    micro: int
    unrolled: int


# Each thread of a block moves one vector of each operand to shared memory for one step of `depth`.
PRODUCT_THREADS = 256
LARGE = Tile(128, 128, 8, 8, 1)
SMALL = Tile(64, 64, 16, 4, 2)

# Blocks that fill the machine; below it the inner sum is split, and its parts are added in a fixed order.
TARGET_BLOCKS = 192
MAX_SPLITS = 16
# The large tile is used where it gives this many blocks, each with an inner sum of at least LARGE_MIN_DEPTH.
LARGE_FROM_BLOCKS = 128
LARGE_MIN_DEPTH = 256
SMALL_MIN_DEPTH = 32

# Four floats between the rows of a shared tile: transposed stores then go to different banks.
PADDING = 4

# The floor of registers for each thread is set by these resident blocks for each multiprocessor: 65536 / 256 / 2 = 128.
PRODUCT_BLOCKS_PER_MULTIPROCESSOR = 2
