"""Optimizers: one pass over the flat buffers of a model, in place.

`clock` counts the steps made and lives in the backend's memory, as does the table of learning rates, so that a
recorded training step can be replayed without the host taking part.
"""

from collections.abc import Callable

import numpy as np

from .errors import expect, expect_fraction, expect_not_negative, expect_positive
from .parameters import Model, Portable
from .schedules import Constant

__all__ = ["SGD", "Adam", "AdamW"]

LearningRate = float | Callable[[int], float]  # a number, or a schedule


class Optimizer(Portable):
    """What all optimizers share: the learning rate, the clock, clipping, and buffers that belong to one model.

    Parameters
    ----------
    learning_rate : a number, or a schedule (a callable from the step to a rate)
    clip_norm : where the Euclidean norm of the whole gradient exceeds this, the gradient is scaled down to it; None
    for never

    Pickled or copied, an attached optimizer takes its model and its moments along: pickle (model, optimizer) as one
    object, and the two stay attached.
    """

    moments: tuple[str, ...] = ()  # names of the buffers of the parameters' layout
    _shown: tuple[str, ...] = ("learning_rate", "clip_norm")

    def __init__(self, learning_rate: LearningRate, clip_norm: float | None = None) -> None:
        self.schedule = learning_rate if callable(learning_rate) else Constant(learning_rate)
        if clip_norm is not None:
            clip_norm = expect_positive("clip_norm", clip_norm)
        self.clip_norm = clip_norm
        self._model: Model | None = None
        self._planned = False

    @property
    def learning_rate(self) -> LearningRate:
        return self.schedule.rate if type(self.schedule) is Constant else self.schedule

    def attach(self, model: Model) -> None:
        """Makes the buffers for this model; an optimizer with the moments of one model cannot serve another."""
        if self._model is model:
            return
        expect(self._model is None, "optimizer", "one that is attached to another model", "a new optimizer")
        backend, store = model.backend, model.store
        self._model, self._backend = model, backend
        self.clock = backend.zeros((1,), "int64")
        self._rates = backend.zeros((1,), "float64")
        self._norm = backend.zeros((1,), "float64")
        self.state: dict[str, np.ndarray] = {
            name: backend.zeros(store.flat.shape, model.dtype) for name in self.moments
        }

    @property
    def steps(self) -> int:
        """The number of updates made."""
        return 0 if self._model is None else int(self._backend.to_host(self.clock)[0])

    def plan(self, total: int) -> None:
        """Puts the rates of steps 0 .. total - 1 where the kernels read them."""
        rates = np.array([self.schedule(step) for step in range(total)], np.float64)
        bad = np.flatnonzero(~(np.isfinite(rates) & (rates >= 0)))
        expect(not bad.size, "learning_rate", f"{rates[bad[:1]]} at step {bad[:1]}", "finite rates, 0 or more")
        if (rates == rates[0]).all():
            rates = rates[:1]
        self._rates = self._backend.from_host(rates)
        self._planned = True

    def update(self, model: Model) -> None:
        """One step: parameters and moments change in place; gradients change only by clipping."""
        self.attach(model)
        if not self._planned:
            self._backend.assign(self._rates, self.schedule(self.steps))
        if self.clip_norm is not None:
            self._backend.clip_norm(model.store.flat_gradients, self.clip_norm, self._norm)
        self._apply(model.store.flat, model.store.flat_gradients)
        self._backend.tick(self.clock)

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

    def __init__(
        self,
        learning_rate: LearningRate = 1e-2,
        momentum: float = 0.0,
        nesterov: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, clip_norm)
        momentum = expect_fraction("momentum", momentum)
        expect(momentum > 0 or not nesterov, "nesterov", nesterov, "a momentum above 0 with it")
        self.momentum, self.nesterov = momentum, bool(nesterov)
        self.moments = ("velocity",) if momentum else ()

    def _apply(self, parameters, gradients):
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
    weight_decay = 0.0

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, clip_norm)
        self.beta1, self.beta2 = expect_fraction("beta1", beta1), expect_fraction("beta2", beta2)
        self.eps = expect_positive("eps", eps)

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
        self.weight_decay = expect_not_negative("weight_decay", weight_decay)

    @staticmethod
    def textbook(state, parameter, gradient, t, rate, options):
        decay = rate * options.get("weight_decay", 1e-2) * parameter
        return Adam.textbook(state, parameter, gradient, t, rate, options) - decay


# Every optimizer by the name that the command line gives it.
OPTIMIZERS = {
    name.lower(): value
    for name, value in list(globals().items())
    if isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
}
