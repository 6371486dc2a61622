"""Compression: nothing is lost, and the rate is the bound."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivae as mv
from benchmarks.compression import compare
from minivae.compression.codec import Codec
from minivae.compression.exact import Exact, activate
from minivae.compression.file import TYPES, read_header
from minivae.compression.networks import networks_of
from minivae.compression.tables import ONE
from minivae.kernels import coder, philox
from minivae.kernels.naive import ACTIVATIONS

LIKELIHOODS = ("bernoulli", "beta_binomial", "logistic")


def numbers(seed, *shape):
    """Uniforms that are the same on every machine."""
    return philox.uniforms(seed, philox.SAMPLE, 0, int(np.prod(shape))).reshape(shape)


def rows(likelihood, n, features, seed=1):
    u = numbers(seed, n, features)
    return (u * 256).astype(np.uint8) if likelihood != "bernoulli" else (u < 0.3) * np.uint8(255)


def model_of(likelihood, features=30, latent=3, hidden=(8,), factor=3.0, **options):
    model = mv.VAE(features, latent, hidden, likelihood=likelihood, backend="numpy", **options)
    for name in model.parameters:
        model.parameters[name] = np.float32(factor) * model.parameters[name]
    return model


@settings(max_examples=60)
@given(
    likelihood=st.sampled_from(LIKELIHOODS),
    activation=st.sampled_from(ACTIVATIONS),
    scale=st.sampled_from(["softplus", "exp"]),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 12), st.integers(1, 4)),
    hidden=st.lists(st.integers(1, 6), max_size=2),
    factor=st.sampled_from([0.0, 1.0, 30.0, 1000.0]),
    rho=st.sampled_from([0.0, -1e4, 1e4]),
    outputs=st.sampled_from([0.0, 300.0, -300.0]),
    samples=st.sampled_from([1, 2, 7]),
    weight_bits=st.sampled_from([None, 8, 16]),
    block=st.sampled_from([None, 1, 7]),
    seed=st.integers(0, 1000),
)
def test_nothing_is_lost(
    likelihood, activation, scale, shape, hidden, factor, rho, outputs, samples, weight_bits, block, seed
):
    """Any weights, sigma of nothing and huge, outputs of 300, one image and one feature."""
    n, features, latent = shape
    model = model_of(likelihood, features, latent, hidden, factor, activation=activation, scale=scale, seed=seed)
    for name, value in (("posterior.bias", rho), ("likelihood.bias", outputs)):
        bias = np.array(model.parameters[name])
        bias[len(bias) // 2 :] += value
        model.parameters[name] = bias
    x = rows(likelihood, n, features, seed)
    data = mv.compress(model, x, samples, weight_bits=weight_bits, block=block)
    back = mv.decompress(model if weight_bits is None else None, data)
    assert back.dtype == x.dtype
    np.testing.assert_array_equal(back, x)
    part = mv.decompress(model if weight_bits is None else None, data, slice(n // 3, n // 2))
    np.testing.assert_array_equal(part, x[n // 3 : n // 2])


@given(
    name=st.sampled_from([*model_of("logistic", 3, 2, (2,)).parameters]),
    exponent=st.integers(-1074, 1023),
    all_of_them=st.booleans(),
    likelihood=st.sampled_from(LIKELIHOODS),
    weight_bits=st.sampled_from([None, 8, 16]),
)
def test_weights_of_any_size_are_coded_or_refused(name, exponent, all_of_them, likelihood, weight_bits):
    """From the least float64 to the largest; what can be coded can be decoded, also without the model."""
    model = model_of(likelihood, 3, 2, (2,), 1.0, dtype="float64")
    model.parameters[name].reshape(-1)[: None if all_of_them else 1] = math.ldexp(1.0, exponent)
    x = rows(likelihood, 2, 3)
    try:
        data = mv.compress(model, x, weight_bits=weight_bits)
    except ValueError as error:
        data, line = b"", str(error)
    if data:
        np.testing.assert_array_equal(mv.decompress(None if weight_bits else model, data), x)
    else:
        assert exponent > 10
        assert re.match(r"(en|de)coder, layer \d.*expected weights for which whole numbers", line)


def test_small_weights_in_few_bits_leave_room_for_their_biases():
    model = model_of("bernoulli", 3, 2, (2,), 1e-12)
    for name in model.parameters:
        model.parameters[name] += np.float32(3) * name.endswith("bias")
    x = rows("bernoulli", 9, 3)
    np.testing.assert_array_equal(mv.decompress(None, mv.compress(model, x, weight_bits=16)), x)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_type_of_values_comes_back_as_it_was(likelihood):
    """Or is refused: never another type, nor another zero."""
    model = model_of(likelihood)
    x = rows(likelihood, 5, 30)
    kinds = [x, (x / 255).astype(np.float32), x / 255, x > 0, np.asfortranarray(x), x[::-1, ::-1]]
    if likelihood == "bernoulli":
        kinds += [(x > 0).astype(name) for name in TYPES if name != "uint8"]
    frozen = x.copy()
    frozen.flags.writeable = False
    for given_ in (*kinds, frozen, np.zeros((2, 30), np.int32)):
        back = mv.decompress(model, mv.compress(model, given_))
        assert back.dtype == given_.dtype
        np.testing.assert_array_equal(back, given_)
    if likelihood == "bernoulli":
        ones = (x > 0).astype(int)
        np.testing.assert_array_equal(mv.decompress(model, mv.compress(model, ones.tolist())), ones)
    refused = [np.where(x > 100, 1.0, -0.0)]
    if likelihood != "bernoulli":
        refused += [x * np.float32(1 / 255), x * (1 / 255), (x > 0).astype(np.int64)]
    if np.dtype(np.longdouble).itemsize > 8:
        refused += [np.zeros((2, 30), np.longdouble)]
    for given_ in refused:
        with pytest.raises(ValueError, match=r"x: got .*(comes back as it is|one that is kept)"):
            mv.compress(model, given_)


@pytest.fixture(scope="module")
def trained():
    """A model of 64 pixels with structure, and rows that it has not seen."""
    z = numbers(3, 3000, 2)
    grid = np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).reshape(-1, 2) / 8
    distance = ((z[:, None] - grid) ** 2).sum(-1)
    x = (numbers(4, 3000, 64) < np.where(distance < 0.08, 0.95, 0.05)).astype(np.float32)
    model = mv.VAE(64, 4, (32,), backend="numpy", seed=0)
    mv.fit(model, x[:1000], epochs=60, batch_size=50, optimizer=mv.Adam(3e-3), seed=0, progress=False)
    return model, x[1000:]


@pytest.mark.parametrize("samples", [1, 4, 16])
def test_the_rate_is_the_bound(trained, samples):
    """Within 1 % of the negative ELBO, or the bound with K draws; the initial bits are those of one draw."""
    model, x = trained
    codec = Codec(networks_of(model), samples)
    words, drawn = codec.encode(x.astype(np.uint8), codec.growth(x.astype(np.uint8)))
    draws = [mv.importance_estimate(model, x, samples, seed=seed, progress=False) for seed in range(4)]
    bound = -np.mean([found.log_likelihood.mean() for found in draws]) / np.log(2)
    assert 32 * (len(words) - drawn) / len(x) == pytest.approx(bound, rel=0.01)
    assert drawn <= 6
    assert 8 * len(mv.compress(model, x, samples)) / len(x) == pytest.approx(bound, rel=0.02)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("samples", [1, 4, 16])
def test_the_rate_of_a_posterior_that_is_the_prior(likelihood, samples):
    """Of a decoder that does not look at z: the bound is -log2 p(x) for every K, and draws of z add nothing to it."""
    model = model_of(likelihood, 30, 5, (), 0.0, scale="exp", dtype="float64")
    output = model.parameters["likelihood.bias"]
    output[...] = numbers(2, output.size) / 2 - 0.25
    x, codec = rows(likelihood, 300, 30), Codec(networks_of(model), samples)
    pixels = (x > 0).astype(np.uint8) if likelihood == "bernoulli" else x
    words, drawn = codec.encode(pixels, codec.growth(pixels))
    low, high = words[-2:].tolist()
    bits = math.log2((high << 32 | low) / coder.LOW) + 32 * (len(words) - 2 - drawn)
    assert bits == pytest.approx(300 * mv.Evaluator(model, x)().nll / math.log(2), rel=3e-4)


def test_images_unlike_the_first_ones_take_few_initial_words():
    """40 images of noise, by which the groups would grow fast, then blank ones that leave nothing for their draws."""
    model = model_of("bernoulli", 200, 20, (), 0.0)
    for name, value in (("likelihood.bias", -8), ("posterior.bias", 0.5)):
        model.parameters[name] += np.float32(value)
    x = np.concatenate([numbers(1, 40, 200) < 0.5, np.zeros((2000, 200), bool)])
    codec = Codec(networks_of(model))
    data, pixels = mv.compress(model, x), x.astype(np.uint8)
    (_, many), (_, few) = (codec.encode(pixels, growth) for growth in (codec.growth(pixels), read_header(data).growth))
    assert 8 * 4 * few < len(data)
    assert many > 4 * few
    np.testing.assert_array_equal(mv.decompress(model, data), x)


def test_another_coder_has_the_same_rate(trained):
    """`constriction`, a coder in Rust with masses of its own: means of six passes over 2,000 rows within 0.3 %."""
    pytest.importorskip("constriction", reason="the peer: pip install constriction")
    model, x = trained
    found = [compare(model, np.roll(x, 300 * seed, axis=0).astype(np.uint8), seed) for seed in range(6)]
    theirs, ours = (np.mean([rates[name] for rates in found]) for name in ("constriction", "ours"))
    assert ours == pytest.approx(theirs, rel=0.003)


def test_sums_do_not_depend_on_their_order():
    """With inputs and hidden units in another order, and in pieces, the whole numbers are the same."""
    model = model_of("beta_binomial", 200, 5, (50, 20), activation="tanh")
    codec = networks_of(model)
    x = np.rint(255 * numbers(5, 40, 200)).astype(np.float64)
    plain = codec.head()(x)
    assert (plain == np.rint(plain)).all()
    first, second, *rest = codec.encoder
    order, inner = np.argsort(numbers(6, 200)), np.argsort(numbers(7, 50))
    moved = first._replace(weight=first.weight[order][:, inner], bias=first.bias[inner])
    others = [moved, second._replace(weight=second.weight[inner]), *rest]
    shuffled = Exact("encoder", others, 255, 0)
    np.testing.assert_array_equal(shuffled(x[:, order]), plain)
    np.testing.assert_array_equal(np.concatenate([codec.head()(x[i : i + 1]) for i in range(40)]), plain)
    mu, _ = model.encode((x / 255).astype(np.float32))
    np.testing.assert_allclose(plain[:, :5] / ONE, mu, atol=0.02 * np.abs(mu).max())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_those_of_the_model(name):
    a = np.concatenate([np.arange(-20 * ONE, 20 * ONE, 7.0), [-(2.0**22), 2.0**22, 0.0, -0.0]])
    layer = mv.Dense(1, 1, name, dtype="float64")
    layer.parameters["weight"][...], layer.parameters["bias"][...] = 1, 0
    expected = layer.forward(a[:, None] / ONE)[:, 0]
    assert np.abs(activate(name, a.copy()) / ONE - expected).max() <= 0.501 / ONE


def test_models_that_have_no_lossless_rate_are_refused():
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"likelihood: got 'gaussian', .*have no lossless rate"):
        mv.compress(mv.VAE(3, 2, (), likelihood="gaussian"), x)
    model = mv.VAE(3, 2, (4,))
    weight = model.parameters["encoder.0.weight"]
    for value, words in ((np.nan, "NaN or infinity"), (1e15, r"sums that may reach .*2\^53")):
        weight[0, 0] = value
        with pytest.raises(ValueError, match=f"encoder, layer 0.*{words}"):
            mv.compress(model, x)

    class Twice:
        def forward(self, x):
            return 2 * x

        def backward(self, dy):
            return 2 * dy

    with pytest.raises(ValueError, match="encoder, layer 0: got 'Twice', expected a Dense"):
        mv.compress(mv.VAE(3, 2, encoder=[Twice()], backend="numpy"), x)
    with pytest.raises(ValueError, match=r"x: got 'values such as 0\.5'"):
        mv.compress(mv.VAE(3, 2, ()), np.full((2, 3), 0.5, np.float32))
    with pytest.raises(ValueError, match="uint8 of 0 and 1 only"):
        mv.compress(mv.VAE(3, 2, ()), np.eye(3, dtype=np.uint8))
    mine = type("Mine", (mv.Logistic,), {"of_bytes": False})
    with pytest.raises(ValueError, match="likelihood: got 'Mine', expected one of"):
        mv.compress(mv.VAE(3, 2, (), likelihood=mine(), backend="numpy"), x)
    model = mv.VAE(3, 2, (4,), backend="numpy")
    data, layer = mv.compress(model, x), model.decoder.layers[0]
    layer.forward = lambda x, forward=layer.forward: 2 * forward(x)
    with pytest.raises(ValueError, match="decoder, layer 0: got 'another forward', expected that of Dense"):
        mv.compress(model, x)
    for call in (lambda: mv.compress("run", x), lambda: mv.decompress("run", data)):
        with pytest.raises(ValueError, match="model: got 'run', expected a VAE"):
            call()
    for name, value in (("samples", 0), ("weight_bits", 7), ("weight_bits", 17), ("block", 0), ("samples", 10_000)):
        with pytest.raises(ValueError, match=name):
            mv.compress(mv.VAE(3, 2, ()), x, **{name: value})
