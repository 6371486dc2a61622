"""The command line: `minivae train | evaluate | sample | reconstruct | gradcheck | bench | lab`.

Whatever a user can get wrong ends in one line on standard error and exit status 2; Ctrl-C ends with status 130 and the
signal to terminate with 143, training only after its current step is made and saved.
"""

import argparse
import atexit
import gc
import json
import os
import sys
import time
from pathlib import Path

from ..training.interrupts import Termination

PROG = "minivae"


def main(argv=None):
    """Runs one command and returns the exit status."""
    if argv is None:
        # At its end a program gives all memory back anyway: looking for garbage in it first takes 0.3 s.
        atexit.register(gc.freeze)
    arguments = sys.argv[1:] if argv is None else list(argv)
    with Termination() as termination:
        status = _run(arguments)
    return 143 if status == 130 and termination.requested else status


def _run(arguments):
    try:
        args = build_parser(_preset(arguments)).parse_args(arguments)
        if getattr(args, "resume", None):
            _check_resume(arguments, args)
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


def _check_resume(arguments, args):
    """A run that goes on keeps its choices: only what does not touch its numbers may be given with --resume."""
    absent = object()
    parser = build_parser(defaults=dict.fromkeys(vars(args), absent))
    given = {name for name, value in vars(parser.parse_args(arguments)).items() if value is not absent}
    refused = sorted(given - {"resume", "epochs", "backend", "checkpoint_every", "keep", "no_pictures"})
    if refused:
        option = "--" + refused[0].replace("_", "-")
        raise ValueError(
            f"{option}: a resumed run keeps its own, expected only --epochs, --backend, "
            "--checkpoint-every, --keep or --no-pictures with --resume"
        )
    if "epochs" not in given:
        args.epochs = None


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, without the usage in front."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def build_parser(preset=None, defaults=None):
    from ..gradcheck import report
    from ..lab import EXPERIMENTS
    from . import options

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
    train_parser.set_defaults(**(defaults or options.PRESETS.get(preset, {})))

    def run_command(name, function, summary):
        sub = command(name, function, summary)
        sub.add_argument("run", metavar="RUN", help="a folder that minivae train made")
        sub.add_argument("--best", action="store_true", help="the model of the epoch with the lowest validation loss")
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

    sub = command("bench", bench, "time the kernels of this machine's backends, each in a process of its own")
    sub.add_argument("--backend", choices=("cpu", "numpy"), help="only this one (all there are)")
    sub.add_argument("--ladder", action="store_true", help="a matrix product instead, from three loops to the fast one")
    sub.add_argument("--verify-only", action="store_true", help="check the results against float64, and time nothing")
    sub.add_argument("--out", metavar="FILE", help="also write the figures to a .json file")

    sub = command("lab", lab, "measure gradient estimators and bounds against theory")
    sub.add_argument("experiment", choices=("all", *EXPERIMENTS), help="; ".join(map(": ".join, EXPERIMENTS.items())))
    sub.add_argument("--out", default="lab", metavar="DIR", help="where tables and figures go (lab)")
    sub.add_argument("--seed", type=options.seed, default=0, metavar="N", help="of the draws (0)")
    return parser


def train(args):
    from ..runs import train as trainer

    return trainer.resume(args, say) if args.resume else trainer.start(args, say, _version())


def evaluate(args):
    import numpy as np

    from ..evaluation import importance
    from ..evaluation.held_out import Evaluator
    from ..runs import folder as run
    from ..runs.pictures import pixels_phrase

    config, model, data = run.open_run(args.run, args.backend, args.best)
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
        found = importance.estimate(model, values, args.samples, args.seed)
        summary = found.summary()
        result |= summary | {"samples": args.samples, "log_likelihood_examples": len(values)}
        errors = {"draws": summary["sampling_error"], "data": summary["data_error"]}
        errors = ", ".join(f"{error:.3f} from the {source}" for source, error in errors.items() if error is not None)
        say(
            f"log p(x) {summary['log_likelihood']:7.3f}  by {args.samples:,} importance samples, "
            f"{len(values):,} examples"
        )
        say(f"standard error of that mean: {errors or 'unknown'}")
        say(f"effective samples {summary['effective_samples']:.1f} of {args.samples:,} (median over examples)")
        say("bound with K draws: " + ", ".join(f"{k}: {bound:.2f}" for k, bound in summary["bounds"].items()))
    path = Path(args.run) / "evaluation.json"
    run.write_text(path, json.dumps(result, indent=2) + "\n")
    say(f"written to {path}")


def sample(args):
    from ..runs import folder as run
    from ..runs.pictures import draw_samples

    _, model, data = run.open_run(args.run, args.backend, args.best)
    path = _result_path(args.out or Path(args.run) / "samples.png")
    if path.suffix == ".npy":
        _save_array(path, model.sample(args.count, seed=args.seed))
    else:
        draw_samples(path, model, data, args.count, args.seed)
    say(f"{args.count} samples in {path}")


def reconstruct(args):
    from ..runs import folder as run
    from ..runs.pictures import draw_reconstructions

    config, model, data = run.open_run(args.run, args.backend, args.best)
    pixels = config["training"]["pixels"]
    path = _result_path(args.out or Path(args.run) / "reconstructions.png")
    count = min(args.count, len(data.test))
    if path.suffix == ".npy":
        _save_array(path, model.reconstruct(run.unit_values(data.test[:count], pixels, args.seed)))
    else:
        draw_reconstructions(path, model, data, pixels, count, args.seed)
    say(f"{count} reconstructions in {path}")


def gradcheck(args):
    from ..gradcheck import report

    return report.main(args)


def bench(args):
    if args.ladder:
        from ..kernels.ladder import measure as kernels
    else:
        from ..kernels import bench as kernels
    if args.out and Path(args.out).suffix != ".json":
        raise ValueError(f"--out: got {args.out!r}, expected a name that ends in .json")
    results = kernels.run(args.backend and [args.backend], args.verify_only, say)
    if args.verify_only:
        for backend, result in results.items():
            say(f"{backend}: {len(result['verified'])} results agree with float64")
    else:
        for line in kernels.table(results):
            say(line)
    if args.out:
        from ..runs import folder as run

        run.write_text(args.out, json.dumps(results, indent=1) + "\n")
        say(f"written to {args.out}")


def lab(args):
    from .. import lab as laboratory

    folder = Path(args.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out: cannot make {folder}: {error.strerror or error}, expected a folder") from error
    for name in laboratory.EXPERIMENTS if args.experiment == "all" else (args.experiment,):
        say(f"{name}: {laboratory.EXPERIMENTS[name]}")
        started = time.perf_counter()
        for line in laboratory.run(name, folder, args.seed):
            say(f"  {line}")
        say(f"  {time.perf_counter() - started:.1f} s, tables and figures in {folder}")


def say(line):
    """One line of progress; flushed, so that it shows at once in a pipe too."""
    print(line, flush=True)


def _version():
    from .. import __version__

    return __version__


def _result_path(path):
    path = Path(path)
    if path.suffix not in (".png", ".npy"):
        raise ValueError(f"--out: got {str(path)!r}, expected a name that ends in .png or .npy")
    return path


def _save_array(path, array):
    import numpy as np

    from ..files.atomic import replacing

    with replacing(path) as file:
        np.save(file, array)
