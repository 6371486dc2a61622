"""VAE against IWAE on dynamically binarised MNIST, after Burda, Grosse and Salakhutdinov (arXiv:1509.00519), table 1.

    python -m benchmarks.iwae --stages 8 --seeds 0 1 2         the paper's recipe: 3280 passes for each model
    python -m benchmarks.iwae --stages 2 --seeds 0             short: 4 passes

The one-layer network, 784-200-200-50, tanh; Adam with eps 1e-4, minibatches of 20, and stages i = 0, 1, ... of 3^i
passes at rate 0.001 * 10^(-i/7). Models: the ELBO with one draw and with K draws averaged, IWAE and DReG with K draws.
All see the same data in the same order, so that draws and passes compare. -log p(x) by importance sampling on test
examples that are binarised once. A short run says how the objectives order early on, not what they reach.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np

import minivae as mv
from minivae import importance, run

TRAIN = 59_600  # the paper keeps 400 of the 60,000 for validation
MODELS = {"vae": "elbo", "iwae": "iwae", "dreg": "dreg"}


def learning_rate(batches):
    """The paper's rate at each step, for `batches` steps in a pass."""

    def rate(step):
        passes, stage = step // batches, 0
        while passes >= 3**stage:
            passes -= 3**stage
            stage += 1
        return 1e-3 * 10 ** (-stage / 7)

    return rate


def measure(kind, samples, seed, arguments, data):
    """Trains one model and evaluates it: a dict for the results file."""
    train, test = data
    model = mv.VAE(
        784,
        50,
        (200, 200),
        "tanh",
        "exp",
        objective=MODELS[kind],
        samples=samples,
        seed=seed,
        backend=arguments.backend,
    )
    passes = sum(3**i for i in range(arguments.stages))
    batches = -(-len(train) // arguments.batch_size)
    optimizer = mv.Adam(learning_rate(batches), eps=1e-4)
    started = time.perf_counter()
    history = mv.fit(
        model,
        train,
        epochs=passes,
        batch_size=arguments.batch_size,
        optimizer=optimizer,
        pixels="dynamic",
        seed=seed,
        progress=True,
    )
    trained = time.perf_counter()
    values = run.unit_values(test, "dynamic", seed=0)
    found = importance.estimate(model, values[: arguments.examples], arguments.draws, seed=0, progress=True)
    evaluation = mv.Evaluator(model, test, pixels="dynamic", seed=0)()
    return {
        "model": kind,
        "samples": samples,
        "seed": seed,
        "passes": passes,
        "nll": -found.summary()["log_likelihood"],
        "sampling_error": found.summary()["sampling_error"],
        "data_error": found.summary()["data_error"],
        "effective_samples": found.summary()["effective_samples"],
        "minus_elbo": evaluation.nll + evaluation.kl,
        "active_units": evaluation.active_units,
        "train_loss": history["train_loss"][-1],
        "seconds_training": trained - started,
        "seconds_evaluation": time.perf_counter() - trained,
    }


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.iwae", description=__doc__.split("\n")[0])
    parser.add_argument("--stages", type=int, default=2, help="of 1, 3, 9, ... passes; 8 in the paper (2)")
    parser.add_argument("--samples", type=int, default=5, metavar="K", help="draws of z (5)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N")
    parser.add_argument("--models", nargs="+", default=["vae-1", "vae", "iwae", "dreg"], help="vae-1, vae, iwae, dreg")
    parser.add_argument("--size", type=int, default=TRAIN, help=f"training examples ({TRAIN})")
    parser.add_argument("--batch-size", type=int, default=20, help="20 as in the paper")
    parser.add_argument("--draws", type=int, default=5000, help="of z for each -log p(x) (5000)")
    parser.add_argument("--examples", type=int, default=10_000, help="test examples for -log p(x) (10000)")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--out", default="benchmarks/results/iwae.json")
    arguments = parser.parse_args()

    mnist = mv.load_dataset("mnist")
    data = mnist.train[: arguments.size], mnist.test
    results = []
    for seed in arguments.seeds:
        for name in arguments.models:
            kind, samples = ("vae", 1) if name == "vae-1" else (name, arguments.samples)
            row = measure(kind, samples, seed, arguments, data)
            results.append(row)
            print(
                f"{kind} K = {samples}, seed {seed}: -log p {row['nll']:.2f} (+- {row['sampling_error']:.2f} draws, "
                f"+- {row['data_error']:.2f} data), -ELBO {row['minus_elbo']:.2f}, {row['active_units']} active, "
                f"{row['seconds_training']:.0f} s + {row['seconds_evaluation']:.0f} s",
                flush=True,
            )
            document = {
                "what": "VAE and IWAE on dynamically binarised MNIST, nats per example",
                "machine": {
                    "processor": platform.machine(),
                    "python": platform.python_version(),
                    "numpy": np.__version__,
                },
                "backend": mv.VAE(1, 1, (), backend=arguments.backend).backend.name,
                "arguments": vars(arguments),
                "results": results,
            }
            path = Path(arguments.out)
            path.parent.mkdir(parents=True, exist_ok=True)
            run.write_text(path, json.dumps(document, indent=2) + "\n")
    for name in arguments.models:
        kind, samples = ("vae", 1) if name == "vae-1" else (name, arguments.samples)
        rows = [row for row in results if (row["model"], row["samples"]) == (kind, samples)]
        nll, active = np.array([row["nll"] for row in rows]), np.array([row["active_units"] for row in rows])
        spread = f"{nll.std(ddof=1):.2f}" if len(rows) > 1 else "one seed"
        print(f"{kind} K = {samples}: -log p {nll.mean():.2f} (seeds: {spread}), active {active.mean():.1f}")


if __name__ == "__main__":
    main()
