"""Arrays without a gradient that move the outputs: what a check would otherwise pass over in silence."""

import inspect

import numpy as np

from .holding import walk
from .moving import moves

STATE = ("running", "moving")  # in the names of what is no parameter: averages over batches


def look_for_unclaimed(subject, start):
    """Tell of arrays that move the outputs, by which nothing was claimed. `start`: the outputs as they are."""
    for name in subject.silent:
        mine = name in subject.parameters
        if (mine or subject.kind != "model") and moves(subject, [subject.holders[name]], start):
            where = (
                "it must be there after backward, or in parameter_gradients=" if mine else "data and noise go in fixed="
            )
            text = f"no gradient of '{name}' came, and moving it moves the output: {where}"
            subject.problem("missing", name, f"{text}; what is not differentiated is named in constant=('{name}',)")
    if subject.own.searched:
        _held(subject, start)
    if subject.kind in ("layer", "pair"):
        _closed_over(subject, start)


def _held(subject, start):
    """What the target holds besides."""
    found = _moving(subject, list(walk(subject.own.owner)), start)
    declared, others = [h for h in found if h.declared], [h for h in found if not h.declared]
    if others:
        text = (
            f"moving {_listed(others)} of {subject.name} moves the output, and no gradient of it was found: name it in "
        )
        text += "parameters= and its gradient in parameter_gradients=, or in constant= if it is not differentiated"
        subject.problem("missing", "held", text)
    if declared:
        text = f"moving {_listed(declared)} moves the output, and is not among the parameters"
        subject.note(f"{text} that {subject.name} declares: not checked")


def _closed_over(subject, start):
    """What forward takes from around it."""
    function = inspect.unwrap(getattr(subject._forward, "__func__", subject._forward))
    if not inspect.isfunction(function):
        return
    around = inspect.getclosurevars(function)
    held = {n: v for n, v in {**around.globals, **around.nonlocals}.items() if v is not subject.target}
    found = _moving(subject, list(walk(held)), start)
    if found:
        subject.note(f"moving {_listed(found)}, which forward takes from around it, moves the output: not checked")


def _listed(held):
    names = [f"'{h.path}' {h.array.shape}" for h in held]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _moving(subject, held, start):
    """Those that move the outputs, among arrays that are neither inputs nor parameters nor written by forward."""
    known = [*subject.values.values(), *subject.parameters.values()]
    known += [value for value in subject.fixed.values() if isinstance(value, np.ndarray)]
    known += [h.array for h in held if subject.is_constant(h.path)]
    some, places = [], set()
    for h in held:
        place = (h.array.__array_interface__["data"][0], h.array.shape)
        state = any(word in h.path.lower() for word in STATE)
        if place in places or state or not h.array.flags.writeable or not h.array.size:
            continue
        places.add(place)
        if not any(np.may_share_memory(h.array, a) for a in known):
            some.append((h, h.array.copy()))
    subject.outputs()
    still = [h for h, kept in some if h.now() is h.array and np.array_equal(h.array, kept, equal_nan=True)]
    if not still or not moves(subject, [h.array for h in still], start):
        return []
    return [h for h in still if moves(subject, [h.array], start)]
