"""What forward and backward do besides computing: randomness, state, changed inputs, accumulation, stale caches."""

import copy
import sys

import numpy as np

from .arguments import not_finite, real_view
from .subject.targets import Finding, flat
from .subject.unclaimed import look_for_unclaimed

SAME = 1e3  # answers to the same question may differ by so many roundings (threads, alignment) and no more
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
    claimed = subject.backward(second)
    _unchanged(before, subject, "backward" if subject.kind != "function" else "gradient")
    claimed = _same_gradient(claimed, subject)
    look_for_unclaimed(subject, second)
    return claimed


def _rehearse(subject):
    """One forward and backward, elsewhere if they run there, so that what a layer keeps from its first call is not what
    it needs; parameters that were made on the way are found then.
    """
    kept = {name: array.copy() for name, array in subject.values.items()}
    rng = np.random.default_rng((subject.seed, 3))
    for array in (array for name, array in subject.arrays.items() if name in subject.values):
        array += (0.01 * rng.standard_normal(array.shape) * (np.abs(array) + 0.01)).astype(array.dtype)
    try:
        found = _run_once(subject)
        if found:
            subject.settle()
    finally:
        for name, array in subject.values.items():
            array[...] = kept[name]
    if not found:
        _run_once(subject)
        subject.settle()


def _run_once(subject):
    """Whether forward and backward run; whatever is wrong shows again later, on the values that were given."""
    try:
        outputs = subject.outputs()
        subject.draw_cotangents(outputs)
        subject.backward(outputs)
    except Finding:
        return False
    finally:
        subject.forget()
    return True


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
    kept = {name: array.copy() for name, array in subject.arrays.items()}
    before = real_view(subject.outputs()[i].copy())
    rng = np.random.default_rng((subject.seed, 4))
    for array in subject.arrays.values():
        array += (1e-3 * rng.standard_normal(array.shape) * (np.abs(array) + 1e-3)).astype(array.dtype)
    try:
        moved = real_view(subject.outputs()[i])
        return (
            moved.shape == before.shape and not np.array_equal(moved, before) and only_float32(moved[moved != before])
        )
    finally:
        for name, array in subject.arrays.items():
            array[...] = kept[name]


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
        return first
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
