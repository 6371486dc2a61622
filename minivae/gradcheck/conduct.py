"""What forward and backward do besides computing: randomness, state, changed inputs, accumulation, stale caches."""

import copy
import sys
from functools import partial

import numpy as np

from .arguments import not_finite, real_view
from .subject.holding import is_float, walk
from .subject.inputs import reordered
from .subject.moving import SAME, moves, put_back
from .subject.targets import Finding, flat
from .subject.unclaimed import look_for_unclaimed

SMALL = 1e-4  # outputs below may be differences of numbers near one


def observe(subject, report):
    """Call forward and backward a few times on the same input; returns the gradients claimed. Raises Finding."""
    _rehearse(subject)
    before = _snapshot(subject)
    twin = _twin(subject)
    first = [y.copy() for y in subject.outputs()]
    _unchanged(before, subject, "forward")
    _sound(first, subject)
    second = [y.copy() for y in subject.outputs()]
    _same_answer(first, second, subject, twin, report)
    subject.draw_cotangents(second)
    held = _held(subject)
    handed = subject.outputs()
    claimed = subject.backward(second)
    if any(not np.array_equal(y, now) for y, now in zip(second, handed, strict=True)):
        report.notes.append("backward writes to what forward had returned, which is then lost to whoever keeps it")
    _unchanged(before, subject, "backward" if subject.kind != "function" else "gradient")
    _steps_back(held, second, subject)
    claimed = _same_gradient(claimed, subject)
    look_for_unclaimed(subject, second)
    return claimed


def _rehearse(subject):
    """One forward and backward, elsewhere if they run there and on arrays of their own, so that what a layer keeps from
    its first call is not what it needs; parameters that were made on the way are found then.
    """
    inputs, rng = subject.inputs, np.random.default_rng((subject.seed, 3))
    with put_back(subject.values.values()):
        for array in (array for name, array in subject.arrays.items() if name in subject.values):
            array += (0.01 * rng.standard_normal(array.shape) * (np.abs(array) + 0.01)).astype(array.dtype)
        subject.inputs, subject.copies = inputs.with_fixed(partial(reordered, kinds="fiub")), True
        claims = _run_once(subject)
        subject.inputs, subject.copies = inputs, False
        if claims is not None:
            subject.settle()
            claims |= {n: np.array(g) for n, g in subject.own.claims({}).items() if g is not None and n not in claims}
            subject.rehearsed = {n: array.copy() for n, array in subject.values.items()}, claims
    if claims is None:
        if _run_once(subject) is None:
            subject.inputs.expect_no_bundle(subject._forward)
        subject.settle()


def _run_once(subject):
    """What backward claims, or None if one does not run: what is wrong shows again on the values that were given."""
    try:
        outputs = subject.outputs()
        subject.draw_cotangents(outputs)
        return subject.backward(outputs)
    except Finding:
        return None
    finally:
        subject.forget()


def recheck(subject, claimed, report):
    """After many forwards elsewhere: the same question must still get the same gradient. Raises Finding."""
    again = subject.claimed()
    for name, gradient in claimed.items():
        if _apart(gradient, again[name]) > SAME:
            text = f"gradient of '{name}' changed by {_size(gradient, again[name])} after forward had run on other "
            text += "values and was run on these again: backward uses something left from an earlier call"
            raise Finding("stale", text)


def _snapshot(subject):
    kept = {f"input '{n}'": v for n, v in subject.values.items()}
    kept.update({f"parameter '{n}'": v for n, v in subject.parameters.items()})
    kept.update({f"'{n}'": v for n, v in subject.fixed.items() if isinstance(v, np.ndarray)})
    return {name: (value, value.copy()) for name, value in kept.items()}


def _unchanged(before, subject, who):
    """Tell of arrays that were written to, and put them back; from then on copies are handed over."""
    for name, (value, kept) in before.items():
        if np.array_equal(value, kept, equal_nan=value.dtype.kind in "fc"):
            continue
        value[...] = kept
        if name.startswith("parameter"):
            subject.guarded = True
            text = f"{who} changed {name} in place: only the optimizer may, after all gradients are taken"
            subject.problem("state", name, text)
        else:
            subject.copies = True
            subject.problem("mutates", name, f"{who} changed {name} in place: work on a copy")


def _held(subject):
    """The arrays that a layer holds beside its parameters, with copies."""
    known = [*subject.parameters.values(), *subject.values.values()]
    found = walk(subject.own.owner) if subject.own.searched else ()
    found = (h for h in found if h.array.flags.writeable)
    return [(h, h.array.copy()) for h in found if not any(np.may_share_memory(h.array, a) for a in known)]


def _steps_back(held, start, subject):
    """Tell of those that backward has changed or replaced and that move the outputs, weights without a gradient; from
    then on they are put back.
    """
    changed = [(h, kept, h.now()) for h, kept in held]
    changed = [(h, kept, now) for h, kept, now in changed if is_float(now) and not np.array_equal(now, kept, True)]
    left = [now.copy() for *_, now in changed]
    for h, kept, _ in changed:
        h.put(h.array)
        h.array[...] = kept
    for (h, kept, now), values in zip(changed, left, strict=True):
        if moves(subject, [h.array], start):
            how = "in place" if now is h.array else "for another array"
            text = (
                f"backward changed '{h.path}' {how}, and moving it moves the output: only the optimizer may, after all"
            )
            subject.problem("state", f"held '{h.path}'", f"{text} gradients are taken")
            subject.steps.append((h, kept))
        else:
            h.put(now)
            if now is h.array:
                now[...] = values


def _sound(outputs, subject):
    """Tell of outputs of less than the arrays' precision, which are then judged by it. Raises Finding."""
    for i, y in enumerate(outputs):
        label = "loss" if subject.kind == "model" else "the value" if subject.kind == "function" else f"output {i}"
        if bad := not_finite(y):
            raise Finding("non-finite", f"{label} is {bad}")
        widest = max(a.dtype.itemsize for a in subject.arrays.values())
        text = ""
        if y.real.dtype.itemsize < widest:
            text = f"{label} is {y.dtype} for float{8 * widest} arrays: precision is lost in forward"
        elif _born_wide(y, subject) and _stays_float32(subject, i):
            text = f"every value of {label} is a float32 number: part of forward runs in float32"
        if text:
            subject.problem("dtype", f"output {i}", text)
            subject.coarse["outputs"] = max(float(np.finfo("float32").eps), float(np.finfo(y.dtype).eps))


def _born_wide(y, subject):
    """Whether an output consists of float32 numbers and the arrays it is made of do not."""
    return only_float32(real_view(y)) and not all(only_float32(a) for a in subject.arrays.values())


def _stays_float32(subject, i):
    """Whether output i consists of float32 numbers after every array has been moved off them too, and has moved itself:
    else the data may have been born in float32.
    """
    before = real_view(subject.outputs()[i].copy())
    rng = np.random.default_rng((subject.seed, 4))
    with put_back(subject.arrays.values()):
        for array in subject.arrays.values():
            array += (1e-3 * rng.standard_normal(array.shape) * (np.abs(array) + 1e-3)).astype(array.dtype)
        moved = real_view(subject.outputs()[i])
    same = moved.shape != before.shape or np.array_equal(moved, before)
    return not same and only_float32(moved[moved != before])


def only_float32(values):
    """Float64 values that all fit into float32 although most do not fit into 12 bits, as integers and powers would."""
    busy = values[values != 0.0] if values.dtype == np.float64 else np.zeros(0)
    if busy.size < 4 or not np.array_equal(busy, busy.astype(np.float32)):
        return False
    largest = np.abs(busy).max()
    if largest < SMALL and np.all(busy % float(np.spacing(np.float32(largest))) == 0.0):
        return False  # differences of much larger float64 numbers, which are whole multiples of their rounding
    mantissa = np.frexp(busy)[0] * 2.0**12
    return float(np.mean(mantissa == np.round(mantissa))) < 0.5


def _same_answer(first, second, subject, twin, report):
    if [y.shape for y in first] != [y.shape for y in second]:
        raise Finding("state", f"forward returned shapes {[y.shape for y in first]}, then {[y.shape for y in second]}")
    distance = _apart(flat(first), flat(second))
    if distance == 0.0:
        return
    size = _size(flat(first), flat(second))
    if distance <= SAME:
        report.notes.append(f"forward's answers differ by {size} between calls on the same input (order of summation)")
        return
    attributes = getattr(subject.target, "__dict__", {}).items()
    sources = [n for n, v in attributes if isinstance(v, (np.random.Generator, np.random.RandomState))]
    if not sources and twin is not None and _apart(flat(first), flat(twin())) <= SAME:
        raise Finding("state", f"forward answers differently the second time (by {size}): it changed state of its own")
    how = "it draws at random; pass the noise as fixed=, or what it draws from as generator="
    if sources:
        how = f"it draws from its own `{sources[0]}`; freeze that with generator=, or pass the noise as fixed="
    raise Finding("random", f"forward answers differently on the same input (by {size}): {how}")


def _same_gradient(first, subject):
    """The gradients claimed, after they have been asked for again. Raises Finding where no two are alike."""
    second = subject.claimed()
    changed = [n for n in first if n not in second or _apart(first[n], second[n]) > SAME]
    if not changed:
        return _expect_added(first, subject) if subject.accumulates else first
    name, third = changed[0], subject.claimed()
    there = all(n in second and n in third for n in changed)
    if there and all(_apart(third[n] - second[n], second[n] - first[n]) < 1e3 * SAME for n in changed):
        text = f"gradient of '{name}' grows by the same amount at each forward and backward on the same input"
        text += ": backward adds to it instead of assigning (accumulates=True if that is meant)"
        subject.problem("accumulates", name, text)
        subject.adds = set(changed)
        return subject.claimed()
    how = f"by {_size(first[name], second[name])}" if there else "it did not come again"
    text = f"gradient of '{name}' differs from call to call ({how}) while forward "
    text += "does not: backward draws fresh noise, or keeps state; it must use what forward used"
    raise Finding("random backward", text)


def _expect_added(first, subject):
    """The same gradients; tells of those that a second backward, after which nothing is zeroed, does not double."""
    kept = [n for n, g in subject.own.claims({}).items() if g is not None and n in first and first[n].any()]
    subject.accumulates = False
    try:
        again = subject.claimed()
    finally:
        subject.accumulates = True
    for name in kept:
        if name in again and _apart(again[name], 2.0 * first[name]) > SAME:
            assigned = _apart(again[name], first[name]) <= SAME
            how = "backward assigns it, and what was there is lost" if assigned else "a second backward adds another"
            text = f"gradient of '{name}' is not added to what is there, as accumulates=True says: {how}"
            subject.problem("accumulates", name, text)
    return first


def _apart(a, b):
    """Largest difference in roundings of the largest value."""
    if a.shape != b.shape:
        return np.inf
    size = max(np.max(np.abs(a), initial=0.0), np.max(np.abs(b), initial=0.0))
    gap = np.max(np.abs(a - b), initial=0.0)
    return 0.0 if gap == 0.0 else float(gap / (size * np.finfo(a.dtype).eps))


def _size(a, b):
    gap = np.max(np.abs(a - b), initial=0.0)
    return f"{gap:.1e}, relative {gap / max(np.max(np.abs(a)), np.max(np.abs(b))):.0e}"


def _twin(subject):
    """A copy of the target in its first state, to tell state from randomness; None where it cannot be copied."""
    if subject.kind not in ("layer", "model"):
        return None
    try:
        twin = copy.deepcopy(subject.target, {id(module): module for module in sys.modules.values()})
    except Exception:  # locks, device handles: the message is then less exact, nothing else
        return None

    def answer():
        kept, subject._forward = subject._forward, getattr(twin, subject.method)
        try:
            return subject.outputs()
        finally:
            subject._forward = kept

    return answer
