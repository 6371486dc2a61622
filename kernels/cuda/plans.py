"""How a matrix product is divided among blocks. Plain integers: no device and no Numba here."""

from typing import NamedTuple

from . import constants
from .constants import LARGE, SMALL, VECTOR, Tile


class Plan(NamedTuple):
    """One product of `rows` x `columns` results: `across` tiles lie side by side, `tiles` there are in all; the inner
    sum is cut into `splits` parts of `part` steps, each for a block of its own.
    """

    tile: Tile
    across: int
    tiles: int
    splits: int
    part: int

    @property
    def blocks(self):
        return self.tiles * self.splits

    @property
    def workspace_rows(self):
        """Rows of VECTOR * PRODUCT_THREADS elements that the parts of split sums take."""
        return self.blocks * rows_of_a_part(self.tile) if self.splits > 1 else 0


def rows_of_a_part(tile):
    """One row for each vector that a thread holds, and one for the sums of the columns."""
    return tile.micro * tile.micro // VECTOR + 1


def plan(tile, rows, columns, depth):
    across = -(-columns // tile.columns)
    tiles = -(-rows // tile.rows) * across
    least = constants.LARGE_MIN_DEPTH if tile is LARGE else constants.SMALL_MIN_DEPTH
    splits = min(-(-constants.TARGET_BLOCKS // tiles), max(1, depth // least), constants.MAX_SPLITS)
    part = -(-depth // splits)
    part = -(-part // tile.depth) * tile.depth
    return Plan(tile, across, tiles, -(-depth // part), part)


def plans(products, dtype, aligned):
    """A plan for each (rows, columns, depth), all with one tile, because they share a launch."""
    if dtype == "float32" and aligned:
        large = [plan(LARGE, *shape) for shape in products]
        if sum(one.blocks for one in large) >= constants.LARGE_FROM_BLOCKS:
            return large
    return [plan(SMALL, *shape) for shape in products]
