"""The terms of the negative ELBO, value and gradient next to each other. All values are in nats.

    loss = mean over the batch of ( sum over features of nll + beta * sum over latents of kl )

The mean over the batch is in the weights that `backward` takes: 1/n for each row gives the gradient of the loss above.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from .errors import (
    expect,
    expect_array,
    expect_choice,
    expect_everywhere,
    expect_integer,
    expect_multiple,
    expect_positive,
    expect_unit_interval,
)
from .kernels import Backend
from .kernels.naive import LOG_LIMIT, LOG_SCALE_LIMIT, SCALES
from .layers import NO_ARRAY, resolve_backend
from .parameters import DTYPES, Holder, Parameters, Portable, RowBuffers


class GaussianKL(Portable):
    """KL(N(mu, sigma^2) || N(0, 1)) = (mu^2 + sigma^2 - 1) / 2 - log sigma, for each example and latent.

    Source: Kingma and Welling (arXiv:1312.6114), appendix B, there with the opposite sign and summed over latents.

    Attributes
    ----------
    kl : (n, latent), nats, of the last forward pass
    active, loss : (latent,) and (n,) of the last `free_bits`; None where there was none since the forward pass
    """

    _transient, _shown = ("mu", "rho", "sigma", "kl", "active", "loss"), ("scale",)

    def __init__(self, scale: str = "softplus", *, dtype: str = "float32", backend: str | Backend = "numpy") -> None:
        expect_choice("scale", scale, SCALES)
        expect_choice("dtype", dtype, DTYPES)
        self.scale, self.dtype = scale, dtype
        self.backend = resolve_backend(backend)
        self._buffers = RowBuffers(self.backend, dtype)
        self.mu = self.rho = self.sigma = self.kl = self.active = self.loss = NO_ARRAY

    def forward(self, mu: np.ndarray, rho: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """kl (n, latent) from mu, rho and the sampler's sigma, each (n, latent).

        sigma is the very array z was drawn with; rho gives log sigma where sigma is too small for its own logarithm.
        """
        expect_array("mu", mu, (None, None), self.dtype)
        expect_array("rho", rho, mu.shape, self.dtype)
        expect_array("sigma", sigma, mu.shape, self.dtype)
        self.mu, self.rho, self.sigma = mu, rho, sigma
        self.active = self.loss = NO_ARRAY
        self.kl = self._buffers("kl", *mu.shape)
        self.backend.gaussian_kl_forward(mu, rho, sigma, self.scale, self.kl)
        return self.kl

    def free_bits(self, nll: np.ndarray, beta: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """loss (n,), nats: mean over samples of nll (n * samples,) + beta * sum over latents of kl, or of `floor` for
        a latent whose mean KL over the batch is no more than that. `backward` then leaves such latents out.

        beta and floor are (1,) float64. Over the batch the mean is nll + beta * sum_j max(floor, mean_i kl_ij), with
        the derivative beta/n with respect to kl_ij where latent j is above the floor, and 0 where it is not; at
        equality the two sides have different slopes, and 0 is taken. Source: Kingma et al. (arXiv:1606.04934), appendix
        C.8.
        """
        expect(self.kl is not None, "free_bits", "no forward pass", "a forward pass before it")
        n, latent = self.kl.shape
        expect_array("nll", nll, (None,), self.dtype)
        expect_multiple("nll", nll.shape[0], "kl", n)
        self.active, self.loss = self._buffers("active", latent), self._buffers("loss", n)
        self.backend.free_bits(nll, self.kl, beta, floor, self.active, self.loss)
        return self.loss

    def backward(self, weight: np.ndarray, dmu: np.ndarray, drho: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """dmu += weight * mu; drho += weight * (sigma - 1 / sigma) * dsigma/drho. weight is (n,), one for each example;
        after `free_bits` it is multiplied by `active` for each latent.

        The one backward pass that adds: mu and rho also feed the sampler, whose gradients dmu and drho hold already.
        """
        expect(self.mu is not None, "backward", "no forward pass", "a forward pass before it")
        expect_array("weight", weight, self.mu.shape[:1], self.dtype)
        self.backend.gaussian_kl_backward(self.mu, self.rho, self.sigma, weight, self.scale, dmu, drho, self.active)
        return dmu, drho


class Likelihood(Holder):
    """-log p(x|z) from what the decoder puts out, in nats: what the likelihoods share, and the base for one's own.

    A subclass gives `name`, `outputs`, `mean` and `_kernel`, and where not every number will do, `check`. The forward
    pass can make the gradient on the way, because it is then one pass.

    Attributes
    ----------
    name : what `VAE(likelihood=...)` calls it
    outputs : how many numbers the decoder puts out for each feature: all the first ones, then all the second ones
    of_bytes : whether nll is that of bytes, a probability, so that it can be told in bits
    parameters, gradients : dicts from name to an array, empty where there is nothing to learn
    """

    _transient = ("x", "output", "gradient")

    name: str
    outputs = 1
    of_bytes = False

    def __init__(self, *, dtype: str = "float32", backend: str | Backend = "numpy") -> None:
        expect_choice("dtype", dtype, DTYPES)
        self.dtype = dtype
        self.backend = resolve_backend(backend)
        self.parameters, self.gradients = {}, {}
        self._buffers = RowBuffers(self.backend, dtype)
        self.x = self.output = self.gradient = NO_ARRAY

    def joined(self, backend: Backend, dtype: str) -> None:
        """The likelihood has become a model's, whose backend and dtype it takes."""
        if (backend, dtype) == (self.backend, self.dtype):
            return
        self.backend, self.dtype = backend, dtype
        self._buffers = RowBuffers(backend, dtype)
        self.x = self.output = self.gradient = NO_ARRAY

    def forward(self, x: np.ndarray, output: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        """nll (n * samples,), the negative log-likelihood in nats of each row of `output`, summed over features.

        x is (n, features), `output` (n * samples, outputs * features): sample s of example i is row i * samples + s.
        With `weight` (n * samples,) the gradient of sum_r weight_r * nll_r is made in the same pass, for `backward()`
        to return.
        """
        expect_array("x", x, (None, None), self.dtype)
        n, features = x.shape
        expect_array("output", output, (None, self.outputs * features), self.dtype)
        expect_multiple("output", output.shape[0], "x", n)
        self.x, self.output = x, output
        nll = self._buffers("nll", output.shape[0])
        self.gradient = self._evaluate(nll, weight)
        return nll

    def backward(self, weight: np.ndarray | None = None) -> np.ndarray:
        """The gradient of sum_r weight_r * nll_r with respect to `output`; without `weight`, that of the weights given
        to `forward`.
        """
        expect(self.x is not None, "backward", "no forward pass", "a forward pass before it")
        if weight is not None:
            self.gradient = self._evaluate(None, weight)
        expect(self.gradient is not None, "weight", None, "an array (rows,), here or in forward")
        return self.gradient

    def _evaluate(self, nll, weight):
        doutput = NO_ARRAY
        if weight is not None:
            expect_array("weight", weight, self.output.shape[:1], self.dtype)
            doutput = self._buffers("doutput", *self.output.shape)
        self._kernel(nll, weight, doutput)
        return doutput

    def _kernel(self, nll, weight, doutput, /):
        """Fills nll and doutput, of the weights, from `self.x` and `self.output`; either may be None."""
        raise NotImplementedError(f"{type(self).__name__} has no _kernel")

    def mean(self, output: np.ndarray) -> np.ndarray:
        """The mean of p(x|z), (rows, features), of what the decoder put out; both in host memory."""
        raise NotImplementedError(f"{type(self).__name__} has no mean")

    def check(self, name: str, x: np.ndarray) -> None:
        """Raises ValueError, calling the data `name`, unless they lie where p(x|z) is defined: here anywhere.

        x is (n, features), of finite numbers.
        """


class Bernoulli(Likelihood):
    """Pixels that are 1 with probability sigmoid(logit): nll = softplus(logit) - x * logit, dlogit = sigmoid(logit) -
    x.

    Stable for every logit, with no clipping. x in [0, 1]; for grey values the sum is the cross entropy that the field
    reports, not the likelihood of anything. Source: Kingma and Welling (arXiv:1312.6114), appendix C.1.
    """

    name = "bernoulli"

    def _kernel(self, nll, weight, dlogits):
        self.backend.bernoulli_nll(self.x, self.output, weight, nll, dlogits)

    def mean(self, output: np.ndarray) -> np.ndarray:
        """sigmoid(logits)."""
        with np.errstate(over="ignore"):
            return np.divide(1, 1 + np.exp(-output))

    def check(self, name: str, x: np.ndarray) -> None:
        """Values in [0, 1], or bytes, which are divided by 255."""
        if x.dtype != np.uint8:
            expect_unit_interval(name, x)


class Gaussian(Likelihood):
    """x ~ N(mean, s^2): nll = (x - mean)^2 / (2 s^2) + log s + log(2 pi) / 2, dmean = (mean - x) / s^2.

    One s for all features, or one for each. With s = 1 this is half the squared error plus 0.9189 nats for each
    feature. With `learn=True`, log s is a parameter under "log_sigma" (Rybkin, Daniilidis and Levine,
    arXiv:2006.13202) with dlog_s = sum over rows, and features that share it, of weight * (1 - (x - mean)^2 / s^2).

    Parameters
    ----------
    features : how many s there are: 1 for all features, or the number of features

    Attributes
    ----------
    initial_sigma : s as it was given
    """

    name = "gaussian"

    def __init__(
        self,
        sigma: float = 1.0,
        *,
        learn: bool = False,
        features: int = 1,
        dtype: str = "float32",
        backend: str | Backend = "numpy",
    ) -> None:
        super().__init__(dtype=dtype, backend=backend)
        sigma, features = expect_positive("sigma", sigma), expect_integer("features", features, 1)
        self.initial_sigma = float(sigma)
        own = Parameters({"log_sigma": (features,)}, self.backend, dtype)
        self._values, gradients = own.values, own.gradients
        self._values["log_sigma"] = np.log(sigma)
        if learn:
            self.parameters, self.gradients = self._values, gradients

    def joined(self, backend: Backend, dtype: str) -> None:
        super().joined(backend, dtype)
        if not self.parameters:  # log_sigma is no array of the model's
            log_sigma = np.asarray(self._values["log_sigma"])
            self._values = Parameters({"log_sigma": log_sigma.shape}, backend, dtype).values
            self._values["log_sigma"] = log_sigma

    @property
    def count(self) -> int:
        """How many s there are."""
        return self._values["log_sigma"].shape[0]

    @property
    def sigma(self) -> float:
        """The first s."""
        return math.exp(self.backend.to_host(self._values["log_sigma"])[0])

    @property
    def learns(self) -> bool | str:
        """As the `learn_sigma` of `VAE`."""
        return "features" if self.parameters and self.count > 1 else bool(self.parameters)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sigma={self.sigma:.4g}, learn={self.learns!r})"

    def _kernel(self, nll, weight, dmean):
        dlog_sigma = None if weight is None else self.gradients.get("log_sigma")
        self.backend.gaussian_nll(self.x, self.output, self._values["log_sigma"], weight, nll, dmean, dlog_sigma)

    def mean(self, output: np.ndarray) -> np.ndarray:
        """The output itself."""
        return output


class _OfBytes(Likelihood):
    """What the likelihoods of bytes share. x is byte / 255; nll is minus the log of the byte's probability."""

    outputs = 2
    of_bytes = True

    def check(self, name: str, x: np.ndarray) -> None:
        """Bytes, or floats that are bytes divided by 255."""

        def whole(chunk):
            counts = 255.0 * chunk.astype(np.float64)
            return (counts >= -1e-3) & (counts <= 255.001) & (abs(counts - np.rint(counts)) <= 1e-3)

        if x.dtype != np.uint8:
            expected = f"bytes for the {self.name} likelihood: uint8, or whole numbers from 0 to 255 divided by 255"
            expect_everywhere(name, x, whole, expected)


class BetaBinomial(_OfBytes):
    """Bytes whose count out of 255 is beta-binomial: alpha = exp(first output), beta = exp(second),

        P(k) = C(255, k) B(k + alpha, 255 - k + beta) / B(alpha, beta)
        dnll/dlog alpha = alpha (psi(255 + alpha + beta) - psi(alpha + beta) - psi(k + alpha) + psi(alpha)),

    and the same for beta with 255 - k. Unlike a binomial it can be U-shaped, as pixels of drawings are. Both outputs
    count as if limited to [-30, 30], so that nll and gradient are finite for all: at -30 only the bytes 0 and 255 are
    left, to 12 digits; at 30 only a binomial, to 8. Beyond, the gradient is 0. In place of lgamma and digamma, which
    cancel there, stand their differences (`build_rising` in `kernels/mathfun.py`). Source: Townsend, Bird and Barber
    (arXiv:1901.04866), section 3.
    """

    name = "beta_binomial"

    def _kernel(self, nll, weight, doutput):
        self.backend.beta_binomial_nll(self.x, self.output, weight, nll, doutput)

    def mean(self, output: np.ndarray) -> np.ndarray:
        """alpha / (alpha + beta)."""
        first, second = np.split(np.clip(output, -LOG_LIMIT, LOG_LIMIT), 2, axis=1)
        return 1 / (1 + np.exp(second - first))


class Logistic(_OfBytes):
    """Bytes from a logistic distribution that is cut into bins of width 1/255, the outer two open: with mean m = 1/2 +
    first output and scale s = exp(second output) / 8, both in units of x, so that an untrained decoder starts in the
    middle and about as wide as the data,

        P(k) = sigmoid((x + 1/510 - m) / s) - sigmoid((x - 1/510 - m) / s)

    and 0 or 1 in place of a sigmoid beyond the ends. Its gradient: `kernels/naive/likelihoods.py`. The second output is
    limited to [-8, 8], scales of 0.01 to 95,000 bins; beyond, its gradient is 0. Source: Kingma et al.
    (arXiv:1606.04934); Salimans et al., "PixelCNN++" (arXiv:1701.05517).
    """

    name = "logistic"

    def _kernel(self, nll, weight, doutput):
        self.backend.logistic_nll(self.x, self.output, weight, nll, doutput)

    def mean(self, output: np.ndarray) -> np.ndarray:
        """s (softplus(m / s) - softplus((m - 1) / s)), the mean of the distribution with what lies outside [0, 1] moved
        to its ends: that of the bytes up to half a bin, and within 1e-4 / s bins where s is more than two.
        """
        m, log_scale = np.split(output.astype(np.float64), 2, axis=1)
        s = np.exp(np.clip(log_scale, -LOG_SCALE_LIMIT, LOG_SCALE_LIMIT)) / 8
        m = np.clip(0.5 + m, -40 * s, 1 + 40 * s)
        return np.clip(s * (np.logaddexp(0, m / s) - np.logaddexp(0, (m - 1) / s)), 0, 1)


# Every likelihood by the name that a model and the command line give it.
LIKELIHOODS: dict[str, type[Likelihood]] = {
    value.name: value
    for value in list(globals().values())
    if isinstance(value, type) and issubclass(value, Likelihood) and hasattr(value, "name")
}


class Sums(NamedTuple):
    """Averages over what was added, in nats per example; `bad_step` is 0, or one more than the step where the loss
    stopped being finite, and `last` the loss of the last batch.
    """

    loss: float
    nll: float
    kl: float
    examples: int
    last: float
    bad_step: int


class Tally:
    """Adds up the loss and its parts over batches, inside a recorded step.

    loss is what the model minimises; nll and kl are the two terms of the negative ELBO, which for another objective,
    and with free bits, do not add up to the loss. If only some batches had such a loss, it is the mean of those.
    """

    def __init__(self, model: Any, clock: np.ndarray) -> None:
        self._model, self.clock = model, clock
        self.terms = model.backend.zeros((6,), "float64")
        self.losses = model.backend.zeros((6,), "float64")
        self._zero = model.backend.zeros((1,), "float64")
        self._none: dict[int, np.ndarray] = {}

    def reset(self) -> None:
        for totals in (self.terms, self.losses):
            self._model.backend.assign(totals, 0.0)

    def add(self, nll: np.ndarray, kl: np.ndarray) -> None:
        """Adds the last pass down of the model, which returned nll and kl."""
        model, backend = self._model, self._model.backend
        backend.accumulate(nll, kl, model.beta_array, self.terms, self.clock)
        loss = getattr(model.kl, "loss", None) if model.bound is None else model.bound.loss
        if loss is not None:
            n = loss.shape[0]
            if n not in self._none:
                self._none[n] = backend.zeros((n, 1), model.dtype)
            backend.accumulate(loss, self._none[n], self._zero, self.losses, self.clock)

    def add_terms(self, terms: Any, n: int) -> None:
        """Adds what the `forward` of a model gave for n examples, where that is not this package's own."""
        loss, nll, kl = terms
        for totals in (self.terms, self.losses):
            sums = self._model.backend.to_host(totals)
            bad = sums[4] or (0 if np.isfinite(loss) else int(self._model.backend.to_host(self.clock)[0]) + 1)
            added = sums[0] + n * nll, sums[1] + n * kl, sums[2] + n, loss, bad, sums[5] + n * loss
            self._model.backend.assign(totals, np.array(added))

    def capture(self) -> np.ndarray:
        """The sums so far as (2, 6) float64 in host memory: of the terms, and of the losses."""
        return np.stack([self._model.backend.to_host(totals) for totals in (self.terms, self.losses)])

    def restore(self, captured: np.ndarray) -> None:
        """Puts back what `capture` returned."""
        for totals, values in zip((self.terms, self.losses), captured, strict=True):
            self._model.backend.assign(totals, values)

    def read(self) -> Sums:
        """The `Sums` so far; on a device, waits for it."""
        nll, kl, n, *sums = self._model.backend.to_host(self.terms).tolist()
        last, bad, loss = sums
        counted = n
        _, _, own, *sums = self._model.backend.to_host(self.losses).tolist()
        if own:
            (last, bad_loss, loss), counted = sums, own
            bad = min(bad or bad_loss, bad_loss or bad)
        return Sums(loss / counted, nll / n, kl / n, int(n), last, int(bad)) if n else Sums(0.0, 0.0, 0.0, 0, 0.0, 0)
