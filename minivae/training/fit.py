"""Training: epochs, minibatches, validation, history, progress."""

import contextlib
import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..bounds import check_beta
from ..errors import expect, expect_choice, expect_integer, expect_pixels, expect_seed, plain
from ..evaluation.held_out import Evaluator
from ..files.progress import bar
from ..kernels.naive import PIXELS
from ..optim import Adam
from ..parameters.memory import expect_room_to_train
from ..vae import VAE, check_precision
from . import agreement
from .epoch import STOP, Due, Epoch
from .interrupts import Interrupt, sigterm_as_ctrl_c
from .non_finite import first_non_finite_parameter
from .replay import foreign, log
from .shards import ShardedStep
from .state import History, TrainingState
from .step import TrainingStep, as_optimizer
from .team import Team, expect_shards


def fit(
    model: VAE,
    train: ArrayLike,
    *,
    validation: ArrayLike | None = None,
    epochs: int = 10,
    batch_size: int = 128,
    optimizer: Any = None,
    beta: float | Callable[[int], float] | None = None,
    precision: str | None = None,
    threads: int | None = None,
    pixels: str = "grey",
    validation_noise: str = "fixed",
    early_stopping: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
    on_epoch: Callable[[dict[str, float]], object] | None = None,
    start: TrainingState | None = None,
    on_checkpoint: Callable[[TrainingState], object] | None = None,
    shards: int | None = None,
    team: Team | None = None,
    checkpoint_steps: int | None = None,
    checkpoint_seconds: float | None = None,
) -> History:
    """Trains the model in place and returns its `History`.

    Parameters
    ----------
    model : VAE
    train : (n, features), uint8 (value / 255) or other numbers, in an array or whatever makes one; in [0, 1] for a
        Bernoulli likelihood, bytes / 255 for one of bytes. uint8 of 0 and 1 only is refused: such data are floats
    validation : data of the same kind, evaluated after each epoch on one noise draw per example
    epochs : passes over the data; each ends with a partial batch where batch_size does not divide n
    batch_size : rows in a minibatch; one batch of all rows if larger than the data
    optimizer : by default Adam(1e-3); an `Optimizer`, or any object whose update(model) makes a step
    beta : the weight of the KL term, by default what the model has: a number, or a callable of the step (0, 1, ...)
        such as `Warmup`; the model keeps the last. The validation loss is that with a schedule's `value`, where it has
        one.
    precision : of the products of a step, by default what the model has: its dtype or, for float32, "bf16" (see
        `VAE.precision`); the model keeps it, and a state does not: give it again to go on with another model
    threads : how many threads the kernels of backend "cpu" use at most, by default what Numba is told
        (NUMBA_NUM_THREADS), and never more than there are cores; no number depends on it. The threads of "numpy" are
        those of its BLAS (OPENBLAS_NUM_THREADS).
    pixels : "grey" uses values as they are, "threshold" 1 where a value is above 1/2, "dynamic" draws 1 with
        probability value, afresh at each use; for training and validation alike
    validation_noise : "fixed" uses the same draws after every epoch, so that epochs compare; "fresh" new ones
    early_stopping : stop after this many epochs without a better validation loss; the model ends with the best
        parameters
    seed : of shuffles, noise and binarisation
    progress : show a tqdm bar; by default in a notebook and if standard error is a terminal
    on_epoch : called after each epoch with its history row, a dict; training stops where it returns False. What it
        changes (beta, rates, layers, arrays) holds from the next step on, or raises. Where it raises, the epoch has
        its checkpoint all the same.
    start : a `TrainingState` to go on from, as if training had never stopped; `epochs` then counts from its beginning
    on_checkpoint : called with a `TrainingState` after each epoch, and where training ends within one
    shards : S, a power of two: each batch is S minibatches with pixels and noise of their own, whose gradients are
        added in one tree (see `training.team`); by default one for each rank. Free bits are counted in each. Numbers
        depend on S, and not on who computes them: a state goes on with any ranks that divide S. A part of one's own
        whose gradient is not made of dy alone counts S times, and one that remembers from pass to pass sees only the
        shards of its rank. batch_size is a multiple of S
    team : the processes that share the work, such as `MPITeam()`; each calls `fit` with the same arguments. All call
        on_epoch, with the row of rank 0; only rank 0 calls on_checkpoint. threads are by default those that each rank's
        share of its machine has. What differs between ranks is named by a ValueError on all: arguments, data, model,
        code at the beginning, and parameters, moments, beta at each checkpoint
    checkpoint_steps, checkpoint_seconds : call it also after so many steps, or so much time; None for never

    Ctrl-C stops after the current step: history.stopped is then "interrupted" and the model is whole.

    Steps of minivae's own parts are replayed as one program, others run as they stand (see `training.replay`); the
    numbers are the same. The logger "minivae" tells which.

    Raises
    ------
    ValueError
        For any argument outside its range, before anything changes.
    TrainingDiverged
        If the loss or a parameter becomes infinite or NaN; model and optimizer are in the last good state, that of the
        last checkpoint or of the end of the last epoch.
    Exception
        Whatever a part of one's own raises, with a note in which step; the model is in the state before that step. With
        a team it is told, and ends the job: no rank waits for one that has failed.
    """
    team = Team() if team is None else team
    expect(isinstance(team, Team), "team", team, "MPITeam() or MPITeam(comm)")
    with team.agreed():
        asked, given = batch_size, (precision, threads, pixels, validation_noise, early_stopping, seed)
        checked = check_arguments(model, train, validation, epochs, batch_size, *given)
        train, validation, epochs, batch_size, early_stopping, seed = checked
        shards = expect_shards(shards, team, plain(asked))
        batch_size = min(plain(asked), -(-np.shape(train)[0] // shards) * shards)
        for name, callback in (("on_epoch", on_epoch), ("on_checkpoint", on_checkpoint)):
            expect(callback is None or callable(callback), name, callback, "a callable")
        whole = start is None or isinstance(start, TrainingState)
        expect(whole, "start", start, "a TrainingState, as on_checkpoint is handed one")
        due, tell = Due(checkpoint_steps, checkpoint_seconds), on_epoch or _ignore
        save = on_checkpoint or _ignore if team.size == 1 else agreement.kept_by_first(team, model, on_checkpoint)
        optimizer = Adam() if optimizer is None else as_optimizer(optimizer)
        expect_room_to_train(model, len(optimizer.moments), batch_size)
        optimizer.attach(model)
        given = _beta(model, beta)
        beta = given if callable(given) else None
        common = model, train, batch_size, optimizer, pixels, seed, beta
        step = TrainingStep(*common) if shards == 1 else ShardedStep(*common, shards, team)
        validate = Validation(model, validation, pixels, seed, validation_noise, beta, team)
        good = _begin(step, epochs, start, validation is not None)
        if beta is None and given is not None:
            model.beta = given
        if precision is not None:
            model.precision = precision
    history, stopping = good.history.copy(), EarlyStopping(early_stopping, good.best)
    total = good.first + epochs * step.batches
    watched = any(map(_is_foreign, (on_epoch, on_checkpoint)))
    if team.size > 1:
        told = {"epochs": epochs, "batch_size": batch_size, "shards": shards, "pixels": pixels, "seed": seed}
        told |= {"validation_noise": validation_noise, "early_stopping": early_stopping}
        told |= {"checkpoint_steps": checkpoint_steps}
        agreement.expect_same_training(team, model, optimizer, beta, good, told, train, validation)
        threads = team.threads if threads is None and hasattr(model.backend.module, "at_most") else threads
        progress = progress if team.rank == 0 else False
    ended = contextlib.nullcontext() if team.size == 1 else sigterm_as_ctrl_c()
    rows = {"total": step.rows, "unit": "ex", "unit_scale": True}
    shown = bar(show=progress if history.epochs < epochs else False, **rows)
    with team, Interrupt() as interrupt, ended, model.backend.at_most(threads), step, shown:
        for number in range(history.epochs + 1, epochs + 1):
            for schedule in (optimizer.schedule, beta):
                if schedule is not None and hasattr(schedule, "observe"):
                    schedule.observe(history)
            epoch = Epoch(step, number, good, total, due, save, watched)
            epoch.run(f"epoch {number}/{epochs}", shown, interrupt)
            if step.raised(STOP):
                history.stopped = "interrupted"
                save(replace(epoch.capture(), history=history.copy()))
                return history
            row = team.broadcast(epoch.row()) | validate(number)
            history.add(row)
            over = stopping(model, history)
            before, good = good, TrainingState.capture(step, good.first, history, best=stopping.best)
            if number == 1 and foreign("", optimizer) and np.array_equal(before.parameters, good.parameters):
                log.warning("no parameter has changed in epoch 1: an optimizer of one's own changes them in place")
            try:
                more = tell(copy.deepcopy(row))
            except BaseException:
                save(good)  # the epoch is done, whatever becomes of telling
                raise
            if on_epoch is not None and first_non_finite_parameter(model) is None:  # it may have changed them
                good = TrainingState.capture(step, good.first, history, best=stopping.best)
            save(good)
            due.reset()
            if over or team.any(plain(more) is False):
                history.stopped = "early" if over else "on_epoch"
                break
    if team.size == 1 and interrupt.requested and history.stopped == "completed":  # after the last step
        history.stopped = "interrupted"
        return history
    if stopping.best:
        save(replace(good, history=history.copy(), finished=True))
        model.backend.assign(model.store.flat, stopping.best[1])
        model.settle()
    return history


def check_arguments(
    model, train, validation, epochs, batch_size, precision, threads, pixels, validation_noise, early_stopping, seed
):
    """Raises what `fit` raises for its arguments; returns data as the kernels take them, and numbers as Python's:
    train, validation, epochs, batch_size (at most the rows of train), early_stopping, seed.
    """
    epochs, batch_size = expect_integer("epochs", epochs, 1), expect_integer("batch_size", batch_size, 1)
    if precision is not None:
        check_precision(precision, model.dtype)
    model.backend.at_most(None if threads is None else expect_integer("threads", threads, 1))
    expect_choice("pixels", pixels, PIXELS)
    train = model.as_data("train", train, pixels)
    expect_pixels("train", train)
    validation = None if validation is None else model.as_data("validation", validation, pixels)
    if validation is not None and train.dtype != np.uint8:  # beside pixels, some few may be that dark
        expect_pixels("validation", validation)
    expect_choice("validation_noise", validation_noise, ("fixed", "fresh"))
    if early_stopping is not None:
        early_stopping = expect_integer("early_stopping", early_stopping, 1)
        expect(validation is not None, "early_stopping", early_stopping, "validation data with it")
    return train, validation, epochs, min(batch_size, len(train)), early_stopping, expect_seed(seed)


def _beta(model, beta):
    """A schedule, or a number that the model can have, checked; None for what it has."""
    return beta if beta is None or callable(beta) else check_beta(beta, model.config["objective"])


def _begin(step, epochs, start, held_out):
    """The state that training begins with; ValueError before anything changes."""
    history, first = History(), step.made
    if start:
        start.check(step, epochs, held_out)
        history, first = start.history.copy(), start.first
        history.stopped = "completed"
        start.restore(step)
    return TrainingState.capture(step, first, history, start.seconds if start else 0.0, start and start.best)


class Validation:
    """An epoch's columns of the history from held-out data, if there are any: on the same draws each time, or with
    "fresh" noise on its own. The loss is that with the beta that a warm-up leads to, so that epochs compare.
    """

    def __init__(self, model, data, pixels, seed, noise, beta, team):
        self._evaluate = None if data is None else Evaluator(model, data, pixels=pixels, seed=seed, team=team)
        self._fresh, self._model, self._beta = noise == "fresh", model, getattr(beta, "value", None)

    def __call__(self, epoch):
        if self._evaluate is None:
            return {}
        now = self._model.beta
        self._model.beta = now if self._beta is None else self._beta
        held_out = self._evaluate(draw=epoch if self._fresh else 0)
        self._model.beta = now
        row = {f"validation_{term}": getattr(held_out, term) for term in ("loss", "nll", "kl")}
        return row | {"active_units": held_out.active_units, "kl_per_latent": held_out.kl_per_latent.tolist()}


class EarlyStopping:
    """Keeps the best parameters; patience is how many epochs without a better validation loss end a training.

    best : None, or the epoch with the lowest validation loss and its parameters
    """

    def __init__(self, patience, best):
        self._patience, self.best = patience, best

    def __call__(self, model, history):
        """Looks at the epoch that has just ended; whether it is one too many."""
        if self._patience is None:
            return False
        losses = history["validation_loss"]
        if self.best is None or losses[-1] < losses[self.best[0] - 1]:
            self.best = history.epochs, model.backend.to_host(model.store.flat).copy()
        return history.epochs - self.best[0] >= self._patience


def _is_foreign(callback):
    """Whether a callback is there and not this package's own, so that nobody knows what it changes."""
    package = __name__.partition(".")[0]
    return callback is not None and not str(getattr(callback, "__module__", "")).startswith(f"{package}.")


def _ignore(_):
    """Called where nobody asked to be."""
