"""`minivae train`: a run from its options, or one that goes on from where it stopped."""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import brief, expect
from ..evaluation.held_out import bits_per_dimension
from ..files.stored import damage_named
from ..layers import resolve_backend
from ..parameters.memory import expect_room_to_train
from ..training.fit import check_arguments, fit
from ..training.state import History
from ..training.team import Team, expect_shards
from ..vae import VAE
from . import checkpoint, findings, folder, machine
from .config import Config, Results, taken
from .describing import described
from .pictures import draw_all, objective_phrase, pixels_phrase
from .reopening import NOTHING, find_data, stored_name
from .saver import Saver, restore_best

Say = Callable[[str], None]


def start(config: Config, say: Say, team: Team | None = None) -> int:
    """A new run; its exit status. Nothing is written before every choice and the data are known to be good.

    Each rank of a team loads the data; the first alone writes.
    """
    team, name = team or Team(), config.data.name
    config = team.broadcast(config)
    say(f"loading {name}")
    with team.agreed():
        data = folder.load(config.data)
    _expect_same(team, data)
    backend = team.first(lambda: resolve_backend(config.backend).name)
    with team.agreed():
        config = config.for_data(data)
        model = VAE(**vars(config.model), backend=backend)
        config = config.for_model(model, config.versions["minivae"])
        settings, data = _settings(config, data, model, team), data.held_out()

    def claim(stack):
        out = config.results.out or folder.free_folder(Path(name).name.split(".")[0] or "run")
        needed = folder.space(model, config.results.keep)
        path = stack.enter_context(folder.claimed(out, config.results.overwrite, needed))
        kept = replace(config, data=replace(config.data, name=stored_name(name, path)))
        folder.write_config(path, kept)
        return path, kept

    with contextlib.ExitStack() as stack:
        path, config = team.first(lambda: claim(stack))
        return _train(path, config, model, data, settings, None, say, team)


def resume(
    path: str | Path,
    results: Results,
    say: Say,
    version: str,
    team: Team | None = None,
    *,
    epochs: int | None = None,
    backend: str = "auto",
    data: str | None = None,
    reading: Mapping[str, Any] = NOTHING,
) -> int:
    """The run in the folder `path`, from its last good checkpoint; from its beginning if it has none yet.

    It keeps its choices, but for the number of epochs and the backend where these are given; `data` says where its data
    are now, `reading` how they are read where it is not as before. `version` is that of minivae. The ranks of a team
    have all from the first, and each loads the data; their number divides that of the shards, whatever it was before.
    """
    path, team, loaded = Path(path), team or Team(), []

    def reopened(stack):
        if not path.is_dir():
            raise ValueError(f"--resume: {path} is no folder, expected one that minivae train made")
        stack.enter_context(folder.locked(path))
        model, state, config, choice = _last_good(path, backend, say)
        training, ranks = config.training, f"{team.size} ranks"
        expect(
            training.shards % team.size == 0, "--resume", ranks, f"1 or more that divide the {training.shards} shards"
        )
        model.backend.at_most(results.threads)  # raises where it has none to choose
        before, config = config, replace(config.for_model(model, version), results=results)
        changed = machine.differences(before.backend, before.versions, config.backend, config.versions)
        if state and changed:
            say(f"bits may differ from those of the run as it was: {changed}")
        say(f"loading {data or config.data.name}")
        found, choices = find_data(path, config.data, data, reading)
        loaded.append(found)
        if epochs not in (None, training.epochs):
            if training.schedule == "cosine":
                raise ValueError(
                    "--epochs: cannot be changed, since the cosine schedule was laid out for the run's own"
                )
            if state and epochs < state.history.epochs:
                raise ValueError(f"--epochs: got {epochs}, expected at least the {state.history.epochs} done")
            training = replace(training, epochs=epochs)
        return model, state, replace(config, data=choices, training=training), choice

    def begin():
        kept = replace(config, data=replace(config.data, name=stored_name(config.data.name, path)))
        folder.remove_unfinished(path)
        restore_best(path, choice, say)
        folder.write_config(path, kept)
        if state and state.history:
            folder.write_history(path, state.history)
        return kept

    with contextlib.ExitStack() as stack:
        model, state, config, choice = team.first(lambda: reopened(stack))
        with team.agreed():
            found = loaded.pop() if loaded else folder.load(config.data)
        _expect_same(team, found)
        source = state.source if state else path / folder.CONFIG
        with team.agreed(), damage_named(source, "describes no training"):
            settings, found = _settings(config, found, model, team), found.held_out()
        config = team.first(begin)
        return _train(path, config, model, found, settings, state, say, team, choice.whole)


def _expect_same(team, data):
    """ValueError unless all ranks have the same data."""
    if team.size > 1:
        team.expect_same(data.name, data.fingerprint())


def _last_good(path, backend, say):
    """(model, state or None, config, choice) of a run, from the checkpoint that `findings.choose` takes."""
    choice = findings.choose(path)
    if choice.refused:
        raise ValueError(f"--resume: {choice.why}")
    for found in choice.passed_over:
        say(f"cannot go on from {found.name}: {found.about}")
    if choice.passed_over:
        say(f"going on from {choice.taken.name}; what cannot be read is replaced with the next checkpoint")
    config, source = choice.config, path / folder.CONFIG
    if choice.taken:
        file, (description, arrays) = path / choice.taken.name, choice.stored
        config, recorded, source = _last_asked(path, file, config, say)
        made = _backend(recorded if backend == "auto" else backend, source)
        model, state, _ = checkpoint.from_stored(file, description, arrays, made)
        return model, state, config, replace(choice, stored=None)  # its arrays are the model's and the state's by now
    made = _backend(config.backend if backend == "auto" else backend, source)
    with damage_named(source, "describes no model"):
        model = VAE(**vars(config.model), backend=made)
    return model, None, config, choice


def _last_asked(path, file, config, say):
    """(config, the name of a backend, where that was found) of a run that goes on from a checkpoint with this config.

    A resume that was ended before it saved anything has left in config.json what it was asked for.
    """
    try:
        written = folder.read_config(path)
        if written.run == config.run:
            config = replace(config, training=written.training, data=written.data)
            return config, written.backend, path / folder.CONFIG
        say(f"{folder.CONFIG} is that of another run, and is replaced by what {file.name} says")
    except ValueError as error:
        say(f"{brief(error)}; it is replaced by what {file.name} says")
    return config, config.backend, file


def _backend(name, source):
    try:
        return resolve_backend(name)
    except ValueError as error:
        raise ValueError(f"{source}: {brief(error)}; --backend chooses another") from error


def _settings(config, data, model, team):
    """What `fit` is called with, checked."""
    training = config.training
    settings = {"train": data.train, "validation": data.test, "threads": config.results.threads}
    settings |= taken(check_arguments, training)
    try:
        batch_size = check_arguments(model, **settings)[3]
        steps_per_epoch = -(-len(data.train) // batch_size)
        beta = training.make_beta(config.model.beta, steps_per_epoch)
        optimizer = training.make_optimizer(steps_per_epoch)
        expect_room_to_train(model, len(optimizer.moments), batch_size)
        shards = expect_shards(training.shards, team, training.batch_size)
        return settings | {"optimizer": optimizer, "beta": beta, "shards": shards, "team": team}
    except (TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"run: the configuration describes no training ({error})") from error


def _train(path, config, model, data, settings, state, say, team, whole=None):
    if team.rank == 0:
        _announce(path, config, model, data, settings["train"], state, say)
    history, untold = state.history.copy() if state else History(), []

    head = [f"epoch     train  held out  {_equals(config)}    nll  +     KL  active  examples/s"]

    def tell(row):
        if head:  # not before: by now all kernels are compiled, and have said so
            say(head.pop())
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
        saver: Any = Saver(path, model, config.to_json(), results.keep, whole) if team.rank == 0 else None
        with saver or contextlib.nullcontext():
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
    seconds = time.perf_counter() - started
    return team.first(lambda: _end(path, config, model, data, history, stopped == "early", seconds, say))


def _end(path, config, model, data, history, early, seconds, say):
    """The last lines, and the pictures; the exit status."""
    say(f"{'stopped early, the best parameters kept' if early else 'done'} in {seconds:.1f} s")
    losses = history["validation_loss"]
    last = losses.index(min(losses)) if early else -1
    bits = bits_per_dimension(model, history["validation_nll"][last], history["validation_kl"][last])
    if bits is not None:
        say(f"held-out negative ELBO: {bits:.4f} bits per dimension")
    if not config.results.no_pictures:
        paths = draw_all(path, config, model, data, history, history["epoch"][last])
        say(f"pictures: {', '.join(path.name for path in paths)}")
    return 0


def _announce(path, config, model, data, train, state, say):
    """The model and the data, and what the table of epochs will show."""
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


def _equals(config):
    """The sign between the loss and its terms; none where they do not add up to it."""
    return " " if objective_phrase(config.model) else "="
