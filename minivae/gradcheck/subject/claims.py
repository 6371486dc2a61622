"""The gradients that backward gives, paired with the arrays that they belong to, and looked at one by one."""

from collections.abc import Mapping

import numpy as np

from ...errors import described
from ..arguments import not_finite, real_view
from .inputs import all_numbers
from .trees import is_nest, leaves, parts

PATTERNS = (
    "d{}",
    "d_{}",
    "{}_grad",
    "grad_{}",
    "grad{}",
    "{}grad",
    "{}_gradient",
    "gradient_{}",
    "g{}",
    "g_{}",
    "dL_d{}",
)


class Finding(Exception):
    """Something about the target that ends a check, in one line: `kind` is a word to test for, str() the sentence."""

    def __init__(self, kind, sentence):
        super().__init__(sentence)
        self.kind = kind


def spellings(name):
    """How the gradient of `name` may be called: dW, grad_W, W_grad, ..., also with an underscore before it."""
    stem = str(name).strip("_")
    stems = dict.fromkeys((stem, stem[:1].upper() + stem[1:]))
    found = [pattern.format(s) for s in stems for pattern in PATTERNS] if stem else []
    return found + ["_" + text for text in found]


def entry(mapping, key):
    """What a mapping of gradients holds for `key`, by its name or as dkey; None where it holds nothing."""
    for spelled in (key, str(key), *spellings(key)):
        if mapping.get(spelled) is not None:
            return mapping[spelled]
    return None


def paired(tree, given, name=""):
    """dict of leaf name to its gradient, None where none came, from gradients in the same nest, in a part of it, or
    flat (the leaves in their order, or by their names). Raises Finding where they do not fit.
    """
    names = leaves(tree, name)
    if given is None:
        return dict.fromkeys(names)
    if not is_nest(tree) and (not is_nest(given) or all_numbers(given)):
        return {name: given}
    if is_nest(tree) and is_nest(given):
        named = [(key, part, f"{name}.{key}" if name else str(key)) for key, part in parts(tree)]
        if isinstance(given, Mapping):
            nested = (paired(part, entry(given, key), child) for key, part, child in named)
            found = {n: g for part in nested for n, g in part.items()}
            short = {n: n[len(name) + 1 :] if name else n for n in names}
            return {n: entry(given, short[n]) if g is None else g for n, g in found.items()}
        if not isinstance(tree, Mapping) and len(given) == len(tree):
            nested = (paired(part, g, child) for (_, part, child), g in zip(named, given, strict=True))
            return {n: g for part in nested for n, g in part.items()}
        arrays = [n for n, leaf in names.items() if isinstance(leaf, np.ndarray)]
        floats = [n for n in arrays if names[n].dtype.kind in "fc"]
        for chosen in (floats, arrays, list(names)):
            if len(given) == len(chosen):
                return {**dict.fromkeys(names), **dict(zip(chosen, given, strict=True))}
    raise Finding("shape", f"gradient of '{name}' is {_kind(given)} for {_kind(tree)} of {list(names)}")


def _kind(value):
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a mapping of {list(value)}" if isinstance(value, Mapping) else described(value)


def assign(nest, returned, live, fixed):
    """(gradients by leaf, what else came by name, a sentence where it could not all be paired).

    nest : dict of the inputs by name
    live : those of them that are differentiated
    fixed : how many values are passed along beside them; what is returned for those is not used
    """
    nothing = dict.fromkeys(leaves(nest))
    if returned is None:
        return nothing, {}, ""
    direct = _for_the_only_one(nest, returned)
    if direct is not None:
        return {**nothing, **direct}, {}, ""
    if isinstance(returned, Mapping):
        found, names = paired(nest, returned), [*nest, *nothing]
        for name, part in nest.items():  # of a mapping among several inputs the keys may come by themselves
            if isinstance(part, Mapping) and entry(returned, name) is None:
                found.update(paired(part, returned, name))
                names += part
        known = {spelled for n in names for spelled in (n, *spellings(n))}
        return found, {key: g for key, g in returned.items() if key not in known}, ""
    given, more = (list(returned) if isinstance(returned, (list, tuple)) else [returned]), {}
    if (
        len(given) == len(live) + 1
        and isinstance(given[-1], Mapping)
        and not any(isinstance(g, Mapping) for g in given[:-1])
    ):
        more = given.pop()
    flat = [n for n, leaf in leaves(nest).items() if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "fc"]
    for names in (live, list(nest), [*nest, *range(fixed)]):
        if len(given) == len(names):
            found = [paired(nest[n], g, n) for n, g in zip(names, given, strict=True) if n in nest]
            return {**nothing, **{n: g for part in found for n, g in part.items()}}, more, ""
    if len(given) == len(flat):
        return {**nothing, **dict(zip(flat, given, strict=True))}, more, ""
    text = f"backward returned {len(given)} gradients for {len(live)} inputs {live}"
    if len(given) > len(live):
        text += ": what else it is differentiated by (such as what forward takes from around it) must be an input "
        text += "or in parameters="
    else:
        text += ": None for what is not differentiated, named in constant=; data and noise go in fixed="
    first = {n: g for n, g in zip(live, given, strict=False) if not is_nest(nest[n])}
    return {**nothing, **first}, dict(enumerate(given[len(live) :])), text


def _for_the_only_one(nest, returned):
    """The gradient of a single input where it was returned as it is, not in a sequence; else None."""
    if len(nest) != 1:
        return None
    ((name, part),) = nest.items()
    if not is_nest(part):
        whole = not is_nest(returned) or (all_numbers(returned) and np.shape(returned) == np.shape(part))
        return {name: returned} if whole else None
    if isinstance(returned, Mapping) and entry(returned, name) is not None:
        return None
    if isinstance(returned, (list, tuple)) and len(returned) == 1 and is_nest(returned[0]):
        returned = returned[0]
    try:
        return paired(part, returned, name)
    except Finding:
        return None


def sound(subject, name, gradient):
    """A copy of one gradient as real numbers after its shape, dtype and values have been looked at; None where there is
    nothing to compare. What is not as it should be goes to the subject's problems and notes.
    """
    array = subject.holders[name]
    try:
        values = np.array(gradient)
    except ValueError:
        values = np.array(None)
    if values.dtype.kind not in "biufc":
        subject.problem("dtype", name, f"gradient of '{name}' is {described(gradient)}, no array of numbers")
        return None
    if values.shape != array.shape:
        hint = " (transposed?)" if values.shape == array.shape[::-1] else ""
        text = f"gradient of '{name}' has shape {values.shape}, the array {array.shape}{hint}"
        subject.problem("shape", name, text)
        if [n for n in values.shape if n > 1] != [n for n in array.shape if n > 1]:
            return None
        values = values.reshape(array.shape)
    typed = isinstance(gradient, (np.ndarray, np.generic))
    if typed and values.dtype != array.dtype.newbyteorder("="):
        text = f"gradient of '{name}' is {values.dtype}, the array {array.dtype}"
        alike = values.dtype.kind == array.dtype.kind and np.can_cast(array.dtype, values.dtype, "safe")
        wide = alike or values.dtype == array.real.dtype
        if values.dtype.kind in "biu" or wide:
            subject.note(text + ": compared as it is")
        else:
            subject.problem("dtype", name, text)
            subject.coarse[name] = float(np.finfo(values.dtype).eps)
    if values.dtype.kind == "c" and array.dtype.kind != "c":
        values = values.real
    values = values.astype(array.dtype.newbyteorder("="))
    if bad := not_finite(values):
        subject.problem("non-finite", name, f"gradient of '{name}' is {bad}")
        return None
    return real_view(values)
