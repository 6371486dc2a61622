"""What is looked at in a function: with the gradient checker, with the checks of samplers, and at extreme values."""

import functools
import inspect
import re

import numpy as np

from ...gradcheck import check_gradients, check_kl, check_same_draw, check_sampler
from . import sheet
from .likely import likely
from .subjects import surrogate


def compare(subject, backward, claims, hints):
    """What the gradient checker finds, in sentences; with hints the likely mistake."""
    fixed = list(subject.fixed.values())
    if subject.dy is None:
        forward = surrogate if subject.backward == "score_function" else subject.forward
        report = check_gradients(
            forward, list(subject.inputs.values()), gradient=backward, fixed=fixed, name=subject.title
        )
    else:

        @functools.wraps(subject.forward)  # whose names of arguments the checker then says
        def keep(*arguments):
            return subject.forward(*arguments), arguments

        def undo(dy, arguments):
            given = backward(dy, *arguments)
            return given if isinstance(given, (tuple, list)) else (given,)

        report = check_gradients(
            (keep, undo), list(subject.inputs.values()), fixed=fixed, cotangent=subject.dy, name=subject.title
        )
        report.reword({"dy": inspect.getfullargspec(getattr(sheet, subject.backward)).args[0]})
    wrong: list[str] = []
    reasons: dict[str, list[str]] = {}
    for array in (array for array in report.arrays if array.verdict == "wrong"):
        name = array.name
        places = [c for c in array.wrong if c.index is not None]
        worst = max(places, key=lambda c: abs(c.analytic - c.numeric))
        wrong.append(
            f"d{name} {array.shape}: wrong at {len(places)} of {array.size}, worst at {list(worst.index or ())}: "
            f"{worst.analytic:.4g}, where differences of the forward give {worst.numeric:.4g}"
        )
        truth = np.array([c.numeric for c in array.coordinates]).reshape(array.shape)
        reason = likely(subject, name, claims[name], truth) or _diagnosis(subject, array.diagnosis, claims[name])
        reasons.setdefault(reason, []).append(f"d{name}")
    problems = [sentence for _, sentence in report.problems]
    sentences = []
    for reason, arrays in reasons.items() if hints else ():
        if not any(reason in problem for problem in problems):
            sentences.append(f"{', '.join(arrays)}: {reason}")
        if "noise" in subject.fixed and reason.startswith("no simple pattern"):
            sentences += own_noise(subject, backward, claims, arrays)
    sentences += wrong + problems
    if not report.passed and not sentences:
        sentences = [" ".join(str(report).split())]
    return sentences


def _diagnosis(subject, text, claim):
    """The checker's, without the answer, and where weights are wrong with what is known of them."""
    text = re.sub(", as where a path .*", "", text)  # no forward here subtracts a mean or divides by a norm
    if subject.backward == "iwae_backward":
        sums = np.sum(claim / -subject.dy[:, None], axis=1)
        if np.allclose(sums, 1):
            return text
        told = ", ".join(f"{total:.2f}" for total in sums)
        return f"{text}; divided by -dloss, what belongs to each example has the sum {told}, not 1"
    if subject.backward == "score_function" and text.startswith("one factor for each index of axis 0"):
        return "the scores are right; what they are multiplied with, f less its baseline, is not"
    return re.sub(r", [^,]* is right", "", text)


def beyond(subject, backward):
    """What the gradient checker does not try: extreme values, and draws that it did not freeze."""
    if subject.extreme:
        what, arguments, right = subject.extreme
        right = backward(arguments[0].copy(), subject.inputs["log_weight"].copy()) if right is None else right
        found = np.asarray(backward(*(a.copy() for a in arguments)))
        found = found[0] if found.ndim > right.ndim else found
        if not np.allclose(found, right, rtol=1e-9, atol=1e-12):
            at = tuple(np.argwhere(~np.isclose(found, right, rtol=1e-9, atol=1e-12))[0])
            why = "an exp overflows, or all of them vanish: write it so that none gets a large positive number"
            why = f"off by {abs(found[at] - right[at]):.1e}" if np.isfinite(found[at]) else why
            yield f"right for moderate numbers, but {found[at]:.4g} for {what}, where {right[at]:.4g} is right: {why}"
    if subject.backward == "reparameterize_backward":
        yield from same_draw(subject, backward)


def own_noise(subject, backward, claims, arrays):
    """Where a gradient does not go with the noise of forward: a sentence that says so."""
    if subject.backward == "reparameterize_backward":
        return same_draw(subject, backward)
    names, arguments = [*subject.inputs, *subject.fixed], subject.arguments
    arguments[names.index("noise")][...] *= -0.5
    moved = dict(zip(subject.inputs, backward(*arguments), strict=True))
    still = [array for array in arrays if np.array_equal(moved[array[1:]], claims[array[1:]])]
    return [f"{', '.join(still)}: the noise that forward used is not looked at"] if still else []


def same_draw(subject, backward):
    mu, sigma = subject.inputs.values()

    def draw(rng):
        noise, dz = rng.standard_normal((2, len(mu), 1, mu.shape[1]))
        z = subject.forward(mu, sigma, noise)
        return z[:, 0], dz[:, 0], backward(dz, mu.copy(), sigma.copy(), noise)[1]

    return check_same_draw(draw, mu).findings


def difference(student, name, function, subject, right):
    """What tells the student's forward from ours, or ""."""
    try:
        found = np.asarray(function(*subject.given), dtype=float)
        if found.shape != right.shape:
            return f"{name} returns shape {found.shape}, where the one given returns {right.shape}"
        if np.allclose(found, right, rtol=1e-9, atol=1e-12):
            return ""
        at = tuple(int(i) for i in np.argwhere(~np.isclose(found, right, rtol=1e-9, atol=1e-12))[0])
        text = f"{name} is not as its first lines say: {found[at]:.4g} at {list(at)}, where {right[at]:.4g} is right"
        return ": ".join([text, *_sampled(function, subject)[:1]])
    except (Exception, SystemExit) as error:
        return f"{name} {student.said(error)}"


def _sampled(function, subject):
    """What the checks of samplers say of a forward that samples, or that is a KL."""
    if subject.backward == "gaussian_kl_backward":
        return check_kl(function(*subject.given), *subject.given).findings
    if subject.backward == "reparameterize_backward":
        mu, sigma, noise = subject.given

        def sample(rng):
            return function(mu.copy(), sigma.copy(), rng.standard_normal(noise.shape))

        wide = np.broadcast_to(mu[:, None], noise.shape), np.broadcast_to(sigma[:, None], noise.shape)
        return check_sampler(sample, mean=wide[0], std=wide[1], draws=1000).findings
    return []
