"""What goes into the page is the model's and the data's own; what cannot run in it is named."""

import base64
import json
import re
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import minivae as mv
from minivae.explorer import page as bundler
from minivae.explorer.encoding import encoded, encoded_values, named
from minivae.explorer.payload import EXAMPLES, POINTS
from minivae.runs.folder import unit_values

from . import kinds


def array(entry):
    """As payload.js decodes it."""
    dtype = np.dtype(entry["dtype"]).newbyteorder("<")
    planes = np.frombuffer(zlib.decompress(base64.b64decode(entry["data"])), np.uint8)
    values = planes.reshape(dtype.itemsize, -1).T.copy().view(dtype).reshape(entry["shape"])
    return np.divide(values, entry["divisor"], dtype=np.float32) if "divisor" in entry else values


def payload(page):
    return json.loads(re.search('id="payload">(.*?)</script>', page.html)[1])


@given(arrays.arrays(st.sampled_from([np.float32, np.int32, np.uint8]), arrays.array_shapes(max_dims=2)))
def test_arrays_come_back_bit_for_bit(values):
    back = array(encoded(values))
    assert (back.dtype, back.shape, back.tobytes()) == (values.dtype, values.shape, values.tobytes())


@given(
    st.one_of(
        arrays.arrays(np.float32, (3, 4), elements=st.integers(0, 255).map(lambda byte: np.float32(byte) / 255)),
        arrays.arrays(np.float32, (3, 4), elements=st.sampled_from([0.0, 1.0])),
        arrays.arrays(np.float32, (3, 4), elements=st.floats(width=32, allow_nan=False)),
    )
)
def test_values_come_back_bit_for_bit(values):
    entry = encoded_values(values)
    assert np.array_equal(array(entry), values)
    assert (entry["dtype"] == "uint8") == ("divisor" in entry)


@pytest.mark.parametrize("kind", ["default", "points", "table", "float64", "logistic", "no-hidden", "deep", "bound"])
def test_the_model_and_the_examples_are_those_of_python(kind):
    model, data, options = kinds.made(kind)
    found = payload(kinds.page(kind))
    told, shown = found["model"], found["data"]
    layers = [*told["encoder"], told["posterior"], *told["decoder"], told["output"]]
    own = [*model.encoder.layers, model.posterior, *model.decoder.layers]
    assert len(layers) == len(own)
    for layer, mine in zip(layers, own, strict=True):
        assert (layer["inputs"], layer["outputs"], layer["activation"]) == (mine.inputs, mine.outputs, mine.activation)
        for name in ("weight", "bias"):
            np.testing.assert_array_equal(array(layer[name]), mine.parameters[name].astype(np.float32))
    assert told["parameters"] == sum(part.size for part in model.parameters.values())
    for key in ("scale", "beta", "free_bits", "objective", "samples", "outer", "features", "latent", "dtype"):
        assert told[key] == model.config[key], key
    assert told["likelihood"]["name"] == model.config["likelihood"]
    if "log_sigma" in told["likelihood"]:
        log_sigma = model.parameters.get("likelihood.log_sigma", np.log([model.config["observation_sigma"]]))
        np.testing.assert_allclose(array(told["likelihood"]["log_sigma"]), log_sigma, rtol=1e-6)
    x = unit_values(getattr(data, "test", data), options.get("pixels", "grey"))
    index = array(shown["index"])
    assert len(set(index.tolist())) == shown["rows"] == len(index) <= EXAMPLES
    np.testing.assert_array_equal(array(shown["x"]), x[index])
    mu, count = array(shown["points"]["mu"]), shown["points"]["count"]
    assert count == len(mu) == min(POINTS, len(x))
    seen = x[np.linspace(0, len(x) - 1, count, dtype=int)]
    np.testing.assert_allclose(mu, model.encode(seen)[0], rtol=1e-5, atol=1e-5)
    assert shown["low"] <= seen.min()
    assert shown["high"] >= seen.max()
    if model.features == 2:
        np.testing.assert_array_equal(array(shown["points"]["x"]), seen)


def test_a_few_of_each_class_are_shown():
    data = kinds.made("default")[1]
    shown = payload(kinds.page("default"))["data"]
    labels, index = array(shown["labels"]), array(shown["index"])
    np.testing.assert_array_equal(labels, data.test_labels[index])
    assert labels[:10].tolist() == list(range(10))
    assert set(np.bincount(labels)) == {6}


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        ([3, 0, 3, 1], None, [3, 0, 3, 1]),
        ([-1, 7, -1, 10**12], ["-1", "7", str(10**12)], [0, 1, 0, 2]),
        ([2000, 1990, 2000, 1990], ["1990", "2000"], [1, 0, 1, 0]),
        (["b", "a", "b", "a"], ["a", "b"], [1, 0, 1, 0]),
        ([[0.0], [1.0], [1.0], [0.0]], None, [0, 1, 1, 0]),
    ],
)
def test_labels_are_numbers_with_names(labels, classes, numbers):
    model = mv.VAE(3, 2, (4,), backend="numpy")
    shown = payload(mv.explore(model, np.eye(4, 3), labels=labels))["data"]
    assert shown["classes"] == classes
    found = dict(zip(array(shown["index"]).tolist(), array(shown["labels"]).tolist(), strict=True))
    assert [found[row] for row in range(4)] == numbers
    assert array(shown["points"]["labels"]).tolist() == numbers


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\n b", "a b"), ("\u202eb", r"\u202eb"), ("数字", "数字"), ("\ud800", r"\ud800"), (7, "7")],
)
def test_a_name_hides_nothing(text, shown):
    assert named(text) == shown
    assert len(named("l" * 10_000)) < 120


class Own(mv.VAE):
    """A subclass that adds a method, and overrides none."""

    def first(self, x):
        return self.encode(x)[0][:, 0]


class OwnPass(mv.VAE):
    def pass_down(self, x, noise):
        return super().pass_down(x, noise)


class OwnSampler(mv.Reparameterize):
    def forward(self, mu, rho, noise):
        return super().forward(mu, rho, 0 * noise)


class OwnLikelihood(mv.Bernoulli):
    def mean(self, output):
        return output


def _with_method(model):
    forward = model.posterior.forward
    model.posterior.forward = lambda x: forward(x)


def _not_finite(model):
    model.parameters["posterior.bias"][:] = np.nan


REASONS = {
    "pass": ({"kind": OwnPass}, None, "OwnPass has passes of its own"),
    "likelihood": ({"likelihood": OwnLikelihood()}, None, "likelihood is a OwnLikelihood, no class of minivae"),
    "layer": ({"decoder": [mv.Dense(2, 4), kinds.Squash()]}, None, "decoder.1 is a Squash, no class of minivae"),
    "sampler": ({}, lambda model: setattr(model, "sampler", OwnSampler()), "sampler is a OwnSampler"),
    "method": ({}, _with_method, "posterior has another forward than minivae's Dense"),
    "rounded": ({}, lambda model: setattr(model.posterior, "precision", "bf16"), "posterior rounds to bf16"),
    "finite": ({}, _not_finite, "posterior.bias holds numbers that float32 cannot"),
}


@pytest.mark.parametrize("why", REASONS)
def test_a_model_that_cannot_run_in_the_page(why):
    options, change, told = REASONS[why]
    model = options.pop("kind", mv.VAE)(3, 2, (4,), backend="numpy", **options)
    if change:
        change(model)
    page = mv.explore(model, np.eye(4, 3), labels=[0, 1, 2, 0])
    found = payload(page)
    assert found["model"] is None
    assert told in page.reason == found["reason"]["en"]
    assert re.search("[一-龥]", found["reason"]["zh"])
    assert found["data"]["rows"] == 4
    assert (found["data"]["points"] is None) == (why == "finite")


def test_a_kernel_that_was_replaced(monkeypatch):
    model = mv.VAE(3, 2, (4,), backend="numpy")
    kernel = model.backend.dense_forward
    monkeypatch.setattr(model.backend, "dense_forward", lambda *arrays: kernel(*arrays))
    assert "the kernel dense_forward of its backend was replaced" in mv.explore(model, np.eye(4, 3)).reason


def test_a_subclass_that_overrides_nothing_runs():
    assert mv.explore(Own(3, 2, (4,), backend="numpy"), np.eye(4, 3)).reason is None


def test_a_model_too_large(monkeypatch):
    monkeypatch.setattr("minivae.explorer.live.MOST_PARAMETERS", 50)
    page = mv.explore(mv.VAE(3, 2, (4,), backend="numpy"), np.eye(4, 3))
    assert page.reason == "The model cannot run in this page: it has 63 parameters, more than 50."


def test_a_float64_model_whose_parameters_float32_cannot_hold():
    model = mv.VAE(3, 2, (4,), dtype="float64", backend="numpy")
    model.parameters["posterior.bias"] = [1e300, 0, 0, 0]
    assert "posterior.bias holds numbers that float32 cannot" in mv.explore(model, np.eye(4, 3)).reason


def test_wide_data_make_fewer_examples_and_points():
    model = mv.VAE(12_288, 100, (2,), backend="numpy")
    x = np.random.default_rng(0).integers(0, 256, (3000, 12_288), np.uint8)
    shown = payload(mv.explore(model, x, image_shape=(64, 64, 3)))["data"]
    assert (shown["rows"], shown["points"]["count"]) == (21, 655)
    assert shown["held_out"] == 3000


def test_the_default_run_fits_into_four_megabytes(tmp_path):
    assert kinds.page("default").save(tmp_path / "page.html") == (tmp_path / "page.html").stat().st_size <= 4_000_000


X = np.eye(4, 3)
WRONG = [
    ({"model": "model"}, "model: got 'model', expected a VAE"),
    ({"data": np.eye(4)}, "data: got float64 of shape (4, 4), expected 3 features per row"),
    ({"data": 2 * X}, "data: got 2.0 at row 0, column 0, expected values in [0, 1] for the Bernoulli likelihood"),
    ({"labels": [0, 1]}, "labels: got '2 labels', expected 4, one a row"),
    ({"labels": [0.5, 0, 0, 0]}, "labels: got 0.5 at row 0, column 0, expected whole numbers"),
    ({"image_shape": (2, 2)}, "image_shape: got (2, 2), expected (height, width) or (height, width, 3) of 3 features"),
    ({"labels": ["a", None, "b", "a"]}, "labels: labels that are no text (got None)"),
    ({"labels": (i for i in range(4))}, "labels: labels that are no text (got <generator object"),
    ({"image_shape": 3}, "image_shape: got 3, expected (height, width)"),
    ({"pixels": "gray"}, "pixels: got 'gray', expected one of"),
    ({"name": 3}, "name: got 3, expected a text"),
    ({"seed": -1}, "seed: got -1, expected a whole number from 0 to 2^64 - 1"),
]


@pytest.mark.parametrize(("change", "told"), WRONG, ids=lambda part: next(iter(part)) if isinstance(part, dict) else "")
def test_wrong_arguments(change, told):
    given = {"model": mv.VAE(3, 2, (4,), backend="numpy"), "data": X} | change
    with pytest.raises(ValueError, match=re.escape(told)):
        mv.explore(given.pop("model"), given.pop("data"), **given)


def test_sides_of_an_image_may_be_numbers_of_numpy():
    page = mv.explore(mv.VAE(3, 2, (4,), backend="numpy"), X, image_shape=(np.int64(1), np.int64(3)))
    assert payload(page)["data"]["shape"] == [1, 3]


MODULES = [
    (
        {"main": 'import { b } from "./a.js";\n', "a": "export const a = 1;\n"},
        "main.js: got 'b', expected a name that a.js",
    ),
    ({"main": 'import { a } from "./a.js";\n', "a": 'import { b } from "./main.js";\n'}, "main -> a -> main"),
    ({"main": 'import a from "./a.js";\n'}, "import a from"),
    ({"main": "  export default 1;\n"}, "export default 1"),
    ({"main": 'export * from "./a.js";\n'}, "export *"),
    ({"main": "export const { a, b } = c;\n"}, "export const { a, b }"),
    ({"main": 'const text = "</SCRIPT>";\n'}, "the end of a script"),
]


@pytest.mark.parametrize(("modules", "told"), MODULES)
def test_what_modules_may_not_say(monkeypatch, modules, told):
    monkeypatch.setattr(bundler, "_text", lambda name: modules[name.removesuffix(".js")])
    with pytest.raises(ValueError, match=re.escape(told)):
        bundler.script.__wrapped__()


def test_modules_share_what_they_export(monkeypatch):
    modules = {
        "main": 'import {\n  a,\n  f as g,\n} from "./a.js";\nexport const b = g(a);\n',
        "a": "export let a = 1;\nexport function f(x) {\n  return x + 1;\n}\n",
    }
    monkeypatch.setattr(bundler, "_text", lambda name: modules[name.removesuffix(".js")])
    made = bundler.script.__wrapped__()
    assert made.index("---- a.js") < made.index("---- main.js")
    assert "const {\n  a,\n  f: g,\n} = explorer.a;" in made


def test_the_largest_seed_is_kept():
    page = mv.explore(mv.VAE(3, 2, (4,), backend="numpy"), X, seed=2**64 - 1)
    assert payload(page)["seed"] == str(2**64 - 1)


def test_a_data_frame_gives_its_columns():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    assert payload(mv.explore(mv.VAE(3, 2, (4,), backend="numpy"), frame))["data"]["columns"] == ["a", "b", "c"]
