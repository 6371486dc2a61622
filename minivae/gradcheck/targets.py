"""What is checked, brought into one form: named arrays to perturb in place, outputs, and the gradients claimed.

A target is a scalar function with its gradient, a layer (`forward`, `backward`), a model (`forward` returns something
with a `loss`, `backward()` fills `gradients`), or a pair of functions `(forward, backward)` that hand a cache along:
`y, cache = forward(*inputs)`, `backward(dy, cache)`.
"""

import inspect
from collections.abc import Mapping

import numpy as np

from ..errors import described, expect
from .arguments import expect_something, finite_copy, fixed_values, freezer, given_parameters, not_finite


class Finding(Exception):
    """Something about the target that ends a check, in one line: `kind` is a word to test for, str() the sentence."""

    def __init__(self, kind, sentence):
        super().__init__(sentence)
        self.kind = kind


def named_inputs(function, inputs):
    """(names, arrays, by keyword?) of `inputs`: an array or a sequence goes by position, a mapping by keyword."""
    if isinstance(inputs, Mapping):
        return list(inputs), list(inputs.values()), True
    values = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    try:
        names = [
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        names = []
    names += [f"input{i}" for i in range(len(names), len(values))]
    return names[: len(values)], values, False


class Target:
    """One form for everything that can be checked.

    Attributes
    ----------
    name : str
    arrays : dict of name to array
        What is differentiated: copies of the float inputs, and the parameters themselves (perturbed in place).
    fixed : what is passed along and not differentiated (frozen noise, labels): a mapping goes by keyword, a sequence
        by position after the inputs.
    generator : a numpy Generator or RandomState set back before every forward, or a callable called before it.
    """

    def __init__(
        self,
        target,
        inputs,
        *,
        gradient=None,
        parameters=None,
        parameter_gradients=None,
        fixed=(),
        generator=None,
        cotangent=None,
        accumulates=False,
        seed=0,
    ):
        self.target = target
        self._identify(target, gradient)
        names, values, self.by_keyword = named_inputs(self._forward, inputs)
        self.values = {n: finite_copy(f"input '{n}'", v) for n, v in zip(names, values, strict=True)}
        self.fixed_by_place, self.fixed_by_name = fixed_values(fixed)
        self.fixed = dict(self.fixed_by_name)
        self.fixed.update({f"fixed[{i}]": v for i, v in enumerate(self.fixed_by_place)})
        self.parameters, self.unseen = self._find_parameters(parameters)
        self.parameter_gradients = parameter_gradients
        self._freeze, self.frozen = freezer(generator), generator is not None
        self.arrays = {n: v for n, v in self.values.items() if v.dtype.kind == "f"}
        self.arrays.update(self.parameters)
        self.differentiated = list(self.arrays)  # narrowed once backward has shown what it returns
        expect_something(self.arrays, self.values)
        self.accumulates = accumulates
        self.evaluations, self.seed, self.given_cotangent = 0, seed, cotangent
        self.cotangents: list[np.ndarray] = []  # until `draw_cotangents`

    def _identify(self, target, gradient):
        forward, backward = getattr(target, "forward", None), getattr(target, "backward", None)
        self.name = getattr(target, "__name__", type(target).__name__)
        forward, backward = getattr(target, "forward", None), getattr(target, "backward", None)
        if isinstance(target, tuple) and len(target) == 2 and all(callable(f) for f in target):
            self.kind, self._forward, self._backward = "pair", target[0], target[1]
            self.name = getattr(target[0], "__name__", "pair")
        elif callable(forward) and callable(backward):
            self.kind, self._forward, self._backward = "layer", forward, backward
        else:
            expected = "a function, an object with forward and backward, or a pair of two such functions"
            expect(callable(target), "target", target, expected)
            expect(gradient is not None, "gradient", None, "a callable or the array(s) that the function claims")
            self.kind, self._forward, self._backward = "function", target, gradient
        allowed = gradient is None or self.kind == "function"
        expect(allowed, "gradient", gradient, f"None for a {self.kind}: only a scalar function has one")

    def _find_parameters(self, given):
        """The parameters by name, and a sentence where the target has some that cannot be told apart by name."""
        if given is not None:
            return given_parameters(given), ""
        found = getattr(self.target, "parameters", None) if self.kind == "layer" else None
        if found is None or isinstance(found, Mapping):
            return given_parameters(found or {}), ""
        return {}, f"`parameters` is no mapping but {described(found)}: none was checked; name them with parameters="

    def call(self, values=None):
        """Run forward on `values` (default: the current inputs); returns what it returned."""
        values = self.values if values is None else values
        self._freeze()
        self.evaluations += 1
        return self._with(self._forward, values)

    def _with(self, function, values):
        if self.by_keyword:
            return function(*self.fixed_by_place, **values, **self.fixed_by_name)
        return function(*values.values(), *self.fixed_by_place, **self.fixed_by_name)

    def outputs(self):
        """Forward at the current values: a list of arrays (not copied). Raises Finding."""
        try:
            result = self.call()
        except Exception as error:
            raise Finding("raises", f"forward raised {type(error).__name__}: {error}") from error
        return self.unpack(result)

    def unpack(self, result):
        """The arrays in what forward returned; keeps a pair's cache."""
        if self.kind == "pair":
            if not (isinstance(result, tuple) and len(result) == 2):
                raise Finding("output", f"forward returned {described(result)}: a pair's forward returns (y, cache)")
            result, self.cache = result
        if self.kind in ("layer", "model") and hasattr(result, "loss"):
            self.kind, result = "model", result.loss
        results = list(result) if isinstance(result, (tuple, list)) else [result]
        try:
            arrays = [np.asarray(y) for y in results]
        except ValueError:
            arrays = [np.asarray(None)]
        if any(y.dtype.kind not in "fc" for y in arrays):
            raise Finding("output", f"forward returned {described(result)}: expected float arrays")
        if self.kind == "function" and (len(arrays) != 1 or arrays[0].size != 1):
            raise Finding("output", f"the function returned {described(result)}: expected a scalar")
        return arrays

    def vector(self):
        """Forward at the current values as one 1-D float64 (or complex128) copy. Raises Finding."""
        return flat(self.outputs())

    def claimed(self):
        """Forward, then the gradients claimed: dict of name to copy. Raises Finding."""
        return self.backward(self.outputs())

    def draw_cotangents(self, outputs):
        """Random weights that make the outputs a scalar; never all ones, which hide errors that cancel in a sum."""
        if self.given_cotangent is not None:
            given = self.given_cotangent
            given = list(given) if isinstance(given, (tuple, list)) else [given]
            got, expected = [np.shape(c) for c in given], [y.shape for y in outputs]
            expect(got == expected, "cotangent", got, f"the shapes of what forward returns, {expected}")
            self.cotangents = [np.array(c, dtype=y.dtype) for c, y in zip(given, outputs, strict=True)]
        elif self.kind in ("model", "function") or not self._takes_cotangent():
            self.cotangents = [np.ones(y.shape, y.dtype) for y in outputs]
        else:
            rng = np.random.default_rng((self.seed, 1))
            self.cotangents = [np.asarray(rng.standard_normal(y.shape), dtype=y.dtype) for y in outputs]
        return flat(self.cotangents)

    def _takes_cotangent(self):
        try:
            signature = inspect.signature(self._backward)
        except (TypeError, ValueError):
            return True
        return any(p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in signature.parameters.values())

    def backward(self, outputs):
        """The gradients claimed after a forward that returned `outputs`. Raises Finding."""
        handed = [c.copy() for c in self.cotangents]
        if self.accumulates:
            for gradient in self._collect_parameter_gradients().values():
                gradient[...] = 0.0
        returned = self._run_backward(handed)
        for i, (mine, theirs) in enumerate(zip(self.cotangents, handed, strict=True)):
            if not np.array_equal(mine, theirs):
                raise Finding("mutates", f"backward changed its argument (dy {i}) in place: work on a copy")
        found = self._assign(returned)
        if self.parameters:
            found.update(self._collect_parameter_gradients())
        if not found:
            raise Finding("nothing", "backward returned no gradient and there are no parameters: nothing to check")
        self.differentiated = [name for name in self.arrays if name in found]
        for name in self.differentiated:
            found[name] = self._sound(name, found[name])
        return found

    def _run_backward(self, handed):
        try:
            if self.kind == "function":
                return self._with(self._backward, self.values) if callable(self._backward) else self._backward
            if self.kind == "pair":
                return self._backward(*handed, self.cache)
            if self.kind == "model" or not self._takes_cotangent():
                return self._backward()
            return self._backward(*handed)
        except Exception as error:
            word = "gradient" if self.kind == "function" else "backward"
            raise Finding("raises", f"{word} raised {type(error).__name__}: {error}") from error

    def _assign(self, returned):
        """Pair what backward returned with the inputs."""
        names = [n for n, v in self.values.items() if v.dtype.kind == "f"]
        if returned is None or self.kind == "model":
            return {}
        if isinstance(returned, Mapping):
            unknown = [n for n in returned if n not in names]
            if unknown:
                raise Finding("shape", f"backward returned a gradient for {unknown[0]!r}: the inputs are {names}")
            return {n: g for n, g in returned.items() if g is not None}
        grads = list(returned) if isinstance(returned, (tuple, list)) else [returned]
        if len(grads) not in (len(names), len(self.values), len(self.values) + len(self.fixed)):
            raise Finding("shape", f"backward returned {len(grads)} gradients for {len(names)} inputs {names}")
        if len(grads) != len(names):
            names = list(self.values)
        return {n: g for n, g in zip(names, grads, strict=False) if g is not None and n in self.arrays}

    def _collect_parameter_gradients(self):
        gradients = self.parameter_gradients
        if callable(gradients):
            gradients = gradients()
        elif gradients is None:
            gradients = getattr(self.target, "gradients", None)
        if not isinstance(gradients, Mapping):
            text = f"no gradients for the parameters {list(self.parameters)}: expected a mapping `gradients` "
            raise Finding("missing", f"{text}after backward, or parameter_gradients=")
        for name in self.parameters:
            if gradients.get(name) is None:
                raise Finding("missing", f"no gradient for parameter '{name}': found {list(gradients)}")
        return {name: gradients[name] for name in self.parameters}

    def _sound(self, name, gradient):
        """A copy of one gradient after its shape, dtype and values have been looked at."""
        array, gradient = self.arrays[name], np.array(gradient)
        if gradient.shape != array.shape:
            hint = " (transposed?)" if gradient.shape == array.shape[::-1] else ""
            raise Finding("shape", f"gradient of '{name}' has shape {gradient.shape}, the array {array.shape}{hint}")
        if gradient.dtype != array.dtype:
            raise Finding("dtype", f"gradient of '{name}' is {gradient.dtype}, the array {array.dtype}")
        if bad := not_finite(gradient):
            raise Finding("non-finite", f"gradient of '{name}' is {bad}")
        return gradient

    def output_place(self, position):
        """Where the flat output `position` lies, as text after "at [index]"."""
        if self.kind in ("model", "function"):
            return ""
        for i, c in enumerate(self.cotangents):
            if position < c.size:
                where = [int(k) for k in np.unravel_index(position, c.shape)]
                return f" (output{'' if len(self.cotangents) == 1 else f' {i}'} {where})"
            position -= c.size
        return ""


def flat(arrays):
    """One 1-D float64 (complex128 if any is complex) copy of several arrays."""
    kind = np.complex128 if any(np.iscomplexobj(y) for y in arrays) else np.float64
    return np.concatenate([np.asarray(y).astype(kind).ravel() for y in arrays])
