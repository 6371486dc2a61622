"""The sampling laboratory: experiments that set what is measured beside what theory says. `minivae lab` runs them.

Each experiment is a module with `run(folder, seed, progress)`, which writes NAME.csv and NAME.png into the folder and
returns the lines that say what came out. The lesson that goes with them is docs/backprop-through-sampling.md.
"""

import importlib

EXPERIMENTS = {
    "graphs": "the graph of a sample with and without the reparameterization trick",
    "derivations": "the numbers that check the derivations of the lesson",
    "variance": "gradient estimators: measured variances against the closed forms",
    "bounds": "bounds by K, and the signal-to-noise ratio of their gradients",
    "collapse": "what four common mistakes do to training",
    "posteriors": "full covariance and planar flows: how near the ELBO gets to log p(x)",
    "discrete": "gradients through bits: variances by row and by evaluation, against enumeration",
    "sigma": "softplus against exp as the way from rho to sigma",
    "calibration": "the stated error of log p(x) against the exact one",
    "compression": "bits back: the size of a file beside the negative ELBO",
    "exercises": "answers to the exercises of the lesson",
}
# those that a seed changes
DRAWN = ("variance", "bounds", "collapse", "posteriors", "discrete", "calibration", "compression")


def run(name, folder, seed=0, progress=None):
    """Runs one experiment; returns its lines of results."""
    module = {"bounds": "signal_to_noise"}.get(name, name)
    return importlib.import_module(f".{module}", __package__).run(folder, seed, progress)
