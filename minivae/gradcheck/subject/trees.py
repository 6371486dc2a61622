"""Arrays nested in dicts, lists and tuples: the leaves by name, and the same nest around other leaves."""

from collections.abc import Mapping
from typing import Any


def is_nest(tree):
    return isinstance(tree, (Mapping, list, tuple))


def parts(tree):
    """(key, part) of each part of a nest; those of a named tuple by their names."""
    if isinstance(tree, Mapping):
        return list(tree.items())
    return list(zip(tree._fields, tree, strict=True)) if hasattr(tree, "_fields") else list(enumerate(tree))


def leaves(tree, name="", whole=None):
    """dict from a name such as "layers.0.weight" to each leaf, in the order of the nest; None is an empty nest.

    A part for which `whole(part)` holds is one leaf.
    """
    if tree is None:
        return {}
    if not is_nest(tree) or (whole is not None and whole(tree)):
        return {name: tree}
    named = ((f"{name}.{key}" if name else str(key), part) for key, part in parts(tree))
    return {n: leaf for child, part in named for n, leaf in leaves(part, child, whole).items()}


def rebuild(tree, values, whole=None):
    """The nest of `tree` with its leaves taken from the iterator `values`, in the order of `leaves`."""
    if tree is None:
        return None
    if not is_nest(tree) or (whole is not None and whole(tree)):
        return next(values)
    if isinstance(tree, Mapping):
        named = {key: rebuild(part, values, whole) for key, part in tree.items()}
        kind: Any = type(tree)
        return named if kind is dict else kind(named)
    rebuilt = [rebuild(part, values, whole) for part in tree]
    return type(tree)(*rebuilt) if hasattr(tree, "_fields") else type(tree)(rebuilt)
