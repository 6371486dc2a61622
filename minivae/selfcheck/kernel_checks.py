"""Every kernel of a backend against its twin in `kernels/naive`, at sizes that no tile divides."""

from functools import partial

import numpy as np

from ..kernels import CONTRACT
from ..kernels.cases import cases_of
from .catalog import Check, Outcome

REPEATS = 3  # runs whose results must be the same bits: a race in a reduction shows as a difference


def _against_twin(kernel, parts, dtype):
    function = getattr(parts.backend(), kernel)
    worst = Outcome(True, 0.0, 1.0, kernel)
    for number, case in enumerate(cases_of(kernel, dtype)):
        runs = [case.run(function) for _ in range(REPEATS)]
        share, text = case.judge(runs[0])
        first, *others = ([np.asarray(run[name]).tobytes() for name in case.bounds] for run in runs)
        if any(other != first for other in others):
            share, text = np.inf, "the same call gave other bits: a race"
        if not share <= worst.error:
            worst = Outcome(share <= 1.0, share, 1.0, f"{kernel}, case {number}: {text}")
        if not worst.passed:
            break
    return worst


def kernel_checks():
    """One check for each kernel of the contract."""
    return [Check("kernels", name, "against naive loops", partial(_against_twin, name)) for name in CONTRACT]
