"""torch: a Function, a Module, a function of tensors; a hand-written pair or layer of tensors."""

import contextlib
import dataclasses
import functools
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad

from ...errors import expect
from ..subject.trees import leaves
from .translate import Bridge

REALS = (torch.float32, torch.float64, torch.complex64, torch.complex128)
NOTHING = torch.autograd.Function.setup_context


def owns(target, handed):
    """Whether the target, or any array handed over with it, is torch's."""
    mine = isinstance(target, torch.nn.Module) or _function(target) is not None
    return mine or any(isinstance(leaf, torch.Tensor) for leaf in leaves(handed).values())


def bridge(target, inputs, options):
    return TorchBridge(target, inputs, options)


def _function(target):
    """The Function that a class, or its `apply`, stands for, or None."""
    owner = getattr(target, "__self__", None) if getattr(target, "__name__", "") == "apply" else target
    return owner if isinstance(owner, type) and issubclass(owner, torch.autograd.Function) else None


class _Drawn:
    """torch's global generator with what is asked of a generator of NumPy's."""

    get_state, set_state = staticmethod(torch.get_rng_state), staticmethod(torch.set_rng_state)
    standard_normal = staticmethod(torch.randn)


class TorchBridge(Bridge):
    """See Bridge. Parameters are moved in place, buffers and the state of torch's generator put back.

    Attribute training : of a module, its mode, applied to all its parts before each forward.
    """

    gradients: Any = None

    def __init__(self, target, inputs, options):
        self._random = torch.get_rng_state()
        self._device = {}  # of each leaf
        self._state, self._modes, self._parameters, self._mirrored = [], [], {}, set()
        super().__init__(target, inputs, options)
        given = options.get("parameters")
        if isinstance(target, torch.nn.Module):
            self.training = self._trains = target.training
            self._modes = [(part, part.training) for part in target.modules()]
            self._begin(target)
            given = dict(target.named_parameters()) if given is None else given
        elif given is None and self._mode == "layer":
            given = getattr(target, "parameters", None)
        given = dict(given) if isinstance(given, Mapping) else {}
        self._parameters = {n: p for n, p in given.items() if isinstance(p, torch.Tensor)}
        if self._mode == "autodiff":
            frozen = [n for n, p in self._parameters.items() if not p.requires_grad]
            self._notes += [f"frozen (requires_grad=False) and not checked: {', '.join(frozen)}"] if frozen else []
            given = self._parameters = {n: p for n, p in self._parameters.items() if n not in frozen}
        if given or self._mode == "autodiff":
            self.parameters = {n: self.numpy(p, f"parameter '{n}'") for n, p in given.items()}
            self.options["parameters"] = self.parameters
        if self._mode == "autodiff":
            self.options["parameter_gradients"] = lambda: self.gradients
        elif (read := options.get("parameter_gradients")) is not None:
            self.options["parameter_gradients"] = lambda: self.numpy_nest(dict(read() if callable(read) else read))
        if options.get("generator") is None:
            self.options["generator"] = _Drawn()
        self._mirror()

    def _begin(self, module):
        """One forward, after which lazy parameters exist; what it moved is put back."""
        self._keep(module)
        with torch.no_grad(), contextlib.suppress(Exception):  # which is raised again where it can be reported
            self.run({n: self.foreign(value, n).clone() for n, value in self.values.items()}, *self._fixed())
        self._restore()
        self._keep(module)

    def _fixed(self):
        fixed = self.options["fixed"]
        return ((), fixed) if isinstance(fixed, Mapping) else (fixed, {})

    def _keep(self, module):
        lazy = torch.nn.parameter.is_lazy
        self._state = [
            (part._buffers, name, buffer, buffer.detach().clone())
            for part in module.modules()
            for name, buffer in part._buffers.items()
            if buffer is not None and not lazy(buffer)
        ]

    def _restore(self):
        for part, trains in self._modes:
            part.training = trains if self.training == self._trains else self.training
        for owner, name, buffer, kept in self._state:
            owner[name] = buffer
            buffer.data.copy_(kept)  # by .data: a graph that is kept does not count it as a change
        for name, parameter in self._parameters.items():
            if parameter.device.type != "cpu":  # else the NumPy array is the parameter's own memory
                parameter.data.copy_(torch.from_numpy(self.parameters[name]))

    def close(self):
        self.training = getattr(self, "_trains", None)
        self._restore()
        torch.set_rng_state(self._random)

    # Bridge's questions

    def callable_of(self, target):
        function = _function(target)
        if function is None:
            return target
        forward = function.forward
        if function.setup_context is NOTHING:
            forward = functools.partial(forward, None)  # all but ctx
        try:
            bind = inspect.signature(forward).bind
        except ValueError:  # a built-in function
            return function.apply

        @functools.wraps(forward, assigned=())
        def apply(*args, **named):
            return function.apply(*bind(*args, **named).args)

        apply.__name__ = function.__name__
        return apply

    def signed(self, target):
        return target.forward if isinstance(target, torch.nn.Module) else self._call

    def written_by_hand(self, target):
        if isinstance(target, (torch.nn.Module, type)) or _function(target) is not None:
            return False
        return callable(getattr(target, "forward", None)) and callable(getattr(target, "backward", None))

    def flattened(self, tree):
        if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
            return leaves({f.name: getattr(tree, f.name) for f in dataclasses.fields(tree)}), lambda parts: tree
        return super().flattened(tree)

    def is_array(self, leaf):
        return isinstance(leaf, (torch.Tensor, np.ndarray, np.generic))

    def numpy(self, leaf, name):
        if not isinstance(leaf, torch.Tensor):
            return np.asarray(leaf)
        sound = leaf.dtype in REALS or not (leaf.is_floating_point() or leaf.is_complex())
        expect(sound, name, str(leaf.dtype), "torch.float32 or torch.float64")
        expect(leaf.layout == torch.strided, name, str(leaf.layout), "a dense tensor")
        self._device.setdefault(name, leaf.device)
        return leaf.detach().cpu().resolve_conj().resolve_neg().numpy()

    def foreign(self, array, name=None):
        device = self._device.get(f"input '{name}'") or next(iter(self._device.values()), "cpu")
        return torch.from_numpy(np.asarray(array)).to(device)

    # Differentiation

    def tensors(self, leaf_tensors, placed, named):
        """The differentiable outputs for leaves given as tensors, after all state has been put back."""
        self._restore()
        with torch.enable_grad():
            result = self.run(leaf_tensors, placed, named)
        found = {n: y for n, y in self.flattened(result)[0].items() if isinstance(y, torch.Tensor)}
        found = {n: y for n, y in found.items() if y.is_floating_point() or y.is_complex()}
        if not found:
            raise TypeError(f"it returned {type(result).__name__}: expected a float tensor, or a nest with some")
        cut = [n for n, y in found.items() if not y.requires_grad]
        if len(cut) == len(found) or getattr(self._target, "cut_counts", False):
            return list(found.values())
        self._notes += [f"detached from the graph and not checked: output {n}" for n in cut]
        return [y for n, y in found.items() if n not in cut]

    def values_and_graph(self, values, placed, named):
        self._last = (dict(values), placed, named)
        self._wrt = {}
        handed = {}
        for name, value in values.items():
            tensor = handed[name] = self.foreign(value, name).clone()
            if value.dtype.kind in "fc":
                self._wrt[name] = tensor.requires_grad_()
                handed[name] = tensor.clone()  # no leaf, so that the target may work on it in place
        nodes = {name: handed[name].grad_fn for name in self._wrt}
        self._outputs = self.tensors(handed, placed, named)
        for name, tensor in self._wrt.items():
            if handed[name].grad_fn is nodes[name] and not torch.equal(handed[name].detach(), tensor.detach()):
                text = f"forward changed input '{name}' in place, and autograd was not told of it: work on a copy, or "
                self._problems.append(("mutates", f"{text}name it in ctx.mark_dirty and return it"))
        return self._outputs

    def _count_strangers(self):
        """A note on leaves of the graph that are neither inputs nor parameters: they take part and are not checked."""
        known = {id(t) for t in (*self._wrt.values(), *self._parameters.values())}
        nodes = [y.grad_fn for y in self._outputs if y.grad_fn is not None]
        seen, strangers = set(nodes), set()
        while nodes:
            node = nodes.pop()
            if node.name() == "torch::autograd::Error":
                raise RuntimeError("a backward marked with @once_differentiable cannot be differentiated once more")
            variable = getattr(node, "variable", None)
            if variable is not None and id(variable) not in known:
                strangers.add(tuple(variable.shape))
            fresh = {n for n, _ in node.next_functions if n is not None} - seen
            seen |= fresh
            nodes += fresh
        if strangers:
            text = f"tensors of shapes {sorted(strangers)} that require a gradient take part and were not checked: "
            self._notes.append(f"{text}hand them over as inputs, or with parameters=")

    def differentiate(self, dys):
        self._count_strangers()
        wrt = {**self._wrt, **self._parameters}
        pairs = [(y, self.foreign(dy)) for y, dy in zip(self._outputs, dys, strict=True) if y.requires_grad]
        if not pairs:
            raise RuntimeError("no output is joined to what is differentiated: detach(), .data or no_grad() cut it off")
        outputs, weights = zip(*pairs, strict=True)
        grads = torch.autograd.grad(outputs, list(wrt.values()), weights, retain_graph=True, allow_unused=True)
        found = {
            name: None if grad is None else self.numpy(grad, f"gradient of '{name}'")
            for name, grad in zip(wrt, grads, strict=True)
        }
        self.gradients = {name: found.pop(name) for name in self._parameters}
        return found

    def jvp(self, tangents):
        """J v for the outputs last computed, by forward mode."""
        values, *handed = self._last
        with forward_ad.dual_level():
            duals = {n: self.foreign(value, n).clone() for n, value in values.items()}
            for name, tangent in tangents.items():
                duals[name] = forward_ad.make_dual(duals[name].requires_grad_(), self.foreign(tangent, name)).clone()
            outputs = self.tensors(duals, *handed)
            pushed = [forward_ad.unpack_dual(y).tangent for y in outputs]
            return [
                self.numpy(torch.zeros_like(y) if v is None else v, "tangent")
                for y, v in zip(outputs, pushed, strict=True)
            ]

    def first_backward(self, placed, named):
        """(the gradients as a function of the leaves and of dy, options of its check)."""
        names = list(self._wrt)

        def backward(**handed):
            values = {n: handed.pop(n) for n in self.values}
            wrt = [*(values[n] for n in names), *self._parameters.values()]
            handed_on = {n: value.clone() for n, value in values.items()}  # which the target may work on in place
            outputs = self.tensors(handed_on, placed, named)
            pairs = [(y, dy) for y, dy in zip(outputs, handed.values(), strict=True) if y.requires_grad]
            outputs, dys = zip(*pairs, strict=True)
            grads = torch.autograd.grad(outputs, wrt, dys, create_graph=True, allow_unused=True)
            return {n: g for n, g in zip([*names, *self._parameters], grads, strict=True) if g is not None}

        vars(backward)["cut_counts"] = True  # a gradient that was detached must show as one without derivatives
        return backward, {"gradient": "torch", "parameters": self._parameters, "generator": self.options["generator"]}

    def _mirror(self):
        """Arrays among a hand-written layer's attributes, where those who look for parameters find them."""
        for name, value in vars(self._target).items() if self._mode == "layer" else ():
            holds = any(isinstance(leaf, torch.Tensor) for leaf in leaves(value).values())
            if holds and (name in self._mirrored or not hasattr(self, name)):
                self._mirrored.add(name)
                setattr(self, name, self.numpy_nest(value))

    def backward(self, *dys):
        found = super().backward(*dys)
        if self._mode == "layer":
            self._mirror()
            gradients = getattr(self._target, "gradients", None)
            self.gradients = self.numpy_nest(dict(gradients)) if isinstance(gradients, Mapping) else None
        return found
