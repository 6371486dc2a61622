"""The variational autoencoder: the layers wired, one pass down and one pass up.

    x --encoder--> h --posterior--> mu, rho --sampler(noise)--> z --decoder--> h' --output--> logits --> nll
                                        |                                                     x --------^
                                        +-------- kl

Source: Kingma and Welling, "Auto-Encoding Variational Bayes" (arXiv:1312.6114); beta: Higgins et al., "beta-VAE"
(ICLR 2017).
"""

import inspect
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .bounds import CHUNK, ImportanceWeighted, check_objective, drawn_log_weights, log_mean_exp
from .errors import check_data, expect, expect_array, expect_choice, expect_integer, expect_positive, expect_seed
from .files import stored
from .kernels import Backend, philox
from .kernels.naive import ACTIVATIONS, SCALES
from .layers import NO_ARRAY, Chain, Dense, as_reals, as_rows, layer_plan, resolve_backend
from .losses import LIKELIHOODS, GaussianKL, Tally
from .parameters import DTYPES, Parameters, RowBuffers
from .reparam import Reparameterize


class Terms(NamedTuple):
    """The loss of a batch in nats per example, and the parts of the negative ELBO: loss = nll + beta * kl for objective
    "elbo".
    """

    loss: float
    nll: float
    kl: float


class VAE:
    """A variational autoencoder with dense layers, a Gaussian posterior and a standard normal prior.

    loss = mean over the batch of ( sum over features of nll + beta * sum over latents of KL(q(z|x) || p(z)) ), in
    nats per example: for beta = 1 the negative ELBO. Other objectives are tighter bounds, see `bounds.py`.

    Parameters
    ----------
    features : the width of the data
    latent : the number of latents
    hidden : the widths of the encoder's hidden layers; () for none
    decoder_hidden : those of the decoder; by default the encoder's in reverse
    activation : of the hidden layers: "relu", "tanh", "sigmoid", "softplus" or "identity"
    scale : "softplus" (sigma = softplus(rho)) or "exp" (rho is log sigma)
    likelihood : "bernoulli" (from logits, data in [0, 1]), "gaussian", or for bytes "beta_binomial" or "logistic"
    observation_sigma : the standard deviation of all features (gaussian only)
    learn_sigma : True makes it a parameter, "features" makes one for each feature (gaussian only)
    beta : the weight of the KL term
    objective : "elbo", or, for beta = 1, "iwae", "stl", "dreg", "miwae" or "piwae"
    samples : K, the draws of z in a bound; with "elbo" those that are averaged over
    outer : M, the number of such bounds that are averaged ("stl", "dreg", "miwae", "piwae")
    dtype : "float32" or "float64"
    backend : "auto" or one of `available_backends()`
    seed : of the initial parameters, and of noise that is drawn when none is given

    Attributes
    ----------
    parameters, gradients : dicts from name to a view: `encoder.0.weight`, ..., `posterior.bias`, ..., `likelihood.bias`
    store : the flat buffers under them
    config : the arguments above as a dict, enough to build the model again
    dhead : (n, 2 * latent), the gradient of the last pass up by what the encoder's head put out, mu then rho

    Raises
    ------
    ValueError
        For any argument outside its range, naming it.
    """

    def __init__(
        self,
        features: int,
        latent: int = 20,
        hidden: Iterable[int] | int = (400,),
        activation: str = "relu",
        scale: str = "softplus",
        likelihood: str = "bernoulli",
        *,
        decoder_hidden: Iterable[int] | int | None = None,
        observation_sigma: float = 1.0,
        learn_sigma: bool | str = False,
        beta: float = 1.0,
        objective: str = "elbo",
        samples: int = 1,
        outer: int = 1,
        dtype: str = "float32",
        backend: str | Backend = "auto",
        seed: int = 0,
    ) -> None:
        hidden = _widths("hidden", hidden)
        decoder_hidden = hidden[::-1] if decoder_hidden is None else _widths("decoder_hidden", decoder_hidden)
        expect_integer("features", features, 1)
        expect_integer("latent", latent, 1)
        expect_choice("activation", activation, ACTIVATIONS)
        expect_choice("scale", scale, SCALES)
        expect_choice("likelihood", likelihood, LIKELIHOODS)
        expect_positive("observation_sigma", observation_sigma)
        kind = LIKELIHOODS[likelihood]
        takes = inspect.signature(kind).parameters
        expect_choice("learn_sigma", learn_sigma, (False, True, "features"))
        expect("learn" in takes or not learn_sigma, "learn_sigma", learn_sigma, "a gaussian likelihood")
        expect(isinstance(beta, (int, float)) and 0 <= beta < float("inf"), "beta", beta, "a finite number, 0 or more")
        check_objective(objective, samples, outer, beta)
        expect_choice("dtype", dtype, DTYPES)
        expect_seed(seed)
        self.backend = resolve_backend(backend)
        self.features, self.latent, self.scale = features, latent, scale
        self.beta, self.dtype, self.seed = float(beta), dtype, seed
        self.draws = samples * outer
        self.config: dict[str, Any] = {
            "features": features,
            "latent": latent,
            "hidden": list(hidden),
            "activation": activation,
            "scale": scale,
            "likelihood": likelihood,
            "decoder_hidden": list(decoder_hidden),
            "observation_sigma": float(observation_sigma),
            "learn_sigma": learn_sigma if learn_sigma == "features" else bool(learn_sigma),
            "beta": self.beta,
            "objective": objective,
            "samples": samples,
            "outer": outer,
            "dtype": dtype,
            "seed": seed,
        }

        plan = layer_plan(features, latent, hidden, decoder_hidden, activation, kind.outputs)
        shapes = parameter_shapes(**self.config)
        self.store = Parameters(shapes, self.backend, dtype)
        self.parameters, self.gradients = self.store.values, self.store.gradients

        shared: dict[str, Any] = {"dtype": dtype, "backend": self.backend}
        layers = {
            name: Dense(
                *layer,
                seed=seed,
                index=index,
                parameters={key: self.parameters[f"{name}.{key}"] for key in ("weight", "bias")},
                gradients={key: self.gradients[f"{name}.{key}"] for key in ("weight", "bias")},
                **shared,
            )
            for index, (name, layer) in enumerate(plan.items())
        }
        self.encoder = Chain(layers[f"encoder.{i}"] for i in range(len(hidden)))
        self.posterior = layers["posterior"]
        self.sampler = Reparameterize(scale, **shared)
        self.kl = GaussianKL(scale, **shared)
        self.decoder = Chain([layers[f"decoder.{i}"] for i in range(len(decoder_hidden))] + [layers["likelihood"]])
        own: dict[str, Any] = {
            "sigma": observation_sigma,
            "log_sigma": self.parameters.get("likelihood.log_sigma"),
            "dlog_sigma": self.gradients.get("likelihood.log_sigma"),
        }
        self.likelihood = kind(**{name: value for name, value in own.items() if name in takes}, **shared)
        self.bound = None if objective == "elbo" else ImportanceWeighted(objective, outer, scale, **shared)
        self.dhead = NO_ARRAY
        self._buffers = RowBuffers(self.backend, dtype)
        self._weights: dict[tuple[int, float], np.ndarray] = {}
        self._draws = self.backend.zeros((1,), "int64")
        self._tally = Tally(self, self._draws)

    # One pass down, one pass up, on the backend's arrays

    def pass_down(self, x: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """nll (n * samples,) and kl (n, latent) from x (n, features) and noise (n * samples, latent).

        What else the objective needs is kept for `pass_up`; its loss (n,) is then in `bound.loss`.
        """
        n, rows = x.shape[0], noise.shape[0]
        if self.bound is None:
            nll, kl = self.elbo_terms(x, noise, self._weight(rows, 1.0 / rows))
            self._kl_weight = self._weight(n, self.beta / n)
        else:
            nll, kl = self.elbo_terms(x, noise)
            self.bound.forward(nll, self.sampler)
            self._kl_weight = self._weight(n, 1.0 / n)
        return nll, kl

    def elbo_terms(
        self, x: np.ndarray, noise: np.ndarray, weight: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """nll and kl as `pass_down` returns them, whatever the objective; with weight (n * samples,) the likelihood
        makes its gradient on the way.
        """
        head = self.posterior.forward(self.encoder.forward(x))
        mu, rho = head[:, : self.latent], head[:, self.latent :]
        z = self.sampler.forward(mu, rho, noise)
        kl = self.kl.forward(mu, rho, self.sampler.sigma)
        return self.likelihood.forward(x, self.decoder.forward(z), weight), kl

    def pass_up(self) -> None:
        """Fills `gradients` with those of the loss of the last pass down."""
        dz = self.decoder.backward(self.likelihood.backward(None if self.bound is None else self.bound.weight))
        dhead = self._buffers("dhead", self.kl.mu.shape[0], 2 * self.latent)
        dmu, drho = dhead[:, : self.latent], dhead[:, self.latent :]
        if self.bound is None:
            self.sampler.backward(dz, dmu, drho)
            self.kl.backward(self._kl_weight, dmu, drho)
        else:
            self.bound.backward(dz, self._kl_weight, dmu, drho)
        self.dhead = dhead
        dh = self.posterior.backward(dhead, input_gradient=bool(self.encoder.layers))
        self.encoder.backward(dh, input_gradient=False)

    def _weight(self, rows, value):
        """(rows,) of one value, made once: the same array each time, because recorded calls hold on to it."""
        if (rows, value) not in self._weights:
            self._weights[rows, value] = self.backend.from_host(np.full(rows, value, self.dtype))
        return self._weights[rows, value]

    # The public passes

    def forward(self, x: np.ndarray, noise: np.ndarray | None = None) -> Terms:
        """The loss of a batch, as `Terms` of floats in nats per example.

        x is (n, features): uint8 (divided by 255) or floats. noise is (n * samples, latent) standard normals of the
        model's dtype, or None to draw samples * outer for each example; the draws of successive calls differ and follow
        from the seed.
        """
        x = self._device(as_rows("x", x, self.features, self.dtype))
        if noise is None:
            noise = self._buffers("noise", x.shape[0] * self.draws, self.latent)
            self.backend.standard_normal(self.seed, philox.SAMPLE, self._draws, noise)
            self.backend.tick(self._draws)
        else:
            expect_array("noise", noise, (None, self.latent), self.dtype)
            noise = self._device(noise)
        nll, kl = self.pass_down(x, noise)
        self._tally.reset()
        self._tally.add(nll, kl)
        sums = self._tally.read()
        return Terms(sums.last, sums.nll, sums.kl)

    def backward(self) -> None:
        """Fills `gradients` with those of the loss that the last `forward` returned: assigned, not added to."""
        expect(self.likelihood.x is not None, "backward", "no forward pass", "a forward pass before it")
        self.pass_up()

    def encode(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """mu and sigma of q(z|x), each (n, latent), from x (n, features)."""
        x = np.asarray(x)
        check_data("x", x, features=self.features)
        mu, sigma = (np.empty((len(x), self.latent), self.dtype) for _ in range(2))
        for rows in _chunks(len(x)):
            page = self._device(as_reals(x[rows], self.dtype))
            head = self.posterior.forward(self.encoder.forward(page))
            noise = self._buffers("no noise", head.shape[0], self.latent)
            self.sampler.forward(head[:, : self.latent], head[:, self.latent :], noise)
            mu[rows] = self.backend.to_host(head)[:, : self.latent]
            sigma[rows] = self.backend.to_host(self.sampler.sigma)
        return mu, sigma

    def decode(self, z: np.ndarray) -> np.ndarray:
        """The mean of p(x|z), (n, features), from z (n, latent): pixel probabilities for "bernoulli", and for bytes
        their means divided by 255.
        """
        z = as_rows("z", z, self.latent, self.dtype)
        mean = np.empty((len(z), self.features), self.dtype)
        for rows in _chunks(len(z)):
            mean[rows] = self.likelihood.mean(self.backend.to_host(self.decoder.forward(self._device(z[rows]))))
        return mean

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        """decode(mu) for the posterior means of x: no sampling. (n, features)."""
        return self.decode(self.encode(x)[0])

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Means of p(x|z) for `count` draws of z from the prior, (count, features): without the likelihood's noise."""
        expect_integer("count", count, 1)
        expect_seed(seed)
        z = np.empty((count, self.latent), self.dtype)
        philox.fill_normals(seed, philox.SAMPLE, 0, z)
        return self.decode(z)

    def terms_of_each(self, x: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """nll and KL of each example with one z from q, in nats, each (n,)."""
        x = np.asarray(x)
        clock = self.backend.zeros((1,), "int64")
        nll, kl = np.empty(len(x)), np.empty(len(x))
        for rows in _chunks(len(x)):
            page = self._device(as_rows("x", x[rows], self.features, self.dtype))
            noise = self._buffers("page's noise", page.shape[0], self.latent)
            self.backend.standard_normal(seed, philox.EVALUATION, clock, noise)
            self.backend.tick(clock)
            nll_of_page, kl_of_page = map(self.backend.to_host, self.elbo_terms(page, noise))
            nll[rows], kl[rows] = nll_of_page, kl_of_page.sum(axis=1, dtype=np.float64)
        return nll, kl

    def elbo(self, x: np.ndarray, seed: int = 0) -> np.ndarray:
        """The ELBO of each example, log p(x|z) - KL(q(z|x) || p(z)) with one z from q, in nats, (n,), whatever beta is.

        On average over z a lower bound of log p(x) (Kingma and Welling, arXiv:1312.6114, equation 10).
        """
        nll, kl = self.terms_of_each(x, seed)
        return -(nll + kl)

    def log_likelihood(
        self,
        x: np.ndarray,
        samples: int = 5000,
        seed: int = 0,
        chunk: int = CHUNK,
        progress: bool | None = None,
    ) -> np.ndarray:
        """log (1/K) sum_k p(x|z_k) p(z_k) / q(z_k|x), z_k from q(z|x), for each example, in nats, (n,). K = `samples`.

        On average a lower bound of log p(x) that rises with K. `importance_estimate`, which has the same arguments,
        tells its standard error too.
        """
        pages = drawn_log_weights(self, x, samples, seed, chunk, progress)
        value = np.empty(len(x))
        for rows, log_weight in pages:
            value[rows] = log_mean_exp(log_weight)
        return value

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model to a `.npz` file, replacing it only when the new one is complete."""
        arrays = {f"parameter/{name}": self.backend.to_host(value) for name, value in self.parameters.items()}
        stored.write(path, self.config, arrays, extra={})

    @classmethod
    def load(cls, path: str | os.PathLike[str], backend: str | Backend = "auto") -> "VAE":
        """The model that `save` wrote, on any backend; ValueError as from `stored.read`."""
        return cls.from_stored(path, *stored.read(path), backend)

    @classmethod
    def from_stored(
        cls,
        path: str | os.PathLike[str],
        description: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        backend: str | Backend = "auto",
    ) -> "VAE":
        """The model in what `stored.read` gave for the file `path`; ValueError, naming it, where it holds none."""
        backend = resolve_backend(backend)
        with stored.damage_named(path, "the checkpoint describes no model that this version can build"):
            config = description["model"]
            # Before a model is made, so that its description cannot ask for more memory than the file has filled.
            for name, shape in parameter_shapes(**config).items():
                stored.expect_stored(arrays, f"parameter/{name}", shape, config["dtype"])
            model = cls(**config, backend=backend)
        for name, value in model.parameters.items():
            backend.assign(value, arrays[f"parameter/{name}"])
        return model

    def _device(self, array):
        return self.backend.from_host(array)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.config.items())
        return f"VAE({arguments}, backend={self.backend.name!r})"


def parameter_shapes(
    features: int,
    latent: int,
    hidden: Iterable[int],
    decoder_hidden: Iterable[int],
    likelihood: str,
    learn_sigma: bool | str,
    **others: object,
) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter of a model with these arguments, by its name; nothing is allocated."""
    plan = layer_plan(features, latent, tuple(hidden), tuple(decoder_hidden), "", LIKELIHOODS[likelihood].outputs)
    shapes = {
        f"{layer}.{name}": shape
        for layer, (inputs, outputs, _) in plan.items()
        for name, shape in Dense.shapes(inputs, outputs).items()
    }
    if learn_sigma:
        shapes["likelihood.log_sigma"] = (features,) if learn_sigma == "features" else (1,)
    return shapes


def _widths(name: str, widths: Any) -> tuple[int, ...]:
    try:
        widths = tuple(widths)
    except TypeError:
        widths = (widths,)
    for width in widths:
        expect_integer(name, width, 1)
    return widths


def _chunks(n, size=1000):
    """Slices that bound the memory of a pass over many rows."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
