"""JAX: a function of arrays in pytrees, plain, jitted, or with custom_vjp or custom_jvp; a hand-written pair."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import expect
from .foreign import Bridge

REALS = ("float32", "float64", "complex64", "complex128")
enable_x64 = getattr(jax, "enable_x64", None) or jax.experimental.enable_x64
AGREE = 1e3  # roundings by which two ways to one number may differ


def owns(target, handed):
    """Whether the target, or any array handed over with it, is JAX's."""
    mine = isinstance(target, (jax.custom_vjp, jax.custom_jvp, jax.stages.Wrapped))
    return mine or any(isinstance(leaf, jax.Array) for leaf in jax.tree_util.tree_leaves(handed))


def bridge(target, inputs, options):
    expect(not options.get("parameters"), "parameters", "some", "None with JAX: its arrays are inputs of the function")
    return JaxBridge(target, inputs, options)


class JaxBridge(Bridge):
    """See Bridge. 64 bits are enabled where an input has them, and only while JAX is called.

    JAX's gradient by a complex array is the conjugate of the one meant here, dL/dRe + i dL/dIm.
    """

    def __init__(self, target, inputs, options):
        self._wide = False
        super().__init__(target, inputs, options)
        wide = [np.dtype(v.dtype).itemsize == 8 * (1 + (v.dtype.kind == "c")) for v in self.values.values()]
        floats = [v.dtype.kind in "fc" for v in self.values.values()]
        self._wide = any(w and f for w, f in zip(wide, floats, strict=True))
        self._problems = []
        self.parameters, self.gradients = {}, {}
        self.options["parameters"] = {}

    def _bits(self):
        return enable_x64(True) if self._wide else contextlib.nullcontext()

    def callable_of(self, target):
        expect(callable(target), "target", target, "a function of arrays")
        return target

    def written_by_hand(self, target):
        found = callable(getattr(target, "forward", None)) and callable(getattr(target, "backward", None))
        expect(not found, "target", target, "a pair (forward, backward): a layer of JAX's arrays cannot be moved in place")
        return False

    def flattened(self, tree):
        found, build = jax.tree_util.tree_flatten_with_path(tree)
        names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in found]
        return dict(zip(names, [leaf for _, leaf in found], strict=True)), build.unflatten

    def is_array(self, leaf):
        if isinstance(leaf, jax.Array):
            return not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.extended)  # keys of random numbers
        return isinstance(leaf, (np.ndarray, np.generic, float, complex)) and not isinstance(leaf, bool)

    def numpy(self, leaf, name):
        if isinstance(leaf, (float, complex)):
            leaf = np.asarray(leaf, np.result_type(type(leaf), np.float32) if False else None)
        dtype = str(leaf.dtype)
        sound = dtype in REALS or np.dtype(leaf.dtype).kind in "iub"
        expect(sound, name, dtype, "float32 or float64")
        return np.asarray(leaf)

    def foreign(self, array, name=None):
        return jnp.asarray(array)
