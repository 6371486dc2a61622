"""What common mistakes do to training: each is one change to a right model, measured by the right loss throughout."""

import numpy as np

from ..datasets import load_dataset
from ..evaluation.held_out import ACTIVE
from ..optim import Adam
from ..plotting import style
from ..reparam import Reparameterize
from ..vae import VAE
from . import report

TRAIN, TEST, EPOCHS, BATCH = 6000, 1000, 12, 100
LATENT = 10
VARIANTS = {
    "right": "right",
    "mean": "mean over pixels, sum over latents",
    "softplus-exp": "softplus, then exp again",
    "fresh-noise": "fresh noise in backward",
    "no-kl": "no KL term",
}


class SoftplusHead:
    """The encoder's head with softplus on rho, in front of a model that takes exp of it: sigma = exp(softplus) > 1."""

    def __init__(self, dense, latent):
        self._dense, self._latent = dense, latent

    def forward(self, h):
        head = self._dense.forward(h).copy()
        self._rho = head[:, self._latent :].copy()
        head[:, self._latent :] = np.logaddexp(0, self._rho)
        return head

    def backward(self, dhead, input_gradient=True):
        dhead = dhead.copy()
        dhead[:, self._latent :] /= 1 + np.exp(-self._rho)
        return self._dense.backward(dhead, input_gradient)


class FreshNoise(Reparameterize):
    """A sampler whose way back uses another draw than its way down."""

    rng: "np.random.Generator"

    def backward(self, dz, dmu=None, drho=None):
        kept, self.noise = self.noise, self.rng.standard_normal(self.noise.shape).astype(self.dtype)
        result = super().backward(dz, dmu, drho)
        self.noise = kept
        return result


def build(variant, seed):
    """The model with this mistake."""
    beta = {"mean": 784.0, "no-kl": 0.0}.get(variant, 1.0)
    scale = "exp" if variant == "softplus-exp" else "softplus"
    model = VAE(784, LATENT, (200,), scale=scale, beta=beta, backend="numpy", seed=seed)
    if variant == "softplus-exp":
        model.posterior = SoftplusHead(model.posterior, LATENT)  # like one by its methods
    if variant == "fresh-noise":
        sampler = FreshNoise(scale, dtype=model.dtype, backend=model.backend)
        model.sampler, sampler.rng = sampler, np.random.default_rng([seed, 1])
    return model


def measure(model, test):
    """The negative ELBO and its parts, active units, median sigma: by the right loss, nats per example."""
    nll, kl = model.terms_of_each(test)
    mu, sigma = model.encode(test)
    return {
        "minus_elbo": float((nll + kl).mean()),
        "nll": float(nll.mean()),
        "kl": float(kl.mean()),
        "active_units": int((mu.var(axis=0) > ACTIVE).sum()),
        "median_sigma": float(np.median(sigma)),
    }


def train(variant, train, test, seed, epochs=EPOCHS):
    """A row of `measure` after each epoch, from the untrained model on."""
    model, optimizer, rng = build(variant, seed), Adam(1e-3), np.random.default_rng(seed)
    rows = [{"variant": variant, "epoch": 0} | measure(model, test)]
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(train))
        for start in range(0, len(train), BATCH):
            model.forward(train[order[start : start + BATCH]])
            model.backward()
            optimizer.update(model)
        rows.append({"variant": variant, "epoch": epoch} | measure(model, test))
    return rows


def run(folder, seed=0, progress=None):
    data = load_dataset("mnist")
    # grey values are made 0 or 1 once, so that the numbers are likelihoods
    train_rows, test_rows = ((rows > 127).astype(np.uint8) * 255 for rows in (data.train[:TRAIN], data.test[:TEST]))
    rows = []
    for variant in report.bar(VARIANTS, "collapse", progress):
        rows += train(variant, train_rows, test_rows, seed)
    report.write_table(folder / "collapse.csv", rows)
    draw(rows, folder / "collapse.png")
    return [
        f"collapse.csv: {VARIANTS[row['variant']]}: -ELBO {row['minus_elbo']:.1f} = nll {row['nll']:.1f} + KL "
        f"{row['kl']:.1f}, {row['active_units']} of {LATENT} active, median sigma {row['median_sigma']:.3f}"
        for row in rows
        if row["epoch"] == EPOCHS
    ]


def draw(rows, path):
    text = f"784-200-{LATENT} on {TRAIN:,} thresholded MNIST digits: {TEST:,} held-out ones, nats per example by the "
    text += "right loss, whatever loss the model was trained with."
    figure = style.new_figure(style.WIDTH, 3.4, "Four mistakes that train without an error message", text)
    panels = figure.subplots(1, 4)
    columns = {
        "minus_elbo": (f"{style.MINUS}ELBO = nll + KL", False),
        "nll": ("reconstruction, nll", False),
        "kl": ("KL(q || prior)", True),
        "median_sigma": (f"median {style.SIGMA}", True),
    }
    for axes, (column, (title, log)) in zip(panels, columns.items(), strict=True):
        report.panel(axes, title, "epoch", "nats per example" if column == "minus_elbo" else None, logy=log)
        for (variant, label), colour in zip(VARIANTS.items(), (style.INK, *report.COLOURS[:4]), strict=True):
            chosen = [row for row in rows if row["variant"] == variant]
            report.curve(axes, chosen, "epoch", column, color=colour, linewidth=1.5, label=label)
    panels[0].set_ylim(90, 400)
    panels[1].set_ylim(90, 260)
    below = {"loc": "outside lower center", "ncols": 5, "fontsize": style.TICK, "frameon": False}
    figure.legend(*panels[0].get_legend_handles_labels(), **below)
    return style.finish(figure, style.check_path(path))
