"""Random numbers: each use has its own, and what is binarised for one measure is so for the others."""

import ast
import itertools
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import minivae as mv
from minivae import kernels
from minivae.evaluation import held_out
from minivae.kernels import philox
from minivae.runs import folder

PACKAGE = Path(mv.__file__).parent
BACKENDS = [name for name in kernels.available_backends() if kernels.load_backend(name).on_host]
NAMES = re.search(r"^(INIT, .*) = range\(\d+\)$", Path(philox.__file__).read_text(), re.MULTILINE)[1].split(", ")
SEED = 7
X = np.random.default_rng(0).random((5, 6)).astype("float32")

# Every use that a program of one seed can make of random numbers, each on a model of its own.
USES = {
    "initial values": lambda model: mv.VAE(6, 2, (4,), backend="numpy", seed=SEED),
    "training": lambda model: mv.fit(model, X, epochs=2, batch_size=5, pixels="dynamic", seed=SEED, progress=False),
    "forward": lambda model: [model.forward(X) for _ in range(2)],
    "sample": lambda model: model.sample(5, seed=SEED),
    "elbo": lambda model: model.elbo(X, seed=SEED),
    "log p(x)": lambda model: mv.importance_estimate(model, X, samples=5, seed=SEED, progress=False),
    "evaluation": lambda model: [mv.Evaluator(model, X, pixels="dynamic", seed=SEED)(draw) for draw in range(2)],
}


def blocks_of_uses(monkeypatch):
    """From each use to the blocks of the cipher that it takes, (seed, stream, step, number), with how often it does."""
    taken = {}
    draw = philox._Blocks.draw_words

    def seen(self, seed, stream, step, first):
        counter[use].update((seed, int(stream), int(step), first + i) for i in range(len(self.index)))
        draw(self, seed, stream, step, first)

    for use, function in USES.items():
        counter, model = {use: Counter()}, mv.VAE(6, 2, (4,), backend="numpy", seed=SEED)
        with monkeypatch.context() as patched:
            patched.setattr(philox._Blocks, "draw_words", seen)
            function(model)
        taken |= counter
    return taken


def shared(taken):
    """Pairs of uses that have a number in common."""
    return [{a, b} for a, b in itertools.combinations(taken, 2) if taken[a].keys() & taken[b].keys()]


def test_no_two_uses_share_numbers(monkeypatch):
    taken = blocks_of_uses(monkeypatch)
    assert shared(taken) == []
    streams = {NAMES[stream] for blocks in taken.values() for _, stream, _, _ in blocks}
    assert streams == set(NAMES), "a stream that no use here takes"
    for use, blocks in taken.items():
        # a step of training may be made twice, to see that its recording does the same
        assert use == "training" or max(blocks.values()) == 1, f"{use} takes a number twice"


@pytest.mark.parametrize(
    ("name", "other", "uses"),
    [
        ("FORWARD", "SAMPLE", {"forward", "sample"}),
        ("IMPORTANCE", "ELBO", {"log p(x)", "elbo"}),
        ("ELBO", "EVALUATION", {"elbo", "evaluation"}),
        ("EVALUATION_PIXELS", "PIXELS", {"evaluation", "training"}),
        ("SAMPLE", "INIT", {"sample", "initial values"}),
        ("EVALUATION", "EVALUATION_PIXELS", None),
    ],
)
def test_a_planted_collision_is_seen(monkeypatch, name, other, uses):
    monkeypatch.setattr(philox, name, getattr(philox, other))
    taken = blocks_of_uses(monkeypatch)
    assert shared(taken) == ([] if uses is None else [uses]) or uses in shared(taken)
    assert uses is not None or max(taken["evaluation"].values()) > 1


RANDOM = {"random", "np.random", "numpy.random"}
DRAWING = {"fill_normals", "fill_words", "permutation", "standard_normal", "uniforms"}


def draws(text):
    """Names of streams that a source takes numbers of, and whether it has another generator, or a stream by number."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            if owner.endswith("philox") and node.attr in NAMES:
                yield node.attr
            elif owner in RANDOM:
                yield "another generator"
        elif isinstance(node, ast.ImportFrom):
            named = [alias.name for alias in node.names]
            if (node.module or "").endswith("philox"):
                yield from (name for name in named if name in NAMES)
            elif node.module in RANDOM or (node.module == "numpy" and "random" in named):
                yield "another generator"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in DRAWING:
            yield from ("a stream by number" for given in node.args[1:2] if isinstance(given, ast.Constant))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("philox.fill_normals(seed, philox.SAMPLE, 0, z)", "SAMPLE"),
        ("from .kernels.philox import SAMPLE", "SAMPLE"),
        ("philox.fill_normals(seed, 3, 0, z)", "a stream by number"),
        ("backend.standard_normal(seed, 2, clock, noise)", "a stream by number"),
        ("np.random.default_rng(0)", "another generator"),
        ("np.random.normal(size=3)", "another generator"),
        ("np.random.Generator(np.random.PCG64(0))", "another generator"),
        ("from numpy.random import default_rng", "another generator"),
        ("from numpy import random", "another generator"),
        ("random.random()", "another generator"),
    ],
)
def test_ways_to_take_numbers_are_seen(text, found):
    assert set(draws(text)) == {found}


def test_each_stream_is_taken_in_one_place_and_nothing_else_is():
    """A new use needs a stream of its own and a line in USES."""
    files = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "kernels"]
    used = Counter(name for path in files for name in draws(path.read_text()))
    assert {name: used[name] for name in NAMES} == dict.fromkeys(NAMES, 1)
    assert NAMES[:5] == ["INIT", "SHUFFLE", "NOISE", "SAMPLE", "PIXELS"], "runs of earlier versions resume"
    # what a part of one's own is tried with, what a model is checked with, and generators that a part may hold
    constant = {PACKAGE / "build.py", *(PACKAGE / "parameters" / name for name in ("trial.py", "survey.py"))}
    rooms = ("", "evaluation", "parameters", "runs", "training")
    for path in [path for room in rooms for path in (PACKAGE / room).glob("*.py") if path not in constant]:
        assert set(draws(path.read_text())) <= set(NAMES), path


def binarised(data, draw):
    """The images of a draw, number by number from their definition."""
    images = np.empty(data.shape, np.float32)
    for (row, feature), value in np.ndenumerate(data):
        page, i = divmod(row, 500)
        word = philox.scalar_word(SEED, philox.EVALUATION_PIXELS, draw << 32 | page, i * data.shape[1] + feature)
        images[row, feature] = (word >> 8) * 2.0**-24 < value
    return images


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("objective", "samples", "batch"), [("elbo", 1, 500), ("iwae", 3, 500), ("iwae", 7, 40)])
def test_evaluation_sees_the_images_of_unit_values(backend, objective, samples, batch, monkeypatch):
    """Whatever the backend, the batches and the model's draws: also where only the first rows are asked for."""
    monkeypatch.setattr(held_out, "BATCH", batch)
    data = np.random.default_rng(1).random((503, 3))
    model = mv.VAE(3, 2, (4,), objective=objective, samples=samples, backend=backend)
    seen, down = [], model.pass_down
    monkeypatch.setattr(model, "pass_down", lambda x, noise: (seen.append(np.array(x)), down(x, noise))[1])
    evaluator = mv.Evaluator(model, data, pixels="dynamic", seed=SEED)
    for draw in (0, 2):
        seen.clear()
        evaluator(draw)
        expected = binarised(data, draw)
        np.testing.assert_array_equal(np.concatenate(seen), expected)
        np.testing.assert_array_equal(folder.unit_values(data, "dynamic", SEED, draw), expected)
        np.testing.assert_array_equal(folder.unit_values(data[:501], "dynamic", SEED, draw), expected[:501])


def test_a_draw_that_has_no_number_is_refused():
    evaluator = mv.Evaluator(mv.VAE(6, 2, (4,), backend="numpy"), X)
    with pytest.raises(ValueError, match=r"draw: got 2147483648, expected a number below 2\^31"):
        evaluator(2**31)
