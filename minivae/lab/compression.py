"""Bits back: where the bits of one image go, and the size of a file beside the negative ELBO as a model trains."""

import math
from functools import partial

import numpy as np

from ..compression import compress, decompress
from ..compression.codec import Codec, Stack
from ..compression.networks import networks_of
from ..compression.report import NEAR, context_rate, general
from ..datasets import load_dataset
from ..evaluation.held_out import Evaluator
from ..optim import Adam
from ..plotting import style
from ..training.fit import fit
from ..vae import VAE
from . import report

TRAIN, TEST, EPOCHS, BATCH = 20_000, 1000, 10, 100
HIDDEN, LATENT = (200,), 20
IMAGE = 500  # the image whose bits are followed: by then the stack holds more than a draw of z takes


class Traced(Stack):
    """A stack that notes what it holds after each step."""

    def __init__(self, words=()):
        super().__init__(words)
        self.steps = []

    def _note(self, verb, kind, act, *arguments):
        before = self.bits
        act(kind, *arguments)
        self.steps.append((verb, kind, self.bits - before))

    def push(self, kind, *arguments):
        self._note("push", kind, super().push, *arguments)

    def pop(self, kind, *arguments):
        self._note("pop", kind, super().pop, *arguments)


NAMES = {
    ("pop", "normal"): "z drawn from q(z|x) with bits of the stack",
    ("push", "bernoulli"): "x given z",
    ("push", "uniform"): "z under the prior",
    ("pop", "uniform"): "z under the prior",
    ("pop", "bernoulli"): "x given z",
    ("push", "normal"): "z put back as a draw from q(z|x): the same bits",
}


def trace(codec, pixels):
    """Rows of the steps by which one image goes onto the stack after IMAGE others, and comes off again."""
    stack = Traced()
    growth = codec.growth(pixels)
    codec.push_all(stack, pixels[:IMAGE], growth)
    x = pixels[IMAGE : IMAGE + 1]
    back, total, rows = np.empty_like(x), stack.bits, []
    stack.steps.clear()
    codec.push(stack, x, 1)
    other = Traced(stack.words())
    codec.pop(other, back, 1)
    assert np.array_equal(back, x)
    for side, steps in (("encode", stack.steps), ("decode", other.steps)):
        for verb, kind, bits in steps:
            total += bits
            if abs(bits) > 1e-9:  # that one of one draw is chosen costs nothing
                rows.append({"side": side, "step": verb, "what": NAMES[verb, kind], "bits": bits, "stack": total})
    return rows


def train(train_rows, test_rows, seed, progress=None):
    """(rows of epoch, rates and negative ELBO in bits per pixel, the model). `rate` counts every byte of a file,
    `net_rate` neither its header nor the initial bits.
    """
    model, rows = VAE(784, LATENT, HIDDEN, seed=seed), []
    bar = report.bar(range(EPOCHS), "compression", progress)
    note = partial(_measure, model, test_rows, Evaluator(model, test_rows))

    def after(row):
        rows.append({"epoch": row["epoch"], **note()})
        bar.update()

    rows.append({"epoch": 0, **note()})
    fit(
        model,
        train_rows,
        epochs=EPOCHS,
        batch_size=BATCH,
        optimizer=Adam(1e-3),
        seed=seed,
        on_epoch=after,
        progress=False,
    )
    bar.close()
    return rows, model


def _measure(model, rows, evaluate):
    data = compress(model, rows, progress=False)
    assert np.array_equal(decompress(model, data, progress=False), rows)
    pixels, codec = rows // 255, Codec(networks_of(model))
    words, drawn = codec.encode(pixels, codec.growth(pixels))
    found = evaluate()
    return {
        "rate": 8 * len(data) / rows.size,
        "net_rate": 32 * (len(words) - drawn) / rows.size,
        "minus_elbo": (found.nll + found.kl) / (model.features * math.log(2)),
    }


def run(folder, seed=0, progress=None):
    data = load_dataset("mnist")
    # grey values are made 0 or 1 once: only these can be coded, and only of these is the ELBO a likelihood's
    train_rows, test_rows = ((rows > 127).astype(np.uint8) * 255 for rows in (data.train[:TRAIN], data.test[:TEST]))
    rows, model = train(train_rows, test_rows, seed, progress)
    steps = trace(Codec(networks_of(model)), test_rows // 255)
    images = (test_rows // 255).reshape(-1, 28, 28)
    others = general(np.packbits(test_rows // 255, axis=1), test_rows.size)
    others = {"bz2": others["bz2 -9"], f"context model, {NEAR} pixels": context_rate(images)}
    report.write_table(folder / "compression.csv", rows)
    report.write_table(folder / "compression-trace.csv", steps)
    draw(rows, steps, others, folder / "compression.png")
    last = rows[-1]
    lines = [
        f"compression.csv: epoch {row['epoch']}: {row['rate']:.4f} bits per pixel, {row['net_rate']:.4f} without header"
        f" and initial bits, -ELBO {row['minus_elbo']:.4f}"
        for row in (rows[0], last)
    ]
    lines += [f"compression.csv: {name}: {rate:.4f} bits per pixel" for name, rate in others.items()]
    lines += [
        f"compression-trace.csv: {row['side']}: {row['step']} {row['what']}: {row['bits']:+.1f} bits" for row in steps
    ]
    return lines


def draw(rows, steps, others, path):
    title = "The negative ELBO is the size of a file"
    text = f"784-{HIDDEN[0]}-{LATENT} on {TRAIN:,} thresholded MNIST digits. Left: {TEST:,} held-out ones as a file"
    text += (
        f" after each epoch, every byte counted; before the first it takes {rows[0]['rate']:.2f}. Right: what one of"
    )
    text += " them does to the stack of bits as it goes onto it and comes off."
    figure = style.new_figure(style.WIDTH, 3.4, title, text)
    left, right = figure.subplots(1, 2)
    report.panel(left, "bits per pixel", "epoch", None)
    report.curve(left, rows, "epoch", "minus_elbo", color=style.INK, linewidth=1.2, label=f"{style.MINUS}ELBO")
    report.curve(left, rows, "epoch", "rate", "o", color=report.COLOURS[0], markersize=4, label="the file")
    for (name, rate), colour in zip(others.items(), report.COLOURS[1:], strict=False):
        left.axhline(rate, color=colour, linewidth=1, linestyle="--", label=name)
    best = min([*others.values(), rows[-1]["rate"]])
    left.set_ylim(best * 0.85, max(others.values()) * 1.8)
    report.legend(left)
    _draw_stack(right, steps)
    return style.finish(figure, style.check_path(path))


def _draw_stack(axes, steps):
    """A bar from what the stack held before each step to what it held after."""
    report.panel(axes, "bits on the stack, from where it stood", None, None)
    half = sum(row["side"] == "encode" for row in steps)
    before = 0.0
    for i, row in enumerate(steps):
        bits, after = row["bits"], before + row["bits"]
        axes.bar(i, bits, 0.62, before, color=report.COLOURS[bits > 0], zorder=2)
        axes.plot([i - 0.31, i + 1.31], [after, after], color=style.INK, linewidth=0.8, zorder=3)
        signed = f"{bits:+.1f}".replace("-", style.MINUS)
        note = {"ha": "center", "va": "center", "fontsize": style.TICK, "color": "white", "zorder": 4}
        axes.text(i, before + bits / 2, signed, **note)
        before = after
    axes.axhline(0, color=style.INK, linewidth=0.8)
    axes.axvline(half - 0.5, color=style.INK, linewidth=0.8, linestyle=":")
    cost = sum(row["bits"] for row in steps[:half])
    note = {"fontsize": style.TICK, "ha": "right", "va": "bottom", "color": style.INK}
    axes.text(half - 0.56, cost, f"the image costs {cost:.1f} bits", **note)
    labels = ["draw z", "push x", "push z", "pop z", "pop x", "put z back"]
    axes.set_xticks(range(len(steps)), labels[: len(steps)])
    axes.set_xlim(-0.6, len(steps) - 0.4)
    totals = [0.0, *np.cumsum([row["bits"] for row in steps]).tolist()]
    low, high = min(totals), max(totals)
    axes.set_ylim(low - 0.06 * (high - low), high + 0.22 * (high - low))
    for place, word in (((half - 1) / 2, "encode"), (half + (len(steps) - half - 1) / 2, "decode")):
        axes.text(place, 0.99, word, fontsize=style.LABEL, ha="center", va="top", transform=axes.get_xaxis_transform())
