"""The likely mistake, from the numbers."""

import numpy as np

from .mistakes_elbo import elbo_no_kl
from .mistakes_pieces import kl_no_log, nll_no_data

ALIKE = 1e-6  # of the largest value: up to which two gradients are one


def likely(subject, name, claim, truth):
    """The known mistake whose gradient this is, in words, or ""."""
    if alike(claim, truth):  # wrong in the seventh digit
        return ""
    place = list(subject.inputs).index(name)
    known = []
    for mistake in subject.mistakes:
        gradients = mistake.function(*subject.arguments)
        gradient = np.asarray(gradients if len(subject.inputs) == 1 else gradients[place], dtype=float)
        if not alike(gradient, truth):
            known.append((gradient, mistake.text))
    for gradient, text in known:
        if alike(claim, gradient):
            return f"this is what one gets when {text}"
    for factor, text in factors(subject):
        if alike(claim, factor * truth):
            return f"this is the right gradient, {text}"
    if multiple(claim, truth):  # of which the checker says what the factor may be
        return ""
    if told := mixture(subject, place, claim, truth):
        return told
    for gradient, text in known:
        for factor, more in factors(subject):
            if alike(claim, factor * gradient):
                return f"this is what one gets when {text}; and it is {more}, besides"
    return ""


def alike(a, b):
    return bool(np.max(np.abs(a - b)) <= ALIKE * max(np.max(np.abs(b)), 1e-300))


def multiple(claim, truth):
    return alike(claim, np.vdot(claim, truth) / np.vdot(truth, truth) * truth)


def factors(subject):
    """Factors that get lost, and what is said of a gradient that has them."""
    yield -1.0, "turned in sign"
    for count, what in subject.sizes.items():
        more, less = (f"{count} times too {size}, the number of {what}" for size in ("large", "small"))
        more += ": a sum where a mean is meant (or, below a fraction, the reverse)"
        less += ": a mean where a sum is meant (or, below a fraction, the reverse)"
        for factor, text in ((count, more), (1 / count, less)):
            yield factor, text
            yield -factor, f"turned in sign and {text}"


# Where the gradient is a sum of two: what gives the first alone, and what the two belong to.
TWO_TERMS = {
    "gaussian_kl_backward": (kl_no_log, "(mu^2 + sigma^2) / 2", "-log sigma"),
    "bernoulli_nll_backward": (nll_no_data, "log(1 + exp(logits))", "-x * logits"),
    "elbo_backward": (elbo_no_kl, "nll", "the KL"),
}


def mixture(subject, place, claim, truth):
    """How often each of two terms counts, in words, or ""."""
    if subject.backward not in TWO_TERMS:
        return ""
    alone, one, other = TWO_TERMS[subject.backward]
    gradients = alone(*subject.arguments)
    first = gradients if len(subject.inputs) == 1 else gradients[place]
    if alike(first, truth):
        return ""
    terms = np.stack([first.ravel(), (truth - first).ravel()], axis=1)
    counts = np.linalg.lstsq(terms, claim.ravel(), rcond=None)[0]
    if not alike(terms @ counts, claim.ravel()):
        return ""
    told = f"the gradient of {one} counts {counts[0]:.3g} times and that of {other} {counts[1]:.3g} times"
    return f"{told}, where both count once"
