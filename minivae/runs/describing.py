"""What data are taken for, said before a training: their range, their likelihood and why, and what may be amiss."""

import numpy as np

from ..errors import CHUNK, sampled

FAR = 20  # a fixed sigma this many times below the data's spread, or three times above it, hardly suits them
DARK, WHOLE = 0.1, 100  # values that reach no further, and whole numbers that reach so far, are unlikely as they are


def described(data, train, model) -> list[str]:
    """One line about the data of a run, and one for each thing that is unlikely to be meant.

    train : (n, features), all training rows; data : the `Dataset` that they are from; model : the run's `Model`
    """
    of_all, train = len(train), sampled(train)
    least, most, pixels = train.min(), train.max(), train.dtype == np.uint8
    unit, form = pixels or (least >= 0 and most <= 1), "" if pixels else ".4g"
    seen = "" if len(train) == of_all else f" in {len(train):,} of the rows"
    taken = "pixels, divided by 255" if pixels else "numbers as they are"
    reason = "as chosen"
    if model.likelihood in ("bernoulli", "gaussian") and (model.likelihood == "bernoulli") == unit:
        reason = f"for values {'' if unit else 'not all '}in [0, 1]"
    line = f"data: {data.source or data.name}; {train.dtype.name} from {least:{form}} to {most:{form}}{seen}, {taken}; "
    return [
        f"{line}{model.likelihood} likelihood {reason}",
        *(f"hint: {hint}" for hint in _hints(train, model, pixels)),
    ]


def _hints(train, model, pixels):
    most = train.max() / 255 if pixels else train.max()
    if model.likelihood != "gaussian":
        if 0 < most < DARK:
            came = f"the largest byte is {train.max()}" if pixels else "they may have been divided by 255 twice"
            yield f"values reach {most:.2g} of 1 only: {came}; scale them if that is not meant"
        return
    if not pixels and WHOLE < most <= 255 and train.min() >= 0 and (train[:1000] == np.round(train[:1000])).all():
        yield "whole numbers from 0 to 255 that may be pixels: save them as uint8 to have them divided by 255"
    spreads = _spreads(train) / (255 if pixels else 1)
    spread, sigma = float(np.sqrt(np.mean(spreads**2))), model.observation_sigma
    if model.learn_sigma is False and not sigma / 3 < spread < FAR * sigma:
        effect = "swamps the KL term" if spread > sigma else "most of them count as noise"
        yield (
            f"values vary by {spread:.3g} about their means, the likelihood's sigma is {sigma:g}: {effect}; "
            "--learn-sigma, or --observation-sigma, or scale the data"
        )
    varied = spreads[spreads > 0]
    if model.learn_sigma != "features" and len(varied) and varied.max() > 100 * varied.min():
        yield (
            f"features vary by {varied.min():.3g} to {varied.max():.3g}, and one sigma for all sees the largest only: "
            "scale them, or --learn-sigma features"
        )


def _spreads(rows):
    """The standard deviation of each feature, (features,), in pieces that bound memory."""
    mean, squares = rows.mean(axis=0, dtype=np.float64), np.zeros(rows.shape[1])
    step = max(1, CHUNK // rows.shape[1])
    for start in range(0, len(rows), step):
        squares += ((rows[start : start + step] - mean) ** 2).sum(axis=0)
    return np.sqrt(squares / len(rows))
