"""The checkers of torch, JAX and scipy beside `check_gradients`, on the same right and wrong functions.

    python -m benchmarks.gradcheck.rivals          (needs torch, jax and scipy)

Each checker has its default settings, in float64 and in float32: torch.autograd.gradcheck; jax.test_util.check_grads of
order 1 in reverse mode, which custom_vjp has, with 64 bits enabled for float64 alone; scipy.optimize.check_grad for
<dy, y>, with the gradient taken by the library, accepted where the error it returns is below 1e-5 of the gradient's
norm. A right function is refused where the checker says so or raises; a wrong one is missed where it passes. The table
goes into docs/gradient-checking.md.
"""

import warnings
from pathlib import Path

import jax
import numpy as np
import torch
from jax.test_util import check_grads
from scipy.optimize import check_grad

from minivae.gradcheck import check_gradients
from minivae.gradcheck.foreign.translate import bridged

from . import jax_cases, torch_cases

PAGE = Path(__file__).parents[2] / "docs" / "gradient-checking.md"
START, END = "<!-- rival checkers -->", "<!-- /rival checkers -->"
DTYPES = ("float64", "float32")


def torch_targets(group, dtype):
    """(name, target, tensors) of each case."""
    kind = getattr(torch, dtype)
    for name, case in getattr(torch_cases, group).items():
        yield name, torch_cases.build(case, kind), torch_cases.arrays(case, kind)


def jax_targets(group, dtype):
    for name, (function, shapes) in getattr(jax_cases, group).items():
        yield name, function, jax_cases.arrays(shapes, dtype)


def ours(library, target, inputs):
    return bool(check_gradients(target, inputs, gradient=library))


def torchs(_, target, inputs):
    for x in inputs:
        x.requires_grad_()
    apply = target.apply if isinstance(target, type) else target
    return torch.autograd.gradcheck(apply, inputs)


def jaxs(_, target, inputs):
    wide = any(leaf.dtype == np.float64 for leaf in jax.tree_util.tree_leaves(inputs))
    with jax.enable_x64(wide):
        check_grads(target, inputs, order=1, modes=["rev"])
    return True


def scipys(library, target, inputs):
    bridge = bridged(target, list(inputs), {"gradient": library})
    names, start = list(bridge.values), list(bridge.values.values())
    places = np.cumsum([a.size for a in start])[:-1]
    bridge.options["generator"] = None

    def outputs(x):
        parts = np.split(x, places)
        return bridge.forward(
            **{n: p.reshape(a.shape).astype(a.dtype) for n, p, a in zip(names, parts, start, strict=True)}
        )

    x = np.concatenate([a.ravel() for a in start])
    rng = np.random.default_rng(1)
    dys = [rng.standard_normal(y.shape).astype(y.dtype) for y in outputs(x)]

    def value(x):
        return sum(float(np.sum(dy * y)) for dy, y in zip(dys, outputs(x), strict=True))

    def gradient(x):
        outputs(x)
        found = bridge.backward(*dys)
        return np.concatenate([found[n].ravel() for n in names])

    try:
        return check_grad(value, gradient, x) < 1e-5 * np.linalg.norm(gradient(x))
    finally:
        bridge.close()


CHECKERS = {
    "`check_gradients`": (ours, ("torch", "jax")),
    "`torch.autograd.gradcheck`": (torchs, ("torch",)),
    "`jax.test_util.check_grads`": (jaxs, ("jax",)),
    "`scipy.optimize.check_grad`": (scipys, ("torch", "jax")),
}
TARGETS = {"torch": torch_targets, "jax": jax_targets}


def passes(checker, library, target, inputs):
    try:
        return bool(checker(library, target, inputs))
    except Exception:  # whatever stops a checker: it did not pass
        return False


def judge(name, library, dtype):
    """(names of the right ones refused, right ones, names of the wrong ones missed, wrong ones)."""
    checker, targets = CHECKERS[name][0], TARGETS[library]
    verdicts = {
        group: {case: passes(checker, library, target, inputs) for case, target, inputs in targets(group, dtype)}
        for group in ("OWN", "RIGHT", "WRONG")
    }
    right = verdicts["OWN"] | verdicts["RIGHT"]
    missed = [case for case, passed in verdicts["WRONG"].items() if passed]
    return [case for case, passed in right.items() if not passed], len(right), missed, len(verdicts["WRONG"])


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = ["| checker | functions of | dtype | right, refused | wrong, missed |", "|---|---|---|---|---|"]
    for name, (_, libraries) in CHECKERS.items():
        for library in libraries:
            for dtype in DTYPES:
                refused, right, missed, wrong = judge(name, library, dtype)
                counted = f"{len(refused)} of {right} | {len(missed)} of {wrong}"
                rows.append(f"| {name} | {library} | {dtype} | {counted} |")
                print(rows[-1], *(f"\n  refused: {', '.join(refused)}" for _ in refused[:1]), flush=True)
                print(*(f"  missed: {', '.join(missed)}" for _ in missed[:1]))
    page = PAGE.read_text()
    head, rest = page.split(START)
    PAGE.write_text(head + START + "\n" + "\n".join(rows) + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
