"""What tests of the page do with it: read the numbers of its views and what its modules give, and move its controls."""

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
    """The numbers that the view which is open shows, in full, once what was asked for is drawn."""
    script = """() => {
      explorer.frame.flush();
      const shown = document.querySelectorAll(".view:not([hidden]) output[data-name]");
      return Array.from(shown, (output) => [output.dataset.name, output.dataset.value]);
    }"""
    return {name: float(value) for name, value in page.evaluate(script) if value not in ("", "undefined")}


def comes_to(page, name, expected, tolerance=1e-5):
    """Waits until a number of the view which is open is what is expected."""
    script = """([name, value, off]) => Math.abs(document.querySelector(`.view:not([hidden]) [data-name="${name}"]`)
      ?.dataset.value - value) <= off"""
    page.wait_for_function(script, arg=[name, float(expected), tolerance * max(1, abs(expected))])


def move(page, **places):
    """Sets sliders of the open view, by their labels, as a hand would."""
    page.evaluate(
        """(values) => {
          for (const label of document.querySelectorAll(".view:not([hidden]) .slider label")) {
            if (!(label.textContent in values)) continue;
            label.control.value = values[label.textContent];
            label.control.dispatchEvent(new Event("input"));
            delete values[label.textContent];
          }
          if (Object.keys(values).length) throw new Error(`no sliders ${Object.keys(values)}`);
        }""",
        places,
    )


def choose(page, label, value):
    """An option of a list, by its value; Playwright would take another's label for it."""
    select = page.locator(".view:not([hidden])").get_by_label(label, exact=True)
    options = select.evaluate("(select) => [...select.options].map((option) => option.value)")
    select.select_option(index=options.index(value))
