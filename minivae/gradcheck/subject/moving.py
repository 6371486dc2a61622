"""What moving an array shows of it: whether the outputs depend on it, and whether forward writes it anew."""

from contextlib import contextmanager, suppress

import numpy as np

from .claims import Finding

SAME = 1e3  # roundings of the largest value by which answers to one question may differ (threads, alignment)


@contextmanager
def put_back(arrays):
    """The values of arrays are at the end what they were at the beginning."""
    kept = [(array, array.copy()) for array in arrays]
    try:
        yield
    finally:
        for array, values in kept:
            array[...] = values


def nudge(rng, array, share):
    """Random numbers of a share of an array's size."""
    size = float(np.sqrt(np.mean(np.abs(array.astype(np.complex128)) ** 2))) if array.size else 0.0
    noise = share * (size or 1.0) * rng.standard_normal(array.shape)
    return (noise * (1 + 1j) if array.dtype.kind == "c" else noise).astype(array.dtype)


def moves(subject, arrays, start):
    """Whether moving these arrays moves any output beyond rounding, or out of where forward is defined."""
    rng = np.random.default_rng((subject.seed, 5))
    answered = False
    for share in (1e-3, 0.1, 1.0):
        with suppress(Finding), put_back(arrays):
            for array in arrays:
                array += nudge(rng, array, share)
            outputs = subject.outputs()
            answered = True
            if any(_moved(a, b) for a, b in zip(outputs, start, strict=False)) or len(outputs) != len(start):
                return True
    return not answered


def _moved(a, b):
    if a.shape != b.shape or not np.isfinite(a).all():
        return True
    gap, size = np.max(np.abs(a - b), initial=0.0), np.max(np.abs(b), initial=0.0)
    return bool(gap > SAME * np.finfo(b.dtype).eps * size)


def overwritten(subject, parameters):
    """Those that forward writes anew whatever is in them: what it keeps for backward, no parameters."""
    if not parameters:
        return []
    rng = np.random.default_rng((subject.seed, 4))
    kept = [(p, p.array.copy()) for p in parameters]

    def after_moving(some):
        """What is held after forward has run with these moved, and those in which the values moved are still there."""
        for p in some:
            p.array += nudge(rng, p.array, 1e-3)
            if p.put is not None:
                p.put(p.array)
        moved = [p.array.copy() for p in some]
        subject.outputs()
        return [np.array(p.current()) for p in some], [
            p for p, m in zip(some, moved, strict=True) if p.is_there() and np.array_equal(p.array, m)
        ]

    gone: list = []
    try:
        _, stay = after_moving(parameters)
        written = [p for p in parameters if p not in stay]
        for p, array in kept:
            p.array[...] = array
        first, second = (after_moving([]) and [np.array(p.current()) for p in written] for _ in range(2))
        third, _ = after_moving(written)
        for p, a, b, c in zip(written, first, second, third, strict=True):
            if np.array_equal(a, c) or not np.array_equal(a, b):
                gone.append(p)
    except Finding:
        pass
    finally:
        for p, array in kept:
            p.array[...] = array
            if p.put is not None and p not in gone:
                p.put(p.array)
    return gone
