"""What a target holds, found by walking through it, and put back in place after it has been made to do other things."""

import collections
import contextlib
import functools
import random
import types
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from ..arguments import freezer
from .holding import FOREIGN, is_own, root

Check = TypeVar("Check", bound=Callable[..., Any])

MOST = 20_000  # objects looked at
UNSET = object()
LARGE = 2**28  # bytes of an array from which on it is not copied, and so not put back


def left_as_it_was(check: Check) -> Check:
    """A check at whose end, however it ends, everything is put back that the target and what came with it hold."""

    @functools.wraps(check)
    def checked(target, inputs, **options):
        with Kept(target, *options.values(), objects_only=True):
            return check(target, inputs, **options)

    return cast("Check", checked)


class Kept:
    """The state of everything that can be reached from some objects: attributes, containers, arrays, generators.

    objects_only : not what functions enclose in variables, lists and dicts, where callers count, nor the checks' own

    Attributes
    ----------
    objects : the instances met that are of no library
    dicts : their attributes and the other mappings met
    freeze : callable that sets every generator met, and Python's and NumPy's global ones, back to the state it had
    """

    def __init__(self, *roots, objects_only=False):
        self.objects, self.dicts, self._containers, self._arrays = [], [], [], []
        self._tensors, self._cells, self._attributes = [], [], []
        self._objects_only = objects_only
        self._generators = [functools.partial(np.random.set_state, np.random.get_state())]  # noqa: NPY002
        self._generators.append(functools.partial(random.setstate, random.getstate()))
        left = list(roots)
        seen: dict[int, object] = {}
        while left and len(seen) < MOST:
            item = left.pop()
            if id(item) not in seen:
                seen[id(item)] = item
                left += self._take(item)

    @classmethod
    def of(cls, subject, **options):
        """What a target and what is passed along hold."""
        inputs = subject.inputs
        return cls(subject.target, subject._forward, subject._backward, inputs.place, inputs.named, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.restore()

    def _take(self, item):
        """Remember one thing; returns what it holds."""
        if type(item) is np.ndarray:
            if item.dtype == object:
                return list(item.flat)
            if item.flags.writeable and item.nbytes < LARGE:
                self._arrays.append((item, item.copy()))
        elif isinstance(item, (np.random.Generator, np.random.RandomState)):
            self._generators.append(freezer(item))
        elif isinstance(item, dict):
            self.dicts.append(item)
            self._containers.append((item, dict(item)))
            return item.values()
        elif isinstance(item, (list, collections.deque, set)):
            self._containers.append((item, list(item)))
            return item
        elif isinstance(item, (tuple, frozenset)):
            return item
        elif isinstance(item, types.MethodType):
            return item.__self__, item.__func__
        elif isinstance(item, (staticmethod, classmethod)):
            return (item.__func__,)
        elif isinstance(item, functools.partial):
            return item.func, item.args, item.keywords
        elif isinstance(item, types.FunctionType):
            return self._enclosed(item)
        elif all(hasattr(type(item), name) for name in ("detach", "clone", "copy_")):
            with contextlib.suppress(Exception):  # of torch: the same memory, and a copy; not before it has a shape
                self._tensors.append((item.detach(), item.detach().clone()))
        elif root(type(item)) == "torch" and hasattr(item, "get_state"):
            self._generators.append(freezer(item))
        elif isinstance(item, type):
            return self._named(item, [n for n in vars(item) if not n.startswith("__")]) if _own_class(item) else ()
        elif is_own(item) and not (self._objects_only and type(item).__module__.startswith("minivae.gradcheck")):
            return self._object(item)
        return ()

    def _object(self, item):
        self.objects.append(item)
        kinds = [kind for kind in type(item).__mro__ if _own_class(kind)]
        slots = [n for kind in kinds for n, v in vars(kind).items() if isinstance(v, types.MemberDescriptorType)]
        return [getattr(item, "__dict__", {}), *kinds, *self._named(item, slots)]

    def _named(self, owner, names):
        """Remember attributes that lie in no dict that could be written to."""
        self._attributes += [(owner, name, _attribute(owner, name)) for name in names]
        return [_attribute(owner, name) for name in names]

    def _enclosed(self, function):
        held = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), vars(function)]
        cells = [(cell, cell.cell_contents) for cell in function.__closure__ or () if _is_filled(cell)]
        held += [value for _, value in cells]
        used = [function.__globals__.get(name) for name in function.__code__.co_names]
        if not self._objects_only:
            self._cells += cells
            return held + [value for value in used if isinstance(value, dict) or is_own(value)]
        used = [value for value in used if isinstance(value, (np.random.Generator, np.random.RandomState))]
        return used + [value for value in held if not isinstance(value, (dict, list, set, collections.deque))]

    def freeze(self):
        for back in self._generators:
            back()

    def restore(self):
        """Put everything back; what has not changed is not touched."""
        for item, kept in self._containers:
            now: Any = dict(item) if isinstance(item, dict) else list(item)
            same = len(now) == len(kept) and all(a is b for a, b in zip(now, kept, strict=True))
            if not same or (isinstance(item, dict) and any(now[key] is not kept[key] for key in kept)):
                item.clear()
                (item.extend if isinstance(item, (list, collections.deque)) else item.update)(kept)
        for cell, kept in self._cells:
            if cell.cell_contents is not kept:
                cell.cell_contents = kept
        for owner, name, kept in self._attributes:
            if _attribute(owner, name) is not kept:
                with contextlib.suppress(AttributeError):  # read-only
                    delattr(owner, name) if kept is UNSET else setattr(owner, name, kept)
        for array, kept in self._arrays:
            if array.shape == kept.shape and array.flags.writeable:
                array[...] = kept
        for tensor, kept in self._tensors:
            tensor.copy_(kept)
        self.freeze()


def _attribute(owner, name):
    return vars(owner).get(name, UNSET) if isinstance(owner, type) else getattr(owner, name, UNSET)


def _own_class(kind):
    return root(kind) not in FOREIGN


def _is_filled(cell):
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False
