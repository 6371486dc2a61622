"""The variational autoencoder: the layers wired, one pass down and one pass up.

    x --encoder--> h --posterior--> mu, rho --sampler(noise)--> z --decoder--> h' --output--> logits --> nll
                                        |                                                     x --------^
                                        +-------- kl

Source: Kingma and Welling, "Auto-Encoding Variational Bayes" (arXiv:1312.6114); beta: Higgins et al., "beta-VAE"
(ICLR 2017).
"""

import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .bounds import (
    CHUNK,
    ImportanceWeighted,
    check_beta,
    check_free_bits,
    check_objective,
    drawn_log_weights,
    log_mean_exp,
)
from .build import OWN_LIKELIHOODS, Built
from .errors import (
    check_data,
    expect,
    expect_array,
    expect_choice,
    expect_integer,
    expect_pixels,
    expect_positive,
    expect_seed,
    is_sampled,
)
from .kernels import Backend, philox
from .kernels.naive import ACTIVATIONS, SCALES
from .layers import NO_ARRAY, Chain, Dense, as_reals, resolve_backend
from .losses import LIKELIHOODS, Bernoulli, GaussianKL, Tally
from .parameters import DTYPES, RowBuffers
from .parameters.memory import MOST_DRAWS, MOST_LAYERS, expect_room, expect_room_for_model, pass_bytes
from .parameters.survey import expect_float_array
from .reparam import Reparameterize

WHOLE_SET = 1000  # values: so many of pictures are never 0 and 1 only
GATHERED = tuple(np.dtype(name) for name in (*DTYPES, "uint8"))  # the dtypes of data that the kernel `gather` reads


class Terms(NamedTuple):
    """The loss of a batch in nats per example, and the parts of the negative ELBO: loss = nll + beta * kl for objective
    "elbo" without free bits.
    """

    loss: float
    nll: float
    kl: float


class _Fixed:
    """An argument that a model is made with: it can be read, and not set."""

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, model, owner=None):
        return self if model is None else model.config[self._name]

    def __set__(self, model, value):
        expect("config" in vars(model), self._name, value, "another name for what is set before VAE.__init__")
        made = model.config[self._name]
        expect(
            np.array_equal(value, made), self._name, value, f"{made!r}, with which the model was made: make a new one"
        )


class VAE(Built):
    """A variational autoencoder with a Gaussian posterior and a standard normal prior.

    loss = mean over the batch of ( sum over features of nll + beta * sum over latents of KL(q(z|x) || p(z)) ), in
    nats per example: for beta = 1 the negative ELBO. Other objectives are tighter bounds, see `bounds.py`.

    Parameters
    ----------
    features : the width of the data
    latent : the number of latents
    hidden : the widths of the encoder's hidden layers; () for none
    decoder_hidden : those of the decoder; by default the encoder's in reverse
    activation : of the hidden layers: "relu", "tanh", "sigmoid", "softplus", "leaky_relu", "gelu", "silu" or "identity"
    encoder, decoder : lists of layers that take the place of the dense hidden layers: a `Dense`, or any object with
        forward(x) and backward(dy) and, if it learns, mappings `parameters` and `gradients` (docs/extending.md)
    posterior, output : a layer each in the place of the dense layers that follow those lists: it puts out mu and rho,
        (rows, 2 * latent), or what the likelihood takes
    scale : "softplus" (sigma = softplus(rho)) or "exp" (rho is log sigma)
    likelihood : "bernoulli" (from logits, data in [0, 1]), "gaussian", or for bytes "beta_binomial" or "logistic"; or
        an object with forward(x, output) -> nll (rows,), backward(weight) -> doutput and, for `decode`, mean(output)
    observation_sigma : the standard deviation of all features (gaussian only)
    learn_sigma : True makes it a parameter, "features" makes one for each feature (gaussian only)
    beta : the weight of the KL term; may be set between steps
    free_bits : nats of each latent's mean KL that cost nothing more (objective "elbo" only); may be set likewise
    objective : "elbo", or, for beta = 1, "iwae", "stl", "dreg", "miwae" or "piwae"
    samples : K, the draws of z in a bound; with "elbo" those that are averaged over
    outer : M, the number of such bounds that are averaged ("stl", "dreg", "miwae", "piwae")
    dtype : "float32" or "float64"
    backend : "auto" or one of `available_backends()`
    seed : of the initial parameters, and of noise that is drawn when none is given

    Attributes
    ----------
    parameters, gradients : `Arrays`, from name to a view: `encoder.0.weight`, ..., `posterior.bias`, ...,
        `likelihood.bias`; `parameters[name] = value` copies the value
    store : the flat buffers under them
    beta_array, free_bits_array : (1,) float64, beta and free_bits as the kernels read them
    config : the arguments above as a dict, enough to build the model again
    head : (n, 2 * latent), what the encoder put out in the last pass, mu then rho
    dhead : (n, 2 * latent), the gradient of the last pass up with respect to it
    batch_rows : where a pass is over some rows of a batch only, the rows of all of it: gradients are of the mean over
        those; None otherwise

    Raises
    ------
    ValueError
        For any argument outside its range, naming it.
    """

    _transient = ("head", "dhead", "_passed", "_nll_weight", "_tally")
    hidden, decoder_hidden, activation, learn_sigma = _Fixed(), _Fixed(), _Fixed(), _Fixed()
    observation_sigma, objective, samples, outer = _Fixed(), _Fixed(), _Fixed(), _Fixed()

    def __init__(
        self,
        features: int,
        latent: int = 20,
        hidden: Iterable[int] | int = (400,),
        activation: str = "relu",
        scale: str = "softplus",
        likelihood: Any = "bernoulli",
        *,
        decoder_hidden: Iterable[int] | int | None = None,
        encoder: Iterable[Any] | None = None,
        decoder: Iterable[Any] | None = None,
        posterior: Any = None,
        output: Any = None,
        observation_sigma: float = 1.0,
        learn_sigma: bool | str = False,
        beta: float = 1.0,
        free_bits: float = 0.0,
        objective: str = "elbo",
        samples: int = 1,
        outer: int = 1,
        dtype: str = "float32",
        backend: str | Backend = "auto",
        seed: int = 0,
    ) -> None:
        hidden = _widths("hidden", hidden)
        decoder_hidden = hidden[::-1] if decoder_hidden is None else _widths("decoder_hidden", decoder_hidden)
        features, latent = expect_integer("features", features, 1), expect_integer("latent", latent, 1)
        samples, outer = expect_integer("samples", samples, 1), expect_integer("outer", outer, 1)
        seed = expect_seed(seed)
        expect_choice("activation", activation, ACTIVATIONS)
        expect_choice("scale", scale, SCALES)
        if isinstance(likelihood, str):
            expect_choice("likelihood", likelihood, LIKELIHOODS)
        observation_sigma = expect_positive("observation_sigma", observation_sigma)
        expect_choice("learn_sigma", learn_sigma, (False, True, "features"))
        gaussian = isinstance(likelihood, str) and likelihood == "gaussian"
        expect(gaussian or not learn_sigma, "learn_sigma", learn_sigma, "a gaussian likelihood")
        expect(gaussian or observation_sigma == 1, "observation_sigma", observation_sigma, "a gaussian likelihood")
        check_objective(objective, samples, outer)
        beta, free_bits = check_beta(beta, objective), check_free_bits(free_bits, objective)
        expect_choice("dtype", dtype, DTYPES)
        self.backend = resolve_backend(backend)
        self.features, self.latent = features, latent
        self.dtype, self.seed = dtype, seed
        super().__init__()
        self.draws = samples * outer
        expect(self.draws <= MOST_DRAWS, "samples * outer", self.draws, f"at most {MOST_DRAWS:,} draws of an example")
        self.config: dict[str, Any] = {
            "features": features,
            "latent": latent,
            "hidden": list(hidden),
            "activation": activation,
            "scale": scale,
            "likelihood": likelihood if isinstance(likelihood, str) else None,
            "decoder_hidden": list(decoder_hidden),
            "observation_sigma": float(observation_sigma),
            "learn_sigma": learn_sigma if learn_sigma == "features" else bool(learn_sigma),
            "beta": beta,
            "free_bits": free_bits,
            "objective": objective,
            "samples": samples,
            "outer": outer,
            "dtype": dtype,
            "seed": seed,
        }

        if self.backend.on_host and not any((encoder, decoder, posterior, output)):
            expect_room_for_model(features, latent, hidden, decoder_hidden, dtype)
        shared: dict[str, Any] = {"dtype": dtype, "backend": self.backend}
        self.build(hidden, decoder_hidden, activation, (encoder, posterior, decoder, output), likelihood)
        self.sampler = Reparameterize(scale, **shared)
        self.kl = GaussianKL(scale, **shared)
        self.bound = None if objective == "elbo" else ImportanceWeighted(objective, outer, **shared)
        self._top = Chain([self.posterior], "posterior", **shared)
        self.head = self.dhead = NO_ARRAY
        self._passed = False
        self.batch_rows: int | None = None
        self._nll_weight: np.ndarray | None = None
        self._buffers = RowBuffers(self.backend, dtype)
        self._weights: dict[tuple[int, float], np.ndarray] = {}
        self._kl_weights: dict[tuple[int, int], np.ndarray] = {}
        self._halves: dict[tuple[str, int], tuple[np.ndarray, ...]] = {}
        self.beta_array, self.free_bits_array = (self.backend.zeros((1,), "float64") for _ in range(2))
        self.beta, self.free_bits = beta, free_bits
        self._precision = dtype
        self._draws = self.backend.zeros((1,), "int64")
        self._tally = Tally(self, self._draws)
        self.settle()

    @property
    def scale(self) -> str:  # type: ignore[override]
        """The `scale` of the sampler; where that has none, or another thing of this name, the constructor's."""
        scale = getattr(self.sampler, "scale", None)
        return scale if isinstance(scale, str) else self.config["scale"]

    @property
    def beta(self) -> float:
        """The weight of the KL term. A new value counts from the next step on: gradient, loss, `config`, and whatever
        is recorded read it from arrays.
        """
        return self.config["beta"]

    @beta.setter
    def beta(self, value: float) -> None:
        self.config["beta"] = value = check_beta(value, self.config["objective"])
        self.backend.assign(self.beta_array, value)
        for (_, batch), weight in self._kl_weights.items():
            self.backend.assign(weight, value / batch)

    @property
    def free_bits(self) -> float:
        """The nats that each latent has free, 0 for none: the loss takes no less for its mean KL over a minibatch, and
        has no gradient with respect to a smaller one (see `GaussianKL.free_bits`). A new value counts from the
        next step on.
        """
        return self.config["free_bits"]

    @free_bits.setter
    def free_bits(self, value: float) -> None:
        self.config["free_bits"] = value = check_free_bits(value, self.config["objective"])
        self.backend.assign(self.free_bits_array, value)

    @property
    def precision(self) -> str:
        """The dtype's name or, for float32, "bf16": then the dense layers round the operands of each matrix product in
        training passes to bfloat16, eight significant bits, and add up in float32. Parameters, gradients, moments and
        everything else stay float32, and so does evaluation. No file holds it.

        Kalamkar et al., "A study of BFLOAT16 for deep learning training" (arXiv:1905.12322).
        """
        return self._precision

    @precision.setter
    def precision(self, value: str) -> None:
        check_precision(value, self.dtype)
        self._precision = str(value)
        self.round_operands(False)

    def round_operands(self, training: bool) -> None:
        """Whether the forward passes to come are those of training, with the model's `precision`; a backward pass has
        that of its forward pass.
        """
        precision = "bf16" if training and self._precision == "bf16" else None
        for layer in (*self.encoder.layers, self.posterior, *self.decoder.layers):
            if isinstance(layer, Dense):
                layer.in_training = precision

    def settle(self, training: bool | None = None) -> None:
        super().settle(training)
        if training is not None:
            self.round_operands(training)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({"_precision": state["dtype"], "batch_rows": None, **state, "_kl_weights": {}})
        self._tally = Tally(self, self._draws)

    # One pass down, one pass up, on the backend's arrays

    def pass_down(self, x: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """nll (n * samples,) and kl (n, latent) from x (n, features) and noise (n * samples, latent).

        What else the objective needs is kept for `pass_up`; its loss (n,) is then in `bound.loss`, with free bits in
        `kl.loss`.
        """
        n, rows = x.shape[0], noise.shape[0]
        batch = self.batch_rows or n
        if self.bound is None:
            nll, kl = self.elbo_terms(x, noise, self._weight(rows, n / (rows * batch)))
            self._kl_weight = self._weight_of_kl(n, batch)
            if self.free_bits:
                self.kl.free_bits(nll, self.beta_array, self.free_bits_array)
        else:
            nll, kl = self.elbo_terms(x, noise)
            self.bound.forward(nll, self.sampler, self.scale, batch)
            self._kl_weight = self._weight(n, 1.0 / batch)
        return nll, kl

    def elbo_terms(
        self, x: np.ndarray, noise: np.ndarray, weight: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """nll and kl as `pass_down` returns them, whatever the objective; with weight (n * samples,) the likelihood
        makes its gradient on the way.
        """
        mu, rho = self._encode(x)
        z = self.sampler.forward(mu, rho, noise)
        kl = self.kl.forward(mu, rho, self.sampler.sigma)
        output = self.decoder.forward(z)
        if type(self.likelihood) in OWN_LIKELIHOODS:
            return self.likelihood.forward(x, output, weight), kl
        self._nll_weight, self._output_shape = weight, output.shape
        return self._kept("forward", self.likelihood.forward(x, output), noise.shape[:1]), kl

    def _encode(self, x):
        """mu and rho, (n, latent) each, from x."""
        self._top.layers[0] = self.posterior
        self.head = self._top.forward(self.encoder.forward(x))
        return self._in_halves("head", self.head)

    def _in_halves(self, name, array):
        """The columns of mu and those of rho, as the same objects each time."""
        known = self._halves.get((name, array.shape[0]))
        if known is None or known[0] is not array:
            known = self._halves[name, array.shape[0]] = array, array[:, : self.latent], array[:, self.latent :]
        return known[1:]

    def _kept(self, method, array, shape):
        """What a method of a likelihood of one's own returned, in memory that stays."""
        if not (isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.shape == shape):
            expect(False, f"{self.describe('likelihood')}.{method}", array, f"a float array of shape {shape}")
        kept = self._buffers(f"likelihood's {method}", *shape)
        np.copyto(kept, array, casting="same_kind")
        return kept

    def pass_up(self) -> None:
        """Fills `gradients` with those of the loss of the last pass down."""
        weight = None if self.bound is None else self.bound.weight
        if type(self.likelihood) in OWN_LIKELIHOODS:
            doutput = self.likelihood.backward(weight)
        else:
            doutput = self.likelihood.backward(self._nll_weight if weight is None else weight)
            doutput = self._kept("backward", doutput, self._output_shape)
        dz = self.decoder.backward(doutput)
        dhead = self._buffers("dhead", self.head.shape[0], 2 * self.latent)
        dmu, drho = self._in_halves("dhead", dhead)
        if self.bound is None:
            if isinstance(self.kl, GaussianKL) and self.kl.scale != self.scale:
                expect(False, "model.kl.scale", self.kl.scale, f"{self.scale!r}, that of model.sampler")
            self.sampler.backward(dz, dmu, drho)
            self.kl.backward(self._kl_weight, dmu, drho)
        else:
            self.bound.backward(dz, self._kl_weight, dmu, drho)
        self.dhead = dhead
        dh = self._top.backward(dhead, input_gradient=bool(self.encoder.layers))
        self.encoder.backward(dh, input_gradient=False)
        self.collect()

    def _weight(self, rows, value):
        """(rows,) of one value, made once: the same array each time, because recorded calls hold on to it."""
        if (rows, value) not in self._weights:
            self._weights[rows, value] = self.backend.from_host(np.full(rows, value, self.dtype))
        return self._weights[rows, value]

    def _weight_of_kl(self, rows, batch):
        """(rows,) of beta / batch, made once and filled again when beta changes."""
        if (rows, batch) not in self._kl_weights:
            self._kl_weights[rows, batch] = self.backend.from_host(np.full(rows, self.beta / batch, self.dtype))
        return self._kl_weights[rows, batch]

    # The public passes

    def as_data(self, name: str, x: ArrayLike, pixels: str = "grey") -> np.ndarray:
        """x, whatever `np.asarray` takes, as (n, features) data that suit the model: uint8 or floats, C-contiguous.

        `name` is what the ValueError calls it where it does not suit (see `check_data`); uint8 of 0 and 1 only, which
        are no pixels, do not where they are as many as in a data set. For `pixels` other than "grey" values must lie in
        [0, 1] whatever the likelihood. An array that is of that form already is not copied.
        """
        x = self.check_values(name, x, pixels)
        if x.size >= WHOLE_SET:
            expect_pixels(name, x)
        return np.ascontiguousarray(x, x.dtype if x.dtype in GATHERED else self.dtype)

    def check_values(self, name: str, x: ArrayLike, pixels: str = "grey") -> np.ndarray:
        """x as an array (rows, features) whose values suit the model, as for `as_data`, one by one."""
        check = getattr(self.likelihood, "check", None)
        unit = pixels != "grey" or getattr(check, "__func__", None) is Bernoulli.check
        binary = pixels == "grey" or not getattr(self.likelihood, "of_bytes", False)
        expect(binary, "pixels", pixels, "'grey' for a likelihood of bytes")
        x = check_data(name, x, features=self.features, dtype=self.dtype, unit=unit)
        if check is not None and not unit:
            check(name, x)
        return x

    def page(self, x: np.ndarray, rows: slice) -> np.ndarray:
        """Some rows of what `as_data` gave as the model's floats; ValueError for a value that it had not looked at."""
        if not is_sampled(x):
            return as_reals(x[rows], self.dtype)
        return as_reals(self.check_values(f"x[{rows.start}:{rows.stop}]", np.array(x[rows])), self.dtype)

    def forward(self, x: ArrayLike, noise: np.ndarray | None = None) -> Terms:
        """The loss of a batch, as `Terms` of floats in nats per example.

        x is (n, features): uint8 (divided by 255) or other numbers, in an array or whatever makes one. noise is
        (n * samples, latent) standard normals of the model's dtype, or None to draw samples * outer for each example;
        the draws of successive calls differ and follow from the seed.
        """
        self.settle(training=True)
        self._passed = False
        if type(x) is np.ndarray and x.dtype == self.dtype and x.ndim == 2 and x.shape[1] == self.features and len(x):
            batch = self._in_place("x", x)
            if self.backend.on_host:  # a copy is in the cache, where a look at it takes a fifth of the time
                x = batch
            self.as_data("x", x)
        else:
            batch = self._in_place("x", as_reals(self.as_data("x", x), self.dtype))
        if batch.shape[0] * self.draws > MOST_DRAWS and self.backend.on_host:
            expect_room("x", x, pass_bytes(self, batch.shape[0]))
        if noise is None:
            noise = self._buffers("noise", batch.shape[0] * self.draws, self.latent)
            self.backend.standard_normal(self.seed, philox.FORWARD, self._draws, noise)
            self.backend.tick(self._draws)
        else:
            expect_array("noise", noise, (None, self.latent), self.dtype)
            noise = self._in_place("noise", noise)
        self._passed = True
        nll, kl = self.pass_down(batch, noise)
        self.round_operands(False)
        self._tally.reset()
        self._tally.add(nll, kl)
        sums = self._tally.read()
        return Terms(sums.last, sums.nll, sums.kl)

    def backward(self) -> None:
        """Fills `gradients` with those of the loss that the last `forward` returned: assigned, not added to."""
        expect(self._passed, "backward", "no forward pass", "a forward pass before it")
        self.pass_up()

    def _in_place(self, name, array):
        """An array in memory of the model's own: the same at each call, and no one else's until `backward`."""
        if not self.backend.on_host:
            return self.backend.from_host(array)
        kept = self._buffers(name, *array.shape)
        np.copyto(kept, array)
        return kept

    def encode(self, x: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """mu and sigma of q(z|x), each (n, latent), from x (n, features)."""
        self.settle(training=False)
        x = self.as_data("x", x)
        mu, sigma = (np.empty((len(x), self.latent), self.dtype) for _ in range(2))
        for rows in _chunks(len(x)):
            page = self._device(self.page(x, rows))
            mu_rho = self._encode(page)
            noise = self._buffers("no noise", page.shape[0], self.latent)
            self.sampler.forward(*mu_rho, noise)
            mu[rows] = self.backend.to_host(self.head)[:, : self.latent]
            sigma[rows] = self.backend.to_host(self.sampler.sigma)
        return mu, sigma

    def decode(self, z: ArrayLike) -> np.ndarray:
        """The mean of p(x|z), (n, features), from z (n, latent): pixel probabilities for "bernoulli", and for bytes
        their means divided by 255.
        """
        self.settle(training=False)
        mean_of: Any = getattr(self.likelihood, "mean", None)
        expect(
            callable(mean_of), self.describe("likelihood"), "no method mean", "one, to say what the decoder puts out"
        )
        z = np.ascontiguousarray(check_data("z", z, features=self.latent, dtype=self.dtype), self.dtype)
        mean = np.empty((len(z), self.features), self.dtype)
        for rows in _chunks(len(z)):
            values = mean_of(self.backend.to_host(self.decoder.forward(self._device(z[rows]))))
            expect_float_array(f"{self.describe('likelihood')}.mean", values, mean[rows].shape)
            mean[rows] = values
        return mean

    def reconstruct(self, x: ArrayLike) -> np.ndarray:
        """decode(mu) for the posterior means of x: no sampling. (n, features)."""
        return self.decode(self.encode(x)[0])

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Means of p(x|z) for `count` draws of z from the prior, (count, features): without the likelihood's noise."""
        z_and_mean = (self.latent + self.features) * np.dtype(self.dtype).itemsize
        expect_room("count", count, expect_integer("count", count, 1) * z_and_mean)
        z = np.empty((count, self.latent), self.dtype)
        philox.fill_normals(expect_seed(seed), philox.SAMPLE, 0, z)
        return self.decode(z)

    def terms_of_each(self, x: ArrayLike, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """nll and KL of each example with one z from q, in nats, each (n,)."""
        self.settle(training=False)
        x, seed = self.as_data("x", x), expect_seed(seed)
        clock = self.backend.zeros((1,), "int64")
        nll, kl = np.empty(len(x)), np.empty(len(x))
        for rows in _chunks(len(x)):
            page = self._device(self.page(x, rows))
            noise = self._buffers("page's noise", page.shape[0], self.latent)
            self.backend.standard_normal(seed, philox.ELBO, clock, noise)
            self.backend.tick(clock)
            nll_of_page, kl_of_page = map(self.backend.to_host, self.elbo_terms(page, noise))
            nll[rows], kl[rows] = nll_of_page, kl_of_page.sum(axis=1, dtype=np.float64)
        return nll, kl

    def elbo(self, x: ArrayLike, seed: int = 0) -> np.ndarray:
        """The ELBO of each example, log p(x|z) - KL(q(z|x) || p(z)) with one z from q, in nats, (n,), whatever beta is.

        On average over z a lower bound of log p(x) (Kingma and Welling, arXiv:1312.6114, equation 10).
        """
        nll, kl = self.terms_of_each(x, seed)
        return -(nll + kl)

    def log_likelihood(
        self,
        x: ArrayLike,
        samples: int = 5000,
        seed: int = 0,
        chunk: int = CHUNK,
        progress: bool | None = None,
    ) -> np.ndarray:
        """log (1/K) sum_k p(x|z_k) p(z_k) / q(z_k|x), z_k from q(z|x), for each example, in nats, (n,). K = `samples`.

        On average a lower bound of log p(x) that rises with K. `importance_estimate`, which has the same arguments,
        tells how far off it may be.
        """
        x = self.as_data("x", x)
        pages = drawn_log_weights(self, x, samples, seed, chunk, progress)
        value = np.empty(len(x))
        for rows, log_weight in pages:
            value[rows] = log_mean_exp(log_weight)
        return value

    def _device(self, array):
        return self.backend.from_host(array)


def check_precision(value: str, dtype: str) -> None:
    """Raises ValueError unless a model of this dtype can have the `VAE.precision`."""
    expect_choice("precision", value, (dtype, "bf16") if dtype == "float32" else (dtype,))


def _widths(name: str, widths: Any) -> tuple[int, ...]:
    try:
        widths = tuple(itertools.islice(widths, MOST_LAYERS + 1))
    except TypeError:
        widths = (widths,)
    expect(len(widths) <= MOST_LAYERS, name, f"more than {MOST_LAYERS:,} widths", f"at most {MOST_LAYERS:,}")
    return tuple(expect_integer(name, width, 1) for width in widths)


def _chunks(n, size=1000):
    """Slices that bound the memory of a pass over many rows."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
