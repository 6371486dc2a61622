"""The choices of a run: its data, its model, its training, and what becomes of its results.

A `Config` is made once, from the options of `minivae train` or from what a run folder holds, and handed down whole.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import PurePath
from typing import Any, TypeVar

from ..bounds import OBJECTIVES, ONE_GROUP
from ..datasets import Dataset, Scaling
from ..datasets.idx import SIDEWAYS
from ..datasets.loading import TEST_FRACTION
from ..errors import expect, expect_choice
from ..optim import OPTIMIZERS, Optimizer
from ..schedules import Cosine, Plateau, StepDecay, Warmup
from ..vae import LIKELIHOODS, VAE
from . import machine

BYTES_OR_REALS = ("uint8", "float32", "float64")  # the dtypes of a `Dataset`
MOST_KEPT = 100_000  # features, of each of which a run's files hold the name and two numbers

# Those of `Data` that say how a file is read.
READING = ("encoding", "delimiter", "decimal", "header", "label", "drop", "array", "shape", "transpose")

Part = TypeVar("Part", "Data", "Model", "Training", "Results")


def part(kind: type[Part], entry: Mapping[str, Any]) -> Part:
    """One part of a configuration from what `entry` has of it; what it lacks takes its default."""
    return kind(**{field.name: entry[field.name] for field in fields(kind) if field.name in entry})


def taken(function: Callable, choices: object) -> dict[str, Any]:
    """Those of the choices that a function or class takes as arguments, by name."""
    takes = inspect.signature(function).parameters
    return {name: value for name, value in vars(choices).items() if name in takes}


@dataclass(frozen=True)
class Data:
    """The arguments of `load_dataset`, with `shape` for its image_shape; and the fingerprint, image_shape, dtype,
    columns and scaling of what it gave. A scaling is `Scaling.to_json`'s, and then stands for standardize and scale_by.

    In a run folder a file is named as `reopening.stored_name` does it.
    """

    name: str = "mnist"
    size: int | None = None
    test_fraction: float | None = None  # also where the data have test rows of their own
    seed: int = 0
    delimiter: str | None = None
    decimal: str | None = None
    header: bool | None = None
    label: str | int | None = None
    drop: Sequence[str | int] | None = None
    array: str | None = None
    shape: Sequence[int] | None = None
    transpose: bool | None = None
    encoding: str | None = None
    standardize: bool = False
    scale_by: float | None = None
    fingerprint: str | None = None
    image_shape: Sequence[int] | None = None
    dtype: str | None = None  # None in a run of an earlier version, which did not keep it
    columns: Sequence[str] | None = None  # None also in a run of an earlier version, or of very many
    scaling: Mapping[str, Any] | None = None

    def __post_init__(self):
        shape: Any = self.image_shape
        sides = isinstance(shape, (list, tuple)) and all(type(n) is int and n > 0 for n in shape)
        right = sides and (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3))
        expect(shape is None or right, "image_shape", shape, "(height, width) or (height, width, 3)")
        expect(self.dtype is None or self.dtype in BYTES_OR_REALS, "dtype", self.dtype, "uint8, float32 or float64")
        named = isinstance(self.columns, (list, tuple)) and all(isinstance(column, str) for column in self.columns)
        expect(self.columns is None or named, "columns", self.columns, "names")
        if self.scaling is not None:
            Scaling.from_json(self.scaling)

    def holding(self, data: Dataset) -> "Data":
        """With what is known of the data once they are loaded."""
        shape = None if data.image_shape is None else list(data.image_shape)
        scaling, dtype = None if data.scaling is None else data.scaling.to_json(), data.train.dtype.name
        columns = list(data.columns) if data.columns and len(data.columns) <= MOST_KEPT else None
        mark = data.fingerprint()
        return replace(self, fingerprint=mark, image_shape=shape, dtype=dtype, columns=columns, scaling=scaling)

    def original(self, values: Any) -> Any:
        """Values as the model gives them, (rows, features), in the unit of the data before they were scaled."""
        return values if self.scaling is None else Scaling.from_json(self.scaling).undo(values)


@dataclass(frozen=True)
class Model:
    """The arguments of `VAE`, which checks them. The data say what features and likelihood are where they are None."""

    features: int | None = None
    latent: int = 20
    hidden: Sequence[int] = (400,)
    activation: str = "relu"
    scale: str = "softplus"
    likelihood: str | None = None
    decoder_hidden: Sequence[int] | None = None
    observation_sigma: float = 1.0
    learn_sigma: bool | str = False
    beta: float = 1.0
    free_bits: float = 0.0
    objective: str = "elbo"
    samples: int = 1
    outer: int = 1
    dtype: str = "float32"
    seed: int = 0


@dataclass(frozen=True)
class Training:
    """The arguments of `fit` and of the optimizer; epochs of the schedules count in steps of a run's own length."""

    preset: str = "mnist"
    epochs: int = 10
    batch_size: int = 128
    precision: str | None = None
    pixels: str = "grey"
    optimizer: str = "adam"
    learning_rate: float | None = None
    schedule: str = "constant"
    decay_epochs: int = 10
    warmup_epochs: float = 0.0
    beta_warmup_epochs: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.01
    clip_norm: float | None = None
    early_stopping: int | None = None
    validation_noise: str = "fixed"
    shards: int = 1
    seed: int = 0

    def __post_init__(self):
        expect_choice("optimizer", self.optimizer, OPTIMIZERS)
        expect_choice("schedule", self.schedule, SCHEDULES)

    def make_optimizer(self, steps_per_epoch: int) -> Optimizer:
        """The optimizer with its schedule and with every option that its class takes; by default the class's rate."""
        kind = OPTIMIZERS[self.optimizer]
        rate: Any = self.learning_rate or inspect.signature(kind).parameters["learning_rate"].default
        if self.schedule == "step":
            rate = StepDecay(rate, self.decay_epochs * steps_per_epoch)
        elif self.schedule == "cosine":
            rate = Cosine(rate, self.epochs * steps_per_epoch, round(self.warmup_epochs * steps_per_epoch))
        elif self.schedule == "plateau":
            rate = Plateau(rate, patience=self.decay_epochs)
        return kind(**{**taken(kind, self), "learning_rate": rate})

    def make_beta(self, value: float, steps_per_epoch: int) -> Warmup | None:
        """The schedule of beta up to this value; None where it does not change."""
        steps = round(self.beta_warmup_epochs * steps_per_epoch)
        return Warmup(steps, value) if steps and value else None


@dataclass(frozen=True)
class Results:
    """Where a run's files go and which are kept. No number depends on it, and config.json does not hold it.

    checkpoint_every : (steps, None) or (None, seconds)
    """

    out: str | None = None
    overwrite: bool = False
    checkpoint_every: tuple[int | None, float | None] = (None, 30.0)
    keep: int = 2
    no_pictures: bool = False
    threads: int | None = None


SCHEDULES = ("constant", "step", "cosine", "plateau")


def _flag(option):
    return "--" + option.replace("_", "-")


Need = tuple[Callable[[Mapping[str, Any]], bool], str]  # what an option needs of all choices, and how to say so


def among(other: str, values: Sequence[str]) -> Need:
    """That another choice is one of these, or still open."""
    return lambda chosen: chosen[other] in (None, *values), f"{_flag(other)} {' or '.join(values)}"


def above_zero(other: str) -> Need:
    return lambda chosen: chosen[other] > 0, f"{_flag(other)} above 0"


def of_optimizer(option: str) -> Need:
    """That the optimizer's class takes the option."""

    def takes(name):
        return option in inspect.signature(OPTIMIZERS[name]).parameters

    return lambda chosen: takes(chosen["optimizer"]), f"--optimizer {' or '.join(filter(takes, OPTIMIZERS))}"


# For each option that does not always apply.
WITH_SIGMA = [name for name, kind in LIKELIHOODS.items() if "sigma" in inspect.signature(kind).parameters]
NEEDS: dict[str, list[Need]] = {
    "activation": [(lambda chosen: bool(chosen["hidden"] or chosen["decoder_hidden"]), "a hidden layer")],
    "observation_sigma": [among("likelihood", WITH_SIGMA)],
    "learn_sigma": [among("likelihood", WITH_SIGMA)],
    "beta": [among("objective", ["elbo"])],
    "beta_warmup_epochs": [among("objective", ["elbo"]), above_zero("beta")],
    "free_bits": [among("objective", ["elbo"]), above_zero("beta")],
    "outer": [among("objective", [name for name in OBJECTIVES if name not in ONE_GROUP])],
    "decay_epochs": [among("schedule", ["step", "plateau"])],
    "warmup_epochs": [among("schedule", ["cosine"])],
} | {option: [of_optimizer(option)] for kind in OPTIMIZERS.values() for option in taken(kind, Training())}
NEEDS["nesterov"].append(above_zero("momentum"))

# Choices of training that version 0.1.0 had not, and what it did.
SINCE = {"beta_warmup_epochs": 0.0, "precision": None, "shards": 1}

# The kinds of what is used of a config.json whatever is asked of the run.
REQUIRED: dict[str, dict[str, Any]] = {
    "data": {
        "name": str,
        "size": (int, type(None)),
        "test_fraction": (float, type(None)),
        "seed": int,
        "fingerprint": str,
    },
    "training": {"pixels": str, "seed": int, "epochs": int},
}


@dataclass(frozen=True)
class Config:
    """All choices of a run.

    Attributes
    ----------
    backend : the one asked for; once there is a model, the one it computes with
    versions : of minivae, Python and NumPy; once there is a model, all of `machine.described`, as it was last trained
    given : the options that a user gave, by name; none for a run that goes on

    Raises ValueError for an option that was given and does not apply.
    """

    data: Data
    model: Model
    training: Training
    backend: str = "auto"
    results: Results = Results()
    versions: Mapping[str, str] = field(default_factory=dict)
    given: frozenset[str] = frozenset()

    def __post_init__(self):
        chosen = vars(self.model) | vars(self.training)
        for option, needs in NEEDS.items():
            for holds, phrase in needs:
                expect(option not in self.given or holds(chosen), _flag(option), chosen[option], f"{phrase} with it")
        expect(self.results.out != "", "--out", "", "the name of a folder")
        expect("overwrite" not in self.given or self.results.out, "--overwrite", True, "--out with it")

    @classmethod
    def from_options(cls, given: Mapping[str, Any], preset: Mapping[str, Any], version: str) -> "Config":
        """From the options that were given, by name, over those that a preset sets."""
        entry = {**preset, **given}
        kind = inspect.signature(OPTIMIZERS[entry.get("optimizer", Training.optimizer)]).parameters
        own = {name: option.default for name, option in kind.items() if option.default is not None}
        own.pop("learning_rate")  # is asked for where the optimizer is made
        return cls(
            part(Data, entry | {"name": entry.get("data", Data.name)}),
            part(Model, entry),
            part(Training, own | entry),
            entry.get("backend", "auto"),
            part(Results, entry),
            {"minivae": version},
            frozenset(given),
        )

    @classmethod
    def from_json(cls, entry: dict) -> "Config":
        """From what `to_json` made, here or in an earlier version; ValueError, KeyError or TypeError if it is none."""
        if not (isinstance(entry["model"], dict) and isinstance(entry["backend"], str)):
            raise TypeError("model or backend of another type")
        for name, kinds in REQUIRED.items():
            for key, kind in kinds.items():
                if not isinstance(entry[name][key], kind):
                    raise TypeError(f"{key}: got {entry[name][key]!r:.80}")
        versions = {key: value for key, value in entry.items() if key not in ("backend", "data", "model", "training")}
        data = part(Data, entry["data"])
        if "transpose" not in entry["data"] and SIDEWAYS.fullmatch(PurePath(data.name).name):
            data = replace(data, transpose=False)  # of a version that left EMNIST on its side
        training = SINCE | entry["training"]
        training = {field.name: training[field.name] for field in fields(Training)}
        model, training = _without_nulls(entry["model"]), _without_nulls(training)
        _expect_numbers(model | training, vars(Model()) | vars(Training()))
        return cls(data, Model(**model), Training(**training), entry["backend"], versions=versions)

    def to_json(self) -> dict:
        """All but the results, as config.json and each checkpoint hold it; null for what does not apply."""
        parts = {"data": asdict(self.data), "model": asdict(self.model), "training": asdict(self.training)}
        chosen = vars(self.model) | vars(self.training)
        for option, needs in NEEDS.items():
            if not all(holds(chosen) for holds, _ in needs):
                parts["model" if option in parts["model"] else "training"][option] = None
        return {**self.versions, "backend": self.backend, **parts}

    @property
    def run(self) -> tuple:
        """What tells one run from another: its model, its training but for how long, and its data."""
        return self.model, replace(self.training, epochs=0), self.data.fingerprint

    def for_data(self, data: Dataset) -> "Config":
        """With what follows from the data: their fingerprint, the features, the likelihood where none was chosen."""
        likelihood = self.model.likelihood or ("bernoulli" if data.in_unit_interval else "gaussian")
        model = replace(self.model, features=data.features, likelihood=likelihood)
        kept = data.scaling is None or (data.scaling.features or 1) <= MOST_KEPT
        expect(kept, "--standardize", f"{data.features:,} features", f"at most {MOST_KEPT:,}, or --scale-by")
        fraction = (self.data.test_fraction or TEST_FRACTION) if data.split else None
        applies, without = data.split or "test_fraction" not in self.given, "--data FILE with it, one without test rows"
        expect(applies, "--test-fraction", self.data.test_fraction, without)
        return replace(self, data=replace(self.data.holding(data), test_fraction=fraction), model=model)

    def for_model(self, model: VAE, version: str) -> "Config":
        """With the model's arguments as it has them, none left open, but beta, which may be on its way, as chosen; and
        with what the model computes with here, under this version of minivae.
        """
        backend = model.backend.name
        versions = {**self.versions, **machine.described(backend, version, model.backend.threading_layer())}
        return replace(
            self, model=Model(**{**model.config, "beta": self.model.beta}), backend=backend, versions=versions
        )


def _expect_numbers(entry, usual):
    """TypeError for what is no number where one is usual."""
    for name, value in entry.items():
        kinds: Any = {int: int, float: (int, float)}.get(type(usual.get(name)), object)
        if not isinstance(value, kinds) or (kinds is not object and isinstance(value, bool)):
            raise TypeError(f"{name}: got {value!r:.80}")


def _without_nulls(entry):
    """What an entry of `to_json` says: what does not apply has its default."""
    return {name: value for name, value in entry.items() if value is not None}
