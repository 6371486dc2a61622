"""`import minivae`: its names are there, and none is imported before it is asked for."""

import subprocess
import sys

import pytest

import minivae as mv

ALONE = """
import sys
sys.modules.update(dict.fromkeys(["numba", "matplotlib", "tqdm"]))  # None: importing it fails
from minivae.gradcheck import assert_gradients
import numpy as np

class Layer:
    parameters, gradients = {"weight": np.linspace(-1, 1, 6).reshape(3, 2)}, {}

    def forward(self, x):
        self.x, self.y = x, np.tanh(x @ self.parameters["weight"])
        return self.y

    def backward(self, dy):
        da = dy * (1 - self.y**2)
        self.gradients["weight"] = self.x.T @ da
        return da @ self.parameters["weight"].T

assert_gradients(Layer(), np.linspace(0, 1, 12).reshape(4, 3))
"""


def alone(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_checker_needs_numpy_alone():
    alone(ALONE)


def test_nothing_is_imported_unasked():
    alone("import sys, minivae, minivae.gradcheck; assert 'numpy' not in sys.modules")
    alone("import sys, minivae.kernels; assert 'minivae.vae' not in sys.modules")


def test_every_name_is_there():
    namespace = {}
    exec("from minivae import *", namespace)
    assert namespace.keys() >= {"VAE", "Adam", "fit", "check_gradients"}
    assert all(namespace[name] is getattr(mv, name) for name in mv.__all__)
    assert {*mv.__all__, "__version__"} <= {*dir(mv)}
    assert (mv.losses.Bernoulli, mv.optim.Adam) == (mv.Bernoulli, mv.Adam)
    assert mv.checkpoint.__name__ == "minivae.runs.checkpoint"


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match=r"^module 'minivae' has no attribute 'VEA'$"):
        mv.VEA  # noqa: B018
    with pytest.raises(ImportError):
        from minivae.gradcheck import check_gradient  # noqa: F401
