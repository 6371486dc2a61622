"""Tighter bounds than the ELBO, from K draws of z for each example, and the gradients that go with them.

With the weights w_k = p(x, z_k) / q(z_k|x), z_k = mu + sigma * noise_k drawn from q(z|x),

    L_K = log (1/K) sum_k w_k,    log p(x) >= E[L_(K+1)] >= E[L_K] >= E[L_1] = ELBO

(Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", arXiv:1509.00519, theorem 1). The loss is the mean
of -L_K over the batch, in nats per example. Let u_k = w_k / sum_l w_l. Then -dL_K = -sum_k u_k dlog w_k, and as

    log w = -nll(x, z) + log p(z) - log q(z|x)
          = -nll(x, mu + sigma noise) - (mu + sigma noise)^2 / 2 + noise^2 / 2 + log sigma + constant

the decoder's parameters (theta) get sum_k u_k dnll_k. For those of the encoder (phi) there are several ways down, all
through the same backward pass with different row weights c_k:

    dz_k = c_k * (dnll_k/dz + z_k  [- noise_k / sigma])
    dmu = sum_k dz_k,    dsigma = sum_k dz_k noise_k  [- sum_k c_k / sigma]

"iwae"   c = u, last bracket: the gradient of the bound with respect to mu and sigma.
"stl"    c = u, first bracket: sticking the landing. The score d log q(z|x)/dphi at fixed z is left out of d log w; its
         mean is zero for K = 1, and then what is left is zero for every draw where q is the true posterior. For K > 1
         it is biased. Roeder, Wu and Duvenaud, arXiv:1703.09194, section 3 and 5.
"dreg"   c = u^2, first bracket: doubly reparameterized. What sticking the landing leaves out is put back by
         reparameterizing the score term again, which turns u into u^2: unbiased for every K. Tucker, Lawson, Gu and
         Maddison, arXiv:1810.04152, equation 8.
"miwae"  the mean of M bounds of K draws each, gradient as "iwae" (M is `outer`).
"piwae"  theta gets the gradient of L_(M K), phi that of "miwae": theta gains from many draws in one bound, phi loses by
         it. Rainforth et al., "Tighter variational bounds are not necessarily better", arXiv:1802.04537, section 5.

"elbo" with K draws is the mean of K single-draw losses with the KL in closed form; it needs nothing of this file.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .errors import expect, expect_choice, expect_integer, expect_not_negative, expect_seed
from .files import progress as progress_bar
from .kernels import Backend, philox
from .layers import NO_ARRAY, as_reals
from .losses import GaussianKL
from .parameters import Portable, RowBuffers
from .parameters.memory import expect_room


class Gradient(NamedTuple):
    """pooled: theta's bound takes all M K draws together. squared: c = u^2. path: log q only through z."""

    pooled: bool
    squared: bool
    path: bool


GRADIENTS = {
    "iwae": Gradient(pooled=False, squared=False, path=False),
    "stl": Gradient(pooled=False, squared=False, path=True),
    "dreg": Gradient(pooled=False, squared=True, path=True),
    "piwae": Gradient(pooled=True, squared=False, path=False),
    "miwae": Gradient(pooled=False, squared=False, path=False),
}
OBJECTIVES = ("elbo", *GRADIENTS)
ONE_GROUP = ("elbo", "iwae")
ESTIMATED = ("stl", "dreg", "piwae")  # what goes up is by design not the derivative of the loss


def check_objective(objective: str, samples: int, outer: int) -> None:
    """Raises ValueError for an objective, or counts, that make no bound."""
    expect_choice("objective", objective, OBJECTIVES)
    expect(
        outer == 1 or objective not in ONE_GROUP, "outer", outer, f"1 with objective {objective!r}; miwae has groups"
    )


def check_beta(beta: Any, objective: str) -> float:
    """Beta as a number of Python's; ValueError for what cannot weigh the KL term of the objective."""
    beta = expect_not_negative("beta", beta)
    expect(beta == 1 or objective == "elbo", "beta", beta, f"1 with objective {objective!r}: it would bound nothing")
    return float(beta)


def check_free_bits(free_bits: Any, objective: str) -> float:
    """The same for the nats of each latent that are free."""
    free_bits = expect_not_negative("free_bits", free_bits)
    expect(not free_bits or objective == "elbo", "free_bits", free_bits, f"0 with objective {objective!r}")
    return float(free_bits)


def expect_standard_prior(model: Any) -> None:
    """Raises ValueError for a KL term of one's own, which may be to another prior than the N(0, I) of the weights."""
    expected = "minivae's GaussianKL: log p(x), and bounds other than the ELBO, take the prior N(0, I)"
    expect(type(model.kl) is GaussianKL, "model.kl", type(model.kl).__name__, expected)


class ImportanceWeighted(Portable):
    """The loss -L_K of each example, and its gradient's way from dz to mu and rho.

    Parameters
    ----------
    objective : a key of GRADIENTS
    outer : M, the number of groups of draws; K follows from the rows

    Attributes
    ----------
    loss : (n,), nats, of the last forward pass: to be averaged over the batch
    weight : (n * M * K,), what each row's nll counts for in the decoder's gradient
    """

    _transient = ("loss", "weight", "_latent_weight", "_ratio")
    _shown = ("gradient", "outer")

    def __init__(self, objective: str, outer: int, *, dtype: str, backend: Backend) -> None:
        self.gradient, self.outer, self.backend = GRADIENTS[objective], outer, backend
        self._buffers = RowBuffers(backend, dtype)
        self.loss = self.weight = NO_ARRAY

    def forward(self, nll: np.ndarray, sampler: Any, scale: str, examples: int | None = None) -> np.ndarray:
        """loss (n,) from nll (n * M * K,), the sampler that drew z, and what rho is to it.

        examples : those of the whole batch, over which the loss is averaged, if there are more than these n
        """
        rows, n = nll.shape[0], sampler.sigma.shape[0]
        expect(rows % (n * self.outer) == 0, "noise", f"{rows} rows", f"a multiple of {n} x {self.outer} (outer) rows")
        log_weight, self.weight = self._buffers("log_weight", rows), self._buffers("weight", rows)
        self._latent_weight, self._ratio = self._buffers("latent_weight", rows), self._buffers("ratio", rows)
        self.loss = self._buffers("loss", n)
        self._sampler, self._scale = sampler, scale
        backend, (pooled, squared, _) = self.backend, self.gradient
        backend.log_weights(nll, sampler.rho, sampler.sigma, sampler.noise, sampler.z, scale, log_weight)
        backend.importance_weights(
            log_weight,
            self.outer,
            examples or n,
            pooled,
            squared,
            self.loss,
            self.weight,
            self._latent_weight,
            self._ratio,
        )
        return self.loss

    def backward(self, dz: np.ndarray, example_weight: np.ndarray, dmu: np.ndarray, drho: np.ndarray) -> None:
        """dmu and drho (n, latent), assigned, from dz (n * M * K, latent) as the decoder's backward pass gives it.

        dz is overwritten. example_weight (n,) is 1/n for each example: what the c of its draws add up to.
        """
        sampler, path = self._sampler, self.gradient.path
        self.backend.importance_gradient(
            sampler.z, sampler.noise, sampler.sigma, self._latent_weight, self._ratio, path, dz
        )
        sampler.backward(dz, dmu, drho)
        if not path:
            self.backend.log_sigma_backward(sampler.rho, sampler.sigma, example_weight, self._scale, drho)


# The value of the bound, from as many draws as one likes

# Draws whose noise is one function of (seed, example, page), whatever is decoded at a time.
PAGE = 1000

# Rows decoded at a time: enough for fast matrix products, few enough to bound memory.
CHUNK = 1000


def drawn_log_weights(
    model: Any, x: ArrayLike, samples: int, seed: int = 0, chunk: int = CHUNK, progress: bool | None = None
) -> Iterator[tuple[slice, np.ndarray]]:
    """Log weights of `samples` draws of z for each row of x (n, features): yields (slice of rows, (rows, samples)).

    Nats, float64. The arguments are those of `evaluation.importance.estimate`, and are checked at once.
    """
    samples, chunk = expect_integer("samples", samples, 1), expect_integer("chunk", chunk, 1)
    expect_standard_prior(model)
    expect_room("samples", samples, 4 * 8 * samples)  # the weights of an example, and what is made of them
    model.settle(training=False)
    x = as_reals(model.as_data("x", x), model.dtype)
    return _pages(model, x, samples, expect_seed(seed), chunk, progress)


def _pages(model, x, samples, seed, chunk, progress):
    n, group = len(x), max(1, chunk // samples)
    draw = _Weights(model, seed, samples)
    with progress_bar.bar(show=progress, total=n * samples, desc="log p(x)", unit="z", unit_scale=True) as bar:
        for start in range(0, n, group):
            rows = slice(start, min(start + group, n))
            weights = np.empty((rows.stop - start, samples))
            for first in range(0, samples, chunk):
                count = min(chunk, samples - first)
                weights[:, first : first + count] = draw(x[rows], start, first, count)
                bar.update((rows.stop - start) * count)
            yield rows, weights


def log_mean_exp(values: np.ndarray) -> np.ndarray:
    """log (1/K) sum_k exp(value_k) over the last axis, whatever the values' size; -inf where all are."""
    top = values.max(axis=-1, keepdims=True)
    top[top == -np.inf] = 0
    with np.errstate(divide="ignore"):
        return top[..., 0] + np.log(np.exp(values - top).mean(axis=-1))


class _Weights:
    """Log weights of any range of draws of some examples, from noise that is made page by page."""

    def __init__(self, model, seed, samples):
        self._model, self._seed, self._samples = model, seed, samples
        self._buffers = RowBuffers(model.backend, model.dtype)
        self._clock = model.backend.zeros((1,), "int64")
        self._page = None

    def __call__(self, x, first_example, first, count):
        """Log weights (n, count) of draws first, first + 1, ... of the rows x (n, features)."""
        model, backend, n = self._model, self._model.backend, len(x)
        noise = np.empty((n, count, model.latent), model.dtype)
        for i in range(n):
            done = 0
            while done < count:
                page, offset = divmod(first + done, PAGE)
                part = min(count - done, PAGE - offset)
                noise[i, done : done + part] = self._normals(first_example + i, page)[offset : offset + part]
                done += part
        noise = backend.from_host(noise.reshape(n * count, model.latent))
        nll, _ = model.elbo_terms(backend.from_host(x), noise)
        weights, sampler = self._buffers("weights", n * count), model.sampler
        backend.log_weights(nll, sampler.rho, sampler.sigma, noise, sampler.z, model.scale, weights)
        return backend.to_host(weights).astype(np.float64).reshape(n, count)

    def _normals(self, example, page):
        step = example << 32 | page
        if step != self._page:
            backend, rows = self._model.backend, min(PAGE, self._samples - page * PAGE)
            noise = self._buffers("page", rows, self._model.latent)
            backend.assign(self._clock, step)
            backend.standard_normal(self._seed, philox.IMPORTANCE, self._clock, noise)
            self._page, self._values = step, backend.to_host(noise)
        return self._values
