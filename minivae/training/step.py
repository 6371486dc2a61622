"""One step of training: from a minibatch of data to updated parameters."""

import numpy as np

from ..kernels import philox
from ..losses import Tally
from ..parameters import RowBuffers


class TrainingStep:
    """One minibatch from data to updated parameters, recorded once for each batch length and replayed.

    Noise, shuffles and binarisations are functions of the seed and of the optimizer's step count, which is the only
    state.
    """

    def __init__(self, model, data, batch_size, optimizer, pixels, seed):
        optimizer.attach(model)
        backend = model.backend
        self.model, self.optimizer, self.batch_size = model, optimizer, batch_size
        self._data = backend.from_host(data)
        self._order = backend.from_host(np.arange(len(data)))
        self.tally = Tally(model, optimizer.clock)
        self._pixels, self._seed = pixels, seed
        self._buffers = RowBuffers(backend, model.dtype)
        self.rows, self.batches = len(data), -(-len(data) // batch_size)
        self._last = len(data) - (self.batches - 1) * batch_size
        self._programs = {}

    def shuffle(self, epoch):
        """Starts an epoch: its own order of the rows, and totals from zero."""
        order = philox.permutation(self._seed, philox.SHUFFLE, epoch, self._order.shape[0])
        self.model.backend.assign(self._order, order)
        self.tally.reset()

    def __call__(self, step):
        """Makes the step of this number, which the clock must agree with."""
        rows = self._last if step % self.batches == self.batches - 1 else self.batch_size
        if rows in self._programs:
            self._programs[rows]()
        else:
            self._programs[rows] = self.model.backend.record(lambda: self._run(rows))
        return rows

    def _run(self, rows):
        model, backend, clock = self.model, self.model.backend, self.optimizer.clock
        x, noise = self._buffers("x", rows, model.features), self._buffers("noise", rows * model.draws, model.latent)
        backend.gather(self._data, self._order, clock, self.batch_size, self._pixels, self._seed, x)
        backend.standard_normal(self._seed, philox.NOISE, clock, noise)
        nll, kl = model.pass_down(x, noise)
        self.tally.add(nll, kl)
        model.pass_up()
        self.optimizer.update(model)
