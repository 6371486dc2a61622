"""Bugs in how the model wires its layers."""

from unittest.mock import patch

import numpy as np

from minivae import VAE
from minivae.vae import Terms

from .registry import part


def _halves(self, name):
    head = self.gradients[name]
    return head[..., : self.latent], head[..., self.latent :]


@part("VAE")
class BetaForgottenInBackward(VAE):
    """beta weighs the KL in the loss and not in the gradient."""

    def pass_down(self, x, noise):
        result = super().pass_down(x, noise)
        self._kl_weight = self._weight(x.shape[0], 1.0 / x.shape[0])
        return result


@part("VAE")
class NoKLGradient(VAE):
    """The KL is in the loss and sends no gradient. Seen: loss='mse' alone, sigma-vae."""

    def pass_down(self, x, noise):
        result = super().pass_down(x, noise)
        self._kl_weight = self._weight(x.shape[0], 0.0)
        return result


@part("VAE")
class LossSummed(VAE):
    """The loss is the sum over the batch, the gradient that of the mean. Seen: pytorch/examples 296."""

    def forward(self, x, noise=None):
        return Terms(*(len(x) * value for value in super().forward(x, noise)))


@part("VAE")
class PixelsAveraged(VAE):
    """nll is a mean over pixels and the KL a sum, consistently: beta is 784 on MNIST. Seen: pytorch/examples 652,
    WorldModels 12."""

    def forward(self, x, noise=None):
        terms = super().forward(x, noise)
        nll = terms.nll / self.features
        return Terms(nll + self.beta * terms.kl, nll, terms.kl)

    def pass_down(self, x, noise):
        result = super().pass_down(x, noise)
        weight = self._weight(noise.shape[0], 1.0 / (noise.shape[0] * self.features))
        self.likelihood.forward(x, self.decoder.layers[-1].y, weight)
        return result


@part("VAE")
class DecoderUpdatedFirst(VAE):
    """The decoder is updated before the gradient has passed it. Seen: amaurydelille/variational-auto-encoder."""

    def pass_up(self):
        super().pass_up()
        for layer in self.decoder.layers:
            layer.parameters["weight"] -= 1e-3 * layer.gradients["weight"]
        super().pass_up()


@part("VAE")
class HeadGradientExchanged(VAE):
    """The halves of the posterior head are exchanged in its bias gradient."""

    def pass_up(self):
        super().pass_up()
        mu, rho = _halves(self, "posterior.bias")
        mu[...], rho[...] = rho.copy(), mu.copy()


@part("VAE")
class FirstLayerForgotten(VAE):
    """The first encoder layer gets no gradient: the loop over layers ends one too early."""

    def pass_up(self):
        super().pass_up()
        for name in ("weight", "bias"):
            self.encoder.layers[0].gradients[name][...] = 0


@part("VAE")
class OwnNoiseInForward(VAE):
    """forward draws noise even when it is given some."""

    def forward(self, x, noise=None):
        return super().forward(x, None)


@part("VAE")
class NoNoiseWithoutArgument(VAE):
    """forward without noise takes z = mu. Seen: pytorch/examples 419, 592."""

    def forward(self, x, noise=None):
        return super().forward(x, np.zeros((len(x), self.latent), self.dtype) if noise is None else noise)


@part("VAE")
class SameNoiseEveryStep(VAE):
    """The counter of the noise never moves: every step draws the same."""

    def forward(self, x, noise=None):
        self._draws[...] = 0
        return super().forward(x, noise)


@part("VAE")
class StaleWeights(VAE):
    """The weights 1 / rows are made once and kept when the batch changes its size."""

    def _weight(self, rows, value):
        return super()._weight(rows, self.__dict__.setdefault("kept", value))


@part("VAE")
class StaleData(VAE):
    """The loss is held against the rows of the batch before, where they are as many."""

    def pass_down(self, x, noise):
        last, self.last = getattr(self, "last", x), x.copy()
        result = super().pass_down(x, noise)
        if last.shape == x.shape:
            nll = self.likelihood.forward(last, self.decoder.layers[-1].y, self._weight(len(noise), 1 / len(noise)))
            return nll, result[1]
        return result


@part("VAE")
class NothingThroughRho(VAE):
    """The sample sends no gradient to rho: sigma is taken for a constant."""

    def pass_up(self):
        backward = self.sampler.backward

        def cut(dz, dmu, drho):
            backward(dz, dmu, drho)
            drho[...] = 0
            return dmu, drho

        with patch.object(self.sampler, "backward", cut):
            super().pass_up()


@part("VAE")
class KLPerRowOfSamples(VAE):
    """The KL's gradient is divided by n * samples, its value by n."""

    def pass_down(self, x, noise):
        result = super().pass_down(x, noise)
        self._kl_weight = self._weight(x.shape[0], self.beta / noise.shape[0])
        return result


@part("VAE")
class KLDividedByLatents(VAE):
    """The KL is a mean over latents, in loss and gradient."""

    def forward(self, x, noise=None):
        terms = super().forward(x, noise)
        kl = terms.kl / self.latent
        return Terms(terms.nll + self.beta * kl, terms.nll, kl)

    def pass_down(self, x, noise):
        result = super().pass_down(x, noise)
        self._kl_weight = self._weight(x.shape[0], self.beta / x.shape[0] / self.latent)
        return result


@part("VAE")
class FreeBitsInTheLossAlone(VAE):
    """Free bits hold up the loss, and the gradient is that of the whole KL."""

    def pass_up(self):
        self.kl.active = None
        super().pass_up()


@part("VAE")
class LossScaled(VAE):
    """Gradients are left multiplied by a loss scale of 1024."""

    def pass_up(self):
        super().pass_up()
        for gradient in self.gradients.values():
            gradient *= 1024


@part("VAE")
class GradientsAdded(VAE):
    """backward adds to the gradients, and nobody sets them to zero."""

    def pass_up(self):
        old = {name: gradient.copy() for name, gradient in self.gradients.items()}
        super().pass_up()
        for name, gradient in self.gradients.items():
            gradient += old[name]


@part("VAE")
class MaximisesTheLoss(VAE):
    """The gradients are those of the ELBO, not of its negative. Seen: pytorch/examples 824, wiseodd 43."""

    def pass_up(self):
        super().pass_up()
        for gradient in self.gradients.values():
            gradient *= -1


@part("VAE")
class SmallBatchKeepsRows(VAE):
    """The loss of a smaller batch still counts rows of the larger one before."""

    def forward(self, x, noise=None):
        terms = super().forward(x, noise)
        self.most = max(getattr(self, "most", 0), len(x))
        return Terms(*(value * self.most / len(x) for value in terms))


@part("VAE")
class EncodeGivesVariance(VAE):
    """encode returns the variance where the standard deviation is meant."""

    def encode(self, x):
        mu, sigma = super().encode(x)
        return mu, sigma**2


@part("VAE")
class ElboWithoutNoise(VAE):
    """elbo takes z = mu: too good a number. Seen: pytorch/examples 419."""

    def elbo(self, x, seed=0):
        rows = np.asarray(x, self.dtype)
        nll, kl = self.pass_down(rows, np.zeros((len(rows), self.latent), self.dtype))
        return -(nll + kl.sum(axis=1))


@part("VAE")
class ElboWithOneNoise(VAE):
    """elbo uses one noise whatever the seed."""

    def elbo(self, x, seed=0):
        return super().elbo(x, 0)


@part("VAE")
class ElboOverFeatures(VAE):
    """elbo is divided by the number of features. Seen: HIPS/autograd example prints the ELBO / 784."""

    def elbo(self, x, seed=0):
        return super().elbo(x, seed) / self.features
