"""`VAE`: fit, transform to posterior means, score as ELBO, under scikit-learn's names and rules."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from ..errors import (
    LARGEST,
    expect,
    expect_choice,
    expect_everywhere,
    expect_integer,
    expect_number,
    expect_unmasked,
    plain,
)
from ..optim import Adam
from ..training.fit import fit
from ..training.state import History
from ..vae import VAE as Model

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # scikit-learn 1.5

    def validate_data(estimator, X, **options):
        return estimator._validate_data(X, **options)


LIKELIHOODS = ("gaussian", "bernoulli")
LEARNED = {"shared": True, "features": "features"}  # from a sigma to the `learn_sigma` of `minivae.VAE`
FLOATS = (np.float64, np.float32)
ROWS = 1 << 13  # draws of z that are scored at a time: bounds the memory

_passing = threading.Lock()  # a model's passes share its buffers, and fitted estimators may be asked by several threads


class Continued:
    """A schedule that looks at the history, in another pass: it is shown those of the earlier calls."""

    def __init__(self, schedule, history):
        self._schedule, self._history = schedule, history

    def observe(self, _):
        self._schedule.observe(self._history)

    def __call__(self, step):
        return self._schedule(step)


def suited(model: Model, X: np.ndarray) -> np.ndarray:
    """Floats X as data of the model; ValueError where they do not suit it."""
    if model.likelihood.name == "bernoulli":
        expected = 'values in [0, 1] for likelihood="bernoulli"'
        advice = ": MinMaxScaler(clip=True) puts them there, which without clip leaves some a little outside"
        expect_everywhere("X", X, lambda x: (x >= 0) & (x <= 1), expected, lambda x: advice)
    return model.as_data("X", X)


class VAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, BaseEstimator):
    """A variational autoencoder as a transformer (posterior means) and a density estimator (ELBO) of scikit-learn.

    Parameters
    ----------
    n_components : int
        The number of latents, as in PCA; `latent` in `minivae.VAE`.
    hidden_layer_sizes : int or sequence of int
        The widths of the encoder's hidden layers, as in MLPClassifier; the decoder has them in reverse. () for none.
    activation : str
        Of the hidden layers, as in `minivae.VAE`.
    likelihood : {"gaussian", "bernoulli"}
        Of p(x|z): "gaussian" for real numbers, best of about unit variance (StandardScaler); "bernoulli" for values in
        [0, 1], anything else being refused (MinMaxScaler(clip=True) lets none through).
    sigma : {"shared", "features"} or float
        The standard deviation of the Gaussian likelihood: learned, one for all features or one for each, or a number
        that is kept. A Bernoulli likelihood has none, and leaves this aside.
    beta : float or schedule
        The weight of the KL term in training, as in `minivae.fit`. Scores are the ELBO, whatever it is.
    learning_rate : float or schedule
        That of `minivae.Adam`.
    batch_size : int
        Rows in a minibatch; all of them where there are fewer.
    max_iter : int
        Passes over the data that `fit` makes.
    n_draws : int
        Draws of z for each example, over which `score` and `score_samples` average.
    backend : str
        "auto" or one of `minivae.available_backends()`.
    random_state : int, RandomState instance or None
        Initial parameters, order of the rows and noise of training: the same int gives the same bits.
    verbose : bool
        Whether `fit` shows a bar of progress.

    Attributes
    ----------
    model_ : `minivae.VAE`, with all that it can do besides
    history_ : `minivae.History`, one entry for each pass over data: train_loss and others, nats per example
    n_iter_ : the number of passes made
    n_features_in_, feature_names_in_ : as everywhere in scikit-learn

    Data are real numbers as they are, float32 or float64 (anything else becomes float64), and the model has the dtype
    of those that it was fitted to. Bytes are not divided by 255.

    Raises
    ------
    ValueError
        By `fit`, for a parameter outside its range, naming it, and for data that are none, before anything changes.
    minivae.TrainingDiverged
        As `minivae.fit`; the estimator is as it was before, but for the model of a `partial_fit`, which is in its last
        good state.
    """

    model_: Model
    history_: History
    n_iter_: int
    _optimizer: Adam
    _seed: int
    _made: dict[str, Any]

    def __init__(
        self,
        n_components: int = 2,
        *,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        likelihood: str = "gaussian",
        sigma: float | str = "shared",
        beta: float | Callable[[int], float] = 1.0,
        learning_rate: float | Callable[[int], float] = 1e-3,
        batch_size: int = 128,
        max_iter: int = 100,
        n_draws: int = 10,
        backend: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.likelihood = likelihood
        self.sigma = sigma
        self.beta = beta
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.n_draws = n_draws
        self.backend = backend
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> "VAE":
        """Trains anew for `max_iter` passes over X (n_samples, n_features); y is not used. Returns the estimator.

        Ctrl-C raises KeyboardInterrupt, and leaves it fitted as far as it got.
        """
        return self._train(X, self.max_iter, anew=True)

    def partial_fit(self, X: Any, y: Any = None) -> "VAE":
        """Makes one pass over X, in minibatches, from where the last `partial_fit` or `fit` ended: parameters, Adam's
        moments and noise go on. With the same rows each time, `max_iter` calls are a `fit`, bit for bit.

        `learning_rate`, `batch_size`, `beta` and `verbose` may be changed between calls. A change of what the model
        was made with (`n_components`, `hidden_layer_sizes`, `activation`, `likelihood`, `sigma`, `backend`,
        `random_state`) raises ValueError: `fit` begins anew.
        """
        return self._train(X, 1, anew=not hasattr(self, "model_"))

    def transform(self, X: Any) -> Any:
        """The posterior means of X: (n_samples, n_components)."""
        X = self._rows(X)
        with _passing:
            return self.model_.encode(X)[0]

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The means of p(x|z) for latents X (n_samples, n_components): (n_samples, n_features)."""
        check_is_fitted(self)
        expect_unmasked("X", X)
        X = check_array(X, dtype=FLOATS, input_name="X")
        latent = self.model_.latent
        expect(X.shape[1] == latent, "X", X, f"the {latent} components that the estimator was fitted with")
        with _passing:
            return self.model_.decode(X)

    def score_samples(self, X: Any) -> np.ndarray:
        """The ELBO of each example of X, (n_samples,), in nats: on average no more than log p(x).

        It is the mean over `n_draws` draws of z from q(z|x). The noise of an example is a function of its values and
        nothing else, so that equal calls, other orders and other subsets give the same numbers, up to rounding.
        """
        X, n_draws = self._rows(X), expect_integer("n_draws", self.n_draws, 1)
        elbo = np.empty(len(X))
        step = max(1, ROWS // n_draws)
        for start in range(0, len(X), step):
            rows = slice(start, start + step)
            elbo[rows] = self._elbo(X[rows], n_draws)
        return elbo

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`, nats per example; y is not used."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """(n_samples, n_features) draws from the model's density: z from the prior, then x from p(x|z), noise
        included. The means alone are `inverse_transform` of standard normals.
        """
        check_is_fitted(self)
        n_samples, rng = expect_integer("n_samples", n_samples, 1), check_random_state(random_state)
        model = self.model_
        mean = self.inverse_transform(rng.standard_normal((n_samples, model.latent)))
        if model.likelihood.name == "bernoulli":
            return (rng.uniform(size=mean.shape) < mean).astype(model.dtype)
        learned = model.parameters.get("likelihood.log_sigma")
        sigma = model.likelihood.sigma if learned is None else np.exp(model.backend.to_host(learned))
        return (mean + sigma * rng.standard_normal(mean.shape)).astype(model.dtype)

    def __setstate__(self, state):
        super().__setstate__(state)
        if hasattr(self, "model_") and not hasattr(self, "_made"):  # pickled by a version that did not keep it
            self._made = self._check()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self):
        return self.model_.latent

    def _rows(self, X):
        """X in the model's dtype."""
        check_is_fitted(self)
        expect_unmasked("X", X)
        X = validate_data(self, X, reset=False, dtype=FLOATS)
        return np.ascontiguousarray(suited(self.model_, X), self.model_.dtype)

    def _train(self, X, epochs, anew):
        before = dict(self.__dict__)
        try:
            stopped = self._trained(X, epochs, anew)
        except BaseException:
            self.__dict__ = before  # what validate_data has set would not suit the model
            raise
        if stopped == "interrupted":
            raise KeyboardInterrupt
        return self

    def _trained(self, X, epochs, anew):
        """Does it; returns how it ended."""
        batch_size, made_with = expect_integer("batch_size", self.batch_size, 1), self._check()
        for name, value in {} if anew else self._made.items():
            kept = f"{value!r}, which the model was made with (fit makes another)"
            expect(made_with[name] == value, name, made_with[name], kept)
        expect_unmasked("X", X)
        X = validate_data(self, X, reset=anew, dtype=FLOATS, order="C")
        if anew:
            seed = int(check_random_state(self.random_state).randint(1 << 31, dtype=np.int64))
            model, optimizer, history = self._new(X, seed), Adam(self.learning_rate), History()
            beta = self.beta
        else:
            seed, model, optimizer, history = self._seed, self.model_, self._optimizer, self.history_.copy()
            optimizer.learning_rate, beta = (
                Continued(value, history) if hasattr(value, "observe") else value
                for value in (self.learning_rate, self.beta)
            )
        made = fit(
            model,
            suited(model, X),
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            beta=beta,
            seed=seed,
            progress=bool(self.verbose),
        )
        for row in zip(*made.values(), strict=True):
            history.add(dict(zip(made, row, strict=True)) | {"epoch": history.epochs + 1})
        history.stopped = made.stopped
        self.model_, self.history_, self.n_iter_ = model, history, history.epochs
        self._optimizer, self._seed, self._made = optimizer, seed, made_with
        return made.stopped

    def _check(self):
        """Raises ValueError for a parameter that `minivae.VAE` knows by another name, or not at all.

        Returns those that a model is made with, by name, in a form that compares.
        """
        for name in "max_iter", "n_draws":
            expect_integer(name, getattr(self, name), 1)
        expect(isinstance(plain(self.verbose), int), "verbose", self.verbose, "True or False")
        expect_integer("n_components", self.n_components, 1)
        expect_choice("likelihood", self.likelihood, LIKELIHOODS)
        sizes: Any = self.hidden_layer_sizes  # an iterator is none: the next fit would find it at its end
        several = sizes.ndim > 0 if isinstance(sizes, np.ndarray) else isinstance(sizes, Sequence)
        for size in sizes if several else [sizes]:
            expect_integer("hidden_layer_sizes", size, 1)
        if self._learn_sigma() is False:
            positive = "'shared', 'features' or a finite number above 0"
            expect_number("sigma", self.sigma, lambda sigma: 0 < sigma <= LARGEST, positive)
        widths = tuple(np.atleast_1d(sizes).tolist())
        made_with = {"n_components": self.n_components, "hidden_layer_sizes": widths, "activation": self.activation}
        made_with |= {"likelihood": self.likelihood, "backend": self.backend, "random_state": self.random_state}
        return made_with | ({"sigma": self.sigma} if self.likelihood == "gaussian" else {})

    def _learn_sigma(self):
        return LEARNED.get(self.sigma, False) if isinstance(self.sigma, str) else False

    def _new(self, X, seed):
        gaussian: dict[str, Any] = {}
        if self.likelihood == "gaussian":
            learn = self._learn_sigma()
            gaussian = {"learn_sigma": learn} if learn else {"observation_sigma": self.sigma}
        return Model(
            features=X.shape[1],
            latent=self.n_components,
            hidden=self.hidden_layer_sizes,
            activation=self.activation,
            likelihood=self.likelihood,
            dtype=X.dtype.name,
            backend=self.backend,
            seed=seed,
            **gaussian,
        )

    def _elbo(self, X, n_draws):
        """The ELBO of a few rows, (rows,)."""
        model = self.model_
        noise = np.empty((len(X), n_draws, model.latent), model.dtype)
        for row, of_row in zip(X + 0.0, noise, strict=True):  # -0.0 is 0.0
            key = int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=16).digest(), "little")
            of_row[...] = np.random.Generator(np.random.Philox(key=key)).standard_normal(of_row.shape)
        with _passing:
            model.settle(training=False)
            page, noise = map(model.backend.from_host, (X, noise.reshape(-1, model.latent)))
            nll, kl = map(model.backend.to_host, model.elbo_terms(page, noise))
            nll_of_each = nll.reshape(len(X), n_draws).mean(axis=1, dtype=np.float64)
            return -(nll_of_each + kl.sum(axis=1, dtype=np.float64))
