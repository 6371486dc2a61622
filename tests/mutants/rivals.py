"""Three procedures in use elsewhere, written out in NumPy, on the same targets: who would have seen the bug?"""

import numpy as np

from minivae.gradcheck.subject.targets import Finding, Target, flat


def _target(subject):
    options = {k: v for k, v in subject.options.items() if k == "fixed"}
    return Target(subject.target, subject.inputs, **options)


def _claimed(target):
    """The gradients claimed; a wrong shape, dtype or name of any is refused, as the originals would."""
    claimed = target.claimed()
    for kind, sentence in target.problems:
        raise Finding(kind, sentence)
    return claimed


def _set(target, outputs, cotangents):
    """Use these cotangents; a scalar keeps its one."""
    target.draw_cotangents(outputs)
    if target.kind != "model":
        target.cotangents = cotangents


def _unit(outputs, position):
    """Cotangents that pick out one output."""
    cotangents = [np.zeros_like(y) for y in outputs]
    for c in cotangents:
        if position < c.size:
            c.reshape(-1)[position] = 1.0
            break
        position -= c.size
    return cotangents


def _move(target, array, index, step):
    """Outputs with one coordinate moved, in float64."""
    kept = array[index]
    array[index] = kept + step
    try:
        return flat(target.outputs())
    finally:
        array[index] = kept


def torch_settings(subject, limit=400):
    """torch.autograd.gradcheck as called by default: the whole Jacobian by central differences with eps 1e-6, compared
    elementwise with atol 1e-5 and rtol 1e-3, and backward run twice must give the same (nondet_tol 0).

    Frozen noise is passed as an input, as a user of it would have to. Arrays beyond `limit` entries are sampled, where
    the original takes them whole.
    """
    target = _target(subject)
    rng = np.random.default_rng(0)
    outputs = [y.copy() for y in target.outputs()]
    size = sum(y.size for y in outputs)
    rows = range(size) if size <= 64 else rng.choice(size, 64, replace=False)
    claimed = []
    for row in rows:
        _set(target, outputs, _unit(outputs, row))
        claimed.append(_claimed(target))
        again = target.backward(outputs)
        if any(not np.array_equal(claimed[-1][n], again[n]) for n in again):
            return False
    for name in target.differentiated:
        array = target.arrays[name]
        chosen = range(array.size) if array.size <= limit else rng.choice(array.size, limit, replace=False)
        for k in chosen:
            index = np.unravel_index(k, array.shape)
            slope = (_move(target, array, index, 1e-6) - _move(target, array, index, -1e-6)) / 2e-6
            numeric = np.array([slope[row] for row in rows])
            analytic = np.array([c[name][index] for c in claimed])
            if not np.allclose(analytic, numeric, rtol=1e-3, atol=1e-5):
                return False
    return True


def one_coordinate(subject):
    """minitorch's grad_check: one random entry of each array, eps 1e-6, rtol = atol = 1e-2, a cotangent of ones."""
    target = _target(subject)
    rng = np.random.default_rng(0)
    outputs = target.outputs()
    _set(target, outputs, [np.ones_like(y) for y in outputs])
    claimed, weight = _claimed(target), flat(target.cotangents)
    for name in target.differentiated:
        array = target.arrays[name]
        index = np.unravel_index(rng.integers(array.size), array.shape)
        numeric = weight @ (_move(target, array, index, 1e-6) - _move(target, array, index, -1e-6)) / 2e-6
        if not np.isclose(claimed[name][index], numeric, rtol=1e-2, atol=1e-2):
            return False
    return True


def fresh_draw(subject):
    """Central differences, every coordinate, step 1e-5, 1e-3 relative, with new noise for every evaluation: what a
    user gets whose sampler cannot be frozen.
    """
    target = _target(subject)
    rng = np.random.default_rng(0)
    noise = target.fixed.get("noise")

    def redraw():
        if noise is not None:
            noise[...] = rng.standard_normal(noise.shape)

    target._freeze = redraw
    outputs = target.outputs()
    _set(target, outputs, [np.asarray(rng.standard_normal(y.shape)) for y in outputs])
    claimed, weight = _claimed(target), flat(target.cotangents)
    for name in target.differentiated:
        array = target.arrays[name]
        for k in range(min(array.size, 60)):
            index = np.unravel_index(k, array.shape)
            numeric = weight @ (_move(target, array, index, 1e-5) - _move(target, array, index, -1e-5)) / 2e-5
            if not np.isclose(claimed[name][index], numeric, rtol=1e-3, atol=1e-5):
                return False
    return True


RIVALS = {"torch settings": torch_settings, "one coordinate": one_coordinate, "fresh draw": fresh_draw}


def verdict(rival, subjects):
    """Whether the rival refuses any of the subjects; an exception or an unusable answer counts as refused."""
    for subject in subjects:
        try:
            if not rival(subject):
                return True
        except (Finding, ValueError, ArithmeticError):
            return True
    return False
