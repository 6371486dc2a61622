"""`minivae train`: a run from its options, or one that goes on from where it stopped."""

import platform
import time
from argparse import Namespace
from pathlib import Path

import numpy as np

from ..command import options
from ..training import fit as training
from ..training.state import History
from ..vae import VAE
from . import checkpoint
from . import folder as run
from .pictures import draw_all, objective_phrase, pixels_phrase
from .saver import Saver


def start(args, say, version):
    """A new run. Nothing is written before every option and the data are known to be good."""
    data_choices = {"name": args.data, "size": args.size, "test_fraction": args.test_fraction, "seed": args.seed}
    if Path(args.data).exists():
        data_choices["name"] = str(Path(args.data).resolve())
    say(f"loading {args.data}")
    data = run.load(data_choices)
    model = VAE(
        data.features,
        args.latent,
        tuple(args.hidden),
        args.activation,
        args.scale,
        args.likelihood or ("bernoulli" if _in_unit_interval(data.train) else "gaussian"),
        decoder_hidden=None if args.decoder_hidden is None else tuple(args.decoder_hidden),
        observation_sigma=args.observation_sigma,
        learn_sigma=args.learn_sigma,
        beta=args.beta,
        objective=args.objective,
        samples=args.samples,
        outer=args.outer,
        dtype=args.dtype,
        backend=args.backend,
        seed=args.seed,
    )
    chosen = ("preset", "epochs", "batch_size", "pixels", "optimizer", "learning_rate", "schedule", "decay_epochs")
    chosen += ("warmup_epochs", "momentum", "nesterov", "weight_decay", "clip_norm", "early_stopping")
    config = {
        "minivae": version,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "backend": model.backend.name,
        "data": data_choices | {"fingerprint": data.fingerprint()},
        "model": model.config,
        "training": {key: getattr(args, key) for key in (*chosen, "validation_noise", "seed")},
    }
    arguments, data = _arguments(config, data, model), data.held_out()
    stem = Path(args.data).name.split(".")[0] or "run"
    with run.claimed(args.out or run.free_folder(stem), args.overwrite) as folder:
        run.check_space(folder, model, args.keep)
        run.write_config(folder, config)
        return _train(args, say, folder, config, data, model, arguments, None)


def resume(args, say):
    """The run in the folder `args.resume`, from its last good checkpoint; from its beginning if it has none yet."""
    folder = Path(args.resume)
    if not folder.is_dir():
        raise ValueError(f"--resume: {folder} is no folder, expected one that minivae train made")
    with run.locked(folder):
        model, state, config = _last_good(folder, args.backend, say)
        say(f"loading {config['data']['name']}")
        data = run.load(config["data"])
        if data.fingerprint() != config["data"]["fingerprint"]:
            raise ValueError(f"--resume: {config['data']['name']} is not the data this run was trained on")
        if args.epochs not in (None, config["training"]["epochs"]):
            if config["training"].get("schedule") == "cosine":
                raise ValueError(
                    "--epochs: cannot be changed, since the cosine schedule was laid out for the run's own"
                )
            if state and args.epochs < state.history.epochs:
                raise ValueError(f"--epochs: got {args.epochs}, expected at least the {state.history.epochs} done")
            config["training"]["epochs"] = args.epochs
        arguments, data = _arguments(config, data, model), data.held_out()
        run.remove_unfinished(folder, run.FILES)
        run.write_config(folder, config)
        if state and state.history:
            run.write_history(folder, state.history)
        return _train(args, say, folder, config, data, model, arguments, state)


def _last_good(folder, backend, say):
    """(model, state or None, config) of the newest checkpoint of a run that can be read."""
    paths = [path for path in (folder / run.CHECKPOINT, *run.earlier_checkpoints(folder)) if path.exists()]
    failure = None
    for path in paths:
        try:
            model, state, extra = checkpoint.load_state(path, _backend(folder, backend))
            config = extra.get("config")
            run.check_config(config)
            return model, state, config
        except (ValueError, TypeError, KeyError) as error:
            failure = failure or error
            say(f"cannot go on from {path.name}: {error}")
    if failure:
        raise ValueError(f"--resume: {failure}")
    config = run.read_config(folder)
    try:
        return VAE(**config["model"], backend=_backend(folder, backend)), None, config
    except (TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise ValueError(f"--resume: {folder / run.CONFIG} describes no model ({error})") from error


def _backend(folder, backend):
    """The run's own, since another would give other roundings; unless one is asked for."""
    if backend == "auto" and (folder / run.CONFIG).exists():
        return run.read_config(folder)["backend"]
    return backend


def _arguments(config, data, model):
    """What `fit` is called with, checked."""
    choices = config["training"]
    keys = ("epochs", "batch_size", "pixels", "validation_noise", "early_stopping", "seed")
    try:
        settings = {"train": data.train, "validation": data.test} | {key: choices[key] for key in keys}
        training.check_arguments(model, **settings)
        steps_per_epoch = -(-len(data.train) // min(choices["batch_size"], len(data.train)))
        optimizer = options.make_optimizer(Namespace(**choices), steps_per_epoch)
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"run: the configuration describes no training ({error})") from error
    return settings | {"optimizer": optimizer}


def _train(args, say, folder, config, data, model, arguments, state):
    spec, pixels = model.config, config["training"]["pixels"]
    layers = (data.features, *spec["hidden"], model.latent, *spec["decoder_hidden"], data.features)
    say(
        f"{'-'.join(map(str, layers))}, {spec['activation']}, {spec['likelihood']}, sigma = {spec['scale']}(rho), "
        f"{model.store.flat.size:,} parameters, {model.dtype}, {model.backend.name} backend"
    )
    say(f"{len(arguments['train']):,} training and {len(data.test):,} held-out examples, results in {folder}")
    if state:
        say(f"going on after step {state.step:,}, {state.history.epochs} of {arguments['epochs']} epochs are done")
    say(f"nats per example, {pixels_phrase(data, pixels)}:")
    if model.bound is not None:
        say(f"{objective_phrase(model)}; nll and KL are those of the ELBO")
    equals = "=" if model.bound is None else " "
    say(f"epoch     train  held out  {equals}    nll  +     KL  active  examples/s")
    history = state.history.copy() if state else History()

    def on_epoch(row):
        history.add(row)
        say(
            f"{row['epoch']:5d} {row['train_loss']:9.2f} {row['validation_loss']:9.2f}  {equals} "
            f"{row['validation_nll']:7.2f} + {row['validation_kl']:6.2f} {row['active_units']:7d} "
            f"{row['examples_per_second']:11,.0f}"
        )
        run.write_history(folder, history)

    started = time.perf_counter()
    steps, seconds = args.checkpoint_every
    optimizer = arguments.pop("optimizer")
    if state and state.finished and state.history.stopped == "early":
        model.backend.assign(model.store.flat, state.best[1])
        stopped = "early"
    else:
        with Saver(folder, model, config, args.keep, state and state.step) as saver:
            stopped = training.fit(
                model,
                arguments.pop("train"),  # nothing else holds the rows: their memory is free for the pictures
                optimizer=optimizer,
                on_epoch=on_epoch,
                start=state,
                on_checkpoint=saver,
                checkpoint_steps=steps,
                checkpoint_seconds=seconds,
                **arguments,
            ).stopped
    if stopped == "interrupted":
        say(f"interrupted after step {optimizer.steps:,}; go on with: minivae train --resume {folder}")
        return 130
    del optimizer  # and its moments
    ending = "stopped early, the best parameters kept" if stopped == "early" else "done"
    say(f"{ending} in {time.perf_counter() - started:.1f} s")
    if not args.no_pictures:
        paths = draw_all(folder, config, model, data, history)
        say(f"pictures: {', '.join(path.name for path in paths)}")
    return 0


def _in_unit_interval(values):
    return values.dtype == "uint8" or (values.min() >= 0 and values.max() <= 1)
