"""A model made of parts: its own, and those that a user brings."""

import contextlib
import itertools
import operator
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import expect
from ..kernels import Backend
from .store import Arrays, Holder, Mark, Parameters, Portable
from .survey import attribute, expect_float_array, has_mode, holders, kept, same_found, survey

_owner: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # from a part to the model that it was given to


class Exchange:
    """Keeps the arrays that a part of one's own computes with equal to the model's, which the optimizer changes.

    The part's arrays stay its own: whoever changes them, or puts others of the same shape in their place, changes the
    model's with them, and the other way round. An array whose memory is the model's already needs nothing.

    Parameters
    ----------
    name : of the part, as messages give it
    part : has mappings `parameters` and `gradients`
    values, gradients : the model's arrays for it, by the names in those mappings
    """

    def __init__(self, name: str, part: Any, values: Arrays, gradients: Arrays, backend: Backend) -> None:
        self._name, self.part, self._values, self._gradients = name, part, values, gradients
        self._backend = backend
        # what either side held after the last exchange: they differ where their dtypes do
        self._last: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self()

    def __call__(self) -> None:
        """Takes over what has changed on one side since the last time."""
        parameters = self.part.parameters
        same = isinstance(parameters, Mapping) and parameters.keys() == self._values.keys()
        expect(same, f"{self._name}.parameters", parameters, f"a mapping with the names {sorted(self._values)}")
        for key, model in self._values.items():
            own, name = parameters[key], f"{self._name}.parameters[{key!r}]"
            expect_float_array(name, own, model.shape)
            if np.shares_memory(own, model):
                continue
            last = self._last.get(key)
            moved = last is not None and not np.array_equal(model, last[1], equal_nan=True)
            if last is None or not np.array_equal(own, last[0], equal_nan=True):
                expect(not moved, name, "a change, where the model's array has changed too", "model.settle() between")
                self._backend.assign(model, own)
            elif not moved:
                continue
            expect(own.flags.writeable, name, "a read-only array", "one that can be written to")
            own[...] = model
            kept = np.shares_memory(self.part.parameters[key], own)
            expect(kept, name, "another array each time", "the one that the part computes with")
            self._last[key] = own.copy(), np.array(model)

    def revert(self) -> None:
        """Gives the part back what it had at the last exchange."""
        for key, (last, _) in self._last.items():
            np.copyto(self.part.parameters[key], last)

    def collect(self) -> None:
        """Takes over the gradients of a backward pass."""
        given = self.part.gradients
        for key, view in self._gradients.items():
            gradient = given.get(key)
            if isinstance(gradient, np.ndarray) and np.shares_memory(gradient, view):
                continue
            expect_float_array(f"{self._name}.gradients[{key!r}]", gradient, view.shape)
            self._backend.assign(view, gradient)


class Assembled(Portable):
    """What a model of parts is: it keeps its flat buffers in line with the parts that it has.

    Attributes
    ----------
    parameters, gradients : `Arrays`, from name to a view; `parameters[name] = value` copies the value
    store : the flat buffers under them
    """

    backend: Backend
    dtype: str

    def __init__(self) -> None:
        self._mark = Mark()
        self._mark.live = True
        self._sequence: tuple[Any, ...] = ()
        self._store: Parameters | None = None
        self._exchanges: list[Exchange] = []
        self._moded: list[Any] = []
        self._foreign: list[Any] = []  # the parts of one's own, and what was found in them
        self._seen: list[Any] = []

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._mark.live = True

    # What a model says of itself

    def parts(self) -> dict[str, Any]:
        """Its parts by name, in the order of the flat buffers."""
        raise NotImplementedError

    def _parts_now(self) -> tuple[Any, ...]:
        """The same parts, without names: asked for at each pass."""
        raise NotImplementedError

    def _prefix(self, name: str) -> str:
        """What stands before the names of a part's parameters."""
        return name

    def _is_own(self, part: Any) -> bool:
        """Whether a part is of one of this package's classes, which need no trial."""
        raise NotImplementedError

    def _try(self, parts: Mapping[str, Any]) -> None:
        """Raises ValueError, naming it, for a part that does not fit into its place."""
        raise NotImplementedError

    # What follows

    @property
    def store(self) -> Parameters:
        self.settle()
        assert self._store is not None
        return self._store

    @property
    def parameters(self) -> Arrays:
        self.settle()
        return self._values

    @property
    def gradients(self) -> Arrays:
        self.settle()
        return self._gradients

    def settle(self, training: bool | None = None) -> None:
        """Brings parts and flat buffers in line, where either has changed; the first thing that every pass does.

        training : what parts that have an attribute of that name find in it
        """
        parts = self._parts_now()
        changed = len(parts) != len(self._sequence) or any(map(operator.is_not, parts, self._sequence))
        if changed or (self._foreign and not same_found(survey(self._foreign), self._seen)):
            still = {id(found) for _, found in survey(parts)}
            for exchange in self._exchanges:
                if id(exchange.part) in still:  # or what an optimizer has changed since would be lost
                    exchange()
            self._join(parts)
        for exchange in self._exchanges:
            exchange()
        if training is not None:
            for part in self._moded:
                with contextlib.suppress(AttributeError):  # one that decides by itself
                    part.training = training

    def collect(self) -> None:
        """The last thing that a backward pass does: takes the gradients of parts of one's own into the buffer."""
        for exchange in self._exchanges:
            exchange.collect()

    def revert(self) -> None:
        """Takes back what parts of one's own have done to their parameters since `settle`."""
        for exchange in self._exchanges:
            exchange.revert()

    def describe(self, name: str) -> str:
        """A part by its name and, where it is of one's own, its class."""
        part = self.parts()[name]
        return name if self._is_own(part) else f"{name} ({type(part).__name__})"

    def _join(self, sequence):
        """Lays the parameters of all parts out in the flat buffers; nothing changes where a part does not fit."""
        parts = self.parts()
        for (name, part), (other, again) in itertools.combinations(parts.items(), 2):
            expect(part is not again, other, f"the part that {name} is already", "one of its own")
        places: dict[str, tuple[str, Any, str]] = {}  # name in the buffers: (part, holder, key) of each array
        held: dict[int, str] = {}
        for name, part in parts.items():
            for inner, holder in holders(self.describe(name), part):
                other = held.setdefault(id(holder), name)
                expect(other == name, self.describe(name), f"the parameters of {other}", "parameters of its own")
                for key in holder.parameters:
                    full = f"{self._prefix(name)}.{inner}{key}"
                    expect(full not in places, self.describe(name), f"a parameter {full!r}", "names that are not taken")
                    places[full] = name, holder, key
        self._try(parts)
        self._expect_apart(places)
        shapes = {full: tuple(holder.parameters[key].shape) for full, (_, holder, key) in places.items()}
        store = self._store
        if store is None or list(shapes.items()) != list(store.shapes.items()):
            store = Parameters(shapes, self.backend, self.dtype)
        to_host = _to_host_of(self.backend)
        values = {full: np.array(to_host(holder.parameters[key])) for full, (_, holder, key) in places.items()}
        for full, view in store.values.items():
            self.backend.assign(view, values[full])
        self._exchanges = []
        for name, holder in {id(place[1]): place[:2] for place in places.values()}.values():
            names = {key: full for full, (_, other, key) in places.items() if other is holder}
            both = holder.parameters, attribute(holder, "gradients")
            moved = [arrays for arrays in both if isinstance(arrays, Arrays)]
            for arrays in moved:
                arrays.move(store, names)
            if len(moved) < 2 or not self._is_own(holder):
                own = Arrays(store, "flat", names), Arrays(store, "flat_gradients", names)
                self._exchanges.append(Exchange(self.describe(name), holder, *own, self.backend))
        found = survey(sequence)
        for _, item in found:
            if isinstance(item, Holder):
                item.joined(self.backend, self.dtype)
        self._sequence = sequence
        self._moded = [item for _, item in found if has_mode(item)]
        self._foreign = [part for part in sequence if not self._is_own(part)]
        self._seen = kept(survey(self._foreign))
        for part in sequence:
            with contextlib.suppress(TypeError):  # of no class that can be referred to weakly
                _owner[part] = weakref.ref(self)
        store.mark = self._mark
        if store is not self._store:
            self._store, self._values, self._gradients = store, store.values, store.gradients

    def _expect_apart(self, places):
        """No two parameters may share memory, nor be those of another model."""
        for full, (name, holder, _) in places.items():
            arrays = holder.parameters
            mark = arrays.store.mark if isinstance(arrays, Arrays) else None
            free = mark is None or not mark.live or mark is self._mark
            expect(free, self.describe(name), f"{full!r} of another model", "a copy.deepcopy of it")
        for name, part in self.parts().items():
            with contextlib.suppress(TypeError):
                other = _owner.get(part, lambda: None)()
                shared = other not in (None, self) and any(part is its for its in other._sequence)
                learns = isinstance(part, Holder) or any(True for _ in holders(name, part))
                expect(not (shared and learns), self.describe(name), "a part of another model", "a copy.deepcopy of it")
        if all(self._is_own(holder) for _, holder, _ in places.values()):
            return
        for (one, (_, a, i)), (other, (name, b, j)) in itertools.combinations(places.items(), 2):
            apart = not np.shares_memory(a.parameters[i], b.parameters[j])
            expect(apart, self.describe(name), f"{other!r} in the memory of {one!r}", "memory of its own")


def _to_host_of(backend):
    """to_host for arrays of the backend and of NumPy."""
    return lambda array: array if isinstance(array, np.ndarray) else backend.to_host(array)
