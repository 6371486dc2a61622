"""Dense layers in NumPy: matrix products and an activation. The functions are stated in `naive/dense.py`."""

import numpy as np

from .tools import activate, quiet, times_derivative


@quiet
def dense_forward(x, weight, bias, activation, y):
    np.matmul(x, weight, out=y)
    np.add(y, bias, out=y)
    activate(y, activation)


@quiet
def dense_backward(x, weight, y, dy, activation, dx, dweight, dbias):
    da = times_derivative(dy, y, activation)
    np.matmul(x.T, da, out=dweight)
    np.sum(da, axis=0, out=dbias)
    if dx is not None:
        np.matmul(da, weight.T, out=dx)
