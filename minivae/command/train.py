"""`minivae train`: its options, the presets that set them together, and a run's configuration from both."""

import argparse
import inspect
import traceback

from ..bounds import OBJECTIVES
from ..kernels import BACKENDS
from ..kernels.naive import ACTIVATIONS, PIXELS, SCALES
from ..optim import OPTIMIZERS
from ..parameters import DTYPES
from ..training.team import MPITeam, Team, launched
from ..vae import LIKELIHOODS
from .options import add_reading, complain, failure, interval, not_negative, positive, say, seed, whole

SUMMARY = "train a model and leave a run folder"
AT_RESUME = ("resume", "epochs", "data", "backend", "threads", "mpi", "checkpoint_every", "keep", "no_pictures")

# The defaults are PyTorch's basic VAE example on MNIST, 784-400-20-400-784.
PRESETS = {
    "mnist": {},
    "article": {
        "data": "pinwheel",
        "hidden": [128, 64],
        "decoder_hidden": [256, 128],
        "latent": 2,
        "likelihood": "gaussian",
        "epochs": 100,
    },
}


def defaults(option):
    """The defaults that the optimizers have for an option, for its help."""
    kinds = {name: inspect.signature(kind).parameters.get(option) for name, kind in OPTIMIZERS.items()}
    return ", ".join(f"{name} {found.default}" for name, found in kinds.items() if found)


def add(parser):
    """All options, in groups that read well in --help."""
    parser.argument_default = argparse.SUPPRESS  # only what is given is in the namespace; `Config` has the defaults
    add = parser.add_argument_group("data").add_argument
    add(
        "--data",
        metavar="NAME|FILE",
        help="mnist, rings, moons, pinwheel, or a .npy, .npz, .csv, .tsv, .txt, .parquet or IDX file, or a folder of"
        " pictures (docs/data.md)",
    )
    add("--pixels", choices=PIXELS, help="values as they are, 1 above 1/2, or drawn afresh at each use")
    add("--size", type=whole, metavar="N", help="use only N training examples")
    add("--test-fraction", type=positive, metavar="F", help="held out where a file has no test set (0.1)")
    add_reading(add)
    add("--standardize", action="store_true", help="each column to mean 0 and deviation 1; undone in what comes out")
    add("--scale-by", type=positive, metavar="S", help="divide all values by S; undone in what comes out")

    add = parser.add_argument_group("model").add_argument
    add("--preset", choices=PRESETS, help="defaults: PyTorch's MNIST example, or the seed article's model")
    add("--hidden", type=whole, nargs="*", metavar="N", help="the encoder's hidden widths (400)")
    add("--decoder-hidden", type=whole, nargs="*", metavar="N", help="the decoder's (the encoder's in reverse)")
    add("--latent", type=whole, metavar="N", help="latents (20)")
    add("--activation", choices=ACTIVATIONS, help="of the hidden layers (relu)")
    add("--scale", choices=SCALES, help="what makes sigma positive (softplus)")
    add("--likelihood", choices=LIKELIHOODS, help="by default bernoulli for values in [0, 1], else gaussian")
    add("--observation-sigma", type=positive, metavar="S", help="the gaussian likelihood's sigma (1)")
    add(
        "--learn-sigma",
        nargs="?",
        const=True,
        choices=("features",),
        help="make that sigma a parameter, or with `features` one for each feature",
    )
    add("--beta", type=not_negative, help="the weight of the KL term (1)")
    add("--beta-warmup-epochs", type=not_negative, metavar="N", help="let beta rise linearly from 0 over N epochs (0)")
    add("--free-bits", type=not_negative, metavar="R", help="nats of each latent's KL that cost nothing more (0)")
    add("--objective", choices=OBJECTIVES, help="the bound to train with (elbo)")
    add("--samples", type=whole, metavar="K", help="draws of z in each bound (1)")
    add("--outer", type=whole, metavar="M", help="bounds averaged: stl, dreg, miwae, piwae (1)")
    add("--dtype", choices=DTYPES)

    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=whole, metavar="N", help="passes over the data (10)")
    add("--batch-size", type=whole, metavar="N", help="examples in a minibatch (128)")
    add("--precision", choices=(*DTYPES, "bf16"), help="of the matrix products of a step (that of --dtype)")
    add("--optimizer", choices=sorted(OPTIMIZERS))
    add("--learning-rate", type=positive, metavar="R", help=f"by default {defaults('learning_rate')}")
    add("--schedule", choices=("constant", "step", "cosine", "plateau"), help="of the learning rate")
    add(
        "--decay-epochs",
        type=whole,
        metavar="N",
        help="multiply the rate by 0.1, step: every N epochs, plateau: after N without a better validation loss (10)",
    )
    add("--warmup-epochs", type=not_negative, metavar="N", help="cosine: rise linearly over N epochs first (0)")
    add("--momentum", type=not_negative, help=f"by default {defaults('momentum')}")
    add("--nesterov", action="store_true", help="sgd: Nesterov's momentum")
    add("--weight-decay", type=not_negative, help=f"by default {defaults('weight_decay')}")
    add("--clip-norm", type=positive, metavar="C", help="scale gradients down to this norm")
    add("--early-stopping", type=whole, metavar="N", help="stop after N epochs without a better validation loss")
    add("--validation-noise", choices=("fixed", "fresh"), help="the same draws after each epoch, or new ones")
    add(
        "--shards",
        type=whole,
        metavar="S",
        help="cut each batch into S minibatches, a power of two; numbers depend on S, and not on how many ranks of MPI"
        " share them out (one for each rank)",
    )
    add("--seed", type=seed, metavar="N", help="of parameters, shuffles and noise (0)")
    add("--backend", choices=("auto", *BACKENDS), help="the kernels to compute with (auto: the best present)")
    add("--threads", type=whole, metavar="N", help="of the cpu backend's kernels, at most (a thread for each core)")
    add(
        "--mpi",
        action=argparse.BooleanOptionalAction,
        help="be one of the ranks of MPI (where mpiexec or srun has started several processes)",
    )

    add = parser.add_argument_group("results").add_argument
    add("--out", metavar="RUN", help="the run folder (runs/DATA-1, -2, ...)")
    add(
        "--resume",
        metavar="RUN",
        help="go on with the run in that folder; of the other options only --epochs, --data (where its data are now),"
        " how these are read, --backend, --threads, --mpi, --checkpoint-every, --keep and --no-pictures may be given",
    )
    add(
        "--checkpoint-every",
        type=interval,
        metavar="N|Ns",
        help="save after every N steps, or N seconds, besides after each epoch (30s)",
    )
    add("--keep", type=whole, metavar="K", help="how many checkpoints to keep, besides the best (2)")
    add("--overwrite", action="store_true", help="replace the run in that folder")
    add("--no-pictures", action="store_true", help="draw nothing at the end")


def run(args):
    with make_team(vars(args).get("mpi", launched())) as team:
        with team.agreed():
            train = checked(args, team)
        return train()


def checked(args, team):
    """The training that is asked for, yet to be called; ValueError for options that do not go together."""
    from .. import __version__
    from ..runs import train
    from ..runs.config import READING, Results, part

    given = vars(args)
    if "resume" not in given:
        config = configuration(args, team)
        return lambda: train.start(config, say, team)
    refused = sorted(given.keys() - {"command", *AT_RESUME, *READING})
    if refused:
        option, resume, *others, last = ("--" + name.replace("_", "-") for name in (refused[0], *AT_RESUME))
        allowed = f"{', '.join(others)} or {last} with {resume}"
        raise ValueError(f"{option}: a resumed run keeps its own, expected only {allowed}")
    changed = {name: given[name] for name in ("epochs", "backend", "data") if name in given}
    changed["reading"] = {name: given[name] for name in READING if name in given}
    return lambda: train.resume(args.resume, part(Results, given), say, __version__, team, **changed)


def make_team(mpi):
    """The ranks of MPI, of which one speaks, and any that ends the job; or this process alone."""
    if not mpi:
        say.silent = False  # whatever has started it beside others, it speaks for itself
        return Team()
    try:
        team = MPITeam(report=lambda error: report(error, team.rank))
    except ValueError as error:
        without = ", or --no-mpi" if launched() else ""
        raise ValueError(str(error).replace("team:", "--mpi:", 1) + without) from error
    say.silent = team.rank > 0
    return team


def report(error, rank):
    """Says why this rank ends the job; its exit status."""
    say.silent = False
    line, status = failure(error, rank)
    if line is None:
        traceback.print_exception(error)
    else:
        complain(line)
    return status


def configuration(args, team=None):
    """The `Config` of a new run: the options that were given, over those that the preset sets."""
    from .. import __version__
    from ..runs.config import Config

    given = vars(args)
    preset = PRESETS[given.get("preset", "mnist")] | {"shards": team.size if team else 1}
    return Config.from_options(given, preset, __version__)
