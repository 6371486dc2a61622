"""Training: epochs, minibatches, validation, history, progress."""

import math
import signal
import sys
import threading
import time

import numpy as np
from tqdm import tqdm

from .datasets.checks import check_data
from .errors import TrainingDiverged, expect, expect_choice, expect_integer
from .evaluation import Evaluator
from .kernels import philox
from .kernels.naive import PIXELS
from .optim import Adam
from .parameters import RowBuffers
from .vae import expect_seed


class History(dict):
    """One list for each column, one entry for each epoch; nats per example throughout.

    Columns: epoch, train_loss, train_nll, train_kl (running averages over the epoch's steps), learning_rate (of its
    last step), examples_per_second (without validation), and, with validation data, validation_loss, validation_nll,
    validation_kl, active_units and kl_per_latent (an array for each epoch).

    stopped : "completed", "early" or "interrupted"
    """

    stopped = "completed"

    def add(self, row):
        for column, value in row.items():
            self.setdefault(column, []).append(value)


class Interrupt:
    """Within this context Ctrl-C sets `requested` instead of raising; a second Ctrl-C raises as usual.

    Outside the main thread, where Python takes no signals, it does nothing.
    """

    requested = False

    def __enter__(self):
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def _handle(self, signum, frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *exception):
        if self._main:
            signal.signal(signal.SIGINT, self._previous)


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
        self.totals = backend.zeros((5,), "float64")
        self._pixels, self._seed = pixels, seed
        self._buffers = RowBuffers(backend, model.dtype)
        self.batches = -(-len(data) // batch_size)
        self._last = len(data) - (self.batches - 1) * batch_size
        self._programs = {}

    def shuffle(self, epoch):
        """Starts an epoch: a new order of the rows, and totals from zero."""
        order = philox.permutation(self._seed, philox.SHUFFLE, epoch, self._order.shape[0])
        self.model.backend.assign(self._order, order)
        self.model.backend.assign(self.totals, 0.0)

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
        x, noise = self._buffers("x", rows, model.features), self._buffers("noise", rows, model.latent)
        backend.gather(self._data, self._order, clock, self.batch_size, self._pixels, self._seed, x)
        backend.standard_normal(self._seed, philox.NOISE, clock, noise)
        nll, kl = model.pass_down(x, noise)
        backend.accumulate(nll, kl, model.beta, self.totals, clock)
        model.pass_up()
        self.optimizer.update(model)


def fit(
    model,
    train,
    *,
    validation=None,
    epochs=10,
    batch_size=128,
    optimizer=None,
    pixels="grey",
    validation_noise="fixed",
    early_stopping=None,
    seed=0,
    progress=None,
    on_epoch=None,
):
    """Trains the model in place and returns its `History`.

    Parameters
    ----------
    model : VAE
    train : (n, features), uint8 (value / 255) or floats; in [0, 1] for a Bernoulli likelihood
    validation : data of the same kind, evaluated after each epoch on one noise draw per example
    epochs : passes over the data; each ends with a partial batch where batch_size does not divide n
    batch_size : rows in a minibatch; one batch of all rows if larger than the data
    optimizer : by default Adam(1e-3)
    pixels : "grey" uses values as they are, "threshold" 1 where a value is above 1/2, "dynamic" draws 1 with
        probability value afresh at each use; for training and validation alike
    validation_noise : "fixed" uses the same draws after every epoch, so that epochs compare; "fresh" new ones
    early_stopping : stop after this many epochs without a better validation loss; the model ends with the best
        parameters
    seed : of shuffles, noise and binarisation
    progress : show a tqdm bar; by default if standard error is a terminal
    on_epoch : called after each epoch with its history row, a dict

    Ctrl-C stops after the current step: history.stopped is then "interrupted" and the model is whole.

    Raises
    ------
    ValueError
        For any argument outside its range, before anything changes.
    TrainingDiverged
        If the loss becomes infinite or NaN; the parameters are those of the end of the last good epoch.
    """
    train, validation = check_arguments(
        model,
        train,
        validation=validation,
        epochs=epochs,
        batch_size=batch_size,
        pixels=pixels,
        validation_noise=validation_noise,
        early_stopping=early_stopping,
        seed=seed,
    )
    optimizer = Adam() if optimizer is None else optimizer
    step = TrainingStep(model, train, min(batch_size, len(train)), optimizer, pixels, seed)
    optimizer.plan(optimizer.steps + epochs * step.batches)
    evaluator = None if validation is None else Evaluator(model, validation, pixels=pixels, seed=seed)

    backend, history = model.backend, History()
    best = None
    with Interrupt() as interrupt:
        for epoch in range(1, epochs + 1):
            good = backend.to_host(model.store.flat).copy()
            started = time.perf_counter()
            _run_epoch(step, len(train), f"epoch {epoch}/{epochs}", progress, interrupt)
            nll_sum, kl_sum, n, loss, bad_step = backend.to_host(step.totals).tolist()
            seconds = time.perf_counter() - started
            if bad_step:
                backend.assign(model.store.flat, good)
                kind = "NaN" if math.isnan(loss) else "infinite"
                raise TrainingDiverged(
                    f"the loss became {kind} at step {int(bad_step)}, in epoch {epoch}; the model is back at the end "
                    f"of epoch {epoch - 1}: try a lower learning rate, or clip_norm"
                )
            if interrupt.requested:
                history.stopped = "interrupted"
                break
            row = {
                "epoch": epoch,
                "train_loss": (nll_sum + model.beta * kl_sum) / n,
                "train_nll": nll_sum / n,
                "train_kl": kl_sum / n,
                "learning_rate": float(optimizer.schedule(optimizer.steps - 1)),
                "examples_per_second": n / seconds,
            }
            if evaluator:
                held_out = evaluator(draw=0 if validation_noise == "fixed" else epoch)
                row |= {f"validation_{term}": getattr(held_out, term) for term in ("loss", "nll", "kl")}
                row |= {"active_units": held_out.active_units, "kl_per_latent": held_out.kl_per_latent}
            history.add(row)
            if on_epoch:
                on_epoch(row)
            if early_stopping:
                if best is None or row["validation_loss"] < best[0]:
                    best = row["validation_loss"], epoch, backend.to_host(model.store.flat).copy()
                if epoch - best[1] == early_stopping:
                    history.stopped = "early"
                    break
    if best and history.stopped != "interrupted":
        backend.assign(model.store.flat, best[2])
    return history


def check_arguments(model, train, *, validation, epochs, batch_size, pixels, validation_noise, early_stopping, seed):
    """Raises what `fit` raises for its arguments; returns training and validation data as the kernels take them."""
    expect_integer("epochs", epochs, 1)
    expect_integer("batch_size", batch_size, 1)
    expect_choice("pixels", pixels, PIXELS)
    train = _checked("train", train, model, pixels)
    validation = None if validation is None else _checked("validation", validation, model, pixels)
    expect_choice("validation_noise", validation_noise, ("fixed", "fresh"))
    if early_stopping is not None:
        expect_integer("early_stopping", early_stopping, 1)
        expect(validation is not None, "early_stopping", early_stopping, "validation data with it")
    expect_seed(seed)
    return train, validation


def _checked(name, data, model, pixels):
    """The data as the kernels take it, uint8 or floats, once it is known to suit the model."""
    unit_interval = "bernoulli" if pixels != "grey" else model.likelihood_name
    check_data(name, data, features=model.features, likelihood=unit_interval)
    return np.ascontiguousarray(data if data.dtype in (np.uint8, np.float32, np.float64) else data.astype(model.dtype))


def _run_epoch(step, n, label, progress, interrupt):
    """All steps of an epoch, unless the loss goes bad or an interrupt is requested: then up to the step where it
    showed.
    """
    backend, optimizer = step.model.backend, step.optimizer
    first = optimizer.steps
    step.shuffle(first // step.batches)
    show = sys.stderr.isatty() if progress is None else progress
    shown = time.monotonic()
    with tqdm(total=n, desc=label, unit="ex", unit_scale=True, leave=False, disable=not show) as bar:
        for number in range(first, first + step.batches):
            bar.update(step(number))
            # on a device, reading the totals waits for it: only as often as a person looks
            if backend.on_host or time.monotonic() - shown > 0.5:
                totals = backend.to_host(step.totals)
                if totals[4]:
                    return
                if time.monotonic() - shown > 0.5:
                    shown = time.monotonic()
                    bar.set_postfix_str(
                        f"{totals[0] / totals[2]:.1f} nll + {totals[1] / totals[2]:.1f} kl", refresh=False
                    )
            if interrupt.requested:
                return
