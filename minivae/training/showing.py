"""A history in a notebook: small curves, and a table of some of its epochs."""

import numpy as np

from ..files import html

EPOCHS = 8  # in the table


def page(history) -> str:
    """HTML of a `History`."""
    head = html.heading(f"{history.epochs} epoch{'s' * (history.epochs != 1)}, {history.stopped}; nats per example")
    numbers = {name: values for name, values in history.items() if name != "epoch" and _are_numbers(values)}
    if not numbers:
        return html.block(head)
    shown = np.unique(np.linspace(0, history.epochs - 1, min(EPOCHS, history.epochs)).round().astype(int)).tolist()
    rows = [
        (name, html.curve(values), *(html.number(values[i]) if i < len(values) else "" for i in shown))
        for name, values in numbers.items()
    ]
    return html.block(head, html.table(("epoch", "", *(history["epoch"][i] for i in shown)), rows, "llr"))


def _are_numbers(values):
    """Not so of the KL of each latent, lists, nor of what others may have put in."""
    return isinstance(values, list) and all(value is None or isinstance(value, (int, float)) for value in values)
