"""`minivae train`: a run from its options, or one that goes on from where it stopped."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..evaluation.held_out import bits_per_dimension
from ..training.fit import check_arguments, fit
from ..training.state import History
from ..vae import VAE
from . import checkpoint, folder
from .config import Config, Results, taken
from .describing import described
from .pictures import draw_all, objective_phrase, pixels_phrase
from .saver import Saver

Say = Callable[[str], None]


def start(config: Config, say: Say) -> int:
    """A new run; its exit status. Nothing is written before every choice and the data are known to be good."""
    name = config.data.name
    say(f"loading {name}")
    config = config.with_full_path()
    data = folder.load(config.data)
    config = config.for_data(data)
    model = VAE(**vars(config.model), backend=config.backend)
    config = replace(config.for_model(model), backend=model.backend.name)
    settings, data = _settings(config, data, model), data.held_out()
    out = config.results.out or folder.free_folder(Path(name).name.split(".")[0] or "run")
    with folder.claimed(out, config.results.overwrite) as path:
        folder.check_space(path, model, config.results.keep)
        folder.write_config(path, config)
        return _train(path, config, model, data, settings, None, say)


def resume(path: str | Path, results: Results, say: Say, epochs: int | None = None, backend: str = "auto") -> int:
    """The run in the folder `path`, from its last good checkpoint; from its beginning if it has none yet.

    It keeps its choices, but for the number of epochs and the backend where these are given.
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"--resume: {path} is no folder, expected one that minivae train made")
    with folder.locked(path):
        model, state, config = _last_good(path, backend, say)
        say(f"loading {config.data.name}")
        data = folder.load(config.data)
        if data.fingerprint() != config.data.fingerprint:
            raise ValueError(f"--resume: {config.data.name} is not the data this run was trained on")
        training = config.training
        if epochs not in (None, training.epochs):
            if training.schedule == "cosine":
                raise ValueError(
                    "--epochs: cannot be changed, since the cosine schedule was laid out for the run's own"
                )
            if state and epochs < state.history.epochs:
                raise ValueError(f"--epochs: got {epochs}, expected at least the {state.history.epochs} done")
            training = replace(training, epochs=epochs)
        config = replace(config.for_model(model), training=training, results=results)
        settings, data = _settings(config, data, model), data.held_out()
        folder.remove_unfinished(path, folder.FILES)
        folder.write_config(path, config)
        if state and state.history:
            folder.write_history(path, state.history)
        return _train(path, config, model, data, settings, state, say)


def _last_good(path, backend, say):
    """(model, state or None, config) of the newest checkpoint of a run that can be read."""
    failure = None
    for file in (path / folder.CHECKPOINT, *folder.earlier_checkpoints(path)):
        if not file.exists():
            continue
        try:
            model, state, extra = checkpoint.load_state(file, _backend(path, backend))
            return model, state, Config.from_json(extra.get("config"))
        except (ValueError, TypeError, KeyError) as error:
            failure = failure or error
            say(f"cannot go on from {file.name}: {error}")
    if failure:
        raise ValueError(f"--resume: {failure}")
    config = folder.read_config(path)
    try:
        return VAE(**vars(config.model), backend=_backend(path, backend)), None, config
    except (TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise ValueError(f"--resume: {path / folder.CONFIG} describes no model ({error})") from error


def _backend(path, backend):
    """The run's own, since another would give other roundings; unless one is asked for."""
    if backend == "auto" and (path / folder.CONFIG).exists():
        return folder.read_config(path).backend
    return backend


def _settings(config, data, model):
    """What `fit` is called with, checked."""
    training = config.training
    settings = {"train": data.train, "validation": data.test, **taken(check_arguments, training)}
    try:
        check_arguments(model, **settings)
        steps_per_epoch = -(-len(data.train) // min(training.batch_size, len(data.train)))
        beta = training.make_beta(config.model.beta, steps_per_epoch)
        return settings | {"optimizer": training.make_optimizer(steps_per_epoch), "beta": beta}
    except (TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"run: the configuration describes no training ({error})") from error


def _train(path, config, model, data, settings, state, say):
    _announce(path, config, model, data, settings["train"], state, say)
    history, untold = state.history.copy() if state else History(), []

    def tell(row):
        say(
            f"{row['epoch']:5d} {row['train_loss']:9.2f} {row['validation_loss']:9.2f}  {_equals(config)} "
            f"{row['validation_nll']:7.2f} + {row['validation_kl']:6.2f} {row['active_units']:7d} "
            f"{row['examples_per_second']:11,.0f}"
        )
        folder.write_history(path, history)

    def on_epoch(row):
        history.add(row)
        untold.append(row)

    def on_checkpoint(state):
        saver(state)
        while untold:  # only now: whatever becomes of the line, the epoch is not lost
            tell(untold.pop())

    started, results, optimizer = time.perf_counter(), config.results, settings.pop("optimizer")
    if state and state.finished and state.history.stopped == "early":
        model.backend.assign(model.store.flat, state.best[1])
        stopped = "early"
    else:
        steps, seconds = results.checkpoint_every
        with Saver(path, model, config.to_json(), results.keep, state and state.step) as saver:
            stopped = fit(
                model,
                settings.pop("train"),  # nothing else holds the rows: their memory is free for the pictures
                optimizer=optimizer,
                on_epoch=on_epoch,
                start=state,
                on_checkpoint=on_checkpoint,
                checkpoint_steps=steps,
                checkpoint_seconds=seconds,
                **settings,
            ).stopped
    if stopped == "interrupted":
        say(f"interrupted after step {optimizer.steps:,}; go on with: minivae train --resume {path}")
        return 130
    del optimizer  # and its moments
    ending = "stopped early, the best parameters kept" if stopped == "early" else "done"
    say(f"{ending} in {time.perf_counter() - started:.1f} s")
    losses = history["validation_loss"]
    last = losses.index(min(losses)) if stopped == "early" else -1
    bits = bits_per_dimension(model, history["validation_nll"][last], history["validation_kl"][last])
    if bits is not None:
        say(f"held-out negative ELBO: {bits:.4f} bits per dimension")
    if not results.no_pictures:
        paths = draw_all(path, config, model, data, history, history["epoch"][last])
        say(f"pictures: {', '.join(path.name for path in paths)}")
    return 0


def _announce(path, config, model, data, train, state, say):
    """The model, the data, and the head of the table of epochs."""
    spec = config.model
    layers = (data.features, *spec.hidden, model.latent, *spec.decoder_hidden, data.features)
    say(
        f"{'-'.join(map(str, layers))}, {spec.activation}, {spec.likelihood}, sigma = {spec.scale}(rho), "
        f"{model.store.flat.size:,} parameters, {model.dtype}, {model.backend.name} backend"
    )
    for line in described(data, train, spec):
        say(line)
    say(f"{len(train):,} training and {len(data.test):,} held-out examples, results in {path}")
    if state:
        done, epochs = state.history.epochs, config.training.epochs
        say(f"going on after step {state.step:,}, {done} of {epochs} epochs are done")
    say(f"nats per example, {pixels_phrase(data, config.training.pixels)}:")
    if phrase := objective_phrase(spec):
        say(f"{phrase}; nll and KL are those of the ELBO")
    say(f"epoch     train  held out  {_equals(config)}    nll  +     KL  active  examples/s")


def _equals(config):
    """The sign between the loss and its terms; none where they do not add up to it."""
    return " " if objective_phrase(config.model) else "="
