"""Arrays nested in dicts, lists and tuples: the leaves by name, and the same nest around other leaves."""

from collections.abc import Mapping


def leaves(tree, name=""):
    """dict from a name such as "layers.0.weight" to each leaf, in the order of the nest; None is an empty nest."""
    if tree is None:
        return {}
    if isinstance(tree, Mapping):
        items = tree.items()
    elif isinstance(tree, (list, tuple)):
        items = enumerate(tree)
    else:
        return {name: tree}
    return {n: leaf for key, part in items for n, leaf in leaves(part, f"{name}.{key}" if name else str(key)).items()}


def rebuild(tree, values):
    """The nest of `tree` with its leaves taken from the iterator `values`, in the order of `leaves`."""
    if tree is None:
        return None
    if isinstance(tree, Mapping):
        parts = {key: rebuild(part, values) for key, part in tree.items()}
        return parts if type(tree) is dict else type(tree)(parts)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(rebuild(part, values) for part in tree))
    if isinstance(tree, (list, tuple)):
        return type(tree)(rebuild(part, values) for part in tree)
    return next(values)
