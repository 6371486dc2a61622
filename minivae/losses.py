"""The terms of the negative ELBO, value and gradient next to each other. All values are in nats.

    loss = mean over the batch of ( sum over features of nll + beta * sum over latents of kl )

The mean over the batch is in the weights that `backward` takes: 1/n for each row gives the gradient of the loss above.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from .errors import expect, expect_array, expect_choice, expect_positive
from .kernels import Backend
from .kernels.naive import SCALES
from .layers import NO_ARRAY, resolve_backend
from .parameters import DTYPES, Arrays, Parameters, Portable, RowBuffers


class GaussianKL(Portable):
    """KL(N(mu, sigma^2) || N(0, 1)) = (mu^2 + sigma^2 - 1) / 2 - log sigma, for each example and latent.

    Source: Kingma and Welling (arXiv:1312.6114), appendix B, there with the opposite sign and summed over latents.
    """

    _transient, _shown = ("mu", "rho", "sigma", "kl"), ("scale",)

    def __init__(self, scale: str = "softplus", *, dtype: str = "float32", backend: str | Backend = "numpy") -> None:
        expect_choice("scale", scale, SCALES)
        expect_choice("dtype", dtype, DTYPES)
        self.scale, self.dtype = scale, dtype
        self.backend = resolve_backend(backend)
        self._buffers = RowBuffers(self.backend, dtype)
        self.mu = self.rho = self.sigma = self.kl = NO_ARRAY

    def forward(self, mu: np.ndarray, rho: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """kl (n, latent) from mu, rho and the sampler's sigma, each (n, latent).

        sigma is the very array z was drawn with; rho gives log sigma where sigma is too small for its own logarithm.
        """
        expect_array("mu", mu, (None, None), self.dtype)
        expect_array("rho", rho, mu.shape, self.dtype)
        expect_array("sigma", sigma, mu.shape, self.dtype)
        self.mu, self.rho, self.sigma = mu, rho, sigma
        self.kl = self._buffers("kl", *mu.shape)
        self.backend.gaussian_kl_forward(mu, rho, sigma, self.scale, self.kl)
        return self.kl

    def backward(self, weight: np.ndarray, dmu: np.ndarray, drho: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """dmu += weight * mu; drho += weight * (sigma - 1 / sigma) * dsigma/drho. weight is (n,), one for each example.

        The one backward pass that adds: mu and rho also feed the sampler, whose gradients dmu and drho hold already.
        """
        expect(self.mu is not None, "backward", "no forward pass", "a forward pass before it")
        expect_array("weight", weight, self.mu.shape[:1], self.dtype)
        self.backend.gaussian_kl_backward(self.mu, self.rho, self.sigma, weight, self.scale, dmu, drho)
        return dmu, drho


class _Likelihood(Portable):
    """What the two likelihoods share: the forward pass that can make the gradient on the way, because it is then one
    pass.
    """

    _transient = ("x", "output", "gradient")

    def __init__(self, *, dtype: str = "float32", backend: str | Backend = "numpy") -> None:
        expect_choice("dtype", dtype, DTYPES)
        self.dtype = dtype
        self.backend = resolve_backend(backend)
        self._buffers = RowBuffers(self.backend, dtype)
        self.x = self.output = self.gradient = NO_ARRAY

    def forward(self, x: np.ndarray, output: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        """nll (n * samples,), the negative log-likelihood in nats of each row of `output`, summed over features.

        x is (n, features), `output` (n * samples, features): sample s of example i is row i * samples + s. With
        `weight` (n * samples,) the gradient of sum_r weight_r * nll_r is made in the same pass, for `backward()` to
        return.
        """
        expect_array("x", x, (None, None), self.dtype)
        n, features = x.shape
        expect_array("output", output, (None, features), self.dtype)
        expect(output.shape[0] % n == 0, "output", f"{output.shape[0]} rows", f"a multiple of the {n} rows of x")
        self.x, self.output = x, output
        nll = self._buffers("nll", output.shape[0])
        self.gradient = self._evaluate(nll, weight)
        return nll

    def backward(self, weight: np.ndarray | None = None) -> np.ndarray:
        """The gradient of sum_r weight_r * nll_r by `output`; without `weight`, that of the weights given to
        `forward`.
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
        raise NotImplementedError


class Bernoulli(_Likelihood):
    """Pixels that are 1 with probability sigmoid(logit): nll = softplus(logit) - x * logit, dlogit = sigmoid(logit) -
    x.

    Stable for every logit, with no clipping. x in [0, 1]; for grey values the sum is the cross entropy that the field
    reports, not the likelihood of anything. Source: Kingma and Welling (arXiv:1312.6114), appendix C.1.
    """

    def _kernel(self, nll, weight, dlogits):
        self.backend.bernoulli_nll(self.x, self.output, weight, nll, dlogits)


class Gaussian(_Likelihood):
    """x ~ N(mean, s^2): nll = (x - mean)^2 / (2 s^2) + log s + log(2 pi) / 2, dmean = (mean - x) / s^2.

    One s for all features. With s = 1 this is half the squared error plus 0.9189 nats for each feature. With
    `learn=True`, log s is a parameter under "log_sigma" (Rybkin, Daniilidis and Levine, arXiv:2006.13202) with dlog_s
    = sum over features of 1 - (x - mean)^2 / s^2.

    Parameters
    ----------
    parameters, gradients : views of a model's buffers under "log_sigma", for `learn`; by default the likelihood makes
        its own
    """

    def __init__(
        self,
        sigma: float = 1.0,
        *,
        learn: bool = False,
        dtype: str = "float32",
        backend: str | Backend = "numpy",
        parameters: Arrays | None = None,
        gradients: Arrays | None = None,
    ) -> None:
        super().__init__(dtype=dtype, backend=backend)
        sigma = expect_positive("sigma", sigma)
        if parameters is None or gradients is None:
            own = Parameters({"log_sigma": (1,)}, self.backend, dtype)
            parameters, gradients = own.values, own.gradients
        self._values = parameters
        self._values["log_sigma"] = np.log(sigma)
        self.parameters: dict[str, np.ndarray] = parameters if learn else {}
        self.gradients: dict[str, np.ndarray] = gradients if learn else {}

    def __repr__(self) -> str:
        sigma = math.exp(self.backend.to_host(self._values["log_sigma"])[0])
        return f"{type(self).__name__}(sigma={sigma:.4g}, learn={bool(self.parameters)})"

    def _kernel(self, nll, weight, dmean):
        dlog_sigma = None if weight is None else self.gradients.get("log_sigma")
        self.backend.gaussian_nll(self.x, self.output, self._values["log_sigma"], weight, nll, dmean, dlog_sigma)


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

    loss is what the model minimises; nll and kl are the two terms of the negative ELBO, which for another objective do
    not add up to the loss.
    """

    def __init__(self, model: Any, clock: np.ndarray) -> None:
        self._model, self._clock = model, clock
        self.terms = model.backend.zeros((5,), "float64")
        self.losses = self.terms if model.bound is None else model.backend.zeros((5,), "float64")
        self._none: dict[int, np.ndarray] = {}

    def reset(self) -> None:
        for totals in (self.terms, self.losses):
            self._model.backend.assign(totals, 0.0)

    def add(self, nll: np.ndarray, kl: np.ndarray) -> None:
        """Adds the last pass down of the model, which returned nll and kl."""
        model, backend = self._model, self._model.backend
        backend.accumulate(nll, kl, model.beta, self.terms, self._clock)
        if model.bound is not None:
            loss = model.bound.loss
            n = loss.shape[0]
            if n not in self._none:
                self._none[n] = backend.zeros((n, 1), model.dtype)
            backend.accumulate(loss, self._none[n], 0.0, self.losses, self._clock)

    def capture(self) -> np.ndarray:
        """The sums so far as (2, 5) float64 in host memory: of the terms, and of the losses."""
        return np.stack([self._model.backend.to_host(totals) for totals in (self.terms, self.losses)])

    def restore(self, captured: np.ndarray) -> None:
        """Puts back what `capture` returned."""
        for totals, values in zip((self.terms, self.losses), captured, strict=True):
            self._model.backend.assign(totals, values)

    def read(self) -> Sums:
        """The `Sums` so far; on a device, waits for it."""
        to_host, model = self._model.backend.to_host, self._model
        nll, kl, n, last, bad = to_host(self.terms).tolist()
        loss = nll + model.beta * kl
        if model.bound is not None:
            loss, _, _, last, bad_loss = to_host(self.losses).tolist()
            bad = min(bad or bad_loss, bad_loss or bad)
        return Sums(loss / n, nll / n, kl / n, int(n), last, int(bad)) if n else Sums(0.0, 0.0, 0.0, 0, 0.0, 0)
