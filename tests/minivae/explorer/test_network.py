"""The page's arithmetic, in Chromium, against the model's own: forward, backward, and the noise bit for bit."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae.kernels import philox
from minivae.kernels.naive import ACTIVATIONS, SCALES
from minivae.losses import LIKELIHOODS
from minivae.vae import VAE

from . import kinds

EXAMPLES = 20


@pytest.fixture(scope="module")
def modules(browser, tmp_path_factory):
    """A page, whose modules it is about."""
    path = tmp_path_factory.mktemp("modules") / "page.html"
    path.write_text(kinds.page("points").html, encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    yield page
    page.close()


# `loss` for each row of x and noise, and the mean that `decode` gives for its z, as plain lists.
# In and out as JSON, which is quicker than the driver's own form.
PASSES = """(given) => {
  let [model, x, noise] = JSON.parse(given);
  const revive = (value) => Array.isArray(value) && typeof value[0] === "number" ? Float32Array.from(value)
    : value && typeof value === "object" && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, revive(inner)]))
      : Array.isArray(value) ? value.map(revive) : value;
  const plain = (value) => typeof value === "number" ? value : Array.from(value);
  model = revive(model);
  return JSON.stringify(x.map((row, i) => {
    const found = explorer.network.loss(model, Float32Array.from(row), Float64Array.from(noise[i]));
    const kept = ["mu", "rho", "sigma", "z", "output", "nll", "nll_each", "kl", "loss", "dz", "dmu", "drho"];
    const result = Object.fromEntries(kept.map((name) => [name, plain(found[name])]));
    result.mean = plain(explorer.network.mean(model, found.output));
    result.gradients = found.gradients.flatMap(({ dweight, dbias }) => [plain(dweight), plain(dbias)]);
    if (model.likelihood.name === "gaussian") result.dlog_sigma = plain(found.dlog_sigma);
    return result;
  }));
}"""


def described(model):
    """What the page knows of a model, as lists."""

    def layer(dense):
        weight, bias = (np.asarray(dense.parameters[name]).ravel().tolist() for name in ("weight", "bias"))
        sizes = {"inputs": dense.inputs, "outputs": dense.outputs}
        return {**sizes, "activation": dense.activation, "weight": weight, "bias": bias}

    *decoder, output = map(layer, model.decoder.layers)
    likelihood = {"name": model.likelihood.name}
    if model.likelihood.name == "gaussian":
        likelihood["log_sigma"] = np.asarray(model.likelihood._values["log_sigma"]).tolist()
    return {
        "features": model.features,
        "latent": model.latent,
        "scale": model.scale,
        "beta": model.beta,
        "encoder": list(map(layer, model.encoder.layers)),
        "posterior": layer(model.posterior),
        "decoder": decoder,
        "output": output,
        "likelihood": likelihood,
    }


def inputs(model, count, seed=0):
    """x (count, features) such as the model takes, some of it 0 and 1, and noise (count, latent), float32."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (count, model.features)) / 255
    x[rng.random(x.shape) < 0.3] = 0
    x[rng.random(x.shape) < 0.1] = 1
    if model.likelihood.name == "gaussian":
        x = 4 * x - 2
    return x.astype(np.float32), rng.standard_normal((count, model.latent)).astype(np.float32)


def python_passes(model, x, noise):
    """The same for each row as PASSES gives."""
    for row, draw in zip(x.astype(model.dtype), noise.astype(model.dtype), strict=True):
        row, draw = row[None], draw[None]
        terms = model.forward(row, draw)
        model.backward()
        output = model.decoder.values[-1]
        result = {
            "mu": model.head[0, : model.latent],
            "rho": model.head[0, model.latent :],
            "sigma": model.sampler.sigma[0],
            "z": model.sampler.z[0],
            "output": output[0],
            "nll": terms.nll,
            "kl": terms.kl,
            "loss": terms.loss,
            "dmu": model.dhead[0, : model.latent],
            "drho": model.dhead[0, model.latent :],
            "mean": model.likelihood.mean(output)[0],
        }
        result["gradients"] = [np.ravel(model.gradients[name]) for name in model.gradients if "log_sigma" not in name]
        if "likelihood.log_sigma" in model.gradients:
            result["dlog_sigma"] = model.gradients["likelihood.log_sigma"]
        result["dz"] = model.decoder.backward(model.likelihood.backward(np.ones(1, model.dtype)))[0]
        yield {name: [np.copy(g) for g in value] if name == "gradients" else np.copy(value)
               for name, value in result.items()}  # fmt: skip


def compare(page, model, x, noise, tolerance=1e-5):
    """Asserts that every value of the page is the model's to `tolerance`, relative to the larger of it and 1."""
    found = json.loads(page.evaluate(PASSES, json.dumps([described(model), x.tolist(), noise.tolist()])))
    assert len(found) == len(x)
    for i, (theirs, ours) in enumerate(zip(found, python_passes(model, x, noise), strict=True)):
        for name, expected in ours.items():
            pairs = zip(theirs[name], expected, strict=True) if name == "gradients" else [(theirs[name], expected)]
            for place, (value, right) in enumerate(pairs):
                value, right = np.asarray(value, float), np.asarray(right, float)
                assert value.shape == right.shape
                error = np.max(np.abs(value - right) / np.maximum(1, np.abs(right)))
                assert error <= tolerance, (i, name, place, error)
        np.testing.assert_allclose(np.sum(theirs["nll_each"]), theirs["nll"], rtol=1e-12)


def spread(model, seed=0):
    """The model with biases and weights that reach further than the initial ones, its log_sigma included."""
    rng = np.random.default_rng(seed)
    for value in model.parameters.values():
        value += (0.3 * rng.standard_normal(value.shape)).astype(value.dtype)
    return model


def float32_weights(model):
    """The model, of float64, with the nearest weights that a file of float32 could hold."""
    for value in model.parameters.values():
        value[...] = value.astype(np.float32)
    return model


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("scale", SCALES)
def test_every_value_and_gradient_is_that_of_the_model(modules, likelihood, scale):
    learn = "features" if likelihood == "gaussian" and scale == "exp" else likelihood == "gaussian"
    for number, activation in enumerate(ACTIVATIONS):
        options = {"activation": activation, "scale": scale, "likelihood": likelihood, "learn_sigma": learn}
        model = VAE(12, 3, (8, 7), decoder_hidden=(9,), beta=0.7, dtype="float64", backend="numpy", **options)
        compare(modules, float32_weights(spread(model, number)), *inputs(model, EXAMPLES), tolerance=1e-9)


@pytest.mark.parametrize(
    ("features", "hidden", "examples", "likelihood"),
    [(784, (400,), 1, "bernoulli"), *((100, (40, 30), EXAMPLES, name) for name in LIKELIHOODS)],
)
def test_a_model_of_single_precision(modules, features, hidden, examples, likelihood):
    """What is left is what single precision rounds."""
    model = VAE(features, 20, hidden, likelihood=likelihood, backend="numpy", seed=3)
    compare(modules, model, *inputs(model, examples))


@settings(max_examples=25)
@given(
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 6), st.lists(st.integers(1, 7), max_size=2)),
    kinds=st.tuples(st.sampled_from(ACTIVATIONS), st.sampled_from(SCALES), st.sampled_from(sorted(LIKELIHOODS))),
    seed=st.integers(0, 99),
)
def test_small_models_of_any_shape(modules, sizes, kinds, seed):
    model = VAE(*sizes, *kinds, dtype="float64", backend="numpy")
    compare(modules, float32_weights(spread(model, seed)), *inputs(model, 2, seed), tolerance=1e-9)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_outputs_far_out(modules, likelihood):
    """Where exponentials overflow and sigma underflows, and beyond the limits of the likelihoods of bytes."""
    model = VAE(4, 2, (), likelihood=likelihood, dtype="float64", backend="numpy", scale="softplus")
    x, noise = inputs(model, EXAMPLES)
    rng = np.random.default_rng(0)
    for size in (20, 100):
        model.parameters["posterior.bias"] = np.float32([1, -1, -800, -30])
        model.parameters["likelihood.bias"] = np.float32(rng.uniform(-size, size, 4 * model.likelihood.outputs))
        model.parameters["posterior.weight"] = np.zeros((4, 4))
        model.parameters["likelihood.weight"] = np.float32(rng.standard_normal((2, 4 * model.likelihood.outputs)))
        compare(modules, model, x, noise, 1e-9)


@settings(max_examples=20)
@given(
    st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(0, 70)
)  # fmt: skip
def test_noise_is_that_of_python_bit_for_bit(modules, seed, stream, step, count):
    draw = "([name, seed, stream, step, n]) => Array.from(explorer.noise[name](BigInt(seed), stream, BigInt(step), n))"
    found, expected = {}, {"uniforms": philox.uniforms(seed, stream, step, count)}
    expected["normals"] = np.empty(count, np.float32)
    philox.fill_normals(seed, stream, step, expected["normals"])
    for name in expected:
        found[name] = np.float32(modules.evaluate(draw, [name, str(seed), stream, str(step), count]))
        np.testing.assert_array_equal(found[name].view(np.uint32), expected[name].view(np.uint32))


def test_many_normals_bit_for_bit(modules):
    expected = np.empty(100_001, np.float32)
    philox.fill_normals(7, 4, 9, expected)
    found = np.float32(modules.evaluate("() => Array.from(explorer.noise.normals(7, 4, 9, 100001))"))
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


@settings(max_examples=40)
@given(
    strokes=st.lists(
        st.lists(st.tuples(st.floats(0, 28), st.floats(0, 28)), min_size=1, max_size=6), min_size=1, max_size=3
    )
)
def test_a_drawing_is_fitted_and_centred(modules, strokes):
    """Its centre of mass comes to 14.5 as near as whole pixels allow, and nothing that fits is cut off."""
    found = np.array(
        modules.evaluate(
            "(strokes) => { const { centred, inked, penRadius } = explorer.pen, shape = [28, 28], r = penRadius(shape);"
            " return Array.from(inked(centred(strokes, shape, r), shape, r)); }",
            strokes,
        )
    ).reshape(28, 28)
    assert found.min() >= 0
    assert 0.5 < found.max() <= 1
    rows, columns = (np.flatnonzero((found > 0.5).any(axis)) for axis in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 <= 21
    if min(rows[0], columns[0]) > 1 and max(rows[-1], columns[-1]) < 26:  # else ink was lost at the edge
        places = np.arange(28) + 0.5
        for axis in (0, 1):
            assert abs(found.sum(axis) @ places / found.sum() - 14.5) <= 0.55
