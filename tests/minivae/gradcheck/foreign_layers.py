"""Layers and data for the checker that have nothing of minivae in them."""

import numpy as np


class Linear:
    """A layer that is not minivae's: attributes W and dW, backward returns dx."""

    def __init__(self, inputs=4, outputs=3, dtype="float64", seed=0):
        self.W = np.random.default_rng(seed).standard_normal((inputs, outputs)).astype(dtype)
        self.dW = None

    def forward(self, x):
        self.x = x
        return x @ self.W

    def spoil(self, gradient):
        return gradient

    def backward(self, dy):
        self.dW = self.spoil(self.x.T @ dy)
        return dy @ self.W.T


class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy):
        return dy * (1 - self.y**2)


def data(*shape, seed=1, dtype="float64"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)
