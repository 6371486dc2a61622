"""Bugs in the KL term and the likelihoods."""

import math

import numpy as np

from minivae import BetaBinomial, Gaussian, GaussianKL

from .registry import after, before, by_sample, instead, part, sigmoid, slope, softplus


def _rows(a, values):
    """Rows of x for each row of the outputs."""
    return by_sample(a.x, len(values))


@after("gaussian_kl_backward")
def kl_mean_gradient_negative(a):
    """dKL/dmu has the wrong sign. Seen: "Simple VAE NumPy only"."""
    a.dmu -= 2 * a.weight[:, None] * a.mu


@before("gaussian_kl_backward")
def kl_weight_of_first_example(a):
    """Every example gets the weight of the first."""
    a.weight = np.full_like(a.weight, a.weight[0])


@instead("gaussian_kl_backward")
def kl_overwrites(a):
    """The KL's gradient is assigned, and that of the sampler lost."""
    a.dmu[...], a.drho[...] = 0, 0
    a.original(*a.arguments)


@instead("gaussian_kl_backward")
def kl_slope_forgotten(a):
    """drho gets dKL/dsigma without dsigma/drho."""
    a.dmu += a.weight[:, None] * a.mu
    a.drho += a.weight[:, None] * (a.sigma - 1 / a.sigma)


@instead("gaussian_kl_backward")
def kl_without_inverse(a):
    """The gradient of log sigma is left out."""
    old = a.drho.copy()
    a.original(*a.arguments)
    a.drho[...] = old + a.weight[:, None] * a.sigma * slope(a)


@after("gaussian_kl_backward")
def kl_gradient_doubled(a):
    """The KL's gradient with respect to mu lacks the half."""
    a.dmu += a.weight[:, None] * a.mu


@before("gaussian_kl_backward")
def inactive_latents_pushed(a):
    """A latent within its free bits gets the KL's gradient all the same."""
    a.active = None


@after("free_bits")
def free_bits_of_each_example(a):
    """Each example's KL is held up to the floor, not the mean over the batch."""
    rest = np.maximum(a.kl, a.floor[0]).sum(axis=1) - np.where(a.active > 0, a.kl, a.floor[0]).sum(axis=1)
    a.loss += a.beta[0] * rest


@after("free_bits")
def free_bits_left_out(a):
    """A latent within its free bits costs nothing, where it costs the floor: the loss jumps when it leaves them."""
    a.loss -= a.beta[0] * a.floor[0] * np.count_nonzero(a.active == 0)


@after("free_bits")
def free_bits_without_beta(a):
    """beta does not weigh the free bits."""
    a.loss += (1 - a.beta[0]) * np.where(a.active > 0, a.kl, a.floor[0]).sum(axis=1)


@instead("free_bits")
def free_bits_in_total(a):
    """The floor is for the sum of the latents, not for each."""
    a.floor = a.floor / a.kl.shape[1]
    a.active[...] = np.sum(np.mean(a.kl, axis=0)) > a.kl.shape[1] * a.floor
    counted = np.where(a.active > 0, a.kl, a.floor[0]).sum(axis=1)
    a.loss[...] = a.nll.reshape(len(a.kl), -1).mean(axis=1) + a.beta[0] * counted


@after("free_bits")
def active_at_the_floor(a):
    """A latent whose mean is the floor itself counts as above it."""
    a.active[a.kl.mean(axis=0) == a.floor[0]] = 1


class AlteredKL(GaussianKL):
    """Another function of mu and sigma with the derivative of exactly that: terms -> value, d/dmu, d/dsigma."""

    def forward(self, mu, rho, sigma):
        kl = super().forward(mu, rho, sigma)
        kl[...] = self.terms(mu, sigma)[0]
        return kl

    def backward(self, weight, dmu, drho):
        _, by_mu, by_sigma = self.terms(self.mu, self.sigma)
        dmu += weight[:, None] * by_mu
        drho += weight[:, None] * by_sigma * slope(self)
        return dmu, drho


@part("GaussianKL")
class KLWithoutHalf(AlteredKL):
    """Twice the KL, consistently. Seen: MSE without 1/2 and its kin, SupaeroDataScience/deep-learning 6."""

    def terms(self, mu, sigma):
        return mu**2 + sigma**2 - 1 - 2 * np.log(sigma), 2 * mu, 2 * (sigma - 1 / sigma)


@part("GaussianKL")
class KLReversed(AlteredKL):
    """KL(p || q) for KL(q || p), consistently."""

    def terms(self, mu, sigma):
        value = np.log(sigma) + (1 + mu**2) / (2 * sigma**2) - 0.5
        return value, mu / sigma**2, 1 / sigma - (1 + mu**2) / sigma**3


@part("GaussianKL")
class KLOfVariance(AlteredKL):
    """sigma taken for a variance, consistently; the sampler means a standard deviation. Seen: numpy-ml losses.py."""

    def terms(self, mu, sigma):
        return 0.5 * (mu**2 + sigma - 1 - np.log(sigma)), mu, 0.5 * (1 - 1 / sigma)


@part("GaussianKL")
class KLNegative(AlteredKL):
    """-KL, consistently. Seen: AntixK/PyTorch-VAE 68, pytorch/examples 824."""

    def terms(self, mu, sigma):
        return -0.5 * (mu**2 + sigma**2 - 1 - 2 * np.log(sigma)), -mu, 1 / sigma - sigma


@part("GaussianKL")
class KLWithoutConstant(AlteredKL):
    """The -1/2 per latent is left out, consistently: a KL that is never zero."""

    def terms(self, mu, sigma):
        return 0.5 * (mu**2 + sigma**2) - np.log(sigma), mu, sigma - 1 / sigma


@after("gaussian_kl_forward")
def kl_mean_over_latents(a):
    """The KL is divided by the number of latents, in forward only."""
    a.kl /= a.kl.shape[1]


@after("gaussian_kl_forward")
def kl_clamped(a):
    """KL below 0.3 nats is raised to 0.3, in forward only: free bits without their gradient."""
    np.maximum(a.kl, 0.3, out=a.kl)


@instead("bernoulli_nll")
def probabilities_clipped(a):
    """nll from probabilities clipped to [0.05, 0.95], the gradient from the logits. Seen: kwj2104, utils 12."""
    a.original(*a.arguments)
    if a.nll is not None:
        p, x = np.clip(sigmoid(a.logits), 0.05, 0.95), _rows(a, a.logits)
        a.nll[...] = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)


@after("bernoulli_nll")
def nll_mean_over_pixels(a):
    """Mean over features for the sum, in value and gradient. Seen: pytorch/examples 234, 652, sigma-vae-tensorflow
    2."""
    for result in (a.nll, a.dlogits):
        if result is not None:
            result /= a.x.shape[1]


@after("bernoulli_nll")
def nll_gradient_negative(a):
    """dlogits = x - p."""
    if a.dlogits is not None:
        a.dlogits *= -1


@after("bernoulli_nll")
def sigmoid_slope_twice(a):
    """dlogits is multiplied by p (1 - p) as if p came in and not the logits."""
    if a.dlogits is not None:
        a.dlogits *= sigmoid(a.logits) * (1 - sigmoid(a.logits))


@before("bernoulli_nll")
def nll_weight_ignored(a):
    """Every row has weight 1."""
    if a.weight is not None:
        a.weight = np.ones_like(a.weight)


@before("bernoulli_nll")
def tanh_for_sigmoid(a):
    """p = (1 + tanh(l)) / 2, the sigmoid of 2 l, in value and gradient."""
    a.logits = 2 * a.logits


@after("bernoulli_nll")
def last_feature_left_out(a):
    """The sum over features leaves out the last."""
    if a.nll is not None:
        x, last = _rows(a, a.logits)[:, -1], a.logits[:, -1]
        a.nll -= softplus(last) - x * last


@instead("bernoulli_nll")
def softplus_overflows(a):
    """log(1 + exp(l)) as it stands: infinite for large logits. Seen: LLNL/lbann 229."""
    a.original(*a.arguments)
    if a.nll is not None:
        with np.errstate(over="ignore"):
            a.nll[...] = (np.log(1 + np.exp(a.logits)) - _rows(a, a.logits) * a.logits).sum(axis=1)


@before("bernoulli_nll")
def data_rounded(a):
    """Grey values are rounded to 0 and 1 inside the loss."""
    a.x = np.round(a.x)


@instead("bernoulli_nll")
def rows_of_data_tiled(a):
    """Row r is held against example r % n instead of r // samples, consistently."""
    a.original(np.tile(a.x, (len(a.logits) // len(a.x), 1)), *a.arguments[1:])


@after("gaussian_nll")
def squares_without_half(a):
    """The squared error lacks its half, in the value only. Seen: SupaeroDataScience/deep-learning 6."""
    if a.nll is not None:
        a.nll += 0.5 * np.sum((a.mean - _rows(a, a.mean)) ** 2, axis=1) * np.exp(-2 * a.log_sigma[0])


@after("gaussian_nll")
def precision_of_sigma(a):
    """dmean is divided by sigma instead of sigma^2."""
    if a.dmean is not None:
        a.dmean *= np.exp(a.log_sigma[0])


@after("gaussian_nll")
def gaussian_without_constant(a):
    """log(2 pi) / 2 is left out. Seen: orybkin.github.io/sigma-vae on MSE as a likelihood."""
    if a.nll is not None:
        a.nll -= a.x.shape[1] * 0.5 * np.log(2 * np.pi)


@after("gaussian_nll")
def log_sigma_once(a):
    """log sigma is counted once for each row, not for each feature."""
    if a.nll is not None:
        a.nll -= (a.x.shape[1] - 1) * a.log_sigma[0]


@after("gaussian_nll")
def log_sigma_gradient_negative(a):
    """dlog_sigma has the wrong sign."""
    if a.dlog_sigma is not None:
        a.dlog_sigma *= -1


@after("gaussian_nll")
def log_sigma_gradient_unweighted(a):
    """dlog_sigma ignores the weights of the rows."""
    if a.dlog_sigma is not None:
        z = (a.mean - _rows(a, a.mean)) * np.exp(-a.log_sigma[0])
        a.dlog_sigma[0] = np.sum(1 - z**2)


@part("Gaussian")
class SigmaNotLearned(Gaussian):
    """The gradient of log sigma is cleared after it was made."""

    def backward(self, weight=None):
        doutput = super().backward(weight)
        for gradient in self.gradients.values():
            gradient[...] = 0
        return doutput


@after("gaussian_nll")
def log_sigma_gradient_shared(a):
    """The sigma of each feature gets the gradient of one sigma for all."""
    if a.dlog_sigma is not None:
        a.dlog_sigma[...] = a.dlog_sigma.sum()


def _bytes(a):
    """k, the first and the second outputs, each with a row for each row of the outputs."""
    return np.rint(255 * _rows(a, a.output)), *np.split(a.output, 2, axis=1)


def _halves(gradient):
    """The gradients by the first and by the second outputs, as views."""
    return np.split(gradient, 2, axis=1)


@after("beta_binomial_nll")
def ways_left_out(a):
    """The binomial coefficient is left out: what remains is no probability."""
    if a.nll is not None:
        ways = [math.log(math.comb(255, k)) for k in range(256)]
        a.nll += np.take(ways, _bytes(a)[0].astype(int)).sum(axis=1)


@after("beta_binomial_nll")
def gradient_by_alpha(a):
    """The derivative is taken with respect to alpha and beta, where the decoder puts out their logarithms."""
    if a.doutput is not None:
        a.doutput /= np.exp(a.output)


@after("beta_binomial_nll")
def successes_for_failures(a):
    """dlog beta counts the successes k in place of the failures 255 - k."""
    if a.doutput is not None:
        k, _, log_beta = _bytes(a)
        beta, i = np.exp(log_beta)[..., None], np.arange(255)
        lacking = ((i < 255 - k[..., None]) / (beta + i)).sum(-1) - ((i < k[..., None]) / (beta + i)).sum(-1)
        _halves(a.doutput)[1][...] += a.weight[:, None] * np.exp(log_beta) * lacking


@after("beta_binomial_nll")
def trials_256(a):
    """256 trials in the gradient's digamma, 255 in the value."""
    if a.doutput is not None:
        alpha, beta = np.exp(np.split(a.output, 2, axis=1))
        for gradient, own in zip(_halves(a.doutput), (alpha, beta), strict=True):
            gradient += a.weight[:, None] * own / (alpha + beta + 255)


@before("beta_binomial_nll")
def bytes_cut_off(a):
    """255 x is cut off where it should be rounded, consistently."""
    a.x = np.floor(255 * (a.x * (1 - 1e-7))) / 255


@instead("beta_binomial_nll")
def outputs_interleaved(a):
    """alpha and beta are read from neighbouring columns, consistently."""
    pairs = np.concatenate([a.output[:, ::2], a.output[:, 1::2]], axis=1)
    doutput = None if a.doutput is None else np.empty_like(pairs)
    a.original(a.x, pairs, a.weight, a.nll, doutput)
    if doutput is not None:
        a.doutput[:, ::2], a.doutput[:, 1::2] = _halves(doutput)


@part("BetaBinomial")
class AlphaAlone(BetaBinomial):
    """The gradient with respect to the second outputs is left at zero."""

    def backward(self, weight=None):
        doutput = super().backward(weight)
        _halves(doutput)[1][...] = 0
        return doutput


@after("logistic_nll")
def outer_bins_closed(a):
    """Black and white get the mass of their own bins, and what lies beyond is lost, in the value only."""
    if a.nll is not None:
        k, mean, log_scale = _bytes(a)
        scale = np.exp(log_scale) / 8
        up, low = ((k + half) / 255 / scale - (mean + 0.5) / scale for half in (0.5, -0.5))
        closed = -np.log(sigmoid(up) - sigmoid(low))
        opened = np.where(k == 0, softplus(-up), softplus(low))
        a.nll += np.where((k == 0) | (k == 255), closed - opened, 0).sum(axis=1)


@after("logistic_nll")
def gradient_by_scale(a):
    """The derivative is taken with respect to the scale, where the decoder puts out its logarithm."""
    if a.doutput is not None:
        _halves(a.doutput)[1][...] /= np.exp(_bytes(a)[2]) / 8


@after("logistic_nll")
def width_forgotten(a):
    """The gradient of the log scale forgets that the bin's width in scales changes with it."""
    if a.doutput is not None:
        k, _, log_scale = _bytes(a)
        d = 8 / (255 * np.exp(log_scale))
        _halves(a.doutput)[1][...] -= a.weight[:, None] * np.where((k > 0) & (k < 255), d / np.expm1(d), 0)


@instead("logistic_nll")
def density_for_mass(a):
    """The logistic density at the byte times the bin's width, in place of the mass of the bin, consistently."""
    k, mean, log_scale = _bytes(a)
    scale = np.exp(log_scale) / 8
    t = (k / 255 - mean - 0.5) / scale
    if a.nll is not None:
        a.nll[...] = (softplus(-t) + softplus(t) + np.log(255 * scale)).sum(axis=1)
    if a.doutput is not None:
        slope = 1 - 2 * sigmoid(t)
        by_both = np.concatenate([slope / scale, 1 + slope * t], axis=1)
        a.doutput[...] = a.weight[:, None] * by_both
