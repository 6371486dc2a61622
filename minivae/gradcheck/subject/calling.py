"""What a target is and how its forward and backward are called, from what it has and from their signatures."""

import inspect
from types import ModuleType

from ...errors import expect

METHODS = (("forward", "backward"), ("forward_pass", "backward_pass"), ("fprop", "bprop"), ("fwd", "bwd"))


def identify(target, gradient):
    """(kind, target, its name, the name of its forward, forward, backward). ValueError for what is none known."""
    name = getattr(target, "__name__", type(target).__name__)
    methods = [pair for pair in METHODS if all(callable(getattr(target, n, None)) for n in pair)]
    if callable(target) and callable(getattr(target, "backward", None)):
        methods.append(("__call__", "backward"))
    if isinstance(target, (tuple, list)) and len(target) == 2 and all(callable(f) for f in target):
        name = getattr(target[0], "__name__", "pair")
        holder = owner(*target)
        layer = holder is not None and len(required(target[1]) or ()) < 2
        found = ("layer", holder, name, name, *target) if layer else ("pair", target, name, name, *target)
    elif methods:
        forward, backward = (getattr(target, n) for n in methods[0])
        if isinstance(target, type) and _needs_instance(target, methods[0][0], forward):
            raise ValueError(f"target: got the class {name}, expected an instance of it, or static methods")
        found = ("layer", target, name, methods[0][0], forward, backward)
    else:
        expected = "a function, an object with forward and backward, or a pair of two such functions"
        expect(callable(target), "target", target, expected)
        claim = "a callable or the array(s) that the function claims, or 'torch' or 'jax' if that differentiates it"
        expect(gradient is not None, "gradient", None, claim)
        return "function", target, name, name, target, gradient
    expect(gradient is None, "gradient", gradient, f"None for a {found[0]}: only a scalar function has one")
    return found


def _needs_instance(kind, method, function):
    """Whether a method of a class is meant for its instances, and not a plain function kept there."""
    if isinstance(inspect.getattr_static(kind, method), (staticmethod, classmethod)):
        return False
    own = kind.__init__ is not object.__init__ or (required(function) or [""])[0] in ("self", "s", "this")
    return own or method == "__call__"


def owner(forward, backward):
    """The object of which both are methods, else None."""
    first, second = (getattr(f, "__self__", None) for f in (forward, backward))
    return first if first is second and not isinstance(first, ModuleType) else None


def takes_arguments(function):
    """Whether it takes any argument by place."""
    try:
        kinds = {p.kind for p in inspect.signature(function).parameters.values()}
    except (TypeError, ValueError):
        return True
    return bool(kinds - {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD})


def required(function):
    """The names of the arguments by place that must be given, None where they are not known."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in signature.parameters.values() if p.kind in kinds and p.default is p.empty]
