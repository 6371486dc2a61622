"""Dense layers in NumPy: matrix products and an activation. The functions are stated in `naive/dense.py`."""

import numpy as np

from ..naive.tools import derivative_source
from .tools import activate, quiet, times_derivative


@quiet
def dense_forward(x, weight, bias, activation, y, a=None):
    product = derivative_source(activation, y, a)
    np.matmul(x, weight, out=product)
    np.add(product, bias, out=product)
    activate(product, activation, out=y)


@quiet
def dense_backward(x, weight, y, dy, activation, dx, dweight, dbias, a=None):
    da = times_derivative(dy, derivative_source(activation, y, a), activation)
    np.matmul(x.T, da, out=dweight)
    np.sum(da, axis=0, out=dbias)
    if dx is not None:
        np.matmul(da, weight.T, out=dx)
