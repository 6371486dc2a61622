"""The parameters of a layer and their gradients, found by the usual spellings; and what else it holds that matters."""

from collections.abc import Mapping
from types import ModuleType

import numpy as np

from .arguments import check_parameter, given_parameters
from .claims import Finding, entry, paired, spellings
from .holding import (
    DATA,
    GRADIENTS,
    PAIRS,
    array_of,
    declared_nest,
    gradient_of,
    is_float,
    is_own,
    members,
    own_gradient,
    read,
    walk,
)
from .trees import is_nest, leaves


class Parameter:
    """One parameter: its array, and functions that give its gradient and the array itself as they are now.

    current is None for what an object declares: it is taken at its word.
    """

    def __init__(self, name, array, gradient, current=None):
        self.name, self.array, self.gradient, self.current = name, array, gradient, current


def find(owner, path="", seen=None):
    """A list of Parameter: what an object declares, else its arrays beside a gradient, and those of objects in it."""
    seen = {} if seen is None else seen
    if id(owner) in seen:
        return []
    seen[id(owner)] = owner
    if isinstance(owner, np.ndarray):
        return find(list(owner.flat), path, seen) if owner.dtype == object else []
    if is_nest(owner):
        items = owner.items() if isinstance(owner, Mapping) else enumerate(owner)
        return [p for key, part in items for p in find(part, f"{path}{key}.", seen)]
    if not (is_own(owner) or path == ""):
        return []
    found = _declared(owner, path)
    if found:
        return found
    own = members(owner)
    for key, value in own.items():
        found += _beside_its_gradient(owner, key, value, path)
        found += find(value, f"{path}{key}.", seen)
    return found


def _declared(owner, path):
    """What an object says are its parameters, under the names of its mapping or of the attributes that hold them."""
    name, nest = declared_nest(owner) or ("", None)
    if nest is None:
        return []
    coupled = name in PAIRS or (isinstance(nest, list) and all(map(_is_couple, nest)))
    if coupled:
        nest = [couple[0] for couple in nest]
    held: dict = {}
    for h in walk(owner):
        if not h.path.startswith(name):
            held.setdefault(id(h.array), h)

    def gradient(n, leaf, holder):
        if coupled:
            return read(owner, name)[int(n)][1]
        for source in (read(owner, g) for g in GRADIENTS):
            if source:
                try:
                    got = paired(nest, source)[n]
                except Finding:  # of another length: they are looked for elsewhere
                    continue
                if got is not None:
                    return got
        if is_own(leaf):
            return own_gradient(leaf)
        return gradient_of(holder.owner, holder.key) if holder and not is_nest(holder.owner) else None

    found = []
    for n, leaf in leaves(nest).items():
        array = array_of(leaf)
        if array is not None:
            holder = held.get(id(array))
            own = n if isinstance(nest, Mapping) else holder.path if holder else f"{name}.{n}"
            found.append(Parameter(path + own, array, lambda n=n, leaf=leaf, h=holder: gradient(n, leaf, h)))
    return found


def _is_couple(part):
    return isinstance(part, tuple) and len(part) == 2 and all(map(is_float, part)) and part[0].shape == part[1].shape


def _beside_its_gradient(owner, key, value, path):
    """An attribute that is an array, or a nest of arrays, if its gradient can be found."""
    arrays = {n: leaf for n, leaf in leaves(value, str(key)).items() if is_float(leaf)}
    beside = gradient_of(owner, key) if arrays else None
    if beside is None:
        return []

    def gradient(n):
        try:
            return paired(value, gradient_of(owner, key), str(key)).get(n)
        except Finding:
            return None

    alone = key in DATA and path
    return [
        Parameter(path[:-1] if alone else path + n, array, lambda n=n: gradient(n), lambda n=n: _now(owner, key, n))
        for n, array in arrays.items()
    ]


def _now(owner, key, name):
    return leaves(getattr(owner, key, None), str(key)).get(name)


class Parameters:
    """The parameters of a target: those given, or those found."""

    def __init__(self, owner, given, gradients, inputs):
        self.owner = None if isinstance(owner, ModuleType) else owner
        self.given, self.gradients, self.inputs = given, gradients, list(inputs.values())
        arrays = {} if given is None else given_parameters(given)
        self.searched = given is None and self.owner is not None
        self.found = [Parameter(n, a, lambda n=n, a=a: self._gradient_of_given(n, a)) for n, a in arrays.items()]
        self.tied = {}  # name -> a sentence about an array of several names
        self._take(self._find() if self.searched else self.found)

    def _find(self):
        found = [p for p in find(self.owner) if not any(np.may_share_memory(p.array, v) for v in self.inputs)]
        for p in found:
            check_parameter(p.name, p.array)
        return found

    def _take(self, found):
        """Set the parameters, with arrays of several names under the first of them."""
        self.found = found
        self.arrays: dict[str, np.ndarray] = {}
        self.alike: dict[str, list] = {}  # name -> (parameter, whether it is the transpose) of all names of one array
        places: dict[tuple, tuple[str, bool]] = {}
        for p in found:
            first = places.setdefault(_place(p.array), (p.name, False))
            places.setdefault(_place(p.array.T), (p.name, True))
            if first[0] == p.name:
                self.arrays[p.name] = p.array
            self.alike.setdefault(first[0], []).append((p, first[1] and p.array.ndim > 1))

    def look_again(self, subject):
        """Once forward and backward have run: parameters made by the first forward are there, and gradients."""
        if self.searched:
            found = self._find()
            gone = overwritten(subject, [p for p in found if p.current is not None])
            self._take([p for p in found if p not in gone])

    def names(self):
        held = [h.path for h in walk(self.owner)] if self.searched else []
        return [p.name for p in self.found] + held

    def claims(self, more):
        """dict of name to the gradient that is there now, None without one. What serves of `more`, which backward
        returned beside the gradients of the inputs, is taken out of it. Several names of one array: the sum, unless all
        are equal.
        """
        given = self._given_gradients()
        found = {}
        for name, alike in self.alike.items():
            claims = []
            for p, turned in alike:
                g = given.get(p.name) if given is not None else p.gradient()
                if g is None:
                    g = self._of(more, p)
                if g is not None:
                    claims.append(np.transpose(g) if turned else g)
            found[name] = claims[0] if claims else None
            if len(claims) > 1:
                names = " and ".join(f"'{p.name}'" for p, _ in alike)
                same = all(np.array_equal(g, claims[0]) for g in claims)
                found[name] = claims[0] if same else sum(np.asarray(g) for g in claims)
                how = (
                    "the same gradient, checked as that of every use"
                    if same
                    else "gradients, of which the sum is checked"
                )
                self.tied[name] = f"{names} are one array: each comes with {how}"
        return found

    def _of(self, more, parameter):
        for key in (parameter.name, parameter.name.rpartition(".")[2]):
            for spelled in (key, *spellings(key)):
                if more.get(spelled) is not None:
                    return more.pop(spelled)
        return None

    def _given_gradients(self):
        gradients = self.gradients() if callable(self.gradients) else self.gradients
        if gradients is None:
            return None
        if not is_nest(gradients):
            gradients = members(gradients)
        return paired(self.given if self.given is not None else self.arrays, gradients)

    def _gradient_of_given(self, name, array):
        """The gradient of a parameter that was given without one: among the owner's, by its name or its attribute."""
        if self.owner is None:
            return None
        for source in (read(self.owner, g) for g in GRADIENTS):
            got = entry(source, name) if isinstance(source, Mapping) else None
            if got is not None:
                return got
        holder = next((h for h in walk(self.owner) if h.array is array and not is_nest(h.owner)), None)
        return gradient_of(holder.owner, holder.key) if holder is not None else None


def _place(array):
    return (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str)


def overwritten(subject, parameters):
    """Those that forward writes anew whatever is in them: what it keeps for backward, no parameters."""
    kept = [p.array.copy() for p in parameters]
    rng = np.random.default_rng((subject.seed, 4))
    try:
        subject.outputs()
        gone = [p for p, k in zip(parameters, kept, strict=True) if not _same(p, k)]
        for p in parameters:
            p.array += nudge(rng, p.array, 1e-3)
        moved = [p.array.copy() for p in parameters]
        subject.outputs()
        return gone + [p for p, m in zip(parameters, moved, strict=True) if p not in gone and not _same(p, m)]
    except Finding:
        return []
    finally:
        for p, k in zip(parameters, kept, strict=True):
            p.array[...] = k


def _same(parameter, kept):
    return parameter.current() is parameter.array and np.array_equal(parameter.array, kept)


def nudge(rng, array, share):
    """Random numbers of a share of an array's size."""
    size = float(np.sqrt(np.mean(np.abs(array.astype(np.complex128)) ** 2))) if array.size else 0.0
    noise = share * (size or 1.0) * rng.standard_normal(array.shape)
    return (noise * (1 + 1j) if array.dtype.kind == "c" else noise).astype(array.dtype)
