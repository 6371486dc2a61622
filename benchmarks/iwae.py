"""VAE against IWAE on dynamically binarised MNIST, after Burda, Grosse and Salakhutdinov (arXiv:1509.00519), table 1.

    python -m benchmarks.iwae --stages 8 --seeds 0 1 2         the paper's recipe: 3280 passes for each model
    python -m benchmarks.iwae --stages 2 --seeds 0             short: 4 passes

The one-layer network, 784-200-200-50, tanh; Adam with eps 1e-4, minibatches of 20, and stages i = 0, 1, ... of 3^i
passes at rate 0.001 * 10^(-i/7). Models: the ELBO with one draw and with K draws averaged, IWAE and DReG with K draws.
All see the same data in the same order, so that draws and passes compare. -log p(x) by importance sampling on test
examples that are binarised once. A short run says how the objectives order early on, not what they reach.

Each pass leaves a checkpoint in --work and each model a row in --out. The same command after an interruption goes on
from there, and one with more stages from where fewer ended.
"""

import argparse
import json
import platform
import sys
from pathlib import Path

import numpy as np

import minivae as mv
from minivae.evaluation import importance
from minivae.files.atomic import write_text
from minivae.runs import checkpoint, folder

TRAIN = 59_600  # the paper keeps 400 of the 60,000 for validation
MODELS = {"vae": "elbo", "iwae": "iwae", "dreg": "dreg"}
PUBLISHED = {("vae", 1): "86.76, 19 active", ("vae", 5): "86.47, 20 active", ("iwae", 5): "85.54, 22 active"}  # table 1


def learning_rate(batches):
    """The paper's rate at each step, for `batches` steps in a pass."""

    def rate(step):
        passes, stage = step // batches, 0
        while passes >= 3**stage:
            passes -= 3**stage
            stage += 1
        return 1e-3 * 10 ** (-stage / 7)

    return rate


def train(kind, samples, seed, arguments, examples, path):
    """The model trained, and its history, going on from the checkpoint at `path` where there is one.

    KeyboardInterrupt where Ctrl-C came while it trained; the checkpoint is then written.
    """
    if path.exists():
        model, start, _ = checkpoint.load_state(path, arguments.backend)
    else:
        model, start = build(kind, samples, seed, arguments.backend), None
    passes = sum(3**i for i in range(arguments.stages))

    def tell(row):
        seconds = len(examples) / row["examples_per_second"]
        at = f"pass {row['epoch']} of {passes}"
        print(f"{path.stem}: {at}, loss {row['train_loss']:.2f}, {seconds:.0f} s", flush=True)

    history = mv.fit(
        model,
        examples,
        epochs=passes,
        batch_size=arguments.batch_size,
        optimizer=mv.Adam(learning_rate(-(-len(examples) // arguments.batch_size)), eps=1e-4),
        pixels="dynamic",
        seed=seed,
        on_epoch=tell,
        start=start,
        on_checkpoint=lambda state: checkpoint.save(path, model, state),
        checkpoint_seconds=60,
    )
    if history.stopped == "interrupted":
        raise KeyboardInterrupt
    return model, history


def build(kind, samples, seed, backend):
    objective = MODELS[kind]
    return mv.VAE(784, 50, (200, 200), "tanh", "exp", objective=objective, samples=samples, seed=seed, backend=backend)


def measure(kind, samples, seed, arguments, data):
    """Trains one model and evaluates it: (a dict for the results file, log p(x) of each test example in nats)."""
    examples, test = data
    name = f"{kind}-k{samples}-seed{seed}-{len(examples)}by{arguments.batch_size}"
    model, history = train(kind, samples, seed, arguments, examples, Path(arguments.work) / f"{name}.npz")
    values = folder.unit_values(test, "dynamic", seed=0)
    found = importance.estimate(model, values[: arguments.examples], arguments.draws, seed=0)
    evaluation = mv.Evaluator(model, test, pixels="dynamic", seed=0)()
    summary = found.summary()
    row = {"model": kind, "samples": samples, "seed": seed, "passes": history.epochs, "nll": -summary["log_likelihood"]}
    row |= {key: summary[key] for key in ("sampling_error", "data_error", "effective_samples")}
    return row | {
        "minus_elbo": evaluation.nll + evaluation.kl,
        "active_units": evaluation.active_units,
        "train_loss": history["train_loss"][-1],
        "seconds_training": sum(len(examples) / rate for rate in history["examples_per_second"]),
    }, found.log_likelihood


def compare(row, log_likelihood, reference):
    """Adds to `row` how many nats of log p(x) the model is above the reference, and the standard error of that.

    Example by example: they differ far more from each other than two models do on one of them.
    """
    gain = log_likelihood - reference
    row |= {"gain_over_vae": gain.mean(), "gain_error": gain.std(ddof=1) / np.sqrt(len(gain))}


def describe(row):
    text = (
        f"{row['model']} K = {row['samples']}, seed {row['seed']}: -log p {row['nll']:.2f} (+- "
        f"{row['sampling_error']:.2f} draws, +- {row['data_error']:.2f} data), -ELBO {row['minus_elbo']:.2f}, "
        f"{row['active_units']} active, {row['seconds_training']:.0f} s"
    )
    if "gain_over_vae" in row:
        text += f"; {row['gain_over_vae']:.2f} +- {row['gain_error']:.2f} nats above the VAE"
    return text


def table(results):
    """The results as a table in Markdown, the seeds of each model side by side, beside what was published."""
    lines = [
        "| | -log p(x) | nats above the VAE of the same seed | -ELBO | active units | published, 3280 passes |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for kind, samples in dict.fromkeys((row["model"], row["samples"]) for row in results):
        rows = [row for row in results if (row["model"], row["samples"]) == (kind, samples)]
        gains = [f"{row['gain_over_vae']:.2f} +- {row['gain_error']:.2f}" for row in rows if "gain_over_vae" in row]
        nll, minus_elbo = ([f"{row[key]:.2f}" for row in rows] for key in ("nll", "minus_elbo"))
        columns = (nll, gains, minus_elbo, [str(row["active_units"]) for row in rows])
        cells = [f"{kind}, K = {samples}", *map(", ".join, columns), PUBLISHED.get((kind, samples), "")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def save(path, arguments, results):
    document = {
        "what": "VAE and IWAE on dynamically binarised MNIST, nats per example",
        "machine": {"processor": platform.machine(), "python": platform.python_version(), "numpy": np.__version__},
        "backend": mv.VAE(1, 1, (), backend=arguments.backend).backend.name,
        "arguments": {key: value for key, value in vars(arguments).items() if key not in ("out", "work", "table")},
        "results": results,
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(document, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.iwae", description=__doc__.split("\n")[0])
    parser.add_argument("--stages", type=int, default=2, help="of 1, 3, 9, ... passes; 8 in the paper (2)")
    parser.add_argument("--samples", type=int, default=5, metavar="K", help="draws of z (5)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N")
    choices = ["vae-1", *MODELS]
    parser.add_argument("--models", nargs="+", default=choices, choices=choices, help=", ".join(choices))
    parser.add_argument("--size", type=int, default=TRAIN, help=f"training examples ({TRAIN})")
    parser.add_argument("--batch-size", type=int, default=20, help="20 as in the paper")
    parser.add_argument("--draws", type=int, default=5000, help="of z for each -log p(x) (5000)")
    parser.add_argument("--examples", type=int, default=10_000, help="test examples for -log p(x) (10000)")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--out", default="benchmarks/results/iwae.json")
    parser.add_argument("--work", default="runs/iwae", help="folder for checkpoints (runs/iwae)")
    parser.add_argument("--table", action="store_true", help="train nothing; print what --out holds as a table")
    arguments = parser.parse_args()
    if arguments.table:
        return print(table(json.loads(Path(arguments.out).read_text())["results"]))

    Path(arguments.work).mkdir(parents=True, exist_ok=True)
    mnist = mv.load_dataset("mnist")
    data = mnist.train[: arguments.size], mnist.test
    results = []
    try:
        for seed in arguments.seeds:
            vae = None
            for name in arguments.models:
                kind, samples = ("vae", 1) if name == "vae-1" else (name, arguments.samples)
                row, log_likelihood = measure(kind, samples, seed, arguments, data)
                if name == "vae":
                    vae = log_likelihood
                elif vae is not None:
                    compare(row, log_likelihood, vae)
                results.append(row)
                print(describe(row), flush=True)
                save(arguments.out, arguments, results)
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from here")
    except ValueError as error:
        sys.exit(f"error: {error}; with other models in {arguments.work}, choose another --work")
    print(table(results))


if __name__ == "__main__":
    main()
