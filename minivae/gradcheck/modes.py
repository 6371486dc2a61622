"""The other mode of a target, training or evaluation: the names it goes by, and the ways into it."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

MODES = (
    *("training", "is_training", "in_training", "train", "is_train", "train_mode", "train_flg", "train_flag", "mode"),
    *("_training", "_is_training", "_train", "_mode", "phase"),
)
QUIET = ("test", "is_test", "testing", "inference", "is_inference", "eval_mode", "evaluating", "deterministic")
WORDS = {"train": "test", "training": "evaluation", "test": "train", "eval": "train", "evaluation": "training"}
WORDS |= {"inference": "training", "infer": "train", "val": "train"}


def switches(subject, kept):
    """(label, function, by a keyword?) for each way into the other mode: attributes, a keyword, methods.

    `kept` is what the target holds, walked through: a `Kept`.
    """
    ways: list[tuple[str, Callable[[], Any], bool]] = []
    found: list[tuple[Any, Any, str, Any]] = []  # (how to set it, of what, its name, its value)
    owned = {id(getattr(item, "__dict__", None)) for item in kept.objects}
    for name in MODES + QUIET:
        found += [(setattr, item, name, getattr(item, name, None)) for item in kept.objects]
        loose = [item for item in kept.dicts if id(item) not in owned]
        found += [(dict.__setitem__, item, name, item.get(name)) for item in loose]
    found = [setting for setting in found if _other(setting[3]) is not None]
    if found:
        other = _other(found[0][3])
        ways.append((f"with {found[0][2]} = {other}", partial(_put, found, other), False))
    parameters: Mapping[str, inspect.Parameter] = {}
    with suppress(TypeError, ValueError):
        parameters = inspect.signature(subject._forward).parameters
    for name in MODES + QUIET:
        default = parameters[name].default if name in parameters else None
        other = _other(subject.inputs.named.get(name, default))
        if other is not None:
            ways.append((f"with {name} = {other}", partial(_pass_along, subject, name, other), True))
    methods = [getattr(subject.target, name, None) for name in ("eval", "train")]
    if not ways and all(callable(method) and _without_arguments(method) for method in methods):
        return [("after eval()", methods[0], False), ("after train()", methods[1], False)]
    return ways


def _other(now):
    """The other mode than this, as it may be called; None for what is no mode."""
    return not now if isinstance(now, bool) else WORDS.get(now) if isinstance(now, str) else None


def _put(settings, value):
    """Set all of the same kind to it, or, where the first says training and another evaluation, to the reverse."""
    for put, item, name, now in settings:
        if type(now) is type(value):
            reverse = isinstance(value, bool) and (name in QUIET) != (settings[0][2] in QUIET)
            put(item, name, not value if reverse else value)


def _pass_along(subject, name, value):
    subject.inputs.named[name] = value


def _without_arguments(method):
    try:
        inspect.signature(method).bind()
    except (TypeError, ValueError):
        return False
    return True
