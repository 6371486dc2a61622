"""What an object holds: float arrays by the path to them, and gradients by the usual spellings of their names."""

import sys
from collections.abc import Iterator, Mapping
from types import ModuleType, SimpleNamespace

import numpy as np

from .claims import entry, spellings
from .trees import is_nest, leaves, parts

DECLARED = ("parameters", "params", "trainable_parameters", "trainable_params", "get_parameters", "get_params")
PAIRS = ("parameters_and_gradients", "params_and_grads", "get_parameters_and_gradients", "get_params_and_grads")
GRADIENTS = ("gradients", "grads", "gradient", "grad", "get_gradients", "get_grads", "dparams", "_gradients", "_grads")
DATA = ("data", "value", "values", "array", "tensor", "W")  # of an object that is one parameter, beside its gradient
SAME = ({"w", "weight", "weights", "kernel"}, {"b", "bias", "biases"})
LONG = 4096  # longer lists are data
HEAP = 1 << 9  # the flag of classes that are not Python's own
LIBRARIES = {"numpy", "scipy", "numba", "torch", "jax", "jaxlib", "matplotlib", "pytest", "_pytest", "hypothesis"}
FOREIGN = LIBRARIES | sys.stdlib_module_names


class Held:
    """A float array that an object holds: its path, a function that gives what is there now, the object and the key;
    and whether an object on the way declares its parameters.
    """

    def __init__(self, path, array, now, owner, key, declared):
        self.path, self.array, self.now, self.owner, self.key, self.declared = path, array, now, owner, key, declared

    def put(self, array):
        """Hold this array instead."""
        if self.now() is not array:
            self.owner.__setitem__(self.key, array) if is_nest(self.owner) else setattr(self.owner, self.key, array)


def members(owner):
    """dict of the names and values that an object, or a class used as one, holds: no methods, no properties."""
    kinds = [k for k in (owner if isinstance(owner, type) else type(owner)).__mro__ if root(k) not in FOREIGN]
    found = {}
    for kind in reversed(kinds):
        plain = {n: v for n, v in vars(kind).items() if not callable(v) and not hasattr(type(v), "__get__")}
        found.update({n: v for n, v in plain.items() if not (n.startswith("__") and n.endswith("__"))})
        slots = getattr(kind, "__slots__", ())
        found.update(
            {n: getattr(owner, n) for n in ([slots] if isinstance(slots, str) else slots) if hasattr(owner, n)}
        )
    if not isinstance(owner, type):
        found.update(getattr(owner, "__dict__", {}))
    return found


def root(kind):
    """The package of a class; none where a class statement stood in code without a name, as `exec` may run it."""
    nameless = kind.__module__ == "builtins" and kind.__flags__ & HEAP
    return "" if nameless else (kind.__module__ or "").partition(".")[0]


def is_own(value):
    """Whether it is an object that may hold layers or parameters: none of Python's, NumPy's or another library's."""
    if isinstance(value, SimpleNamespace):
        return True
    plain = isinstance(value, (type, ModuleType, np.ndarray, np.generic)) or is_nest(value)
    return not plain and root(type(value)) not in FOREIGN and not hasattr(type(value), "__get__")


def is_float(value):
    return isinstance(value, np.ndarray) and value.dtype.kind in "fc"


def walk(value, path="", now=None, owner=None, key="", declared=False, seen=None):
    """Every float array that an object holds, in attributes, lists, dicts and objects of its own."""
    seen = {} if seen is None else seen
    if is_float(value):
        yield Held(path, value, now, owner, key, declared)
        return
    if id(value) in seen or len(seen) > 20_000:
        return
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = list(value.flat)
    if not (is_nest(value) or is_own(value) or owner is None) or (is_nest(value) and len(value) > LONG):
        return
    seen[id(value)] = value
    declared = declared or (not (is_nest(value) or isinstance(value, np.ndarray)) and declares(value))
    for k, part in parts(value) if is_nest(value) else members(value).items():
        child = f"{path}.{k}" if path else str(k)
        yield from walk(part, child, lambda v=value, k=k: _at(v, k), value, k, declared, seen)


def _at(owner, key):
    """What is there now under a key or attribute; None where nothing is."""
    try:
        return owner[key] if is_nest(owner) else getattr(owner, key)
    except (LookupError, AttributeError, TypeError):
        return None


def read(owner, name):
    """A nest under this attribute, or from the method of this name; None where there is none."""
    value = getattr(owner, name, None)
    if callable(value) and not is_nest(value):
        try:
            value = value()
        except Exception:  # a method of this name that wants something else
            return None
    if isinstance(value, Iterator):
        value = list(value)
    return value if is_nest(value) else members(value) if is_own(value) else None


def array_of(leaf):
    """The array of a parameter, which may be an object with the array and its gradient; None for anything else."""
    if is_own(leaf):
        leaf = first(v for v in (getattr(leaf, n, None) for n in DATA) if is_float(v))
    return leaf if is_float(leaf) else None


def gradient_of(owner, key):
    """The gradient of an attribute by its usual spellings: dW, grad_W, W_grad, or among `grads`; None without one."""

    def attribute(name):
        value = getattr(owner, name, None)
        return value if isinstance(value, (np.ndarray, np.generic, float)) or is_nest(value) else None

    containers = [c for c in (read(owner, name) for name in GRADIENTS) if isinstance(c, Mapping)]
    stem = str(key).strip("_").lower()
    other = [n for names in SAME if stem in names for n in sorted(names - {stem})]
    other = [n for short in other for n in (short, short.upper()) if not is_float(getattr(owner, n, None))]
    for name in (key, *other):
        for got in (first(map(attribute, spellings(name))), *(entry(container, name) for container in containers)):
            if got is not None:
                return got
    return own_gradient(owner) if key in DATA else None


def own_gradient(owner):
    """The gradient that an object which is one parameter holds."""
    return first(getattr(owner, name, None) for name in ("grad", "gradient", "g"))


def first(values):
    """The first that is not None; None without one."""
    return next((value for value in values if value is not None), None)


def declared_nest(owner):
    """(the name under which it came, the nest) of what an object says are its parameters; None where it does not."""
    for name in DECLARED + PAIRS:
        nest = read(owner, name)
        arrays = [array_of(leaf) for leaf in leaves(nest).values()]
        if not any(a is not None for a in arrays):
            continue
        again = [array_of(leaf) for leaf in leaves(read(owner, name)).values()]
        pairs = [(a, b) for a, b in zip(arrays, again, strict=False) if a is not None and b is not None]
        if all(a is b or np.may_share_memory(a, b) for a, b in pairs):  # copies cannot be moved
            return name, nest
    return None


def declares(owner):
    """Whether an object says what its parameters are; an empty mapping says that there are none."""
    none = any(isinstance(c, Mapping) and not c for c in (getattr(owner, name, None) for name in DECLARED))
    return none or declared_nest(owner) is not None
