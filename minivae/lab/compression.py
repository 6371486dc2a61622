"""Bits back: where the bits of one image go, and the size of a file beside the negative ELBO as a model trains."""

import math
from functools import partial

import numpy as np

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
IMAGE = 500  # the image whose bits are followed: the stack is then full


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
    done = 0
    for size, draws in codec.groups(IMAGE, growth):
        codec.push(stack, pixels[done : done + size], draws)
        done += size
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
    """(rows of epoch, rate and negative ELBO in bits per pixel, the model)."""
    model, rows = VAE(784, LATENT, HIDDEN, seed=seed), []
    pixels, evaluate = test_rows // 255, Evaluator(model, test_rows)
    bar = report.bar(range(EPOCHS), "compression", progress)
    note = partial(_measure, model, pixels, evaluate)

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


def _measure(model, pixels, evaluate):
    codec = Codec(networks_of(model))
    words, drawn = codec.encode(pixels, codec.growth(pixels))
    found = evaluate()
    per_pixel = 1 / pixels.size
    return {
        "rate": 32 * len(words) * per_pixel,
        "net_rate": 32 * (len(words) - drawn) * per_pixel,
        "minus_elbo": (found.nll + found.kl) / (model.features * math.log(2)),
    }


def run(folder, seed=0, progress=None):
    data = load_dataset("mnist")
    # grey values are made 0 or 1 once: only these can be coded, and only of these is the ELBO a likelihood's
    train_rows, test_rows = ((rows > 127).astype(np.uint8) * 255 for rows in (data.train[:TRAIN], data.test[:TEST]))
    rows, model = train(train_rows, test_rows, seed, progress)
    steps = trace(Codec(networks_of(model)), test_rows // 255)
    images = (test_rows // 255).reshape(-1, *(data.image_shape or ()))
    others = general(np.packbits(test_rows // 255, axis=1), test_rows.size)
    others = {"bz2": others["bz2 -9"], f"{NEAR} pixels of context": context_rate(images)}
    report.write_table(folder / "compression.csv", rows)
    report.write_table(folder / "compression-trace.csv", steps)
    draw(rows, steps, others, folder / "compression.png")
    last = rows[-1]
    lines = [
        f"compression.csv: epoch {row['epoch']}: {row['net_rate']:.4f} bits per pixel, -ELBO {row['minus_elbo']:.4f}"
        for row in (rows[0], last)
    ]
    lines += [f"compression.csv: {name}: {rate:.4f} bits per pixel" for name, rate in others.items()]
    lines += [
        f"compression-trace.csv: {row['side']}: {row['step']} {row['what']}: {row['bits']:+.1f} bits" for row in steps
    ]
    return lines


def draw(rows, steps, others, path):
    title = "The negative ELBO is the size of a file"
    text = f"784-{HIDDEN[0]}-{LATENT} on {TRAIN:,} thresholded MNIST digits; {TEST:,} held-out ones compressed after "
    text += (
        "each epoch, and decoded from a file of that size. Right: the stack as one of them goes onto it and comes off."
    )
    figure = style.new_figure(style.WIDTH, 3.4, title, text)
    left, right = figure.subplots(1, 2)
    report.panel(left, "bits per pixel", "epoch", None)
    report.curve(left, rows, "epoch", "minus_elbo", color=style.INK, linewidth=1.2, label=f"{style.MINUS}ELBO")
    report.curve(left, rows, "epoch", "net_rate", "o", color=report.COLOURS[0], markersize=4, label="the file")
    for (name, rate), colour in zip(others.items(), report.COLOURS[1:], strict=False):
        left.axhline(rate, color=colour, linewidth=1, linestyle="--", label=name)
    best = min([*others.values(), rows[-1]["net_rate"]])
    left.set_ylim(best * 0.85, max(others.values()) * 1.8)
    report.legend(left)
    report.panel(right, "bits on the stack, from where it stood", "step", None)
    total = [0.0, *np.cumsum([row["bits"] for row in steps])]
    right.plot(range(len(total)), total, "o-", color=report.COLOURS[0], linewidth=1.4, markersize=4)
    half = len([row for row in steps if row["side"] == "encode"])
    right.axvline(half, color=style.INK, linewidth=0.8, linestyle=":")
    labels = ["draw z", "push x", "push z", "pop z", "pop x", "put z back"]
    right.set_xticks(range(1, len(total)), labels[: len(steps)], rotation=30, ha="right")
    right.set_xlabel("")
    low, high = right.get_ylim()
    right.set_ylim(low, high * 1.12)
    note = {"fontsize": style.TICK, "ha": "center", "va": "top", "transform": right.get_xaxis_transform()}
    for place, word in ((half / 2, "encode"), (half * 1.5, "decode")):
        right.text(place, 0.99, word, **note)
    return style.finish(figure, style.check_path(path))
