"""`minivae gradcheck`: every check over every backend, as a table of errors and a picture."""

import time
from dataclasses import dataclass

import numpy as np

from .catalog import Check, Outcome, Subject, gradient_checks, minivae_parts
from .conduct_checks import conduct_checks
from .kernel_checks import kernel_checks

UNITS = {
    "gradient": "relative error",
    "against float64": "roundings",
    "gradient of a large model": "relative error",
    "values": "roundings",
    "loss against the ELBO": "roundings",
    "loss against the bound": "roundings",
    "buffers used again": "roundings",
    "backward called twice": "roundings",
    "against the textbook": "roundings",
    "against naive loops": "of the error allowed",
    "samples against q": "standard errors",
    "KL against Monte Carlo": "standard errors",
    "encode, elbo and own noise": "standard errors",
    "same draw in backward": "unexplained part",
}
SECTIONS = ("Dense", "sampler", "losses", "model", "bounds", "optimizers", "kernels")


@dataclass(frozen=True)
class Row:
    """One check on one backend in one dtype."""

    backend: str
    dtype: str
    check: Check
    outcome: Outcome
    seconds: float


def _large_model(parts, dtype):
    """784-400-20-400-784 by directions and sampled coordinates."""
    model = parts.VAE(784, 20, (400,), "relu", dtype=dtype, backend=parts.backend(), seed=0)
    rng = np.random.default_rng(0)
    x = (rng.random((4, 784)) * (rng.random((4, 784)) < 0.3)).astype(dtype)
    options = {"fixed": {"noise": rng.standard_normal((4, 20)).astype(dtype)}, "coordinates": 12, "directions": 2}
    report = Subject(model, {"x": x}, {**options, "name": "VAE 784-400-20-400-784"}).check()
    return Outcome(report.passed, report.relative_error, 1e-9, str(report))


def all_checks(dtypes=("float64", "float32")):
    """Every check that applies to one of the dtypes, in the order of the table."""
    checks = gradient_checks() + conduct_checks() + kernel_checks()
    # in float32 kinks lie at every step that rounding allows: nothing could be said
    checks.append(Check("model", "VAE 784-400-20-400-784", "gradient of a large model", _large_model, ("float64",)))
    kept = [check for check in checks if set(check.dtypes) & set(dtypes)]
    return sorted(kept, key=lambda check: SECTIONS.index(check.section))


def run_all(backends=None, out=None, dtypes=("float64", "float32"), say=print):
    """Run every check on every backend; print the table and, with `out`, draw the picture.

    Parameters
    ----------
    backends : names, by default all that are available here
    out : path of a PNG, or None for no picture
    say : what prints a line

    Returns
    -------
    list of Row. The run passed if all row.outcome.passed.
    """
    from ..kernels import available_backends

    backends = list(backends or available_backends())
    columns = [(name, dtype) for name in backends for dtype in dtypes]
    prepared = {name: minivae_parts(name) for name in backends}
    for parts in prepared.values():
        parts.backend()  # an absent backend is refused before anything runs
    checks = all_checks(dtypes)
    width = 2 + max(len(check.name) for check in checks)
    say(f"{'':{width}}  {'':28}" + "".join(f"{f'{name} {dtype[5:]}':>13}" for name, dtype in columns) + "  in")
    rows, section = [], None
    for check in checks:
        if check.section != section:
            section = check.section
            say(section)
        cells = ""
        for name, dtype in columns:
            if dtype not in check.dtypes:
                cells += f"{'-':>13}"
                continue
            started = time.perf_counter()
            outcome = _run(check, prepared[name], dtype)
            rows.append(Row(name, dtype, check, outcome, time.perf_counter() - started))
            cells += f"{outcome.error:13.1e}" if outcome.passed else f"{'FAILED':>13}"
        say(f"  {check.name:{width}}{check.what:28}{cells}  {UNITS[check.what]}")
    failed = [row for row in rows if not row.outcome.passed]
    for row in failed:
        say("")
        say(f"{row.backend} {row.dtype}, {row.check.section}, {row.check.name}, {row.check.what}:")
        for line in row.outcome.text.splitlines():
            say(line)
    say(f"{len(rows)} checks, {len(failed)} failed, {sum(row.seconds for row in rows):.0f} s")
    if out is not None:
        from .picture import draw_steps

        draw_steps(out)
        say(f"error against step size: {out}")
    return rows


def _run(check, parts, dtype):
    try:
        with np.errstate(all="ignore"):
            return check.run(parts, dtype)
    except Exception as error:  # a broken part may raise anything; the table goes on
        return Outcome(False, np.inf, 1.0, f"{check.name}: {type(error).__name__}: {error}")
