"""How often the stated 95 % interval of the mean log p(x) holds, against quadrature, with many seeds.

    python -m benchmarks.coverage [--seeds 100] [--only NAME]

Four settings: the pinwheel with one and with two latents, and thresholded MNIST, 784-64-2, with two numbers of draws.
Each model is trained here, log p(x) of its first test examples integrated over a fine grid (`minivae.lab.calibration`),
and estimated again with each seed. Writes benchmarks/results/coverage.json and prints the table of
docs/log-likelihood.md. About four minutes of one core.
"""

import argparse
import dataclasses
import json

import numpy as np

import minivae as mv
from minivae.lab import calibration

from . import harness

# name -> (how the model and its test examples are made, examples, half width and step of the grid)
MODELS = {
    "pinwheel, 1 latent": (lambda: calibration.pinwheel(1), 200, 9, 0.002),
    "pinwheel, 2 latents": (lambda: calibration.pinwheel(2), 200, 7, 0.02),
    "MNIST, 2 latents": (lambda: mnist(), 100, 6, 0.025),
}
DRAWS = {"pinwheel, 1 latent": (2000,), "pinwheel, 2 latents": (2000,), "MNIST, 2 latents": (200, 1000)}
FEWER = 25  # the same estimates, of the first examples only: a larger error, and so less that a bias can do


def mnist():
    data = mv.load_dataset("mnist")
    model = mv.VAE(784, 2, (64,), seed=1, backend="numpy")
    mv.fit(model, data.train[:20_000], epochs=6, seed=1, pixels="threshold", progress=False)
    return model, (data.test > 127).astype("float32")


def first(found, n):
    """An estimate of the first n examples."""
    arrays = {name: value for name, value in vars(found).items() if isinstance(value, np.ndarray)}
    return dataclasses.replace(found, **{name: value[:n] for name, value in arrays.items()})


def row(found, draws):
    """What a list of estimates of log p(x) less its exact value says."""
    summaries = [one.summary() for one in found]
    error = np.array([one["sampling_error"] for one in summaries])
    mean = np.array([one["log_likelihood"] for one in summaries])
    interval = np.array([one["interval_95"] for one in summaries])
    each = np.stack([one.interval() for one in found])
    holds = (interval[:, 0] <= 0) & (interval[:, 1] >= 0)
    warned = np.array([one["warning"] is not None for one in summaries])
    deviation = np.stack([one.log_likelihood for one in found])
    delta = np.abs(deviation) <= 1.96 * np.stack([one.standard_error for one in found])
    return {
        "draws": draws,
        "examples": deviation.shape[1],
        "seeds": len(found),
        "bias": mean.mean(),
        "bias_delta_method": -np.mean([0.5 * (one.standard_error**2).mean() for one in found]),
        "rise_from_half": np.mean([one["rise_from_half"] for one in summaries]),
        "tail_excess": np.mean([one["tail_excess"] for one in summaries]),
        "standard_deviation": mean.std(ddof=1),
        "sampling_error": error.mean(),
        "below": np.mean(mean - interval[:, 0]),
        "above": np.mean(interval[:, 1] - mean),
        "covered_by_delta_method": np.mean(np.abs(mean) <= 1.96 * error),
        "covered": holds.mean(),
        "warned": warned.mean(),
        "covered_without_warning": holds[~warned].mean() if not warned.all() else None,
        "covered_with_warning": holds[warned].mean() if warned.any() else None,
        "each_covered_by_delta_method": delta.mean(),
        "each_covered": np.mean((each[..., 0] <= 0) & (each[..., 1] >= 0)),
        "unreliable_examples": np.median([one["unreliable_examples"] for one in summaries]),
        "k_hat": np.median([one["k_hat"] for one in summaries]),
        "effective_samples": np.median([one["effective_samples"] for one in summaries]),
    }


def measure(name, seeds):
    make, examples, half, step = MODELS[name]
    model, test = make()
    x = test[:examples]
    exact = calibration.quadrature(model, x, half, step)
    grid_error = float(np.abs(exact - calibration.quadrature(model, x, half, 2 * step)).max())
    for draws in DRAWS[name]:
        found = list(calibration.measure(model, x, exact, draws, seeds))
        for n in (examples, FEWER):
            result = {key: rounded(value) for key, value in row([first(one, n) for one in found], draws).items()}
            yield {"model": name, "exact": float(exact[:n].mean()), "grid_error": grid_error} | result


def rounded(value):
    """A number as JSON takes it, with six digits."""
    return value if value is None or isinstance(value, int) else float(f"{float(value):.6g}")


def table(rows):
    """The rows as a table of Markdown."""
    yield "| model | K | examples | bias | stated error | interval | covered before | covered | warned | no warning |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for one in rows:
        share = [one[key] for key in ("covered_by_delta_method", "covered", "warned", "covered_without_warning")]
        shares = " | ".join("-" if value is None else f"{value:.0%}" for value in share)
        reach = f"-{one['below']:.4f} +{one['above']:.4f}"
        cells = [one["model"], one["draws"], one["examples"], f"{one['bias']:+.4f}", f"{one['sampling_error']:.4f}"]
        yield f"| {' | '.join(map(str, cells))} | {reach} | {shares} |"


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--only", default="", metavar="TEXT", help="models with this in their names; nothing written")
    arguments = parser.parse_args()
    rows = [row for name in MODELS if arguments.only in name for row in measure(name, arguments.seeds)]
    print("\n".join(table(rows)))
    if not arguments.only:
        path = harness.RESULTS / "coverage.json"
        path.write_text(json.dumps({"machine": harness.machine(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
