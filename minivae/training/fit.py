"""Training: epochs, minibatches, validation, history, progress."""

from dataclasses import replace

import numpy as np

from ..errors import check_data, expect, expect_choice, expect_integer, expect_positive, expect_seed
from ..evaluation.held_out import Evaluator
from ..kernels.naive import PIXELS
from ..optim import Adam
from .epoch import Due, Epoch
from .interrupts import Interrupt
from .state import History, TrainingState
from .step import TrainingStep


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
    start=None,
    on_checkpoint=None,
    checkpoint_steps=None,
    checkpoint_seconds=None,
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
        probability value, afresh at each use; for training and validation alike
    validation_noise : "fixed" uses the same draws after every epoch, so that epochs compare; "fresh" new ones
    early_stopping : stop after this many epochs without a better validation loss; the model ends with the best
        parameters
    seed : of shuffles, noise and binarisation
    progress : show a tqdm bar; by default if standard error is a terminal
    on_epoch : called after each epoch with its history row, a dict
    start : a `TrainingState` to go on from, as if training had never stopped; `epochs` then counts from its beginning
    on_checkpoint : called with a `TrainingState` after each epoch, and where training ends within one
    checkpoint_steps, checkpoint_seconds : call it also after so many steps, or so much time; None for never

    Ctrl-C stops after the current step: history.stopped is then "interrupted" and the model is whole.

    Raises
    ------
    ValueError
        For any argument outside its range, before anything changes.
    TrainingDiverged
        If the loss or a parameter becomes infinite or NaN; model and optimizer are in the last good state, that of the
        last checkpoint or of the end of the last epoch.
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
    if checkpoint_steps is not None:
        expect_integer("checkpoint_steps", checkpoint_steps, 1)
    if checkpoint_seconds is not None:
        expect_positive("checkpoint_seconds", checkpoint_seconds)
    optimizer = Adam() if optimizer is None else optimizer
    step = TrainingStep(model, train, min(batch_size, len(train)), optimizer, pixels, seed)
    if start:
        start.check(step, epochs)
    first = start.first if start else optimizer.steps
    optimizer.plan(first + epochs * step.batches)
    evaluator = None if validation is None else Evaluator(model, validation, pixels=pixels, seed=seed)
    if start:
        start.restore(step)

    history = start.history.copy() if start else History()
    history.stopped = "completed"
    best = start.best if start else None
    save, due = on_checkpoint or (lambda state: None), Due(checkpoint_steps, checkpoint_seconds)
    good = TrainingState.capture(step, first, history, start.seconds if start else 0.0, best)
    with Interrupt() as interrupt:
        for number in range(history.epochs + 1, epochs + 1):
            epoch = Epoch(step, number, good, history, best, due, save)
            epoch.run(f"epoch {number}/{epochs}", progress, interrupt)
            if interrupt.requested:
                history.stopped = "interrupted"
                save(epoch.capture())
                break
            row = epoch.row()
            if evaluator:
                held_out = evaluator(draw=0 if validation_noise == "fixed" else number)
                row |= {f"validation_{term}": getattr(held_out, term) for term in ("loss", "nll", "kl")}
                row |= {"active_units": held_out.active_units, "kl_per_latent": held_out.kl_per_latent}
            history.add(row)
            if early_stopping and (best is None or row["validation_loss"] < history["validation_loss"][best[0] - 1]):
                best = number, model.backend.to_host(model.store.flat).copy()
            good = TrainingState.capture(step, first, history, best=best)
            if on_epoch:
                on_epoch(row)
            save(good)
            due.reset()
            if early_stopping and number - best[0] >= early_stopping:
                history.stopped = "early"
                break
    if best and history.stopped != "interrupted":
        save(replace(good, history=history.copy(), finished=True))
        model.backend.assign(model.store.flat, best[1])
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
