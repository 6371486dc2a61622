"""What decides about the bits of a file: a model's two networks in whole numbers, and how its outputs are read."""

import json
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..build import OWN_LIKELIHOODS
from ..errors import brief, expect
from ..kernels.naive import ACTIVATIONS, SCALES
from ..layers import Dense
from ..parameters.memory import expect_room
from ..reparam import Reparameterize
from ..vae import VAE
from .exact import BITS, Exact, Layer, fingerprint, whole_layer
from .tables import ACTIVATION_BITS, ONE

CODED = ("bernoulli", "beta_binomial", "logistic")
LONGEST = 1 << 17  # bytes of the line before a model's weights
WIDEST = 9 * ONE  # z lies within nine standard deviations of the prior


class Networks(NamedTuple):
    """encoder, decoder : lists of `Layer`. scale, likelihood : names, as `VAE` takes them."""

    encoder: list[Layer]
    decoder: list[Layer]
    scale: str
    likelihood: str

    @property
    def features(self) -> int:
        return self.encoder[0].weight.shape[0]

    @property
    def latent(self) -> int:
        return self.decoder[0].weight.shape[0]

    @property
    def of_bytes(self) -> bool:
        return self.likelihood != "bernoulli"

    def head(self) -> Exact:
        """From pixels (n, features), 0 and 1 or bytes, to mu and rho (n, 2 * latent)."""
        return Exact("encoder", self.encoder, 255 if self.of_bytes else 1, 0)

    def outputs(self) -> Exact:
        """From z (n, latent) to what the likelihood takes."""
        return Exact("decoder", self.decoder, WIDEST, ACTIVATION_BITS)

    def fingerprint(self) -> str:
        return fingerprint([*self.encoder, *self.decoder], f"{len(self.encoder)} {self.scale} {self.likelihood}\n")


def networks_of(model: Any, weight_bits: int | None = None) -> Networks:
    """The `Networks` of a `VAE`; ValueError, with the reason, for one whose data cannot be coded."""
    expect(isinstance(model, VAE), "model", model, "a VAE")
    likelihood = model.likelihood
    name = likelihood.name if type(likelihood) in OWN_LIKELIHOODS else type(likelihood).__name__
    reason = ": real numbers, which a gaussian one is of, have no lossless rate" * (name == "gaussian")
    expect(name in CODED, "likelihood", name, "one of " + ", ".join(map(repr, CODED)) + reason)
    expect(type(model.sampler) is Reparameterize, "sampler", type(model.sampler).__name__, "a Reparameterize")
    _expect_own_methods("likelihood", likelihood)
    _expect_own_methods("sampler", model.sampler)
    model.settle()
    of_bytes = name != "bernoulli"
    encoder = _layers(model, [*model.encoder.layers, model.posterior], "encoder", of_bytes, weight_bits)
    decoder = _layers(model, model.decoder.layers, "decoder", False, weight_bits)
    return Networks(encoder, decoder, model.scale, name)


def _expect_own_methods(name, part):
    """ValueError where a method of one's own has been put into an object in the place of its class's."""
    replaced = [method for method in vars(part) if callable(getattr(type(part), method, None))]
    expect(not replaced, name, f"another {', '.join(replaced)}", f"that of {type(part).__name__}")


def _layers(model, layers, name, of_bytes, weight_bits):
    found = []
    for i, layer in enumerate(layers):
        label = f"{name}, layer {i}"
        expect(type(layer) is Dense, label, type(layer).__name__, "a Dense: only its sums are known to be exact")
        _expect_own_methods(label, layer)
        weight, bias = (model.backend.to_host(layer.parameters[part]) for part in ("weight", "bias"))
        options = {"of_bytes": of_bytes and not i, "weight_bits": weight_bits}
        found.append(whole_layer(label, weight, bias, layer.activation, **options))
    return found


# Networks as bytes, for files that are decoded without their model


def pack(networks: Networks) -> bytes:
    """What `unpack` reads: a line of JSON, then weights and biases as integers, little-endian."""
    parts, plan = [], []
    for layer in (*networks.encoder, *networks.decoder):
        weight_type, bias_type = (_integers(array) for array in (layer.weight, layer.bias))
        plan.append([*layer.weight.shape, layer.activation, layer.bits, weight_type, bias_type])
        parts += [layer.weight.astype(weight_type).tobytes(), layer.bias.astype(bias_type).tobytes()]
    choices = {"encoder": len(networks.encoder), "scale": networks.scale, "likelihood": networks.likelihood}
    line = json.dumps({**choices, "layers": plan}, separators=(",", ":"))
    return b"".join([line.encode(), b"\n", *parts])


def _integers(array):
    """The narrowest integers that hold it."""
    reach = float(np.abs(array).max(initial=0))
    found = next((f"<i{size}" for size in (1, 2, 4, 8) if reach < 2.0 ** (8 * size - 1)), None)
    expect(
        found, "weight_bits", f"whole numbers up to {reach:.3g}", "a model with weights and biases of at most 64 bits"
    )
    return found


def unpack(content: bytes) -> Networks:
    """ValueError for bytes that are no networks."""
    line, _, rest = content.partition(b"\n")
    try:
        if len(line) > LONGEST:
            raise ValueError("a first line that does not end")
        choices = json.loads(line)
        layers, place = [], 0
        expect_room("data", "a model", 32 * len(rest))
        for inputs, outputs, activation, bits, *types in choices["layers"]:
            sane = all(type(number) is int and 0 < number <= len(rest) for number in (inputs, outputs))
            if not sane or activation not in ACTIVATIONS or type(bits) is not int or abs(bits) >= BITS:
                raise ValueError("a layer that cannot be")
            arrays = []
            for kind, count in zip(types, (inputs * outputs, outputs), strict=True):
                if kind not in ("<i1", "<i2", "<i4", "<i8"):
                    raise ValueError(f"integers of type {kind!r:.20}")
                if count > len(rest):
                    raise ValueError("fewer weights than its layers have")
                arrays.append(np.frombuffer(rest, kind, count, place).astype(np.float64))
                place += arrays[-1].size * np.dtype(kind).itemsize
            layers.append(Layer(arrays[0].reshape(inputs, outputs), arrays[1], activation, bits))
        split = choices["encoder"]
        if type(split) is not int or not 0 < split < len(layers):
            raise ValueError("no number of the encoder's layers")
        found = Networks(layers[:split], layers[split:], choices["scale"], choices["likelihood"])
        known = found.scale in SCALES and found.likelihood in CODED and place == len(rest)
        if not known:
            raise ValueError("settings that are not known, or bytes left over")
        chained = all(
            before.weight.shape[1] == after.weight.shape[0]
            for part in (found.encoder, found.decoder)
            for before, after in pairwise(part)
        )
        outputs = found.features * (1 + found.of_bytes)
        if not chained or found.encoder[-1].weight.shape[1] != 2 * found.latent:
            raise ValueError("layers that do not follow each other")
        if found.decoder[-1].weight.shape[1] != outputs:
            raise ValueError("a decoder of another width")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the model in the file is damaged: {brief(error)}") from error
    return found
