"""The lower bound on MNIST against the number of training examples: figure 2 of Kingma and Welling, "Auto-Encoding
Variational Bayes" (arXiv:1312.6114).

    python -m benchmarks.aevb --seeds 0 1             five latent sizes to ten million examples each
    python -m benchmarks.aevb --latent 20 --passes 20   one size to one million
    python -m benchmarks.aevb --table                 trains nothing; prints what --out holds

The paper's recipe: 500 tanh units in encoder and decoder, parameters from a Gaussian of standard deviation 0.01,
minibatches of 100, one draw of z, Adagrad with a prior N(0, I) on the parameters, its step size of 0.01, 0.02 and 0.1
the one with the best training bound after the first 100,000 examples. Grey values are the probabilities of pixels.
The bound on the 10,000 test examples is taken after each pass over the 50,000 training examples; that of training is
the mean over the pass, as it was trained on.

Where the paper is silent or ambiguous: N(0, 0.01) is read as a standard deviation of 0.01 and MNIST as its usual
50,000 examples of grey values, as in the first author's code of that time (github.com/dpkingma/anglepy). It differs in
that each pass takes every example once, where that code draws with replacement; that the encoder puts out log sigma
instead of log sigma^2; and that the prior is on biases too, which the paper says and that code does not.

The same command after an interruption goes on from the checkpoints in --work. Two processes with other --latent may
share --out.
"""

import argparse
import functools
import json
import math
import os
import sys
from pathlib import Path

import numpy as np

import minivae as mv
from minivae.command import options
from minivae.files.atomic import write_text
from minivae.kernels import BACKENDS
from minivae.plotting import style
from minivae.runs import machine

from . import resumable

TRAIN, BATCH, PASSES = 50_000, 100, 200
STEP_SIZES = (0.01, 0.02, 0.1)
INITIAL = 0.01  # standard deviation of the initial parameters
FIRST = 2  # passes after which the step size is chosen
# Points of the curves "AEVB (test)" and "AEVB (train)" of figure 2, nats: the coordinates of the lines in the paper's
# PDF (version 10), whose graphics are no pixels, scaled by those of the ticks. The curves scatter by 0.2 to 0.3 nats.
EXAMPLES = (300_000, 1_000_000, 3_000_000, 10_000_000)
PUBLISHED = {
    3: ((-168.4, -153.0, -143.7, -138.0), (-189.7, -155.3, -144.8, -138.3)),
    5: ((-155.9, -138.9, -129.2, -124.1), (-186.7, -141.0, -129.7, -123.7)),
    10: ((-148.9, -128.3, -115.8, -108.5), (-186.0, -129.6, -116.0, -107.7)),
    20: ((-150.5, -124.2, -112.4, -104.8), (-192.2, -126.3, -112.7, -104.2)),
    200: ((-145.2, -119.8, -108.7, -103.9), (-185.1, -121.8, -108.6, -103.3)),
}


def build(latent, seed, initial, backend):
    model = mv.VAE(784, latent, (500,), "tanh", "exp", seed=seed, backend=backend)
    rng = np.random.default_rng([seed, latent])
    for name, array in model.parameters.items():
        model.parameters[name] = rng.normal(0.0, initial, array.shape)
    return model


def train(latent, rate, seed, passes, arguments, data):
    """The history of so many passes; None where training diverged."""
    other = "" if arguments.initial == INITIAL else f"-initial{arguments.initial}"
    path = Path(arguments.work) / f"latent{latent}-rate{rate}-seed{seed}{other}.npz"

    def tell(row):
        if row["epoch"] % 10 == 0:
            at = f"{row['epoch'] * len(data[0]):,} examples"
            print(f"{path.stem}: {at}, test {-row['validation_loss']:.2f}, train {-row['train_loss']:.2f}", flush=True)

    optimizer = mv.Adagrad(rate, weight_decay=1 / len(data[0]))
    options = {"batch_size": BATCH, "optimizer": optimizer, "validation": data[1], "seed": seed, "on_epoch": tell}
    make = functools.partial(build, latent, seed, arguments.initial, arguments.backend)
    try:
        return resumable.fit(path, make, data[0], passes, backend=arguments.backend, **options)[1]
    except mv.TrainingDiverged:
        return None


def measure(latent, seed, arguments, data):
    """A row of the results: the step size as the paper chose it, then the curves."""
    first = {}
    for rate in STEP_SIZES:
        history = train(latent, rate, seed, min(FIRST, arguments.passes), arguments, data)
        loss = math.inf if history is None else history["train_loss"][min(FIRST, arguments.passes) - 1]
        first[rate] = -loss if math.isfinite(loss) else None
    rate = max(first, key=lambda rate: -math.inf if first[rate] is None else first[rate])
    history = train(latent, rate, seed, arguments.passes, arguments, data)
    if history is None:
        raise ValueError(f"{latent} latents, seed {seed}: training diverged with the best step size, {rate}")
    kept = sorted({min(arguments.passes, round(1.25**i)) for i in range(40)} - {0})
    return {
        "latent": latent,
        "seed": seed,
        "step_size": rate,
        "train_bound_after_first_passes": first,
        "examples": [passes * len(data[0]) for passes in kept],
        "test": [-history["validation_loss"][passes - 1] for passes in kept],
        "train": [-history["train_loss"][passes - 1] for passes in kept],
        "active_units": history["active_units"][arguments.passes - 1],
        "seconds_training": resumable.seconds(history, len(data[0])),
    }


def table(results):
    """The bounds beside the paper's, a line for each size, the seeds side by side, at the most examples that the figure
    was read at and that all seeds have reached.
    """
    lines = [
        "| latents | examples | test, ours | published | worst difference | train, ours | published | step size | "
        "active units |",
        "| --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for latent in sorted({row["latent"] for row in results}):
        rows = [row for row in results if row["latent"] == latent]
        reached = [i for i, examples in enumerate(EXAMPLES) if all(row["examples"][-1] >= examples for row in rows)]
        if reached:
            examples = EXAMPLES[reached[-1]]
            test, train = (
                [float(np.interp(np.log(examples), np.log(row["examples"]), row[key])) for row in rows]
                for key in ("test", "train")
            )
            published, published_train = (values[reached[-1]] for values in PUBLISHED[latent])
            worst = max((value - published for value in test), key=abs)
            ours, train_ours = (", ".join(f"{value:.2f}" for value in values) for values in (test, train))
            cells = [str(latent), f"{examples:,}", ours, f"{published:.1f}", f"{worst:+.2f}", train_ours]
            cells += [f"{published_train:.1f}"]
            cells += [", ".join(str(row[key]) for row in rows) for key in ("step_size", "active_units")]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def picture(results, path):
    """The curves of the first seed of each size, the paper's points on them."""
    sizes = sorted({row["latent"] for row in results})
    title = "Lower bound on MNIST against training examples, in nats"
    subtitle = "lines: minivae; points: read from figure 2 of arXiv:1312.6114"
    figure = style.new_figure(style.WIDTH, 2.7, title, subtitle)
    panels = np.atleast_1d(figure.subplots(1, len(sizes), sharey=True))
    for axes, latent in zip(panels, sizes, strict=True):
        row = next(row for row in results if row["latent"] == latent)
        style.style_axes(axes, f"{latent} latents", xlabel="examples", ylabel="nats" if axes is panels[0] else None)
        kinds = ((style.VALIDATION, "test", "o"), (style.TRAIN, "train", "s"))
        for (colour, kind, marker), published in zip(kinds, PUBLISHED[latent], strict=True):
            axes.plot(row["examples"], row[kind], color=colour, linewidth=1.4, label=kind)
            axes.plot(EXAMPLES, published, marker, color=colour, markersize=4.5, markeredgecolor="white")
        axes.set(xscale="log", ylim=(-170, -95), xlim=(5e4, 1.3e7))
        axes.minorticks_off()
    panels[0].legend(fontsize=style.TICK, frameon=False, loc="upper left")
    style.finish(figure, style.check_path(path))


def results_with(path, row=None, arguments=None):
    """The rows in the file, one of which is replaced or added first if one is given."""
    path = Path(path)
    document = json.loads(path.read_text()) if path.exists() else {"results": []}
    if row is not None:
        same = ("latent", "seed")
        others = [old for old in document["results"] if any(old[key] != row[key] for key in same)]
        document = {
            "what": "the lower bound on MNIST, nats per example, after figure 2 of arXiv:1312.6114",
            "backend": (backend := mv.VAE(1, 1, (), backend=arguments.backend).backend.name),
            "machine": machine.described(backend, mv.__version__) | {"cores": os.cpu_count()},
            "published": {"examples": EXAMPLES, "test and train": PUBLISHED},
            "results": sorted([*others, row], key=lambda row: [row[key] for key in same]),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(document, indent=1) + "\n")
    return document["results"]


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.aevb", description=__doc__.split("\n\n")[0])
    parser.add_argument("--latent", type=int, nargs="+", default=list(PUBLISHED), choices=PUBLISHED, metavar="N")
    parser.add_argument("--seeds", type=options.seed, nargs="+", default=[0], metavar="N")
    parser.add_argument("--passes", type=options.whole, default=PASSES, help=f"over {TRAIN:,} examples each ({PASSES})")
    other = f"standard deviation of the initial parameters ({INITIAL}); write another's results to another --out"
    parser.add_argument("--initial", type=options.positive, default=INITIAL, metavar="S", help=other)
    parser.add_argument("--backend", default="auto", choices=("auto", *BACKENDS))
    parser.add_argument("--out", default="benchmarks/results/aevb.json")
    parser.add_argument("--work", default="runs/aevb", help="folder for checkpoints (runs/aevb)")
    parser.add_argument("--page", action="store_true", help="write table and picture into docs/ at the end")
    parser.add_argument("--table", action="store_true", help="train nothing; print what --out holds as a table")
    arguments = parser.parse_args()
    try:
        if not arguments.table:
            Path(arguments.work).mkdir(parents=True, exist_ok=True)
            mnist = mv.load_dataset("mnist")
            for seed in arguments.seeds:
                for latent in arguments.latent:
                    row = measure(latent, seed, arguments, (mnist.train[:TRAIN], mnist.test))
                    results_with(arguments.out, row, arguments)
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from here")
    except ValueError as error:
        sys.exit(f"error: {error}; with other choices in {arguments.work}, choose another --work")
    results = results_with(arguments.out)
    print(table(results))
    if arguments.page:
        resumable.write_to_page("aevb", table(results))
        picture(results, resumable.PAGE.parent / "images" / "aevb.png")


if __name__ == "__main__":
    main()
