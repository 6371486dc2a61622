"""Letting go of the pages of a mapped file, which otherwise count as the process's memory until others need it."""

import mmap

import numpy as np

AROUND = 1 << 17  # bytes that a system reads, or maps, around what is asked for
MOST = 1 << 26  # bytes in pages until they are let go


class Pages:
    """The pages that were touched of an array whose file is mapped for reading; of any other array it does nothing.

    Pages of a mapping that is a copy of its own would be lost, so nothing is done there.
    """

    def __init__(self, array):
        while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
            array = array.base
        reading = isinstance(array, np.memmap) and array.mode == "r" and hasattr(mmap, "MADV_DONTNEED")
        self._mapping = array._mmap if reading else None
        self._bytes = 0

    def touched(self, places, size):
        """To be called where so many places, that many bytes in all, have been read since the last time."""
        self._bytes += size + places * AROUND
        if self._bytes > MOST:
            self.let_go()

    def let_go(self):
        self._bytes = 0
        if self._mapping is not None:
            self._mapping.madvise(mmap.MADV_DONTNEED)
