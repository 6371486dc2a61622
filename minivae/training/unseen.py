"""Training on data that are mapped from a file and larger than is looked at beforehand (see `errors.is_sampled`)."""

import numpy as np

from ..files import mapped
from ..kernels import philox

MOST_ORDERED = 1 << 22  # rows whose order is kept as a list of them all
ROUNDS = 6


class Unseen:
    """Looks at the values of each minibatch before it is used, and finds its rows without a list of all.

    order : None where the rows' order is a list; else (batch_size,) int64, in which the rows of a minibatch are put
    of_epoch : (seed, stream, step) of the shuffle, as `philox` takes them
    """

    def __init__(self, model, data, batch_size, pixels):
        self._model, self._data, self._batch_size, self._pixels = model, data, batch_size, pixels
        self.order = np.zeros(batch_size, np.int64) if len(data) > MOST_ORDERED else None
        self.of_epoch, self._pages = (0, 0, 0), mapped.Pages(data)
        self._pages.let_go()  # of the sample that was looked at

    def look(self, batch, rows, order):
        """Raises ValueError, naming the row, where a value of this minibatch does not suit the model; order is that of
        the training."""
        start = batch * self._batch_size
        if self.order is None:
            taken = order[start : start + rows]
        else:
            index = np.arange(start, start + rows)
            taken = self.order[:rows] = shuffled(self.of_epoch, len(self._data), index)
        self._pages.touched(rows, rows * self._data[0].nbytes)  # of the last minibatch
        values = self._data[taken]
        try:
            self._model.check_values("train", values, self._pixels)
        except ValueError:
            for row in taken:  # with its number in the file
                self._model.check_values(f"train[{row}:{row + 1}]", self._data[row : row + 1], self._pixels)
            raise


def shuffled(of_epoch, size, index):
    """The places, int64, of these numbers in a random order of 0 .. size - 1, without making all of it.

    A Feistel network of ROUNDS rounds on the numbers of as many bits, an even number of them, as size takes; what falls
    outside goes through it again (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002, section 4).
    """
    seed, stream, step = of_epoch
    half = np.uint64(-(-max(1, (size - 1).bit_length()) // 2))
    mask = (np.uint64(1) << half) - np.uint64(1)
    words = np.empty(2 * ROUNDS, np.uint32)
    philox.fill_words(seed, stream, step, words)
    keys = words.view(np.uint64)

    def through(numbers):
        left, right = numbers >> half, numbers & mask
        for key in keys:
            mixed = (right ^ key) * np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
            left, right = right, left ^ ((mixed >> np.uint64(24)) & mask)
        return left << half | right

    numbers = through(np.asarray(index).astype(np.uint64))
    while (outside := numbers >= size).any():
        numbers[outside] = through(numbers[outside])
    return numbers.astype(np.int64)
