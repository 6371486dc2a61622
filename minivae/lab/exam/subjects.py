"""The eight subjects: what each is asked with, and what else is tried where its gradient is right."""

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import mistakes_draws as mistakes_draws  # each of which adds its own to the list
from . import mistakes_elbo as mistakes_elbo
from . import mistakes_pieces as mistakes_pieces
from . import sheet
from .mistakes import MISTAKES


@dataclass(frozen=True)
class Subject:
    """One blank of the sheet.

    Attributes
    ----------
    forwards : names of the functions of the sheet that it needs, its own forward last
    inputs, fixed : the forward's arguments that are differentiated, and after them the others
    dy : what backward is handed first, or None where it takes none
    sizes : from a number that may be forgotten, as a factor, to what it counts
    extreme : (what they are in words, arguments of backward, what is right there), or None
    """

    title: str
    backward: str
    forwards: tuple[str, ...]
    inputs: dict[str, np.ndarray]
    fixed: dict[str, np.ndarray] = field(default_factory=dict)
    dy: np.ndarray | None = None
    sizes: dict[int, str] = field(default_factory=dict)
    extreme: tuple[str, tuple[np.ndarray, ...], np.ndarray | None] | None = None

    @property
    def forward(self) -> Any:
        return getattr(sheet, self.forwards[-1])

    @property
    def given(self) -> tuple[np.ndarray, ...]:
        """Copies of what forward is handed; for the score function that has no f."""
        count = 3 if self.backward == "score_function" else None
        return tuple(a.copy() for a in [*self.inputs.values(), *self.fixed.values()][:count])

    @property
    def arguments(self) -> tuple[np.ndarray, ...]:
        """Copies of what backward is handed."""
        every = [*([] if self.dy is None else [self.dy]), *self.inputs.values(), *self.fixed.values()]
        return tuple(a.copy() for a in every)

    @property
    def mistakes(self) -> list[Any]:
        return [m for m in MISTAKES if m.subject == self.backward]


def surrogate(mu, sigma, z, f):
    """What has the estimate of `score_function` as its gradient while z and f stay as they are."""
    others = (np.sum(f) - f) / (len(f) - 1)
    return np.mean((f - others) * sheet.log_density(mu, sigma, z))


@functools.cache
def subjects(n: int = 5, draws: int = 3) -> dict[str, Subject]:
    """By the name of the function that is asked for; made once, and not to be written to. n: the number of examples."""
    rng = np.random.default_rng(2013)
    latents, features = 4, 7
    examples, per_draw = {n: "examples"}, {n: "examples", draws: "draws", n * draws: "draws of all examples"}

    def normal(*shape):
        return rng.standard_normal(shape)

    def sigma(*shape):
        return rng.uniform(0.4, 1.6, shape)

    x = (rng.random((n, features)) < 0.5).astype(float)
    mu, scale, noise = normal(n, latents), sigma(n, latents), normal(n, draws, latents)
    log_weight = 1.5 * normal(n, draws)
    far = np.resize([1000.0, -1000.0], (n, 1))
    z = mu + scale * noise[:, 0]
    all_eight = (
        Subject(
            "dense layer",
            "dense_backward",
            ("dense",),
            {"x": normal(n, 4), "weight": 0.7 * normal(4, 3), "bias": normal(3)},
            dy=normal(n, 3),
            sizes=examples,
        ),
        Subject(
            "softplus head",
            "softplus_backward",
            ("softplus",),
            {"rho": 1.5 * normal(n, latents)},
            dy=normal(n, latents),
            sizes=examples,
            extreme=("rho = -1000 and 1000", (np.ones((1, 2)), np.array([[-1000.0, 1000.0]])), np.array([[0.0, 1.0]])),
        ),
        Subject(
            "reparameterization",
            "reparameterize_backward",
            ("reparameterize",),
            {"mu": mu, "sigma": scale},
            {"noise": noise},
            dy=normal(n, draws, latents),
            sizes=per_draw,
        ),
        Subject(
            "Gaussian KL",
            "gaussian_kl_backward",
            ("gaussian_kl",),
            {"mu": mu, "sigma": scale},
            dy=normal(n),
            sizes=examples | {latents: "latents"},
        ),
        Subject(
            "Bernoulli likelihood",
            "bernoulli_nll_backward",
            ("softplus", "bernoulli_nll"),
            {"logits": 1.5 * normal(n, draws, features)},
            {"x": x},
            dy=normal(n, draws),
            sizes=per_draw | {features: "features"},
            extreme=(
                "logits = -1000 and 1000, x = 1 and 0",
                (np.ones((1, 1)), np.array([[[-1000.0, 1000.0]]]), np.array([[1.0, 0.0]])),
                np.array([[[-1.0, 1.0]]]),
            ),
        ),
        Subject(
            "ELBO",
            "elbo_backward",
            ("softplus", "reparameterize", "gaussian_kl", "bernoulli_nll", "elbo"),
            {
                "to_mu": normal(features, latents),
                "to_rho": normal(features, latents),
                "decoder": normal(latents, features),
            },
            {"x": x, "noise": noise},
            sizes=per_draw,
        ),
        Subject(
            "IWAE weight",
            "iwae_backward",
            ("iwae",),
            {"log_weight": log_weight},
            dy=normal(n),
            sizes=per_draw,
            extreme=("log weights moved by 1000 and -1000", (normal(n), log_weight + far), None),
        ),
        Subject(
            "score function",
            "score_function",
            ("log_density",),
            {"mu": mu, "sigma": scale},
            {"z": z, "f": 2.0 + np.sum((z - 1.0) ** 2, axis=1)},
            sizes=examples,
        ),
    )
    return {subject.backward: subject for subject in all_eight}
