"""Table 1 of the IWAE paper (Burda, Grosse and Salakhutdinov, arXiv:1509.00519), one stochastic layer; DReG beside it.

    python -m benchmarks.iwae --models vae-1 --seeds 0 1             3280 passes each, 2.5 hours of a core
    python -m benchmarks.iwae --models vae-5 iwae-5 dreg-5           the same with five draws, 6 hours each
    python -m benchmarks.iwae --as-is --examples 1000                trains nothing: evaluates what the folder has
    python -m benchmarks.iwae --pace 81 --models iwae-5 dreg-5       the whole recipe in an 81st of its steps
    python -m benchmarks.iwae --pace 27 --models vae-1 --code        and as the authors' code has it

The paper's recipe: 784-200-200-50, tanh, pixels binarised afresh at each use, Adam with beta1 0.9, beta2 0.999 and eps
1e-4, minibatches of 20, stages i = 0 ... 7 of 3^i passes at rate 0.001 * 10^(-i/7). From the authors' code
(github.com/yburda/iwae), which is more exact: rates rounded to 1e-4 * round(10^(1 - i/7), 1); the initial
weights of Glorot and Bengio (2010), zero biases but for the output's, which is the logit of the mean image clipped to
[0.001, 0.999]; and a VAE that differentiates the mean of K sampled log w, without the KL in closed form ("miwae" with K
groups of one draw). -log p(x) is the mean over the test images, binarised once, of -log mean w of 5,000 draws.

Where that code departs from its paper, or this script from both, the script goes by the words below; `--code` takes
the code's side in those named, or in all:

order    the code walks through the images in the order of their file, the same 20 in each minibatch; here shuffled
adam     its beta1 is 0.99; its gradient is the sum over the minibatch, beside which eps is 20 times smaller; and its
         second moment begins at 1. (One difference is left: its eps is added before the bias correction, which fades
         within some thousand steps.)
init     all its layers draw from the same seed: equal ones begin equal, as those of the mean and of sigma do
size     it trains on 59,600 examples and keeps 400 for a validation that it never makes; here all 60,000

Each pass leaves a checkpoint in --work and each model a row in --out, in the place of an earlier one of the same
training. The same command after an interruption goes on from there; a checkpoint copied to a name with other words goes
on by them.
"""

import argparse
import contextlib
import json
import sys
from pathlib import Path
from unittest import mock

import numpy as np

import minivae as mv
from benchmarks import resumable
from benchmarks.harness import machine
from minivae.command import options
from minivae.evaluation import importance
from minivae.files.atomic import write_text
from minivae.kernels import BACKENDS, philox
from minivae.runs import checkpoint, folder

BATCH = 20
STAGES = 3 ** np.arange(8)  # passes
RATES = [1e-4 * round(10 ** (1 - i / 7), 1) for i in range(8)]
CODE = ("order", "adam", "init", "size")
OBJECTIVES = {"vae": "miwae", "iwae": "iwae", "dreg": "dreg"}
PUBLISHED = {  # table 1; DReG: github.com/nbip/IWAE, with 100 latents
    "vae-1": "86.76, 19 active",
    "vae-5": "86.47, 20 active",
    "iwae-5": "85.54, 22 active",
    "dreg-5": "84.90 (nbip/IWAE)",
}


def learning_rate(batches, pace=1):
    """The rate at each step, for `batches` steps in a pass, where every stage has 1 / `pace` of its steps."""
    ends = np.cumsum(STAGES) * batches

    def rate(step):
        return RATES[min(int(np.searchsorted(ends, step * pace, side="right")), len(RATES) - 1)]

    return rate


def build(model, seed, data, code=(), backend="auto"):
    """A model as the recipe begins with it. model : such as "vae-1"."""
    kind, count = model.split("-")
    samples, outer = (1, int(count)) if kind == "vae" else (int(count), 1)
    options = {"objective": OBJECTIVES[kind], "samples": samples, "outer": outer, "seed": seed, "backend": backend}
    made = mv.VAE(784, 50, (200, 200), "tanh", "exp", **options)
    rng = np.random.default_rng(seed)
    for name, parameter in made.parameters.items():
        if name.endswith("bias"):
            parameter[...] = 0
            continue
        rng = np.random.default_rng(seed) if "init" in code else rng
        halves = 2 if name == "posterior.weight" else 1  # two layers, of the mean and of sigma, in one
        fan_in, fan_out = parameter.shape[0], parameter.shape[1] // halves
        bound = np.sqrt(6 / (fan_in + fan_out))
        if "init" in code:
            parameter[...] = np.tile(rng.uniform(-bound, bound, (fan_in, fan_out)), halves)
        else:
            parameter[...] = rng.uniform(-bound, bound, parameter.shape)
    mean = np.clip((data / 255.0).mean(axis=0), 0.001, 0.999)
    made.parameters["likelihood.bias"][...] = np.log(mean / (1 - mean))
    return made


def train(model, seed, arguments, data, path):
    """The model trained, and its history, going on from the checkpoint at `path` where there is one.

    KeyboardInterrupt where Ctrl-C came while it trained; the checkpoint is then written.
    """
    if arguments.as_is:
        made, start, _ = checkpoint.load_state(path, arguments.backend)
        return made, start.history
    code, passes = arguments.code, -(-STAGES.sum() // arguments.pace) + arguments.more
    data = data[:59_600] if "size" in code else data
    rate = learning_rate(-(-len(data) // BATCH), arguments.pace)
    adam = {"beta1": 0.99, "eps": 1e-4 / BATCH} if "adam" in code else {"eps": 1e-4}
    optimizer = mv.Adam(rate, **adam)

    def make():
        made = build(model, seed, data, code, arguments.backend)
        if "adam" in code:
            optimizer.attach(made)
            made.backend.assign(optimizer.state["second"], 1 / BATCH**2)
        return made

    def tell(row):
        seconds = len(data) / row["examples_per_second"]
        at = f"pass {row['epoch']} of {passes}"
        print(f"{path.stem}: {at}, loss {row['train_loss']:.2f}, {seconds:.0f} s", flush=True)

    how = {"batch_size": BATCH, "optimizer": optimizer, "pixels": "dynamic", "seed": seed, "on_epoch": tell}
    in_order = mock.patch.object(philox, "permutation", lambda seed, stream, epoch, n: np.arange(n))
    with in_order if "order" in code else contextlib.nullcontext():
        return resumable.fit(path, make, data, int(passes), backend=arguments.backend, **how)


def model_name(text):
    kind, _, count = text.partition("-")
    if kind not in OBJECTIVES:
        raise ValueError
    return f"{kind}-{options.whole(count)}"


def name_of(model, seed, arguments):
    """Of a training, and of its checkpoint: vae-k1-seed0, and what departs from the whole recipe."""
    pace = f"-pace{arguments.pace}" if arguments.pace > 1 else ""
    code = "-code" if len(arguments.code) == len(CODE) else "".join(f"-{word}" for word in arguments.code)
    more = f"-more{arguments.more}" if arguments.more else ""
    return model.replace("-", "-k") + f"-seed{seed}" + pace + more + code


def measure(name, model, seed, arguments, data):
    """Trains one model and evaluates it: its row of the results."""
    examples, test = data
    made, history = train(model, seed, arguments, examples, arguments.work / f"{name}.npz")
    evenly = np.linspace(0, len(test), arguments.examples, endpoint=False).astype(int)  # the first half is easier
    values = folder.unit_values(test, "dynamic", arguments.binarised)[evenly]
    found = importance.estimate(made, values, arguments.draws, seed=0)
    evaluation = mv.Evaluator(made, test, pixels="dynamic", seed=0)()
    summary = found.summary()
    row = {"name": name, "model": model, "seed": seed, "pace": arguments.pace, "code": arguments.code}
    row |= {"passes": history.epochs, "nll": -summary["log_likelihood"]}
    row |= {key: summary[key] for key in ("interval_95", "sampling_error", "data_error", "effective_samples")}
    row |= {"k_hat_high": float(found.unreliable.mean()), "examples": len(values), "draws": arguments.draws}
    if arguments.against:
        other, _, _ = checkpoint.load_state(arguments.work / f"{arguments.against}.npz", arguments.backend)
        gain = found.log_likelihood - importance.estimate(other, values, arguments.draws, seed=0).log_likelihood
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        row |= {"against": arguments.against, "gain": float(gain.mean()), "gain_error": float(error)}
    return row | {
        "minus_elbo": evaluation.nll + evaluation.kl,
        "active_units": evaluation.active_units,
        "train_loss": history["train_loss"][-1],
        "seconds_training": resumable.seconds(history, len(examples)),
        "machine": machine() | {"backend": made.backend.name},
    }


def describe(row):
    return (
        f"{row['name']}, {row['passes']} passes: -log p {row['nll']:.2f} (+- {row['sampling_error']:.3f} draws, +- "
        f"{row['data_error']:.2f} data, k-hat high for {row['k_hat_high']:.0%}), -ELBO {row['minus_elbo']:.2f}, "
        f"{row['active_units']} active, {row['seconds_training']:.0f} s"
    )


def table(results):
    """The results as a table in Markdown, the seeds of each training side by side, beside what was published."""
    lines = [
        "| | seeds | passes | images x draws | -log p(x) | gain | k-hat high | -ELBO | active | hours | published |",
        "| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for key in dict.fromkeys(kind_of(row) for row in results):
        rows = [row for row in results if kind_of(row) == key]
        model, passes, pace, code, examples, draws = key
        words = [f"authors' {', '.join(code)}"] if code else []
        title = ", ".join([model.replace("-", ", K = "), *([f"pace {pace}"] if pace > 1 else []), *words])
        columns = [
            [str(row["seed"]) for row in rows],
            [str(passes)],
            [f"{examples:,} x {draws:,}"],
            [f"{row['nll']:.2f}" for row in rows],
            [f"{row['gain']:+.2f} +- {row['gain_error']:.2f}" for row in rows if "gain" in row],
            [f"{row['k_hat_high']:.0%}" for row in rows],
            [f"{row['minus_elbo']:.2f}" for row in rows],
            [str(row["active_units"]) for row in rows],
            [f"{row['seconds_training'] / 3600:.1f}" for row in rows],
            [PUBLISHED[model] if model in PUBLISHED and passes <= STAGES.sum() and not code else ""],
        ]
        lines.append(f"| {title} | " + " | ".join(map(", ".join, columns)) + " |")
    return "\n".join(lines)


def kind_of(row):
    return row["model"], row["passes"], row["pace"], tuple(row["code"]), row["examples"], row["draws"]


def read(path):
    return json.loads(path.read_text())["results"] if path.exists() else []


def keep(path, row):
    """Puts the row into the results file, in the place of an earlier one of the same training."""
    results = [other for other in read(path) if other["name"] != row["name"]] + [row]
    results.sort(key=lambda row: (row["pace"], len(row["code"]), row["model"][::-1], row["passes"], row["seed"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    what = "IWAE on dynamically binarised MNIST by benchmarks/iwae.py, nats per example"
    write_text(path, json.dumps({"what": what, "results": results}, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.iwae", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add(
        "--models",
        type=model_name,
        nargs="+",
        default=["vae-1"],
        metavar="KIND-K",
        help="vae, iwae or dreg, and the draws of z (vae-1)",
    )
    add("--seeds", type=options.seed, nargs="+", default=[0], metavar="N")
    add("--pace", type=options.whole, default=1, metavar="N", help="all stages in 1/N of their passes (1)")
    add("--code", nargs="*", default=[], choices=CODE, help="go by the authors' code in these, or in all")
    add("--more", type=int, default=0, metavar="N", help="passes after the last stage, at its rate (0)")
    add("--as-is", action="store_true", help="train nothing; evaluate the checkpoints in --work as they are")
    add("--against", metavar="NAME", help="compare with this checkpoint of --work, image by image on the same noise")
    add("--draws", type=options.whole, default=5000, help="of z for each -log p(x) (5000)")
    add("--examples", type=options.whole, default=10_000, help="test images for -log p(x), evenly spaced (10000)")
    add("--binarised", type=options.seed, default=0, metavar="N", help="seed of the test images' binarisation (0)")
    add("--backend", default="auto", choices=("auto", *BACKENDS))
    add("--out", type=Path, default="benchmarks/results/iwae.json")
    add("--work", type=Path, default="runs/iwae", help="folder for checkpoints (runs/iwae)")
    add("--table", action="store_true", help="train nothing; print what --out holds as a table")
    arguments = parser.parse_args()
    if "--code" in sys.argv and not arguments.code:
        arguments.code = list(CODE)
    if arguments.table:
        return print(table(read(arguments.out)))

    arguments.work.mkdir(parents=True, exist_ok=True)
    mnist = mv.load_dataset("mnist")
    try:
        for seed in arguments.seeds:
            for model in arguments.models:
                name = name_of(model, seed, arguments)
                row = measure(name, model, seed, arguments, (mnist.train, mnist.test))
                keep(arguments.out, row)
                print(describe(row), flush=True)
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from here")
    except ValueError as error:
        sys.exit(f"error: {error}; with other models in {arguments.work}, choose another --work")


if __name__ == "__main__":
    main()
