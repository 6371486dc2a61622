"""Which check sees which mistake: each is run on each mistaken model, small and in float64."""

import numpy as np

import minivae as mv
from minivae.gradcheck import check_gradients, check_sampler
from minivae.selfcheck.reference import reference_loss

from .mistakes import MISTAKES, backend

CHECKS = ("differences", "samples against KL", "samples against softplus", "loss written out")


def run_checks():
    """mistake -> check -> {"passed", "says": the first line of what it found}."""
    return {mistake: {name: _outcome(name, mistake) for name in CHECKS} for mistake in MISTAKES}


def _outcome(name, mistake):
    options = {"likelihood": "gaussian", "decoder_hidden": (9, 7), "dtype": "float64", "seed": 1}
    model = mv.VAE(2, 2, (8, 6), backend=backend(mistake), **options)
    rng = np.random.default_rng(2)
    x, noise = 2 * rng.standard_normal((6, 2)), rng.standard_normal((6, 2))
    if name == "differences":
        report = check_gradients(model, {"x": x}, fixed={"noise": noise}, name=mistake)
        lines = str(report).splitlines()
        return {"passed": report.passed, "says": lines[0], "relative_error": float(report.relative_error)}
    if name == "loss written out":
        got, wanted = model.forward(x, noise).loss, reference_loss(model, x, noise)[0]
        passed = abs(got - wanted) < 1e-10 * abs(wanted)
        return {"passed": bool(passed), "says": f"loss {got:.6g}, negative ELBO {wanted:.6g}"}
    mu, rho = rng.standard_normal((2, 4, 2))

    def sample(draws):
        return model.sampler.forward(mu, rho, draws.standard_normal(mu.shape)).copy()

    sample(rng)
    charged = model.kl.forward(mu, rho, model.sampler.sigma).copy()
    meant = {"kl": charged} if name == "samples against KL" else {"std": np.logaddexp(0, rho)}
    report = check_sampler(sample, mean=mu, **meant, name=mistake)
    return {"passed": report.passed, "says": report.findings[0] if report.findings else "nothing"}
