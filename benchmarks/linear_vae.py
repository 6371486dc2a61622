"""A linear VAE on MNIST against the exact optimum of its loss, after Lucas, Tucker, Grosse and Norouzi, "Don't blame
the ELBO!" (arXiv:1911.02469).

    python -m benchmarks.linear_vae --seeds 0 1 2

With linear encoder and decoder and a Gaussian likelihood the VAE is probabilistic PCA, whose best parameters Tipping
and Bishop (1999) have in closed form from the eigenvalues of the data's covariance; the best ELBO is as high as their
likelihood. Two models: sigma of the likelihood learned, where all latents are active; and sigma fixed between two
eigenvalues, where exactly the latents of those above it are, and the others collapse at the optimum of log p(x)
itself. The ELBO that is compared is exact over the noise, in float64, on the whole training set; active latents are
the singular values of the decoder whose square is above 1 % of sigma^2.

The same command after an interruption goes on from the checkpoints in --work.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

import minivae as mv
from minivae.command import options
from minivae.files.atomic import write_text
from minivae.kernels import BACKENDS
from minivae.lab import linear_gaussian
from minivae.runs import machine

from . import resumable

LATENT, ABOVE = 20, 12  # latents; the eigenvalues that the fixed sigma^2 lies below
MODELS = ("learned", "fixed")


def eigenvalues(data):
    """Those of the covariance of data (n, features), largest first, float64."""
    return np.maximum(np.linalg.eigvalsh(np.cov(data, rowvar=False, bias=True))[::-1], 0.0)


def compare(model, data, exact, latent, variance):
    """What the model reached beside the optimum: a dict, nats per example."""
    best, best_variance, active = linear_gaussian.optimum(exact, latent, variance)
    reached, found = linear_gaussian.elbo(model, data), model.likelihood.sigma**2
    weight = np.asarray(model.backend.to_host(model.parameters["likelihood.weight"]), np.float64)
    squares = np.linalg.svd(weight, compute_uv=False) ** 2
    return {
        "elbo": reached,
        "best": best,
        "below_best": best - reached,
        "variance": found,
        "best_variance": best_variance,
        "active": int(np.sum(squares > 0.01 * found)),
        "exact_active": active,
        "eigenvalues": (squares + found)[:active].tolist(),
        "exact_eigenvalues": exact[:active].tolist(),
    }


def train(path, data, latent, variance, seed, *, passes, batch_size, rate, backend="auto"):
    """(model, history); the likelihood's variance is learned, from 1, where `variance` is None."""
    sigma = 1.0 if variance is None else float(np.sqrt(variance))
    steps = passes * -(-len(data) // batch_size)

    def build():
        options = {"likelihood": "gaussian", "observation_sigma": sigma, "learn_sigma": variance is None}
        return mv.VAE(data.shape[1], latent, (), scale="exp", seed=seed, backend=backend, **options)

    def tell(row):
        if row["epoch"] % 10 == 0:
            print(f"{path.stem}: pass {row['epoch']} of {passes}, ELBO {-row['train_loss']:.2f}", flush=True)

    optimizer = mv.Adam(mv.Cosine(rate, steps, warmup=steps // 20))
    options = {"batch_size": batch_size, "optimizer": optimizer, "seed": seed, "on_epoch": tell}
    return resumable.fit(path, build, data, passes, backend=backend, **options)


def table(results):
    lines = [
        "| sigma^2 | seed | ELBO | exact optimum | below it | sigma^2 reached | exact | worst eigenvalue, relative | "
        "active latents | exact | seconds |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for row in results:
        worst = max(abs(a / b - 1) for a, b in zip(row["eigenvalues"], row["exact_eigenvalues"], strict=True))
        cells = [row["model"], row["seed"], *(f"{row[key]:.3f}" for key in ("elbo", "best", "below_best"))]
        cells += [f"{row['variance']:.5f}", f"{row['best_variance']:.5f}", f"{worst:.3f}"]
        cells += [row["active"], row["exact_active"], f"{row['seconds_training']:.0f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.linear_vae", description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=options.seed, nargs="+", default=[0], metavar="N")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS, help="of sigma (both)")
    parser.add_argument("--passes", type=options.whole, default=300, help="over the 60,000 examples (300)")
    parser.add_argument("--batch-size", type=options.whole, default=200)
    parser.add_argument("--rate", type=options.positive, default=1e-2, help="of Adam at first; it falls to 0 (0.01)")
    parser.add_argument("--backend", default="auto", choices=("auto", *BACKENDS))
    parser.add_argument("--out", default="benchmarks/results/linear-vae.json")
    parser.add_argument("--work", default="runs/linear-vae", help="folder for checkpoints (runs/linear-vae)")
    parser.add_argument("--page", action="store_true", help="write the table into docs/reproductions.md at the end")
    arguments = parser.parse_args()
    for folder in (Path(arguments.work), Path(arguments.out).parent):
        folder.mkdir(parents=True, exist_ok=True)
    chosen = {"passes": arguments.passes, "batch_size": arguments.batch_size, "rate": arguments.rate}
    backend, results = mv.VAE(1, 1, (), backend=arguments.backend).backend.name, []
    try:
        data = mv.load_dataset("mnist").train
        values = data / np.float64(255)
        exact = eigenvalues(values)
        variances = {"learned": None, "fixed": float(np.sqrt(exact[ABOVE - 1] * exact[ABOVE]))}
        for kind in arguments.models:
            for seed in arguments.seeds:
                path = Path(arguments.work) / f"{kind}-seed{seed}.npz"
                model, history = train(path, data, LATENT, variances[kind], seed, backend=backend, **chosen)
                row = {"model": kind, "seed": seed, **compare(model, values, exact, LATENT, variances[kind])}
                results.append(row | {"seconds_training": resumable.seconds(history, len(data))})
                print(f"{kind}, seed {seed}: {row['below_best']:.4f} nats below the optimum", flush=True)
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from here")
    except ValueError as error:
        sys.exit(f"error: {error}; with other choices in {arguments.work}, choose another --work")
    document = {
        "what": "a linear VAE on MNIST against probabilistic PCA, nats per example (arXiv:1911.02469)",
        "backend": backend,
        "machine": machine.described(backend, mv.__version__) | {"cores": os.cpu_count()},
        "latent": LATENT,
        **chosen,
        "results": results,
    }
    write_text(Path(arguments.out), json.dumps(document, indent=1) + "\n")
    print(table(results))
    if arguments.page:
        resumable.write_to_page("linear-vae", table(results))


if __name__ == "__main__":
    main()
