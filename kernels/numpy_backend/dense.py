"""Dense layers in NumPy: matrix products and an activation. The functions are stated in `naive/dense.py`."""

import numpy as np

from ..naive import BY_INPUT
from ..naive.tools import expect_input
from .tools import activate, quiet, times_derivative


@quiet
def dense_forward(x, weight, bias, activation, y, a=None):
    product = y
    if activation in BY_INPUT:
        expect_input(activation, a)
        product = a
    np.matmul(x, weight, out=product)
    np.add(product, bias, out=product)
    activate(product, activation, out=y)


@quiet
def dense_backward(x, weight, y, dy, activation, dx, dweight, dbias, a=None):
    if activation in BY_INPUT:
        expect_input(activation, a)
    da = times_derivative(dy, y, activation, a)
    np.matmul(x.T, da, out=dweight)
    np.sum(da, axis=0, out=dbias)
    if dx is not None:
        np.matmul(da, weight.T, out=dx)
