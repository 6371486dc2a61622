"""Bugs in the reparameterization layer. Those marked consistent have a backward that is the derivative of forward."""

import numpy as np

from minivae import Reparameterize

from .registry import after, before, by_sample, instead, over_samples, part, sigmoid, slope, softplus


class Altered(Reparameterize):
    """z = mu + spread(sigma) * shape(noise) with the derivative of exactly that; spread -> value, derivative."""

    def spread(self, sigma):
        return sigma, np.ones_like(sigma)

    def shape(self, noise):
        return noise

    def forward(self, mu, rho, noise):
        super().forward(mu, rho, noise)
        spread = by_sample(self.spread(self.sigma)[0], len(noise))
        self.z[...] = by_sample(mu, len(noise)) + spread * self.shape(noise)
        return self.z

    def backward(self, dz, dmu=None, drho=None):
        dmu, drho = super().backward(dz, dmu, drho)
        drho[...] = over_samples(dz * self.shape(self.noise), len(dmu)) * self.spread(self.sigma)[1] * slope(self)
        return dmu, drho


@part("Reparameterize")
class VarianceAsStandardDeviation(Altered):
    """Samples with the variance as the standard deviation, consistently; the KL means sigma. Seen: ddbourgin/numpy-ml
    vae.py:303, keras 9970, ibp_vae 3."""

    def spread(self, sigma):
        return sigma**2, 2 * sigma


@part("Reparameterize")
class HalfTheLogarithm(Altered):
    """Samples as if rho were a log variance, consistently; the KL takes it for log sigma. Seen: ctallec/world-models
    13."""

    def spread(self, sigma):
        return np.sqrt(sigma), 0.5 / np.sqrt(sigma)


@part("Reparameterize")
class SoftplusThenExp(Altered):
    """Samples with exp(softplus(rho)), consistently: never narrower than the prior. Seen: RasmussenLab/vamb 12."""

    def spread(self, sigma):
        return np.exp(sigma), np.exp(sigma)


@part("Reparameterize")
class NoiseHundredth(Altered):
    """Noise with standard deviation 0.01, consistently. Seen: keras 4211."""

    def shape(self, noise):
        return (0.01 * noise).astype(noise.dtype)


@part("Reparameterize")
class SigmaFudged(Altered):
    """sigma + 0.05 in the sample and not in the KL, consistently."""

    def spread(self, sigma):
        return sigma + sigma.dtype.type(0.05), np.ones_like(sigma)


@part("Reparameterize")
class NoiseSharedByBatch(Altered):
    """One draw for all examples, consistently: the noise has the wrong shape and broadcasts. Seen: ericjang/draw 2."""

    def shape(self, noise):
        return np.broadcast_to(noise[:1], noise.shape)


@part("Reparameterize")
class NoiseSharedByLatents(Altered):
    """One draw for all latents of an example, consistently."""

    def shape(self, noise):
        return np.broadcast_to(noise[:, :1], noise.shape)


@part("Reparameterize")
class NoiseTruncated(Altered):
    """Noise clipped to +-1.5, consistently."""

    def shape(self, noise):
        return np.clip(noise, -1.5, 1.5)


@part("Reparameterize")
class NoisePositive(Altered):
    """The absolute value of the noise, consistently."""

    def shape(self, noise):
        return np.abs(noise)


@part("Reparameterize")
class NoiseUniform(Altered):
    """Uniform noise of variance 1, consistently: mean and variance are right, the shape is not."""

    def shape(self, noise):
        return (2 * np.sqrt(3) * (sigmoid(1.702 * noise) - 0.5)).astype(noise.dtype)


@part("Reparameterize")
class NoiseAntithetic(Altered):
    """Every second example gets the negative noise of the one before, consistently."""

    def shape(self, noise):
        noise = noise.copy()
        noise[1::2] = -noise[: len(noise) // 2 * 2 : 2]
        return noise


@part("Reparameterize")
class NoSampling(Altered):
    """z = mu: the noise is left out, consistently. Seen: pytorch/examples 419, at test time."""

    def shape(self, noise):
        return np.zeros_like(noise)


@part("Reparameterize")
class SignOfNoiseOnly(Altered):
    """z = mu +- sigma, consistently: two points with the right mean and variance."""

    def shape(self, noise):
        return np.sign(noise)


@part("Reparameterize")
class SameNoiseAlways(Altered):
    """The noise of the first call is used for ever, consistently."""

    def shape(self, noise):
        kept = self.__dict__.setdefault("kept", {})
        return kept.setdefault(noise.shape, noise.copy())


@part("Reparameterize")
class FreshNoiseInBackward(Reparameterize):
    """backward draws its own noise. Seen: kwj2104/Simple-Variational-Autoencoder vae.py:163."""

    def backward(self, dz, dmu=None, drho=None):
        rng = self.__dict__.setdefault("rng", np.random.default_rng(0))
        self.noise = rng.standard_normal(self.noise.shape).astype(self.noise.dtype)
        return super().backward(dz, dmu, drho)


@part("Reparameterize")
class AnotherDrawSaved(Reparameterize):
    """forward saves a second draw, made once, and backward uses that. Seen: kwj2104, vae.py:111-112 draws twice."""

    def forward(self, mu, rho, noise):
        z = super().forward(mu, rho, noise)
        self.noise = np.random.default_rng(1).standard_normal(noise.shape).astype(noise.dtype)
        return z


@part("Reparameterize")
class NoiseDrawnInside(Reparameterize):
    """forward ignores the noise it is given and draws."""

    def forward(self, mu, rho, noise):
        rng = self.__dict__.setdefault("rng", np.random.default_rng(0))
        return super().forward(mu, rho, rng.standard_normal(noise.shape).astype(noise.dtype))


@part("Reparameterize")
class NoiseOfNeighbour(Reparameterize):
    """backward uses the noise of the row before: an index off by one."""

    def backward(self, dz, dmu=None, drho=None):
        self.noise = np.roll(self.noise, 1, axis=0)
        return super().backward(dz, dmu, drho)


@after("reparameterize_backward")
def scale_gradient_negative(a):
    """drho has the wrong sign."""
    a.drho *= -1


@after("reparameterize_backward")
def noise_forgotten(a):
    """drho leaves out the noise: the derivative of the mean."""
    a.drho[...] = over_samples(a.dz, len(a.rho)) * slope(a)


@after("reparameterize_backward")
def scale_slope_forgotten(a):
    """drho = dsigma: the step from sigma to rho is left out."""
    a.drho[...] = over_samples(a.dz * a.noise, len(a.rho))


@before("reparameterize_backward")
def slope_at_sigma(a):
    """softplus' is taken at sigma instead of rho."""
    if a.scale == "softplus":
        a.rho = a.sigma


@before("reparameterize_backward")
def slope_of_the_other_scale(a):
    """The derivative of exp for softplus."""
    if a.scale == "softplus":
        a.scale = "exp"


@after("reparameterize_backward")
def half_of_the_logarithm(a):
    """drho is halved, as for a log variance."""
    a.drho *= 0.5


@before("reparameterize_backward")
def sigma_noise_for_noise(a):
    """drho takes sigma * noise, the whole deviation, for the noise."""
    a.noise = a.noise * by_sample(a.sigma, len(a.noise))


@after("reparameterize_backward")
def last_sample_only(a):
    """Only the last sample of each example sends a gradient: assigned in the loop, not added."""
    n = len(a.rho)
    dz, noise = (v.reshape(n, -1, v.shape[1])[:, -1] for v in (a.dz, a.noise))
    a.dmu[...], a.drho[...] = dz, dz * noise * slope(a)


@after("reparameterize_backward")
def averaged_over_samples(a):
    """The gradient is averaged over samples, which the loss has done already."""
    a.dmu /= len(a.noise) // len(a.rho)
    a.drho /= len(a.noise) // len(a.rho)


@after("reparameterize_backward")
def mean_and_scale_exchanged(a):
    """dmu and drho are exchanged."""
    a.dmu[...], a.drho[...] = a.drho.copy(), a.dmu.copy()


@after("reparameterize_backward")
def sampler_cuts_scale(a):
    """No gradient reaches rho through the sample."""
    a.drho[...] = 0


@instead("reparameterize_forward")
def samples_in_other_order(a):
    """Row r is taken for example r % n instead of r // samples."""
    a.original(*a.arguments)
    times = len(a.noise) // len(a.mu)
    a.z[...] = np.tile(a.mu, (times, 1)) + np.tile(a.sigma, (times, 1)) * a.noise


@after("reparameterize_forward")
def sigma_of_mu(a):
    """sigma is made from mu: the halves of the head are exchanged."""
    sigma = np.exp(a.mu) if a.scale == "exp" else softplus(a.mu)
    a.z[...] = by_sample(a.mu, len(a.z)) + by_sample(sigma, len(a.z)) * a.noise
