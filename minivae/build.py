"""How a VAE is put together from its arguments and parts, and how it is described in a file and made again."""

import copy
import os
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from .bounds import ESTIMATED, expect_standard_prior
from .errors import expect
from .files import stored
from .gradcheck import GradientReport, check_gradients
from .gradcheck.subject.holding import walk
from .kernels import Backend
from .layers import Chain, Dense, as_reals, resolve_backend
from .losses import LIKELIHOODS, Gaussian, GaussianKL
from .parameters import Assembled, Trial, showing, try_latents
from .parameters.memory import MOST_LAYERS
from .parameters.survey import survey
from .reparam import Reparameterize


def _class_of(part: Any) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


OWN_LIKELIHOODS = frozenset(LIKELIHOODS.values())
OWN = OWN_LIKELIHOODS | {Dense, Reparameterize, GaussianKL}
_OWN_NAMES = frozenset(f"{kind.__module__}.{kind.__qualname__}" for kind in OWN_LIKELIHOODS)


Model = TypeVar("Model", bound="Built")


class Built(Assembled):
    """What `VAE` is made of. Attributes: `encoder` and `decoder`, chains of layers, the last of the decoder being the
    output layer; `posterior`, the encoder's last layer; `likelihood`.
    """

    features: int
    latent: int
    draws: int
    seed: int
    config: dict[str, Any]
    scale: str
    precision: str
    sampler: Any
    kl: Any
    bound: Any
    as_data: Callable[..., np.ndarray]
    beta_array: Any
    free_bits_array: Any

    def build(self, hidden, decoder_hidden, activation, parts, likelihood):
        """Makes the layers and the likelihood: those given, and dense ones in the place of those that are None."""
        encoder, posterior, decoder, output = parts
        shared: dict[str, Any] = {"dtype": self.dtype, "backend": self.backend}
        self.encoder = Chain(
            self._hidden("encoder", encoder, self.features, hidden, activation, 0), "encoder.{}", **shared
        )
        count, shared["seed"] = len(self.encoder.layers), self.seed
        if posterior is None:
            posterior = Dense(self.encoder.outputs(self.features), 2 * self.latent, index=count, **shared)
        self.posterior = posterior
        layers = self._hidden("decoder", decoder, self.latent, decoder_hidden, activation, count + 1)
        self.decoder = Chain(layers, "decoder.{}", dtype=self.dtype, backend=self.backend)
        self.likelihood = self._make_likelihood(likelihood)
        if output is None:
            output = Dense(self.decoder.outputs(self.latent), self._outputs(), index=count + 1 + len(layers), **shared)
        self.decoder.layers.append(output)
        self.config |= self._of_likelihood()

    def _hidden(self, name, given, inputs, widths, activation, index):
        """The hidden layers: those given, or dense ones."""
        if given is None:
            return [
                Dense(*pair, activation, dtype=self.dtype, backend=self.backend, seed=self.seed, index=index + i)
                for i, pair in enumerate(pairwise((inputs, *widths)))
            ]
        expect(isinstance(given, Iterable) and not isinstance(given, (str, Mapping)), name, given, "a list of layers")
        return list(given)

    def _make_likelihood(self, given):
        """The likelihood of this name, or the object given."""
        if not isinstance(given, str):
            return given
        options: dict[str, Any] = {"dtype": self.dtype, "backend": self.backend}
        if given == "gaussian":
            learn = self.config["learn_sigma"]
            count = self.features if learn == "features" else 1
            options |= {"sigma": self.config["observation_sigma"], "learn": bool(learn), "features": count}
        return LIKELIHOODS[given](**options)

    def _of_likelihood(self):
        """The arguments of a model that make its likelihood as it is now, None where it is of one's own."""
        likelihood = self.likelihood
        if type(likelihood) not in OWN_LIKELIHOODS:
            return {"likelihood": None, "learn_sigma": False}
        if type(likelihood) is not Gaussian:
            return {"likelihood": likelihood.name, "learn_sigma": False}
        sigma, learns = likelihood.initial_sigma, likelihood.learns
        return {"likelihood": likelihood.name, "observation_sigma": sigma, "learn_sigma": learns}

    def _config_now(self):
        """`config` with what has been put in the place of the likelihood and the sampler."""
        return self.config | self._of_likelihood() | {"scale": self.scale}

    def parts(self) -> dict[str, Any]:
        """The layers and the likelihood by name, in the order of the flat buffers.

        "output" is the decoder's last layer, whose parameters are called likelihood.NAME.
        """
        *hidden, output = self.decoder.layers
        encoder = {f"encoder.{i}": layer for i, layer in enumerate(self.encoder.layers)}
        decoder = {f"decoder.{i}": layer for i, layer in enumerate(hidden)}
        rest = {"likelihood": self.likelihood, "sampler": self.sampler, "kl": self.kl}
        return {**encoder, "posterior": self.posterior, **decoder, "output": output, **rest}

    def _parts_now(self):
        layers = *self.encoder.layers, self.posterior, *self.decoder.layers
        return (*layers, self.likelihood, self.sampler, self.kl)

    def _prefix(self, name):
        return "likelihood" if name == "output" else name

    def _is_own(self, part):
        return type(part) in OWN

    def _outputs(self):
        """How many numbers the decoder puts out for each example."""
        return self.features * getattr(self.likelihood, "outputs", 1)

    def _try(self, parts):
        for name, part in parts.items():
            if not self._is_own(part):
                needs = "a part of minivae's own: others need arrays in host memory"
                expect(self.backend.on_host, self.describe(name), f"the {self.backend.name} backend", needs)
        width = self.encoder.outputs(self.features)
        head = Chain([self.posterior], "posterior", dtype=self.dtype)
        head.outputs(width, 2 * self.latent, first=not self.encoder.layers)
        self.decoder.outputs(self.latent, self._outputs(), first=False)
        if isinstance(self.likelihood, Gaussian):
            count = self.likelihood.count
            fits = count in (1, self.features)
            expect(fits, "likelihood", f"{count} sigmas", f"1, or one for each of {self.features} features")
        if type(self.likelihood) not in OWN_LIKELIHOODS:
            trial = Trial(self.describe("likelihood"), self.likelihood, self.dtype)
            trial.likelihood(self.features, self._outputs(), self.draws)
        if not (self._is_own(self.sampler) and self._is_own(self.kl)):
            try_latents(self.sampler, self.kl, self.latent, self.draws, self.dtype)
            if self.config["objective"] != "elbo":
                expect_standard_prior(self)

    def plan(self) -> dict[str, Any]:
        """From the name of each part to what it is made of.

        That is, of a dense layer, [inputs, outputs, activation], and of any other part the name of its class.
        """
        return {
            name: [part.inputs, part.outputs, part.activation] if type(part) is Dense else _class_of(part)
            for name, part in self.parts().items()
            if name not in ("sampler", "kl")
        }

    def description(self) -> dict[str, Any]:
        """What a file says of the model besides its arrays: `config`, and the plan where that does not follow."""
        for name, part, kind in (("sampler", self.sampler, Reparameterize), ("kl", self.kl, GaussianKL)):
            expect(
                type(part) is kind, f"model.{name}", type(part).__name__, f"a {kind.__name__}: no other can be saved"
            )
        expect(self.kl.scale == self.scale, "model.kl.scale", self.kl.scale, f"{self.scale!r}, that of model.sampler")
        config, plan = self._config_now(), self.plan()
        same = config["likelihood"] is not None and plan == _plan_of(config)
        return config if same else {**config, "plan": plan}

    def check(self, x: ArrayLike | None = None, *, rows: int = 4, seed: int = 0, **options: Any) -> GradientReport:
        """Compares all gradients of the model as it is, its parts of one's own by name, with differences of its loss.

        Parameters
        ----------
        x : (rows, features) data; by default so many rows of zeros and ones, which every likelihood takes
        seed : of those and of the noise
        options : of `check_gradients`

        It is done in the model's dtype, whatever its `precision`: differences say ten times more of a float64 model. It
        is done on a copy, or, where a part cannot be copied, on the model itself, whose parameters are then as they
        were; what else a part keeps, and `gradients`, are those of the check's last pass.

        Raises ValueError for the objectives "stl", "dreg" and "piwae", whose gradients are by design not the
        derivatives of their losses (see `bounds.py`): nothing would be learned from a difference.
        """
        objective, agree = self.config["objective"], "one whose gradient is the derivative of its loss"
        expect(objective not in ESTIMATED, "objective", objective, f"{agree}: 'elbo', 'iwae' or 'miwae'")
        rng = np.random.default_rng(seed)
        data = rng.integers(0, 2, (rows, self.features)) if x is None else x
        data = as_reals(self.as_data("x", data), self.dtype)
        noise = rng.standard_normal((len(data) * self.draws, self.latent)).astype(self.dtype)
        precision = self.precision
        try:
            model = copy.deepcopy(self)
        except Exception:
            model = self
        model.precision = self.dtype
        if "parameters" not in options:
            options["constant"] = (*options.get("constant", ()), *model._constants())
        try:
            return check_gradients(model, data, fixed={"noise": noise}, **options)
        finally:
            self.precision = precision

    def _constants(self):
        """Paths to the model's arrays that are no parameters, though its loss depends on them."""
        fixed = [item for _, item in survey(self._sequence) if isinstance(item, Gaussian) and not item.learns]
        arrays = [self.beta_array, self.free_bits_array, *(likelihood._values["log_sigma"] for likelihood in fixed)]
        return [held.path for held in walk(self) if any(np.may_share_memory(held.array, array) for array in arrays)]

    def __repr__(self) -> str:
        shown = self._config_now()
        if shown["likelihood"] is None or self.plan() != _plan_of(shown):
            for name in ("hidden", "decoder_hidden", "activation"):
                del shown[name]
            shown |= {name: getattr(self, name) for name in ("encoder", "posterior", "decoder", "likelihood")}
        return f"VAE({', '.join(f'{key}={value!r}' for key, value in shown.items())}, backend={self.backend.name!r})"

    def _repr_html_(self) -> str:
        return showing.page(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model to a `.npz` file, replacing it only when the new one is complete.

        Of parts of one's own it holds the parameters and the names of their classes: `load` must be given such parts.
        """
        arrays = {f"parameter/{name}": self.backend.to_host(value) for name, value in self.parameters.items()}
        stored.write(path, self.description(), arrays, extra={})

    @classmethod
    def load(
        cls: type[Model],
        path: str | os.PathLike[str],
        backend: str | Backend = "auto",
        parts: Mapping[str, Any] | None = None,
    ) -> Model:
        """The model that `save` wrote, on any backend; ValueError as from `stored.read`.

        parts : the parts of one's own by name, {"encoder.1": layer, "likelihood": object}, or as the constructor takes
            them, {"encoder": [layers]}; they get the parameters that were saved
        """
        return cls.from_stored(path, *stored.read(path), backend, parts)

    @classmethod
    def from_stored(
        cls: type[Model],
        path: str | os.PathLike[str],
        description: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        backend: str | Backend = "auto",
        parts: Mapping[str, Any] | None = None,
    ) -> Model:
        """The model in what `stored.read` gave for the file `path`; ValueError, naming it, where it holds none."""
        backend = resolve_backend(backend)
        with stored.damage_named(path, "the checkpoint describes no model that this version can build"):
            config = dict(description["model"])
            plan, most = config.pop("plan", None), 3 * MOST_LAYERS
            for name, layers in {"plan": plan or (), **config}.items():
                if name in ("plan", "hidden", "decoder_hidden"):
                    expect(len(layers) <= most, name, f"{len(layers):,} parts", f"at most {most:,}")
            # Before a model is made, so that its description cannot ask for more memory than the file has filled.
            for name, shape in parameter_shapes(config, plan).items():
                stored.expect_stored(arrays, f"parameter/{name}", shape, config["dtype"])
            model = cls(**config | _lists(plan, parts or {}), backend=backend)  # type: ignore[call-arg]
            for name, value in model.parameters.items():
                stored.expect_stored(arrays, f"parameter/{name}", tuple(value.shape), model.dtype)
        for name, value in model.parameters.items():
            backend.assign(value, arrays[f"parameter/{name}"])
        model.settle()
        return model


def _plan_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """`VAE.plan` of a model that has these arguments and no parts of one's own."""
    features, latent, activation = config["features"], config["latent"], config["activation"]
    kind = LIKELIHOODS[config["likelihood"]]
    widths, decoder_widths = (features, *config["hidden"]), (latent, *config["decoder_hidden"])
    plan: dict[str, Any] = {f"encoder.{i}": [*pair, activation] for i, pair in enumerate(pairwise(widths))}
    plan["posterior"] = [widths[-1], 2 * latent, "identity"]
    plan |= {f"decoder.{i}": [*pair, activation] for i, pair in enumerate(pairwise(decoder_widths))}
    plan["output"] = [decoder_widths[-1], features * kind.outputs, "identity"]
    return plan | {"likelihood": f"{kind.__module__}.{kind.__qualname__}"}


def parameter_shapes(config: Mapping[str, Any], plan: Mapping[str, Any] | None = None) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter of a model, by its name, but for parts of one's own; nothing is allocated."""
    shapes: dict[str, tuple[int, ...]] = {}
    for part, made_of in (_plan_of(config) if plan is None else plan).items():
        if not isinstance(made_of, str):
            prefix = "likelihood" if part == "output" else part
            shapes |= {f"{prefix}.{name}": shape for name, shape in Dense.shapes(*made_of[:2]).items()}
    if config["learn_sigma"]:
        shapes["likelihood.log_sigma"] = (config["features"],) if config["learn_sigma"] == "features" else (1,)
    return shapes


def _lists(plan: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `VAE` that make the parts of a plan, those of one's own from what was given."""
    parts: dict[str, Any] = {}
    for name, part in given.items():
        is_list = isinstance(part, (list, tuple))
        parts |= {f"{name}.{i}": item for i, item in enumerate(part)} if is_list else {name: part}
    own = {name: made_of for name, made_of in (plan or {}).items() if isinstance(made_of, str)}
    for name in parts:
        known = plan is not None and name in plan
        expect(known, "parts", name, f"names of {', '.join(own) or 'no'} parts of one's own, which the model has")
    made: dict[str, Any] = {}
    for name, made_of in (plan or {}).items():
        if not isinstance(made_of, str):
            made[name] = Dense(*made_of)
        elif made_of not in _OWN_NAMES:
            part = parts.get(name)
            expect(part is not None, "parts", f"none called {name!r}", f"the {made_of} that the model was saved with")
            same = type(part).__qualname__ == made_of.rpartition(".")[2] or _class_of(part) == made_of
            expect(same, f"parts[{name!r}]", part, f"the {made_of} that the model was saved with")
            made[name] = part
    if plan is None:
        return {}
    lists = {key: [part for name, part in made.items() if name.startswith(f"{key}.")] for key in ("encoder", "decoder")}
    return lists | {name: made[name] for name in ("posterior", "output", "likelihood") if name in made}
