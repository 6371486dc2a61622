"""The parameters of a layer and their gradients: those given, or those found by the usual spellings."""

from collections.abc import Mapping
from types import ModuleType

import numpy as np

from ..arguments import check_parameter, given_parameters
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
from .inputs import all_numbers
from .moving import overwritten
from .trees import is_nest, leaves, parts


class Parameter:
    """One parameter: its array, and functions that give its gradient and the array itself as they are now.

    current is None for what an object declares: it is taken at its word. put(array) sets the attribute in which it is
    held; `number` says that this is a plain number, or a list of them, and not the array.
    """

    def __init__(self, name, array, gradient, current=None, put=None, number=False):
        self.name, self.array, self.gradient = name, array, gradient
        self.current, self.put, self.number = current, put, number

    def is_there(self):
        """Whether its array is still what is held."""
        return self.current is None or self.current() is self.array


def find(owner, path="", seen=None):
    """A list of Parameter: what an object declares, else its arrays beside a gradient, and those of objects in it."""
    seen = {} if seen is None else seen
    if id(owner) in seen:
        return []
    seen[id(owner)] = owner
    if isinstance(owner, np.ndarray):
        return find(list(owner.flat), path, seen) if owner.dtype == object else []
    if is_nest(owner):
        return [p for key, part in parts(owner) for p in find(part, f"{path}{key}.", seen)]
    if not (is_own(owner) or path == ""):
        return []
    found = _declared(owner, path)
    if not found:
        for key, value in members(owner).items():
            found += _beside_its_gradient(owner, key, value, path)
            found += find(value, f"{path}{key}.", seen)
    return found


def _declared(owner, path):
    """What an object says are its parameters, under the names of its mapping or of the attributes that hold them."""
    name, nest = declared_nest(owner) or ("", ())
    coupled = name in PAIRS or (nest and isinstance(nest, list) and all(map(_is_couple, nest)))
    held: dict = {}
    for h in walk(owner) if nest else ():
        if h.path.partition(".")[0] != name:
            held.setdefault(id(h.array), h)

    def gradient(n, leaf, holder):
        if coupled:
            return read(owner, name)[int(n)][1]
        for source in (read(owner, g) for g in GRADIENTS):
            try:
                got = paired(nest, source)[n]
            except Finding:  # of another length: they are looked for elsewhere
                got = None
            if got is not None:
                return got
        if is_own(leaf):
            return own_gradient(leaf)
        return gradient_of(holder.owner, holder.key) if holder and not is_nest(holder.owner) else None

    found = []
    for n, leaf in leaves([couple[0] for couple in nest] if coupled else nest).items():
        array = array_of(leaf)
        if array is not None:
            holder = held.get(id(array))
            own = n if isinstance(nest, Mapping) else holder.path if holder else f"{name}.{n}"
            own = own.rpartition(".")[0] if is_own(leaf) and holder and own == holder.path else own
            found.append(Parameter(path + own, array, lambda n=n, leaf=leaf, h=holder: gradient(n, leaf, h)))
    return found


def _is_couple(part):
    return isinstance(part, tuple) and len(part) == 2 and all(map(is_float, part)) and part[0].shape == part[1].shape


def _beside_its_gradient(owner, key, value, path):
    """An attribute that is an array, a nest of arrays, a plain float or a list of those, if its gradient is found."""
    number = type(value) in (float, np.float32, np.float64) or _is_list_of_floats(value)
    arrays = (
        {str(key): np.array(value)} if number else {n: a for n, a in leaves(value, str(key)).items() if is_float(a)}
    )
    if not arrays or gradient_of(owner, key) is None:
        return []

    def gradient(n):
        if number:
            return gradient_of(owner, key)
        try:
            return paired(value, gradient_of(owner, key), str(key)).get(n)
        except Finding:
            return None

    def current(n, array):
        now = leaves(getattr(owner, key, None), str(key)).get(n)
        return array if number and np.array_equal(np.array(getattr(owner, key, None)), array) else now

    def name(n):
        return path[:-1] if path and key in DATA and gradient_of(owner, key) is own_gradient(owner) else path + n

    def put(array):
        setattr(owner, key, array.tolist() if isinstance(value, list) else type(value)(array) if number else array)

    return [
        Parameter(
            *(name(n), array, lambda n=n: gradient(n), lambda n=n, array=array: current(n, array)),
            *(put if number or array is value else None, number),
        )
        for n, array in arrays.items()
    ]


def _is_list_of_floats(value):
    """Whether it is a list of plain floats, or of equally long lists of them."""
    try:
        return type(value) is list and all_numbers(value) and np.array(value).dtype == np.float64
    except ValueError:
        return False


class Parameters:
    """The parameters of a target: those given, or those found."""

    def __init__(self, owner, given, gradients, inputs):
        self.owner = None if isinstance(owner, ModuleType) else owner
        self.given, self.gradients, self.inputs = given, gradients, inputs
        self.searched = given is None and self.owner is not None
        self.tied: dict[str, str] = {}  # name -> a sentence about an array of several names
        if given is None:
            found = self._find() if self.searched else []
        else:
            found = [self._given(n, array) for n, array in given_parameters(given).items()]
        # What a gradient was before backward had run: a number or an array of another shape that stays is none.
        self.before = {p.name: np.array(p.gradient()) for p in found if p.current is not None}
        self._take(found)
        held = {h.path: h.array for h in walk(self.owner)} if self.searched else {}
        self.start = {name: (array, array.copy()) for name, array in {**held, **self.arrays}.items()}

    def _find(self):
        found = [p for p in find(self.owner) if not any(np.may_share_memory(p.array, v) for v in self.inputs.values())]
        for p in found:
            check_parameter(p.name, p.array)
            p.name = f"self.{p.name}" if p.name in self.inputs else p.name
        return found

    def _given(self, name, array):
        """A parameter that was given; its gradient is the owner's, by its name or its attribute, if none is."""
        held = (h for h in walk(self.owner) if h.array is array and not is_nest(h.owner)) if self.owner else iter(())
        holder = next(held, None)

        def gradient():
            for source in (read(self.owner, g) for g in GRADIENTS):
                got = entry(source, name) if isinstance(source, Mapping) else None
                if got is not None:
                    return got
            return gradient_of(holder.owner, holder.key) if holder is not None else None

        return Parameter(name, array, gradient, *((holder.now, holder.put) if holder else ()))

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

    def look_again(self, subject, more):
        """Once forward and backward have run: parameters made by the first forward are there, and gradients.

        more : what backward returned beside the gradients of the inputs, by name or number
        """
        if not self.searched:
            return
        for p in self._find():  # as they were, in case that backward takes a step
            array, kept = self.start.get(p.name, (p.array, p.array))
            if array.flags.writeable and (array is p.array or p.put is not None):
                array[...] = kept
                if p.put is not None:
                    p.put(array)
        self.start.clear()
        found = [p for p in self._find() if p.current is None or not self._stays(p)]
        known = [p.array for p in found] + list(self.inputs.values())
        others = [h for h in walk(self.owner) if not any(np.may_share_memory(h.array, a) for a in known)]
        found += [Parameter(h.path, h.array, lambda: None, h.now) for h in others if _returned(h, others, more)]
        gone = overwritten(subject, [p for p in found if p.current is not None])
        self._take([p for p in found if p not in gone])

    def _stays(self, p):
        before, now = self.before.get(p.name), p.gradient()
        like = isinstance(now, (np.ndarray, list)) and np.shape(now) == p.array.shape != ()
        return before is not None and not like and np.array_equal(before, now)

    def names(self):
        return [p.name for p in self.found] + ([h.path for h in walk(self.owner)] if self.searched else [])

    def push(self):
        """Write the values of plain numbers to where they are held."""
        for p in self.found:
            if p.number:
                p.put(p.array)

    def put_back(self):
        """Undo the replacing of an array by another; the names of those that had been."""
        gone = [p for p in self.found if p.put is not None and not p.is_there()]
        for p in gone:
            p.put(p.array)
        return [p.name for p in gone]

    def clear(self):
        """Set the gradients that are there to zero."""
        given = self._given_gradients()
        for gradient in [p.gradient() for p in self.found] if given is None else given.values():
            if isinstance(gradient, np.ndarray):
                gradient[...] = 0.0

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
                g = _taken(more, p) if g is None else g
                if g is not None:
                    claims.append(np.transpose(g) if turned else g)
            found[name] = claims[0] if claims else None
            if len(claims) > 1:
                names = " and ".join(f"'{p.name}'" for p, _ in alike)
                same = all(np.array_equal(g, claims[0]) for g in claims)
                found[name] = claims[0] if same else sum(np.asarray(g) for g in claims)
                how = (
                    "one gradient, checked as that of all uses"
                    if same
                    else "gradients of their own: their sum is checked"
                )
                if not same or name not in self.tied:  # of no dy at all both are zero
                    self.tied[name] = f"{names} are one array (tied weights) with {how}"
        self._compare_lengths(found)
        return found

    def _compare_lengths(self, found):
        """Tell of declared lists of parameters and gradients that cannot be paired."""
        name, nest = (self.searched and declared_nest(self.owner)) or ("", ())
        short = isinstance(nest, (list, tuple)) and any(gradient is None for gradient in found.values())
        for g in GRADIENTS if short else ():
            source = read(self.owner, g)
            if isinstance(source, (list, tuple)) and source and len(source) != len(nest):
                self.tied[g] = f"'{name}' has {len(nest)} entries and '{g}' {len(source)}: they cannot be paired"

    def _given_gradients(self):
        gradients = self.gradients() if callable(self.gradients) else self.gradients
        if gradients is None:
            return None
        gradients = gradients if is_nest(gradients) else members(gradients)
        return paired(self.given if self.given is not None else self.arrays, gradients)


def _returned(held, others, more):
    """Whether backward returned a gradient of this array: by its name, or as the only one of its shape."""
    for key, gradient in more.items():
        if isinstance(key, int):
            shape = np.shape(gradient)
            alike = [h for h in others if h.array.shape == shape]
            if alike == [held] and sum(np.shape(g) == shape for g in more.values()) == 1:
                return True
        elif key in (held.path, *spellings(held.path), held.key, *spellings(held.key)):
            return True
    return False


def _taken(more, parameter):
    """What `more` holds for a parameter, by its name or as the only one of its shape; taken out of it."""
    for key in (parameter.name, parameter.name.rpartition(".")[2]):
        for spelled in (key, *spellings(key)):
            if more.get(spelled) is not None:
                return more.pop(spelled)
    shaped = [k for k, g in more.items() if isinstance(k, int) and np.shape(g) == parameter.array.shape]
    return more.pop(shaped[0]) if len(shaped) == 1 else None


def _place(array):
    return (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str)
