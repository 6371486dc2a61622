"""The options of `minivae train`, and the presets that set them together."""

from .. import optim, schedules
from ..bounds import OBJECTIVES
from ..kernels import BACKENDS
from ..kernels.naive import ACTIVATIONS, PIXELS, SCALES
from ..parameters import DTYPES
from ..vae import LIKELIHOODS

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


def whole(text):
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def positive(text):
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


def not_negative(text):
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError
    return value


def seed(text):
    value = int(text)
    if not 0 <= value < 2**64:
        raise ValueError
    return value


def interval(text):
    """(steps, None) or (None, seconds)."""
    return (None, positive(text[:-1])) if text.endswith("s") else (whole(text), None)


# argparse puts these into its message: "invalid whole number of at least 1 value: 'x'"
whole.__name__ = "whole number of at least 1,"
positive.__name__ = "number above 0,"
not_negative.__name__ = "number of 0 or more,"
interval.__name__ = "number of steps, or of seconds as in 30s,"
seed.__name__ = "whole number from 0 to 2^64 - 1,"


def add_train(parser):
    """All options of `minivae train`, in groups that read well in --help."""
    add = parser.add_argument_group("data").add_argument
    add(
        "--data",
        default="mnist",
        metavar="NAME|FILE",
        help="mnist, rings, moons, pinwheel, or a .npy, .npz, .csv or IDX file",
    )
    add("--pixels", default="grey", choices=PIXELS, help="values as they are, 1 above 1/2, or drawn afresh at each use")
    add("--size", type=whole, metavar="N", help="use only N training examples")
    add("--test-fraction", type=positive, default=0.1, metavar="F", help="held out where a file has no test set (0.1)")

    add = parser.add_argument_group("model").add_argument
    add(
        "--preset",
        default="mnist",
        choices=PRESETS,
        help="defaults: PyTorch's MNIST example, or the seed article's model",
    )
    add("--hidden", type=whole, nargs="*", default=[400], metavar="N", help="the encoder's hidden widths (400)")
    add("--decoder-hidden", type=whole, nargs="*", metavar="N", help="the decoder's (the encoder's in reverse)")
    add("--latent", type=whole, default=20, metavar="N", help="latents (20)")
    add("--activation", default="relu", choices=ACTIVATIONS, help="of the hidden layers (relu)")
    add("--scale", default="softplus", choices=SCALES, help="what makes sigma positive (softplus)")
    add("--likelihood", choices=LIKELIHOODS, help="bernoulli for bytes and for values in [0, 1], else gaussian")
    add("--observation-sigma", type=positive, default=1.0, metavar="S", help="the gaussian likelihood's sigma (1)")
    add("--learn-sigma", action="store_true", help="make that sigma a parameter")
    add("--beta", type=not_negative, default=1.0, help="the weight of the KL term (1)")
    add("--objective", default="elbo", choices=OBJECTIVES, help="the bound to train with (elbo)")
    add("--samples", type=whole, default=1, metavar="K", help="draws of z in each bound (1)")
    add("--outer", type=whole, default=1, metavar="M", help="bounds averaged: stl, dreg, miwae, piwae (1)")
    add("--dtype", default="float32", choices=DTYPES)

    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=whole, default=10, metavar="N", help="passes over the data (10)")
    add("--batch-size", type=whole, default=128, metavar="N", help="examples in a minibatch (128)")
    add("--optimizer", default="adam", choices=("adam", "adamw", "sgd"))
    add("--learning-rate", type=positive, metavar="R", help="0.001, for sgd 0.01")
    add("--schedule", default="constant", choices=("constant", "step", "cosine"), help="of the learning rate")
    add(
        "--decay-epochs", type=whole, default=10, metavar="N", help="step: multiply the rate by 0.1 every N epochs (10)"
    )
    add(
        "--warmup-epochs",
        type=not_negative,
        default=0.0,
        metavar="N",
        help="cosine: rise linearly over N epochs first (0)",
    )
    add("--momentum", type=not_negative, default=0.0, help="sgd (0)")
    add("--nesterov", action="store_true", help="sgd: Nesterov's momentum")
    add("--weight-decay", type=not_negative, default=0.01, help="adamw (0.01)")
    add("--clip-norm", type=positive, metavar="C", help="scale gradients down to this norm")
    add("--early-stopping", type=whole, metavar="N", help="stop after N epochs without a better validation loss")
    add(
        "--validation-noise",
        default="fixed",
        choices=("fixed", "fresh"),
        help="the same draws after each epoch, or new ones",
    )
    add("--seed", type=seed, default=0, metavar="N", help="of parameters, shuffles and noise (0)")
    add(
        "--backend",
        default="auto",
        choices=("auto", *BACKENDS),
        help="the kernels to compute with (auto: the best present)",
    )

    add = parser.add_argument_group("results").add_argument
    add("--out", metavar="RUN", help="the run folder (runs/DATA-1, -2, ...)")
    add(
        "--resume",
        metavar="RUN",
        help="go on with the run in that folder; of the other options only --epochs, --backend,"
        " --checkpoint-every, --keep and --no-pictures may be given",
    )
    add(
        "--checkpoint-every",
        type=interval,
        default=(None, 30.0),
        metavar="N|Ns",
        help="save after every N steps, or N seconds, besides after each epoch (30s)",
    )
    add("--keep", type=whole, default=2, metavar="K", help="how many checkpoints to keep, besides the best (2)")
    add("--overwrite", action="store_true", help="replace the run in that folder")
    add("--no-pictures", action="store_true", help="draw nothing at the end")


def make_optimizer(args, steps_per_epoch):
    """The optimizer and its schedule that the options ask for."""
    rate = args.learning_rate or (1e-2 if args.optimizer == "sgd" else 1e-3)
    if args.schedule == "step":
        rate = schedules.StepDecay(rate, args.decay_epochs * steps_per_epoch)
    elif args.schedule == "cosine":
        rate = schedules.Cosine(rate, args.epochs * steps_per_epoch, round(args.warmup_epochs * steps_per_epoch))
    if args.optimizer == "sgd":
        return optim.SGD(rate, args.momentum, args.nesterov, clip_norm=args.clip_norm)
    if args.optimizer == "adamw":
        return optim.AdamW(rate, weight_decay=args.weight_decay, clip_norm=args.clip_norm)
    return optim.Adam(rate, clip_norm=args.clip_norm)
