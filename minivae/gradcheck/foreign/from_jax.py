"""JAX: a function of arrays in pytrees, plain, jitted, or with custom_vjp or custom_jvp; a hand-written pair."""

import contextlib
import time

import jax
import jax.numpy as jnp
import numpy as np

from ...errors import expect
from .translate import Bridge, duality

REALS = ("float32", "float64", "complex64", "complex128")
enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
AGREE = 1e3  # roundings by which two ways to one number may differ
PLAIN, SLOW = 3, 0.05  # calls that are made as they are; seconds of one from which on it is compiled


def owns(target, handed):
    """Whether the target, or any array handed over with it, is JAX's."""
    mine = isinstance(target, (jax.custom_vjp, jax.custom_jvp, jax.stages.Wrapped))
    return mine or any(isinstance(leaf, jax.Array) for leaf in jax.tree_util.tree_leaves(handed))


def bridge(target, inputs, options):
    expect(not options.get("parameters"), "parameters", "some", "None with JAX: its arrays are inputs of the function")
    return JaxBridge(target, inputs, options)


class JaxBridge(Bridge):
    """See Bridge. 64 bits are enabled where an input has them, and only while JAX is called.

    JAX's gradient with respect to a complex array is the conjugate of the one meant here, dL/dRe + i dL/dIm.
    """

    def __init__(self, target, inputs, options):
        dtypes = [str(getattr(leaf, "dtype", "")) for leaf in jax.tree_util.tree_leaves(inputs)]
        self._wide = "float64" in dtypes or "complex128" in dtypes
        self._calls, self._compiled = 0, None
        with self._bits():
            super().__init__(target, inputs, options)

    def _bits(self):
        return enable_x64(True) if self._wide else contextlib.nullcontext()

    def callable_of(self, target):
        expect(callable(target), "target", target, "a function of arrays")
        return target

    def written_by_hand(self, target):
        found = callable(getattr(target, "forward", None)) and callable(getattr(target, "backward", None))
        expect(not found, "target", target, "a pair (forward, backward): JAX's arrays cannot be moved where a layer is")
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
        if isinstance(leaf, (float, complex)) and not isinstance(leaf, np.generic):
            return np.asarray(leaf, ("c" if isinstance(leaf, complex) else "f") + str(8 if self._wide else 4))
        sound = str(leaf.dtype) in REALS or np.dtype(leaf.dtype).kind in "iub"
        expect(sound, name, str(leaf.dtype), "float32 or float64")
        return np.asarray(leaf)

    def foreign(self, array, name=None):
        return jnp.array(array)  # a copy: the NumPy array will be moved while JAX still works

    def forward(self, *placed, **named):
        with self._bits():
            return super().forward(*placed, **named)

    def backward(self, *dys):
        with self._bits():
            return super().backward(*dys)

    # Differentiation

    def outputs(self, arrays, placed=(), named=None):
        """The differentiable outputs for leaves given by name."""
        result = self.run(arrays, placed, named)
        found = [jnp.asarray(y) for y in jax.tree_util.tree_leaves(result) if self.is_array(y)]
        found = [y for y in found if jnp.issubdtype(y.dtype, jnp.inexact)]
        if not found:
            raise TypeError(f"it returned {type(result).__name__}: expected a float array, or a nest with some")
        return found

    def values_and_graph(self, values, placed, named):
        self._at = {n: self.foreign(value) for n, value in values.items()}
        self._handed = (placed, named)
        compiled = self._compiled if not (placed or named) else None
        started = time.perf_counter()
        self._outputs = compiled(self._at) if compiled else self.outputs(self._at, placed, named)
        self._calls += 1
        if self._calls == PLAIN and time.perf_counter() - started > SLOW and not (placed or named):
            self._compile()
        return self._outputs

    def _compile(self):
        """Call it jitted from now on if that works and the values stay: a loop with a function of its own inside, such
        as lax.scan over a lambda, is else compiled at every call.
        """
        compiled = jax.jit(self.outputs)
        with contextlib.suppress(Exception):  # it is not made for jit: it looks at values
            answers = compiled(self._at)
            sizes = [float(jnp.finfo(y.dtype).eps) * float(jnp.max(abs(y), initial=0)) for y in self._outputs]
            gaps = [float(jnp.max(abs(y - z), initial=0)) for y, z in zip(self._outputs, answers, strict=True)]
            if all(gap <= AGREE * size for gap, size in zip(gaps, sizes, strict=True)):
                self._compiled, self._outputs = compiled, answers
                self._notes.append("it is slow as it is (compiled at every call?): called under jax.jit from call 3 on")

    def _function(self):
        """(a function from a dict of the float leaves to the outputs, where it was last evaluated)."""
        floats = {n: a for n, a in self._at.items() if jnp.issubdtype(a.dtype, jnp.inexact)}
        if self._compiled and not any(self._handed):
            return lambda arrays: self._compiled({**self._at, **arrays}), floats
        return lambda arrays: self.outputs({**self._at, **arrays}, *self._handed), floats

    def differentiate(self, dys):
        function, floats = self._function()
        y, pull = jax.vjp(function, floats)
        self._same_value(y)
        (grads,) = pull([self.foreign(dy).conj() for dy in dys])
        self._last = dys, {n: np.asarray(grad.conj()) for n, grad in grads.items()}
        return dict(self._last[1])

    def _same_value(self, under):
        for i, (plain, y) in enumerate(zip(self._outputs, under, strict=True)):
            gap, size = float(jnp.max(abs(plain - y), initial=0)), float(jnp.max(abs(plain), initial=0))
            if gap > AGREE * float(jnp.finfo(plain.dtype).eps) * size:
                text = f"output {i} differs by {gap:.1e} when it is differentiated: the rule for the gradient (fwd, or "
                self._problems.append(("output", f"{text}the jvp rule) computes another value than the function"))

    def jvp(self, tangents):
        """J v for the outputs last computed, by forward mode; TypeError where the target has a custom_vjp."""
        with self._bits():
            function, floats = self._function()
            y, pushed = jax.jvp(function, (floats,), ({n: self.foreign(tangents[n]) for n in floats},))
            self._same_value(y)
            return [np.asarray(v) for v in pushed]

    def first_backward(self, placed, named):
        """(the gradients as a function of the leaves and of dy, options of its check)."""

        def backward(**handed):
            self._at, self._handed = {n: handed.pop(n) for n in self.values}, (placed, named)
            function, floats = self._function()
            return jax.vjp(function, floats)[1](list(handed.values()))[0]

        return backward, {"gradient": "jax"}

    def finish(self, report):
        """Forward mode, where the target has it, against reverse mode: <dy, J v> and <J' dy, v> are one number."""
        if report.arrays and self._mode == "autodiff" and not report.problems:
            self._both_modes()
        super().finish(report)

    def _both_modes(self):
        rng = np.random.default_rng(0)
        dys, gradients = self._last
        tangents = {n: rng.standard_normal(g.shape).astype(g.dtype) for n, g in gradients.items()}
        try:
            pushed = self.jvp(tangents)
        except TypeError:
            return  # a custom_vjp has no forward mode
        self._problems += duality(dys, pushed, gradients, tangents)
