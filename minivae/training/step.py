"""One step of training: from a minibatch of data to updated parameters."""

import contextlib
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import expect, is_sampled, plain
from ..kernels import philox
from ..losses import Tally
from ..optim import Optimizer
from ..parameters import RowBuffers
from .non_finite import first_non_finite, first_non_finite_moment
from .replay import Replay, foreign, overrides
from .team import Team
from .unseen import Unseen

# From the ids of optimizers of the user's own to (weak references to it and to the model, the number of steps made with
# both): where the next training goes on.
_served: dict[int, tuple[Any, Any, int]] = {}


def as_optimizer(given):
    """An `Optimizer` as it is; around any other object that has a method update(model), one that calls it."""
    if isinstance(given, Optimizer):
        return given
    right = callable(getattr(given, "update", None)) and not isinstance(given, type)
    expect(right, "optimizer", given, "an object with a method update(model)")
    return _Wrapped(given)


class _Wrapped(Optimizer):
    """An optimizer that is no `Optimizer`. Of its state, training keeps what it has in a dict `state`, from names to
    arrays of the layout of the model's flat buffer.
    """

    def __init__(self, wrapped):
        super().__init__(1.0)  # what the wrapped one has, it alone knows
        self.wrapped = wrapped

    def attach(self, model):
        if self._model is not None and self._model is model and not self.state:
            self._store = self._model.store  # nothing of the wrapped one's depends on the layout
        super().attach(model)

    def make_state(self, store, dtype):
        """The wrapped one makes its own."""

    @property
    def state(self):
        state = getattr(self.wrapped, "state", {})
        shape = None if self._store is None else self._store.flat.shape
        right = isinstance(state, dict) and all(isinstance(a, np.ndarray) and a.shape == shape for a in state.values())
        expect(right, "optimizer.state", state, f"a dict from names to arrays of shape {shape}, as the flat parameters")
        return state

    @state.setter
    def state(self, state):
        if state or hasattr(self.wrapped, "state"):
            self.wrapped.state = state

    def update(self, model):
        self.wrapped.update(model)
        self._backend.tick(self.clock)

    @property
    def last_rate(self):
        rate = plain(getattr(self.wrapped, "learning_rate", None))
        return float(rate) if isinstance(rate, (int, float)) else float("nan")


class TrainingStep:
    """One minibatch from data to updated parameters.

    Noise, shuffles and binarisations are functions of the seed and of the step's number, which is the only state: that
    of the optimizer's clock, or of another where the optimizer's may go its own way.

    Parameters
    ----------
    beta : None, or a callable from the step to the beta that `model` has in it

    Attributes
    ----------
    made : the number of the step to come
    clock : (1,) int64 of the backend that holds it
    flags : functions, each of which says whether a flag is raised
    """

    shards, team = 1, Team()

    def __init__(self, model, data, batch_size, optimizer, pixels, seed, beta=None):
        optimizer.attach(model)
        backend = model.backend
        self.model, self.optimizer, self.batch_size = model, optimizer, batch_size
        self._data = backend.from_host(data)
        self._unseen = Unseen(model, data, batch_size, pixels) if is_sampled(data) and backend.on_host else None
        order = None if self._unseen is None else self._unseen.order
        self._order = backend.from_host(np.arange(len(data))) if order is None else order
        self.made, self.clock = optimizer.steps, optimizer.clock
        self.tally = Tally(model, self.clock)
        if foreign("the optimizer", optimizer):
            self.made = self._made_before()
            self.go_by_another_clock()
        self._pixels, self._seed, self._beta = pixels, seed, beta
        self._buffers = RowBuffers(backend, model.dtype)
        self.rows, self.batches = len(data), -(-len(data) // batch_size)
        self._last = len(data) - (self.batches - 1) * batch_size
        self.flags: Sequence[Callable[[], bool]] = ()
        self._make_replays()
        self._look()

    def raised(self, flag):
        """Whether the flag of this number, one of the functions in `flags`, is raised on any rank of a team."""
        return self.flags[flag]()

    def _make_replays(self):
        self.replay = Replay(self, self._run, self._beta)
        self.replays = [self.replay]

    def arrays(self):
        """All that a step changes."""
        store, optimizer, tally = self.model.store, self.optimizer, self.tally
        changed = store.flat, store.flat_gradients, optimizer.clock, tally.terms, tally.losses
        return [*changed, *optimizer.state.values()]

    def shuffle(self, epoch):
        """Starts an epoch: its own order of the rows, and totals from zero."""
        of_epoch = self._seed, philox.SHUFFLE, epoch
        if self._unseen is not None:
            self._unseen.of_epoch = of_epoch
        if self._unseen is None or self._unseen.order is None:
            self._put_order(philox.permutation(*of_epoch, self.rows))
        self.tally.reset()

    def _put_order(self, order):
        self.model.backend.assign(self._order, order)

    def look(self, total, again=True):
        """To be called before the first step and where other code has run: whatever that has changed holds from now on.

        total : the step at which training ends
        again : whether other code may have run since the last time
        """
        if self.made != self.optimizer.steps:
            self.go_by_another_clock()
        if self.replay.steps and not again:
            if hasattr(self.optimizer.schedule, "observe"):
                self.optimizer.plan(total)
            return
        self.model.settle()
        self.optimizer.attach(self.model)
        if not self.optimizer.is_planned or hasattr(self.optimizer.schedule, "observe"):
            self.optimizer.plan(total)
        if self._beta is not None and self.replay.steps:
            last = self._beta_set
            expect(self.model.beta == last, "model.beta", self.model.beta, f"{last}, which the beta of fit has set")
        self._look()

    def _made_before(self):
        """How many steps this optimizer has made for this model."""
        one = getattr(self.optimizer, "wrapped", self.optimizer)
        known, model, steps = _served.get(id(one), (None, None, 0))
        return steps if known and known() is one and model() is self.model else self.optimizer.steps

    def go_by_another_clock(self):
        """Where the optimizer makes other steps than those of training."""
        if self.clock is self.optimizer.clock:
            self.clock = self.tally.clock = self.model.backend.zeros((1,), "int64")
        self.model.backend.assign(self.clock, self.made)

    def _look(self):
        self._optimizer_is_foreign = foreign("the optimizer", self.optimizer) is not None
        for replay in self.replays:
            replay.check()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._optimizer_is_foreign:
            one = getattr(self.optimizer, "wrapped", self.optimizer)
            key = id(one)
            with contextlib.suppress(TypeError):  # of no class that can be referred to weakly
                mine = weakref.ref(one, lambda _: _served.pop(key, None))
                _served[key] = mine, weakref.ref(self.model), self.made
        self.optimizer.plan(0)  # what other code does with it afterwards asks its schedule
        self.model.round_operands(False)
        del self.replay, self.replays, self.flags  # which hold this step: the rows are let go without the collector

    def __call__(self, step):
        """Makes the step of this number, which the clock must agree with; returns the rows of its batch."""
        rows = self._begin(step)
        try:
            self._replayed(self.replay, rows, step)
        except BaseException:
            self.model.revert()
            raise
        self.made += 1
        return rows

    def _begin(self, step):
        rows = self._last if step % self.batches == self.batches - 1 else self.batch_size
        if self._unseen is not None:
            self._unseen.look(step % self.batches, rows, self._order)
        if self._beta is not None:
            self.model.beta = self._beta_set = self._beta(step)
        return rows

    def _replayed(self, replay, rows, step):
        program = replay.proven.get(rows)
        if program is None:
            replay(rows)
            return
        if step not in self.optimizer.planned_steps:
            self.optimizer.read_ahead(step)
        program()

    def _run(self, rows):
        self._pass(rows, self.clock, self.batch_size, self.tally)
        self._update()

    def _pass(self, rows, clock, batch_size, tally):
        """Down and up with the minibatch that the clock asks for; the gradients are then there."""
        model, backend = self.model, self.model.backend
        model.settle(training=True)
        x, noise = self._buffers("x", rows, model.features), self._buffers("noise", rows * model.draws, model.latent)
        backend.gather(self._data, self._order, clock, batch_size, self._pixels, self._seed, philox.PIXELS, x)
        backend.standard_normal(self._seed, philox.NOISE, clock, noise)
        if overrides(model, "forward", "backward"):
            tally.add_terms(model.forward(x, noise), rows)
            model.backward()
        else:
            tally.add(*model.pass_down(x, noise))
            model.pass_up()

    def _update(self):
        if self._optimizer_is_foreign:
            self._update_or_undo()
        else:
            self.optimizer.update(self.model)
        if self.clock is not self.optimizer.clock:
            self.model.backend.tick(self.clock)

    def first_non_finite(self):
        """Where the numbers of the step with the bad loss went wrong, or None."""
        return first_non_finite(self.model)

    def first_non_finite_moment(self):
        """The name of the first moment that holds a NaN or an infinity, or None; an optimizer of one's own may."""
        return None if self._optimizer_is_foreign else first_non_finite_moment(self.model, self.optimizer)

    def _update_or_undo(self):
        """The update of an optimizer of one's own: all of it, or, where it raises, nothing."""
        model, optimizer, assign = self.model, self.optimizer, self.model.backend.assign
        state = optimizer.state
        kept = dict(state)
        arrays = [model.store.flat, optimizer.clock, *kept.values()]
        before = [np.array(model.backend.to_host(array)) for array in arrays]
        try:
            optimizer.update(model)
            model.settle()
        except BaseException:
            for array, values in zip(arrays, before, strict=True):
                assign(array, values)
            state.clear()
            state.update(kept)
            optimizer.state = state
            raise
