"""More mistakes, in what joins the pieces: the likelihood, the bounds and the score function estimator."""

import numpy as np

from .mistakes import mistake
from .sheet import softplus

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


# elbo


@mistake("elbo_backward", "the KL is forgotten")
def elbo_no_kl(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    z = mu[:, None] + softplus(rho)[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dsigma = (dz * noise).sum(axis=1)
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dz.sum(axis=1), x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the KL's gradient replaces that of the reconstruction instead of being added to it")
def elbo_overwritten(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dmu = mu / n
    dsigma = (sigma - 1 / sigma) / n
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the slope of softplus is forgotten between sigma and rho")
def elbo_no_slope(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, sigma = x @ to_mu, softplus(x @ to_rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu / n
    dsigma = (dz * noise).sum(axis=1) + (sigma - 1 / sigma) / n
    return x.T @ dmu, x.T @ dsigma, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the KL's gradient with respect to sigma misses the slope of softplus")
def elbo_kl_no_slope(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu / n
    drho = (dz * noise).sum(axis=1) / (1 + np.exp(-rho)) + (sigma - 1 / sigma) / n
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the KL is summed over the batch where the reconstruction is averaged")
def elbo_kl_sum(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu
    dsigma = (dz * noise).sum(axis=1) + sigma - 1 / sigma
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the KL is divided by the number of draws, with which it has nothing to do")
def elbo_kl_draws(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu / (n * draws)
    dsigma = (dz * noise).sum(axis=1) + (sigma - 1 / sigma) / (n * draws)
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the reconstruction is summed over the draws instead of averaged: K is forgotten")
def elbo_no_draws(to_mu, to_rho, decoder, x, noise):
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / len(x)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu / len(x)
    dsigma = (dz * noise).sum(axis=1) + (sigma - 1 / sigma) / len(x)
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the sign of the KL is turned: the bound is nll + kl, both costs")
def elbo_minus_kl(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) - mu / n
    dsigma = (dz * noise).sum(axis=1) - (sigma - 1 / sigma) / n
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the noise is drawn anew on the way back")
def elbo_fresh(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    noise = np.random.default_rng().standard_normal(z.shape)
    dmu = dz.sum(axis=1) + mu / n
    dsigma = (dz * noise).sum(axis=1) + (sigma - 1 / sigma) / n
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the noise is left out on the way from z to sigma")
def elbo_no_noise(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = (dlogits @ decoder.T).sum(axis=1)
    dmu = dz + mu / n
    drho = (dz + (sigma - 1 / sigma) / n) / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the slope is that of exp, sigma, where the head is softplus")
def elbo_exp_slope(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, sigma = x @ to_mu, softplus(x @ to_rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu / n
    dsigma = (dz * noise).sum(axis=1) + (sigma - 1 / sigma) / n
    return x.T @ dmu, x.T @ (dsigma * sigma), np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the decoder is given mu instead of the sample z")
def elbo_decoder_mu(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu / n
    dsigma = (dz * noise).sum(axis=1) + (sigma - 1 / sigma) / n
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("il,ikf->lf", mu, dlogits)


# iwae


@mistake("iwae_backward", "the sign is turned: the gradient of L_K, not of -L_K")
def iwae_sign(dloss, log_weight):
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return dloss[:, None] * weight / weight.sum(axis=1, keepdims=True)


@mistake("iwae_backward", "the weights are not normalised")
def iwae_not_normalised(dloss, log_weight):
    return -dloss[:, None] * np.exp(log_weight)


@mistake("iwae_backward", "the weights are not normalised, only divided by K")
def iwae_only_k(dloss, log_weight):
    return -dloss[:, None] * np.exp(log_weight) / log_weight.shape[1]


@mistake("iwae_backward", "the weights are divided by the largest instead of by their sum")
def iwae_by_largest(dloss, log_weight):
    return -dloss[:, None] * np.exp(log_weight - log_weight.max(axis=1, keepdims=True))


@mistake("iwae_backward", "the normalised weights are divided by K once more")
def iwae_twice_k(dloss, log_weight):
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return -dloss[:, None] * weight / weight.sum(axis=1, keepdims=True) / log_weight.shape[1]


@mistake("iwae_backward", "the weights are normalised over the examples instead of over the draws")
def iwae_axis(dloss, log_weight):
    weight = np.exp(log_weight - log_weight.max())
    return -dloss[:, None] * weight / weight.sum(axis=0)


@mistake("iwae_backward", "the weights are normalised over all examples and draws together")
def iwae_pooled(dloss, log_weight):
    weight = np.exp(log_weight - log_weight.max())
    return -dloss[:, None] * weight / weight.sum()


@mistake("iwae_backward", "every draw counts 1/K: the gradient of the ELBO")
def iwae_uniform(dloss, log_weight):
    return np.repeat(-dloss[:, None] / log_weight.shape[1], log_weight.shape[1], axis=1)


@mistake("iwae_backward", "the normalised weights are squared, as DReG has them in another place")
def iwae_squared(dloss, log_weight):
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return -dloss[:, None] * (weight / weight.sum(axis=1, keepdims=True)) ** 2


@mistake("iwae_backward", "the logarithm of the normalised weights stands in their place")
def iwae_logarithm(dloss, log_weight):
    top = log_weight.max(axis=1, keepdims=True)
    return -dloss[:, None] * (log_weight - top - np.log(np.exp(log_weight - top).sum(axis=1, keepdims=True)))


@mistake("iwae_backward", "dloss is left out, or taken for 1")
def iwae_no_dy(dloss, log_weight):
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return -weight / weight.sum(axis=1, keepdims=True)


# score_function


@mistake("score_function", "the baseline depends on the draw: the mean of f over all examples has its own f in it")
def score_own(mu, sigma, z, f):
    each = (f - f.mean())[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "no baseline is taken off")
def score_no_baseline(mu, sigma, z, f):
    each = f[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "the sum of f over the other n - 1 examples is divided by n")
def score_baseline_k(mu, sigma, z, f):
    each = (f - (f.sum() - f) / len(f))[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "the examples are summed instead of averaged: n is forgotten")
def score_sum(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None]
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "the sign is turned: the gradient of -f")
def score_sign(mu, sigma, z, f):
    each = ((f.sum() - f) / (len(f) - 1) - f)[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "1 / sigma is left out: z - mu is divided by sigma, not by sigma^2")
def score_no_sigma(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise, each * (noise**2 - 1) / sigma


@mistake("score_function", "it is the gradient with respect to log sigma, a factor sigma too much")
def score_log_sigma(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise**2 - 1)


@mistake("score_function", "the -1 is missing: the density's own factor 1 / sigma is not differentiated")
def score_no_one(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * noise**2 / sigma


@mistake("score_function", "sigma is taken for the variance of q")
def score_variance(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None] / len(f)
    gap = z - mu
    return each * gap / sigma, each * (gap**2 / sigma - 1) / (2 * sigma)


@mistake("score_function", "the density q itself is differentiated, not its logarithm")
def score_density(mu, sigma, z, f):
    noise = (z - mu) / sigma
    q = np.exp(np.sum(-(noise**2) / 2 - np.log(sigma) - np.log(2 * np.pi) / 2, axis=1))
    each = (q * (f - (f.sum() - f) / (len(f) - 1)))[:, None] / len(f)
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "it is divided by n - 1 where the mean over the n examples is meant")
def score_n_less_one(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None] / (len(f) - 1)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "the noise is not squared")
def score_no_square(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise - 1) / sigma
