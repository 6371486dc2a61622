"""Dense layers in NumPy: matrix products and an activation. The functions are stated in `naive/dense.py`."""

import numpy as np

from ..naive.tools import derivative_source
from .tools import activate, operand, quiet, times_derivative


@quiet
def dense_forward(x, weight, bias, activation, y, a=None, precision="full"):
    product = derivative_source(activation, y, a)
    np.matmul(operand("x", x, precision), operand("weight", weight, precision), out=product)
    np.add(product, bias, out=product)
    activate(product, activation, out=y)


@quiet
def dense_backward(x, weight, y, dy, activation, dx, dweight, dbias, a=None, precision="full"):
    da = times_derivative(dy, derivative_source(activation, y, a), activation)
    np.sum(da, axis=0, out=dbias)
    da = operand("da", da, precision)
    np.matmul(operand("x", x, precision).T, da, out=dweight)
    if dx is not None:
        np.matmul(da, operand("weight", weight, precision).T, out=dx)
