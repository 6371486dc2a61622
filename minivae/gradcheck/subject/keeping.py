"""What a target holds, found by walking through it, and put back in place after it has been made to do other things."""

import collections
import functools
import sys
import types

import numpy as np

from ..arguments import freezer

GENERATORS = (np.random.Generator, np.random.RandomState)
FOREIGN = sys.stdlib_module_names | {"numpy", "numba", "scipy", "torch", "jax", "jaxlib", "matplotlib"}
MOST = 20_000  # objects looked at


class Kept:
    """The state of everything that can be reached from some objects: attributes, containers, arrays, generators.

    Attributes
    ----------
    objects : the instances met that are of no library
    dicts : their attributes and the other mappings met
    freeze : callable that sets every generator met, and NumPy's global one, back to the state it had
    """

    def __init__(self, *roots):
        self.objects, self.dicts, self._lists, self._arrays, self._tensors, self._cells = ([] for _ in range(6))
        self._generators = [functools.partial(np.random.set_state, np.random.get_state())]  # noqa: NPY002
        left = list(roots)
        seen: dict[int, object] = {}
        while left and len(seen) < MOST:
            item = left.pop()
            if id(item) not in seen:
                seen[id(item)] = item
                left += self._take(item)

    @classmethod
    def of(cls, subject):
        """What a target and what is passed along hold."""
        inputs = subject.inputs
        return cls(subject.target, subject._forward, subject._backward, inputs.place, inputs.named)

    def _take(self, item):
        """Remember one thing; returns what it holds."""
        if type(item) is np.ndarray:
            if item.flags.writeable and item.dtype != object:
                self._arrays.append((item, item.copy()))
        elif isinstance(item, GENERATORS):
            self._generators.append(freezer(item))
        elif isinstance(item, dict):
            self.dicts.append(item)
            self._lists.append((item, dict(item)))
            return item.values()
        elif isinstance(item, (list, collections.deque)):
            self._lists.append((item, list(item)))
            return item
        elif isinstance(item, (tuple, set, frozenset)):
            return item
        elif isinstance(item, types.MethodType):
            return item.__self__, item.__func__
        elif isinstance(item, functools.partial):
            return item.func, item.args, item.keywords
        elif isinstance(item, types.FunctionType):
            return self._closure(item)
        elif all(hasattr(item, name) for name in ("detach", "clone", "copy_")):
            self._tensors.append((item.detach(), item.detach().clone()))  # of torch: the same memory, and a copy
        elif _own(item):
            self.objects.append(item)
            return vars(item), *(value for kind in type(item).__mro__[:-1] for value in vars(kind).values())
        return ()

    def _closure(self, function):
        held = [*(function.__defaults__ or ()), vars(function)]
        around = [function.__globals__.get(name) for name in function.__code__.co_names]
        held += [value for value in around if isinstance(value, dict) or _own(value)]
        for cell in function.__closure__ or ():
            try:
                held.append(cell.cell_contents)
            except ValueError:  # not filled yet
                continue
            self._cells.append((cell, cell.cell_contents))
        return held

    def freeze(self):
        for back in self._generators:
            back()

    def restore(self):
        """Put everything back; what has not changed is not touched."""
        for item, kept in self._lists:
            now = dict(item) if isinstance(item, dict) else list(item)
            same = len(now) == len(kept) and all(a is b for a, b in zip(now, kept, strict=True))
            if not same or (isinstance(item, dict) and any(now[key] is not kept[key] for key in kept)):
                item.clear()
                (item.update if isinstance(item, dict) else item.extend)(kept)
        for cell, kept in self._cells:
            if cell.cell_contents is not kept:
                cell.cell_contents = kept
        for array, kept in self._arrays:
            if array.shape == kept.shape:
                array[...] = kept
        for tensor, kept in self._tensors:
            tensor.copy_(kept)
        self.freeze()


def _own(item):
    """Whether a thing is an instance of no library's class, with attributes."""
    if isinstance(item, (type, types.ModuleType)) or not isinstance(getattr(item, "__dict__", None), dict):
        return False
    return isinstance(item, types.SimpleNamespace) or type(item).__module__.partition(".")[0] not in FOREIGN
