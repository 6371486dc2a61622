"""Mistakes in the pieces: dense layer, softplus head, reparameterization, KL and likelihood."""

import numpy as np

from .mistakes import mistake

# dense


@mistake("dense_backward", "the slope of tanh is left out")
def dense_no_slope(dy, x, weight, bias):
    return dy @ weight.T, x.T @ dy, dy.sum(axis=0)


@mistake("dense_backward", "the slope of tanh, 1 - y^2, lacks the square")
def dense_no_square(dy, x, weight, bias):
    y = np.tanh(x @ weight + bias)
    da = dy * (1 - y)
    return da @ weight.T, x.T @ da, da.sum(axis=0)


@mistake("dense_backward", "tanh is applied to y, which is a tanh already")
def dense_tanh_twice(dy, x, weight, bias):
    y = np.tanh(x @ weight + bias)
    da = dy * (1 - np.tanh(y) ** 2)
    return da @ weight.T, x.T @ da, da.sum(axis=0)


@mistake("dense_backward", "the slope is that of another activation, the sigmoid")
def dense_sigmoid(dy, x, weight, bias):
    y = np.tanh(x @ weight + bias)
    da = dy * y * (1 - y)
    return da @ weight.T, x.T @ da, da.sum(axis=0)


@mistake("dense_backward", "the slope is that of another activation, the relu")
def dense_relu(dy, x, weight, bias):
    da = dy * (x @ weight + bias > 0)
    return da @ weight.T, x.T @ da, da.sum(axis=0)


@mistake("dense_backward", "the bias is left out where the slope is taken")
def dense_no_bias(dy, x, weight, bias):
    da = dy * (1 - np.tanh(x @ weight) ** 2)
    return da @ weight.T, x.T @ da, da.sum(axis=0)


@mistake("dense_backward", "dy goes on to it without the slope of tanh")
def dense_dx_without_slope(dy, x, weight, bias):
    da = dy * (1 - np.tanh(x @ weight + bias) ** 2)
    return dy @ weight.T, x.T @ da, da.sum(axis=0)


@mistake("dense_backward", "the slope of tanh is left out on the way to the bias")
def dense_dbias_without_slope(dy, x, weight, bias):
    da = dy * (1 - np.tanh(x @ weight + bias) ** 2)
    return da @ weight.T, x.T @ da, dy.sum(axis=0)


@mistake("dense_backward", "it is averaged over the examples instead of summed")
def dense_dbias_mean(dy, x, weight, bias):
    da = dy * (1 - np.tanh(x @ weight + bias) ** 2)
    return da @ weight.T, x.T @ da, da.mean(axis=0)


# softplus


@mistake("softplus_backward", "the slope of softplus is left out")
def softplus_no_slope(dsigma, rho):
    return dsigma.copy()


@mistake("softplus_backward", "the slope is that of exp")
def softplus_exp(dsigma, rho):
    return dsigma * np.exp(rho)


@mistake("softplus_backward", "sigma is taken for the slope, which it is for exp")
def softplus_sigma(dsigma, rho):
    sigma = np.log1p(np.exp(-np.abs(rho))) + np.maximum(rho, 0)
    return dsigma * sigma


@mistake("softplus_backward", "the slope is taken at sigma instead of at rho")
def softplus_at_sigma(dsigma, rho):
    sigma = np.log1p(np.exp(-np.abs(rho))) + np.maximum(rho, 0)
    return dsigma / (1 + np.exp(-sigma))


@mistake("softplus_backward", "the slope is taken at -rho: a sign in the exponent")
def softplus_minus_rho(dsigma, rho):
    return dsigma / (1 + np.exp(rho))


@mistake("softplus_backward", "softplus is differentiated twice")
def softplus_twice(dsigma, rho):
    slope = 1 / (1 + np.exp(-rho))
    return dsigma * slope * (1 - slope)


@mistake("softplus_backward", "dsigma is divided by the slope instead of multiplied")
def softplus_divided(dsigma, rho):
    return dsigma * (1 + np.exp(-rho))


# reparameterize


@mistake("reparameterize_backward", "the noise is drawn anew in backward")
def reparameterize_fresh(dz, mu, sigma, noise):
    fresh = np.random.default_rng().standard_normal(noise.shape)
    return dz.sum(axis=1), (dz * fresh).sum(axis=1)


@mistake("reparameterize_backward", "the noise is left out")
def reparameterize_no_noise(dz, mu, sigma, noise):
    return dz.sum(axis=1), dz.sum(axis=1)


@mistake("reparameterize_backward", "it is averaged over the draws instead of summed")
def reparameterize_mean(dz, mu, sigma, noise):
    return dz.mean(axis=1), (dz * noise).mean(axis=1)


@mistake("reparameterize_backward", "z stands in the place of the noise")
def reparameterize_z(dz, mu, sigma, noise):
    z = mu[:, None] + sigma[:, None] * noise
    return dz.sum(axis=1), (dz * z).sum(axis=1)


@mistake("reparameterize_backward", "it is the gradient with respect to log sigma, a factor sigma too much")
def reparameterize_log_sigma(dz, mu, sigma, noise):
    return dz.sum(axis=1), (dz * noise).sum(axis=1) * sigma


@mistake("reparameterize_backward", "it is the gradient with respect to the variance, sigma^2")
def reparameterize_by_variance(dz, mu, sigma, noise):
    return dz.sum(axis=1), (dz * noise).sum(axis=1) / (2 * sigma)


@mistake("reparameterize_backward", "only the first of the draws is used")
def reparameterize_first(dz, mu, sigma, noise):
    return dz[:, 0], dz[:, 0] * noise[:, 0]


@mistake("reparameterize_backward", "the two are exchanged")
def reparameterize_exchanged(dz, mu, sigma, noise):
    return (dz * noise).sum(axis=1), dz.sum(axis=1)


@mistake("reparameterize_backward", "the noise of the examples is in another order than in forward")
def reparameterize_order(dz, mu, sigma, noise):
    return dz.sum(axis=1), (dz * noise[::-1]).sum(axis=1)


@mistake("reparameterize_backward", "the noise is squared")
def reparameterize_noise_squared(dz, mu, sigma, noise):
    return dz.sum(axis=1), (dz * noise**2).sum(axis=1)


@mistake("reparameterize_backward", "dz and the noise are summed over the draws before they are multiplied")
def reparameterize_sums(dz, mu, sigma, noise):
    return dz.sum(axis=1), dz.sum(axis=1) * noise.sum(axis=1)


def _variance(mu, sigma, noise):
    return mu[:, None] + sigma[:, None] ** 2 * noise


@mistake("reparameterize_backward", "sigma is taken for the variance: z = mu + sigma^2 noise", _variance)
def reparameterize_square(dz, mu, sigma, noise):
    return dz.sum(axis=1), 2 * sigma * (dz * noise).sum(axis=1)


def _one_noise(mu, sigma, noise):
    return mu[:, None] + sigma[:, None] * noise[:1]


@mistake("reparameterize_backward", "all examples share the noise of the first", _one_noise)
def reparameterize_one_noise(dz, mu, sigma, noise):
    return dz.sum(axis=1), (dz * noise[:1]).sum(axis=1)


# gaussian_kl


@mistake("gaussian_kl_backward", "the term -log sigma is left out")
def kl_no_log(dkl, mu, sigma):
    return dkl[:, None] * mu, dkl[:, None] * sigma


@mistake("gaussian_kl_backward", "it is the gradient with respect to log sigma, a factor sigma too much")
def kl_log_sigma(dkl, mu, sigma):
    return dkl[:, None] * mu, dkl[:, None] * (sigma**2 - 1)


@mistake("gaussian_kl_backward", "it is the gradient with respect to the variance, sigma^2")
def kl_by_variance(dkl, mu, sigma):
    return dkl[:, None] * mu, dkl[:, None] * (1 - 1 / sigma**2) / 2


@mistake("gaussian_kl_backward", "the half in front of mu^2 + sigma^2 is forgotten")
def kl_no_half(dkl, mu, sigma):
    return dkl[:, None] * 2 * mu, dkl[:, None] * (2 * sigma - 1 / sigma)


@mistake("gaussian_kl_backward", "the term -log sigma has the wrong sign")
def kl_plus(dkl, mu, sigma):
    return dkl[:, None] * mu, dkl[:, None] * (sigma + 1 / sigma)


@mistake("gaussian_kl_backward", "log sigma is differentiated to 1 / sigma^2")
def kl_square(dkl, mu, sigma):
    return dkl[:, None] * mu, dkl[:, None] * (sigma - 1 / sigma**2)


@mistake("gaussian_kl_backward", "the sign is turned: the gradient of minus the KL")
def kl_sign(dkl, mu, sigma):
    return -dkl[:, None] * mu, dkl[:, None] * (1 / sigma - sigma)


@mistake("gaussian_kl_backward", "dkl is left out, or taken for 1")
def kl_no_dy(dkl, mu, sigma):
    return mu.copy(), sigma - 1 / sigma


@mistake("gaussian_kl_backward", "it is divided by the number of examples, which dkl has done where it is wanted")
def kl_mean(dkl, mu, sigma):
    each = dkl[:, None] / len(mu)
    return each * mu, each * (sigma - 1 / sigma)


@mistake("gaussian_kl_backward", "log sigma is differentiated to 1")
def kl_one(dkl, mu, sigma):
    return dkl[:, None] * mu, dkl[:, None] * (sigma - 1)


@mistake("gaussian_kl_backward", "log sigma is not differentiated")
def kl_log(dkl, mu, sigma):
    return dkl[:, None] * mu, dkl[:, None] * (sigma - np.log(sigma))


@mistake("gaussian_kl_backward", "the term sigma^2 / 2 is left out")
def kl_no_variance(dkl, mu, sigma):
    return dkl[:, None] * mu, -dkl[:, None] / sigma


def _variance_kl(mu, sigma):
    return np.sum((mu**2 + sigma - 1 - np.log(sigma)) / 2, axis=1)


@mistake("gaussian_kl_backward", "sigma is taken for the variance: the KL of N(mu, sigma)", _variance_kl)
def kl_of_variance(dkl, mu, sigma):
    return dkl[:, None] * mu, dkl[:, None] * (1 - 1 / sigma) / 2


# bernoulli_nll


@mistake("bernoulli_nll_backward", "the sign is turned: the gradient of log p(x), not of -log p(x)")
def nll_sign(dnll, logits, x):
    return dnll[:, :, None] * (x[:, None] - 1 / (1 + np.exp(-logits)))


@mistake("bernoulli_nll_backward", "the logit stands in the place of the probability: the sigmoid is left out")
def nll_no_sigmoid(dnll, logits, x):
    return dnll[:, :, None] * (logits - x[:, None])


@mistake("bernoulli_nll_backward", "the slope of the sigmoid is multiplied on once more")
def nll_slope(dnll, logits, x):
    p = 1 / (1 + np.exp(-logits))
    return dnll[:, :, None] * (p - x[:, None]) * p * (1 - p)


@mistake("bernoulli_nll_backward", "it is the gradient with respect to the probability, not to the logit")
def nll_by_probability(dnll, logits, x):
    p = 1 / (1 + np.exp(-logits))
    return dnll[:, :, None] * (p - x[:, None]) / (p * (1 - p))


@mistake("bernoulli_nll_backward", "it is averaged over the features instead of summed")
def nll_mean(dnll, logits, x):
    return dnll[:, :, None] * (1 / (1 + np.exp(-logits)) - x[:, None]) / x.shape[1]


@mistake("bernoulli_nll_backward", "the data x are left out")
def nll_no_data(dnll, logits, x):
    return dnll[:, :, None] / (1 + np.exp(-logits))


@mistake("bernoulli_nll_backward", "a sign in the exponent of the sigmoid is wrong")
def nll_minus_logits(dnll, logits, x):
    return dnll[:, :, None] * (1 / (1 + np.exp(logits)) - x[:, None])


@mistake("bernoulli_nll_backward", "dnll is left out, or taken for 1")
def nll_no_dy(dnll, logits, x):
    return 1 / (1 + np.exp(-logits)) - x[:, None]


@mistake("bernoulli_nll_backward", "tanh stands in the place of the sigmoid")
def nll_tanh(dnll, logits, x):
    return dnll[:, :, None] * (np.tanh(logits) - x[:, None])


@mistake("bernoulli_nll_backward", "softplus is not differentiated")
def nll_softplus(dnll, logits, x):
    return dnll[:, :, None] * (np.log1p(np.exp(-np.abs(logits))) + np.maximum(logits, 0) - x[:, None])


@mistake("bernoulli_nll_backward", "p - x is squared")
def nll_square(dnll, logits, x):
    return dnll[:, :, None] * (1 / (1 + np.exp(-logits)) - x[:, None]) ** 2
