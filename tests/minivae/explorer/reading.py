"""What tests of the page read out of it: numbers that a view shows, and what its modules give."""

import json

import numpy as np

from minivae.kernels import philox

EXAMPLES = 20
# What every script of these tests begins with: the model, and example i of the page.
PAGE = """const { payload } = explorer.payload, model = payload.model, plain = (values) => Array.from(values);
const example = (i) => payload.data.x.slice(i * model.features, (i + 1) * model.features);
const headOf = (x) => explorer.network.encode(model, x);"""


def ask(page, script, given=None):
    """What the body of a function of `given` returns in the page, by way of JSON."""
    return json.loads(page.evaluate(f"(given) => {{ {PAGE} return JSON.stringify((() => {{ {script} }})()); }}", given))


def examples(page, model, count=EXAMPLES):
    """Examples of the page as the model takes them, (count, features)."""
    return np.array(ask(page, f"return [...Array({count}).keys()].map((i) => plain(example(i)))"), model.dtype)


def close(found, expected, tolerance=1e-5):
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    assert found.shape == expected.shape
    error = np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected)))
    assert error <= tolerance, (error, found, expected)


def normals(seed, stream, step, *shape):
    noise = np.empty(shape, np.float32)
    philox.fill_normals(seed, stream, step, noise)
    return noise


def values(page):
    """The numbers that the view which is open shows, in full."""
    script = """() => Array.from(document.querySelectorAll(".view:not([hidden]) output[data-name]"),
      (output) => [output.dataset.name, output.dataset.value])"""
    return {name: float(value) for name, value in page.evaluate(script) if value not in ("", "undefined")}


def comes_to(page, name, expected, tolerance=1e-5):
    """Waits until a number of the view which is open is what is expected."""
    script = """([name, value, off]) => Math.abs(document.querySelector(`.view:not([hidden]) [data-name="${name}"]`)
      ?.dataset.value - value) <= off"""
    page.wait_for_function(script, arg=[name, float(expected), tolerance * max(1, abs(expected))])
