"""Which checks see a mutant, and what the rivals say."""

import numpy as np

from minivae.selfcheck.catalog import minivae_parts, subjects

from .registry import sections
from .rivals import RIVALS, verdict


def refused(check, parts, dtype="float64"):
    """The text of the check's refusal, or None where it passes; whatever a broken part raises is a refusal."""
    try:
        with np.errstate(all="ignore"):
            outcome = check.run(parts, dtype)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None if outcome.passed else outcome.text


def seen_by(mutant, first=False):
    """dict of what was checked -> text of the refusal, for the checks that see the mutant; `first` stops at one."""
    parts, found = mutant.plant(minivae_parts()), {}
    checks = list(mutant.checks())
    if first:  # the gradient of a whole model takes longest
        checks.sort(key=lambda check: check.what == "gradient" and check.section in ("model", "bounds"))
    for check in checks:
        if check.what not in found:
            text = refused(check, parts)
            if text is not None:
                found[check.what] = text
                if first:
                    break
    return found


def rival_verdicts(parts, target):
    """dict of rival -> whether it refuses, or None where there is no gradient it could be applied to."""
    made = [
        make(parts, "float64", name=name)
        for section in sections(target)
        for name, make in subjects().get(section, [])
        if "wide" not in name
    ]
    if not made:
        return dict.fromkeys(RIVALS)
    with np.errstate(all="ignore"):
        return {name: verdict(rival, made) for name, rival in RIVALS.items()}
