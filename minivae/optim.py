"""Optimizers: one pass over the flat buffers of a model, in place.

`clock` counts the steps made and lives in the backend's memory, as does the table of learning rates, so that a
recorded training step can be replayed without the host taking part.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .errors import expect, expect_fraction, expect_not_negative, expect_positive
from .parameters import Model, Parameters, Portable
from .schedules import SCHEDULES, Constant, Plateau

__all__ = ["SGD", "Adagrad", "Adam", "AdamW"]

AHEAD = 1 << 12  # rates in the table that the kernels read, a power of two
LearningRate = float | Callable[[int], float]  # a number, or a schedule


class Setting:
    """A number that an optimizer is made with, and that may be set at any time: checked both times."""

    def __init__(self, check: Callable[[str, float], float], default: float | None = None) -> None:
        self._check, self._default = check, default

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, optimizer: Any, owner: Any = None) -> Any:
        return self if optimizer is None else vars(optimizer).get(self._name, self._default)

    def __set__(self, optimizer: Any, value: float) -> None:
        vars(optimizer)[self._name] = self._check(self._name, value)


class Optimizer(Portable):
    """What all optimizers share: the learning rate, the clock, clipping, and buffers that belong to one model.

    One of your own overrides `_apply`, where `rate` is that of the step, and names its buffers in `moments`; or it
    overrides `update`.

    Parameters
    ----------
    learning_rate : a number, or a schedule (a callable from the step to a rate)
    clip_norm : where the Euclidean norm of the whole gradient exceeds this, the gradient is scaled down to it; None
        for never

    Attributes
    ----------
    learning_rate, schedule, clip_norm, and an optimizer's own numbers : may be set at any time, and hold from the next
        step on; learning_rate is a number where the schedule is constant
    state : dict from each of `moments` to a buffer of the parameters' layout

    Pickled or copied, an attached optimizer takes its model and its moments along: pickle (model, optimizer) as one
    object, and the two stay attached.
    """

    moments: tuple[str, ...] = ()  # names of the buffers of the parameters' layout
    _shown: tuple[str, ...] = ("learning_rate", "clip_norm")

    def __init__(self, learning_rate: LearningRate, clip_norm: float | None = None) -> None:
        self.learning_rate = learning_rate
        self.clip_norm = clip_norm
        self._model: Model | None = None
        self._store: Parameters | None = None
        self._planned: Callable[[int], float] | None = None
        self._total, self._asked, self.planned_steps = 0, 0.0, range(0)
        self._put: float | None = None  # what stands where the kernels read it, if it is no plan's

    @property
    def schedule(self) -> Callable[[int], float]:
        return self._schedule

    @schedule.setter
    def schedule(self, schedule: LearningRate) -> None:
        self._schedule = schedule if callable(schedule) else Constant(schedule)

    @property
    def learning_rate(self) -> LearningRate:
        return self._schedule.rate if type(self._schedule) is Constant else self._schedule

    @learning_rate.setter
    def learning_rate(self, learning_rate: LearningRate) -> None:
        self.schedule = learning_rate

    @property
    def clip_norm(self) -> float | None:
        return self._clip_norm

    @clip_norm.setter
    def clip_norm(self, clip_norm: float | None) -> None:
        self._clip_norm = None if clip_norm is None else expect_positive("clip_norm", clip_norm)

    def attach(self, model: Model) -> None:
        """Makes the buffers for this model; an optimizer with the moments of one model cannot serve another."""
        store = model.store
        if self._model is model and self._store is store:
            return
        expect(self._model in (None, model), "optimizer", "one that is attached to another model", "a new optimizer")
        if self._model is model:
            expect(False, "optimizer", "one made for the parameters that the model had", "a new optimizer")
        least = float(np.finfo(model.dtype).smallest_normal)
        eps = getattr(self, "eps", 1.0)  # at 0: 0 / 0 where a gradient has always been 0
        expect(eps >= least, "eps", eps, f"at least {least:.3g}, above what is 0 in {model.dtype}")
        backend = model.backend
        self._model, self._backend, self._store = model, backend, store
        self.clock = backend.zeros((1,), "int64")
        self._rates, self._put = backend.zeros((1,), "float64"), None
        self._norm = backend.zeros((1,), "float64")
        self.make_state(store, model.dtype)

    def make_state(self, store: Parameters, dtype: str) -> None:
        """Makes the buffers that `moments` names."""
        zeros = self._backend.zeros
        self.state: dict[str, np.ndarray] = {name: zeros(store.flat.shape, dtype) for name in self.moments}

    @property
    def steps(self) -> int:
        """The number of updates made."""
        return 0 if self._model is None else int(self._backend.to_host(self.clock)[0])

    def plan(self, total: int) -> None:
        """Has the kernels read the rates of steps 0 .. total - 1 from a table, if the schedule is known to be a
        function of the step alone; any other is asked anew in each step. A total of 0 ends it.

        The table holds a few thousand steps at a time: a training of any length begins at once.
        """
        schedule = self._schedule
        if self.is_planned and self.steps:
            self._asked = self.last_rate
        self._total, self._put, self.planned_steps = total, None, range(0)
        self._planned = schedule if total and type(schedule) in SCHEDULES else None
        changes = self._planned is not None and not isinstance(schedule, (Constant, Plateau))
        size = min(AHEAD, 1 << (total - 1).bit_length()) if changes else 1
        if tuple(self._rates.shape) != (size,):
            self._rates = self._backend.zeros((size,), "float64")
        if changes:
            self.rate_of(total - 1)  # no schedule is higher than at one of its ends
            self.read_ahead(self.steps)
        else:
            self._backend.assign(self._rates, 0.0 if self._planned is None else self.rate_of(0))
            self.planned_steps = range(sys.maxsize)

    def read_ahead(self, step: int) -> None:
        """Puts the rates of this step and those about it where the kernels read them; `planned_steps` says of which."""
        size = self._rates.shape[0]
        steps = range(step - step % size, step - step % size + size)
        self._backend.assign(self._rates, np.array([self.rate_of(step) for step in steps]))
        self.planned_steps = steps

    @property
    def rate(self) -> float:
        """The rate of the step that is being made, for `_apply`."""
        return self.rate_of(self.steps) if self.is_planned else self._asked

    @property
    def last_rate(self) -> float:
        """The rate of the last step."""
        return self.rate_of(self.steps - 1) if self.is_planned else self._asked

    @property
    def is_planned(self) -> bool:
        """Whether the rates that the kernels read are those of the schedule as it is now."""
        return self._planned is self._schedule

    def rate_of(self, step: int) -> float:
        """The schedule's rate for a step, a finite number, 0 or more; ValueError otherwise."""
        try:
            rate = self._schedule(step)
        except OverflowError:
            rate = float("inf")
        try:
            right = 0 <= rate < float("inf")
        except (TypeError, ValueError):
            right = False
        if not right:
            expect(False, "learning_rate", f"{rate!r} at step {step}", "a finite rate, 0 or more")
        return float(rate)

    def update(self, model: Model) -> None:
        """One step: parameters and moments change in place; gradients change only by clipping."""
        self.attach(model)
        if not self.is_planned or self.steps >= self._total:
            if self._planned is not None:
                self.plan(0)
            self._asked = self.rate_of(self.steps)
            if self._asked != self._put:
                self._backend.assign(self._rates, self._asked)
                self._put = self._asked
        elif self.steps not in self.planned_steps:
            self.read_ahead(self.steps)
        store = self._store
        assert store is not None
        if self.clip_norm is not None:
            self._backend.clip_norm(store.flat_gradients, self.clip_norm, self._norm)
        self._apply(store.flat, store.flat_gradients)
        self._backend.tick(self.clock)
        model.settle()  # parts of one's own take over the step

    def _apply(self, parameters: np.ndarray, gradients: np.ndarray) -> None:
        raise NotImplementedError

    @staticmethod
    def textbook(state, parameter, gradient, t, rate, options):
        """The parameter after step t = 1, 2, ... by the formula of the source, for `minivae gradcheck`.

        All in float64 NumPy, sharing no code with the kernels. `state` is a dict that keeps the moments, `options` has
        arguments of the constructor; clipping is done already.
        """
        raise NotImplementedError("an optimizer states its update as `textbook`")


class SGD(Optimizer):
    """velocity = momentum * velocity + g; parameter -= rate * velocity, or with Nesterov's rate * (g + momentum *
    velocity).

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning" (ICML 2013), in the
    form that PyTorch uses: the rate multiplies the velocity, so it may change without rescaling the velocity.
    """

    _shown = ("learning_rate", "momentum", "nesterov", "clip_norm")
    momentum = Setting(expect_fraction)

    def __init__(
        self,
        learning_rate: LearningRate = 1e-2,
        momentum: float = 0.0,
        nesterov: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, clip_norm)
        self.momentum, self.nesterov = momentum, bool(nesterov)
        expect(self.momentum > 0 or not nesterov, "nesterov", nesterov, "a momentum above 0 with it")
        self.moments = ("velocity",) if momentum else ()

    def _apply(self, parameters, gradients):
        if self.momentum and "velocity" not in self.state:  # it was 0 before
            self.moments = (*self.moments, "velocity")
            self.state["velocity"] = self._backend.zeros(parameters.shape, parameters.dtype.name)
        velocity = self.state.get("velocity")
        self._backend.sgd_update(parameters, gradients, velocity, self._rates, self.clock, self.momentum, self.nesterov)

    @staticmethod
    def textbook(state, parameter, gradient, t, rate, options):
        momentum = options.get("momentum", 0.0)
        velocity = state["velocity"] = momentum * state.get("velocity", 0.0) + gradient
        return parameter - rate * (gradient + momentum * velocity if options.get("nesterov") else velocity)


class Adam(Optimizer):
    """m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; parameter -= rate * mhat / (sqrt(vhat) + eps).

    mhat = m / (1 - beta1^t) and vhat = v / (1 - beta2^t) for step t = 1, 2, ...
    Source: Kingma and Ba, "Adam" (arXiv:1412.6980), algorithm 1.
    """

    moments = ("first", "second")
    _shown: tuple[str, ...] = ("learning_rate", "beta1", "beta2", "eps", "clip_norm")
    beta1, beta2, eps = Setting(expect_fraction), Setting(expect_fraction), Setting(expect_positive)
    weight_decay = Setting(expect_not_negative, 0.0)

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, clip_norm)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def _apply(self, parameters, gradients):
        self._backend.adam_update(
            parameters,
            gradients,
            self.state["first"],
            self.state["second"],
            self._rates,
            self.clock,
            self.beta1,
            self.beta2,
            self.eps,
            self.weight_decay,
        )

    @staticmethod
    def textbook(state, parameter, gradient, t, rate, options):
        beta1, beta2, eps = options.get("beta1", 0.9), options.get("beta2", 0.999), options.get("eps", 1e-8)
        first = state["first"] = beta1 * state.get("first", 0.0) + (1.0 - beta1) * gradient
        second = state["second"] = beta2 * state.get("second", 0.0) + (1.0 - beta2) * gradient**2
        return parameter - rate * first / (1.0 - beta1**t) / (np.sqrt(second / (1.0 - beta2**t)) + eps)


class AdamW(Adam):
    """Adam with decoupled weight decay: parameter -= rate * weight_decay * parameter besides Adam's step, biases
    included.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (arXiv:1711.05101), algorithm 2.
    """

    _shown = (*Adam._shown, "weight_decay")

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, eps, clip_norm)
        self.weight_decay = weight_decay

    @staticmethod
    def textbook(state, parameter, gradient, t, rate, options):
        decay = rate * options.get("weight_decay", 1e-2) * parameter
        return Adam.textbook(state, parameter, gradient, t, rate, options) - decay


class Adagrad(Optimizer):
    """d = g + weight_decay * parameter; squares += d^2; parameter -= rate * d / (sqrt(squares) + eps).

    weight_decay enters the gradient, unlike AdamW's: 1 / N is the prior N(0, I) on the parameters where the loss is a
    mean over N examples.
    Source: Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization"
    (JMLR 12, 2011), figure 1, with the diagonal matrix.
    """

    moments = ("squares",)
    _shown = ("learning_rate", "eps", "weight_decay", "clip_norm")
    eps, weight_decay = Setting(expect_positive), Setting(expect_not_negative)

    def __init__(
        self,
        learning_rate: LearningRate = 1e-2,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, clip_norm)
        self.eps, self.weight_decay = eps, weight_decay

    def _apply(self, parameters, gradients):
        squares = self.state["squares"]
        self._backend.adagrad_update(
            parameters, gradients, squares, self._rates, self.clock, self.eps, self.weight_decay
        )

    @staticmethod
    def textbook(state, parameter, gradient, t, rate, options):
        gradient = gradient + options.get("weight_decay", 0.0) * parameter
        squares = state["squares"] = state.get("squares", 0.0) + gradient**2
        return parameter - rate * gradient / (np.sqrt(squares) + options.get("eps", 1e-10))


# Every optimizer by the name that the command line gives it.
OPTIMIZERS = {
    name.lower(): value
    for name, value in list(globals().items())
    if isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
}
