"""Parts that are not minivae's, as users write them, and the loop that a user writes: what `fit` is held against."""

import numpy as np

import minivae as mv
from minivae.kernels import philox
from minivae.optim import Optimizer


def loop(model, optimizer, data, *, epochs, batch_size, seed=0, beta=None, on_epoch=None):
    """What `fit` does, by hand: forward, backward, update, with fit's batches and noise. The losses of its steps."""
    backend, steps, losses = model.backend, 0, []
    data, clock = model.as_data("train", data), backend.zeros((1,), "int64")
    for epoch in range(epochs):
        order = philox.permutation(seed, philox.SHUFFLE, epoch, len(data))
        for start in range(0, len(data), batch_size):
            rows = min(batch_size, len(data) - start)
            x, noise = (np.empty((rows, width), model.dtype) for width in (model.features, model.latent))
            backend.gather(data, order, clock, batch_size, "grey", seed, philox.PIXELS, x)
            backend.standard_normal(seed, philox.NOISE, clock, noise)
            if beta is not None:
                model.beta = beta(steps)
            losses.append(model.forward(x, noise).loss)
            model.backward()
            optimizer.update(model)
            backend.tick(clock)
            steps += 1
        if on_epoch is not None:
            on_epoch({"epoch": epoch + 1})
    return losses


# Layers


class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy):
        return dy * (1 - self.y**2)


class Gain:
    """A factor for each column; in float64 whatever the model has."""

    def __init__(self, width):
        self.parameters, self.gradients = {"gain": np.linspace(0.5, 1.5, width)}, {}

    def forward(self, x):
        self.x = x
        return x * self.parameters["gain"]

    def backward(self, dy):
        self.gradients["gain"] = (dy * self.x).sum(axis=0, dtype=np.float64)
        return dy * self.parameters["gain"]


class Leaky:
    """Around a `Dense`, whose arrays it shows as its own."""

    def __init__(self, inner):
        self.inner = inner
        self.parameters, self.gradients = inner.parameters, inner.gradients

    def forward(self, x):
        self.a = self.inner.forward(x)
        return np.where(self.a > 0, self.a, 0.1 * self.a).astype(self.a.dtype)

    def backward(self, dy, input_gradient=True):
        return self.inner.backward(np.where(self.a > 0, dy, 0.1 * dy).astype(dy.dtype), input_gradient)


class Louder(mv.Dense):
    """A `Dense` that scales its input."""

    def forward(self, x):
        return super().forward(2 * x)

    def backward(self, dy, input_gradient=True):
        return 2 * super().backward(dy)


class Dropout:
    """Has a generator of its own, and acts only in training."""

    training = True

    def __init__(self, share=0.3, seed=0):
        self.share, self.rng = share, np.random.default_rng(seed)

    def forward(self, x):
        kept = self.rng.random(x.shape) >= self.share if self.training else np.ones(x.shape, bool)
        self.factor = kept / (1 - self.share if self.training else 1)
        return x * self.factor

    def backward(self, dy):
        return dy * self.factor


class Counting:
    """Counts its passes, and is another function in each."""

    def __init__(self):
        self.passes = 0

    def forward(self, x):
        self.passes += 1
        self.factor = 1 + 0.25 * (self.passes % 3)
        return x * self.factor

    def backward(self, dy):
        return dy * self.factor


class Turning(Gain):
    """From pass `at` on it has another sign, and another array under the same name."""

    def __init__(self, width, at):
        super().__init__(width)
        self.at, self.passes = at, 0

    def forward(self, x):
        self.passes += 1
        if self.passes == self.at:
            self.parameters["gain"] = self.parameters["gain"].copy()
        return super().forward(x if self.passes < self.at else -x)

    def backward(self, dy):
        dx = super().backward(dy)
        return dx if self.passes < self.at else -dx


# Likelihoods


class NumpyBernoulli(mv.Bernoulli):
    """Bernoulli's arithmetic in NumPy."""

    def _evaluate(self, nll, weight):
        logits, x = self.output, np.repeat(self.x, len(self.output) // len(self.x), 0)
        if nll is not None:
            nll[...] = (np.logaddexp(0, logits) - x * logits).sum(1)
        return None if weight is None else (weight[:, None] * (1 / (1 + np.exp(-logits)) - x)).astype(self.dtype)


class Laplace:
    """|x - mean|, with a scale for all that is learned, and which from pass `at` on counts twice."""

    def __init__(self, at=10**9):
        self.parameters, self.gradients = {"log_scale": np.zeros(1)}, {}
        self.at, self.passes = at, 0

    def forward(self, x, output):
        self.passes += 1
        self.factor = 1 if self.passes < self.at else 2
        self.difference = output - x
        log_scale = self.factor * self.parameters["log_scale"]
        return (abs(self.difference) / np.exp(log_scale) + log_scale + np.log(2)).sum(1)

    def backward(self, weight):
        scale = np.exp(self.factor * self.parameters["log_scale"])
        slope = self.factor * (1 - abs(self.difference) / scale).sum(1)
        self.gradients["log_scale"] = np.array([(weight * slope).sum()])
        return weight[:, None] * np.sign(self.difference) / scale

    def mean(self, output):
        return output


# Optimizers and schedules


class RMSprop(Optimizer):
    moments = ("square",)

    def _apply(self, parameters, gradients):
        square = self.state["square"]
        square *= 0.9
        square += 0.1 * gradients * gradients
        parameters -= self.rate * gradients / (np.sqrt(square) + 1e-8)


class Lion(Optimizer):
    """Its momentum takes other factors from step `at` on."""

    moments = ("momentum",)

    def __init__(self, learning_rate, at=10**9, clip_norm=None):
        super().__init__(learning_rate, clip_norm)
        self.at = at

    def _apply(self, parameters, gradients):
        momentum, beta = self.state["momentum"], 0.9 if self.steps < self.at else 0.5
        parameters -= self.rate * np.sign(beta * momentum + (1 - beta) * gradients)
        momentum *= 0.99
        momentum += 0.01 * gradients


class Averaging(mv.SGD):
    """Overrides `update`, and changes the parameters after it."""

    def update(self, model):
        before = model.store.flat.copy()
        super().update(model)
        model.store.flat[...] = 0.75 * model.store.flat + 0.25 * before


class Plain:
    """No `Optimizer`: momentum, in a `state` that it makes for the model."""

    def __init__(self, model, learning_rate=0.01):
        self.learning_rate, self.state = learning_rate, {"velocity": np.zeros_like(model.store.flat)}

    def update(self, model):
        velocity = self.state["velocity"]
        velocity *= 0.9
        velocity += model.store.flat_gradients
        model.store.flat[...] -= self.learning_rate * velocity


class Noticing:
    """A schedule that counts how often it was asked."""

    def __init__(self, value):
        self.value, self.asked = value, 0

    def __call__(self, step):
        self.asked += 1
        return self.value * (1 + self.asked % 3)
