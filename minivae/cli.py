"""The command line: `minivae train | evaluate | sample | reconstruct | gradcheck`.

Whatever a user can get wrong ends in one line on standard error and exit status 2; Ctrl-C ends with status 130.
"""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

PROG = "minivae"


def main(argv=None):
    """Runs one command and returns the exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        args = build_parser(_preset(arguments)).parse_args(arguments)
        return args.command(args) or 0
    except KeyboardInterrupt:
        print(f"{PROG}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader has gone; keep Python from complaining when it closes standard output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, ArithmeticError, OSError, MemoryError) as error:
        print(f"{PROG}: error: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
        return 2


def _preset(arguments):
    """The preset asked for, before the rest is parsed: it changes the other options' defaults."""
    finder = Parser(prog=f"{PROG} train", add_help=False, allow_abbrev=False)
    finder.add_argument("--preset", nargs="?")
    return finder.parse_known_args(arguments)[0].preset


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, without the usage in front."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def build_parser(preset=None):
    from . import options
    from .gradcheck import report

    parser = Parser(
        prog=PROG,
        description="A variational autoencoder from scratch: train one, look at it, measure it.",
        epilog="Start with `minivae train`: ten epochs on MNIST, and a folder of results.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name, function, summary):
        sub = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        sub.set_defaults(command=function)
        return sub

    train_parser = command("train", train, "train a model and leave a run folder")
    options.add_train(train_parser)
    train_parser.set_defaults(**options.PRESETS.get(preset, {}))

    def run_command(name, function, summary):
        sub = command(name, function, summary)
        sub.add_argument("run", metavar="RUN", help="a folder that minivae train made")
        sub.add_argument("--backend", default="auto", choices=("auto", *options.BACKENDS), help="kernels (auto)")
        sub.add_argument("--seed", type=options.seed, default=0, metavar="N", help="of the draws (0)")
        return sub

    sub = run_command("evaluate", evaluate, "measure a trained model on its held-out data")
    sub.add_argument("--pixels", choices=options.PIXELS, help="grey, threshold or dynamic (as in training)")
    sub.add_argument("--draws", type=options.whole, default=1, metavar="N", help="average over N noise draws (1)")
    sub.add_argument("--samples", type=options.whole, metavar="K", help="also log p(x) by K importance samples")
    sub.add_argument("--examples", type=options.whole, metavar="N", help="log p(x) of the first N examples only")

    sub = run_command("sample", sample, "decode draws from the prior")
    sub.add_argument("--count", type=options.whole, default=64, metavar="N", help="how many (64)")
    sub.add_argument("--out", metavar="FILE", help="a .png picture or .npy array (RUN/samples.png)")

    sub = run_command("reconstruct", reconstruct, "encode and decode held-out examples")
    sub.add_argument("--count", type=options.whole, default=30, metavar="N", help="how many (30)")
    sub.add_argument("--out", metavar="FILE", help="a .png picture or .npy array (RUN/reconstructions.png)")

    sub = command("gradcheck", gradcheck, "check every gradient, loss, sampler and kernel, and print the errors")
    report.add_arguments(sub)
    return parser


def train(args):
    import numpy as np

    from . import checkpoint, options, run, training
    from .pictures import draw_all, pixels_phrase
    from .vae import VAE

    data_choices = {"name": args.data, "size": args.size, "test_fraction": args.test_fraction, "seed": args.seed}
    if Path(args.data).exists():
        data_choices["name"] = str(Path(args.data).resolve())
    say(f"loading {args.data}")
    data = run.load(data_choices)
    likelihood = args.likelihood or ("bernoulli" if _in_unit_interval(data.train) else "gaussian")
    model = VAE(
        data.features,
        args.latent,
        tuple(args.hidden),
        args.activation,
        args.scale,
        likelihood,
        decoder_hidden=None if args.decoder_hidden is None else tuple(args.decoder_hidden),
        observation_sigma=args.observation_sigma,
        learn_sigma=args.learn_sigma,
        beta=args.beta,
        dtype=args.dtype,
        backend=args.backend,
        seed=args.seed,
    )
    steps_per_epoch = -(-len(data.train) // min(args.batch_size, len(data.train)))
    optimizer = options.make_optimizer(args, steps_per_epoch)
    settings = {
        "validation": data.test,
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        "pixels": args.pixels,
        "validation_noise": args.validation_noise,
        "early_stopping": args.early_stopping,
        "seed": args.seed,
    }
    training.check_arguments(model, data.train, **settings)

    stem = Path(args.data).name.split(".")[0] or "run"
    folder = run.claim_folder(args.out or run.free_folder(stem), args.overwrite)
    run.check_space(folder, model)
    chosen = ("preset", "epochs", "batch_size", "pixels", "optimizer", "learning_rate", "schedule", "decay_epochs")
    chosen += ("warmup_epochs", "momentum", "nesterov", "weight_decay", "clip_norm", "early_stopping")
    config = {
        "minivae": _version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "backend": model.backend.name,
        "data": data_choices | {"fingerprint": data.fingerprint()},
        "model": model.config,
        "training": {key: getattr(args, key) for key in (*chosen, "validation_noise", "seed")},
    }
    run.write_config(folder, config)

    widths = "-".join(
        map(str, (data.features, *args.hidden, args.latent, *model.config["decoder_hidden"], data.features))
    )
    say(
        f"{widths}, {args.activation}, {likelihood}, sigma = {args.scale}(rho), {model.store.flat.size:,} parameters, "
        f"{model.dtype}, {model.backend.name} backend"
    )
    say(f"{len(data.train):,} training and {len(data.test):,} held-out examples, results in {folder}")
    say(f"nats per example, {pixels_phrase(data, args.pixels)}:")
    say("epoch     train  held out  =    nll  +     KL  active  examples/s")
    history = training.History()

    def on_epoch(row):
        history.add(row)
        say(
            f"{row['epoch']:5d} {row['train_loss']:9.2f} {row['validation_loss']:9.2f}  = {row['validation_nll']:7.2f} "
            f"+ {row['validation_kl']:6.2f} {row['active_units']:7d} {row['examples_per_second']:11,.0f}"
        )
        checkpoint.save(folder / run.CHECKPOINT, model, optimizer, extra={"epoch": row["epoch"]})
        run.write_history(folder, history)

    started = time.perf_counter()
    stopped = training.fit(model, data.train, optimizer=optimizer, on_epoch=on_epoch, **settings).stopped
    seconds = time.perf_counter() - started
    checkpoint.save(folder / run.CHECKPOINT, model, optimizer, extra={"stopped": stopped})
    if stopped == "interrupted":
        say(f"interrupted after step {optimizer.steps:,}; the model is saved in {folder / run.CHECKPOINT}")
        return 130
    ending = "stopped early, the best parameters kept" if stopped == "early" else "done"
    say(f"{ending} in {seconds:.1f} s")
    if not args.no_pictures:
        paths = draw_all(folder, config, model, data, history)
        say(f"pictures: {', '.join(path.name for path in paths)}")
    return 0


def evaluate(args):
    import numpy as np

    from . import run
    from .evaluation import Evaluator
    from .pictures import pixels_phrase

    config, model, data = run.open_run(args.run, args.backend)
    pixels = args.pixels or config["training"]["pixels"]
    evaluator = Evaluator(model, data.test, pixels=pixels, seed=args.seed)
    draws = [evaluator(draw) for draw in range(args.draws)]
    mean = {term: float(np.mean([getattr(draw, term) for draw in draws])) for term in ("nll", "kl")}
    result = {
        "data": data.name,
        "examples": len(data.test),
        "pixels": pixels,
        "unit": "nats per example",
        "draws": args.draws,
        "elbo": -(mean["nll"] + mean["kl"]),
        **mean,
        "active_units": draws[0].active_units,
        "kl_per_latent": [float(kl) for kl in draws[0].kl_per_latent],
    }
    say(f"{len(data.test):,} held-out examples of {data.name}, {pixels_phrase(data, pixels)}, nats per example:")
    say(f"ELBO  {result['elbo']:10.3f}  = -(nll {mean['nll']:.3f} + KL {mean['kl']:.3f}), {args.draws} draw(s) of z")
    say(f"active units {result['active_units']} of {model.latent} (variance of the posterior mean above 0.01)")
    if args.samples:
        values = run.unit_values(data.test[: args.examples], pixels, args.seed)
        likelihood = model.log_likelihood(values, samples=args.samples, seed=args.seed)
        result |= {
            "log_likelihood": float(likelihood.mean()),
            "samples": args.samples,
            "log_likelihood_examples": len(values),
        }
        say(f"log p(x) {likelihood.mean():7.3f}  by {args.samples:,} importance samples, {len(values):,} examples")
    path = Path(args.run) / "evaluation.json"
    run.write_text(path, json.dumps(result, indent=2) + "\n")
    say(f"written to {path}")


def sample(args):
    from . import run
    from .pictures import draw_samples

    _, model, data = run.open_run(args.run, args.backend)
    path = _result_path(args.out or Path(args.run) / "samples.png")
    if path.suffix == ".npy":
        _save_array(path, model.sample(args.count, seed=args.seed))
    else:
        draw_samples(path, model, data, args.count, args.seed)
    say(f"{args.count} samples in {path}")


def reconstruct(args):
    from . import run
    from .pictures import draw_reconstructions

    config, model, data = run.open_run(args.run, args.backend)
    pixels = config["training"]["pixels"]
    path = _result_path(args.out or Path(args.run) / "reconstructions.png")
    count = min(args.count, len(data.test))
    if path.suffix == ".npy":
        _save_array(path, model.reconstruct(run.unit_values(data.test[:count], pixels, args.seed)))
    else:
        draw_reconstructions(path, model, data, pixels, count, args.seed)
    say(f"{count} reconstructions in {path}")


def gradcheck(args):
    from .gradcheck import report

    return report.main(args)


def say(line):
    """One line of progress; flushed, so that it shows at once in a pipe too."""
    print(line, flush=True)


def _in_unit_interval(values):
    return values.dtype == "uint8" or (values.min() >= 0 and values.max() <= 1)


def _version():
    from . import __version__

    return __version__


def _result_path(path):
    path = Path(path)
    if path.suffix not in (".png", ".npy"):
        raise ValueError(f"--out: got {str(path)!r}, expected a name that ends in .png or .npy")
    return path


def _save_array(path, array):
    import numpy as np

    from .atomic import replacing

    with replacing(path) as file:
        np.save(file, array)
