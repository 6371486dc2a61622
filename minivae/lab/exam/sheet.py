"""An exam on backprop through sampling: eight gradients, to be written by hand in NumPy.

Replace each `raise NotImplementedError`. The forward functions are given and are to stay as they are; functions of your
own may stand beside them. What you have so far is graded, as often as you like, by

    minivae lab exam exam.py

What holds for all of them:

- n examples, K draws for each, in float64; sums are in nats.
- A backward takes the derivative of the loss with respect to what the forward returns (dy, of the shape of y) and then
  the forward's own arguments. It returns the derivative of the loss with respect to each argument named, of that
  argument's shape, in the order named. Where an argument serves several outputs, what comes back from them adds up.
- dy holds whatever comes after, a mean over the batch too. Only `elbo` and `score_function` take a mean themselves.
- Arguments are not written to, and nothing is kept from one call to the next.
"""

import numpy as np

EXAM = 1  # the version of this exam, which the grader looks at


# 1. A dense layer


def dense(x, weight, bias):
    """y = tanh(x weight + bias), (n, outputs), from x (n, inputs), weight (inputs, outputs) and bias (outputs,)."""
    return np.tanh(x @ weight + bias)


def dense_backward(dy, x, weight, bias):
    """dx (n, inputs), dweight (inputs, outputs), dbias (outputs,) from dy (n, outputs)."""
    raise NotImplementedError


# 2. The softplus head: from rho, any number, to a standard deviation


def softplus(rho):
    """sigma = log(1 + exp(rho)), of the shape of rho, written so that nothing overflows."""
    return np.maximum(rho, 0) + np.log1p(np.exp(-np.abs(rho)))


def softplus_backward(dsigma, rho):
    """drho from dsigma, both (n, latents). Finite for every rho, 1000 and -1000 too."""
    raise NotImplementedError


# 3. Reparameterization: sigma is a standard deviation


def reparameterize(mu, sigma, noise):
    """z[i, k] = mu[i] + sigma[i] * noise[i, k], (n, K, latents); mu and sigma (n, latents), noise (n, K, latents)."""
    return mu[:, None] + sigma[:, None] * noise


def reparameterize_backward(dz, mu, sigma, noise):
    """dmu and dsigma, (n, latents), from dz (n, K, latents)."""
    raise NotImplementedError


# 4. The KL divergence of N(mu, sigma^2) from N(0, 1)


def gaussian_kl(mu, sigma):
    """kl (n,): the sum over latents of (mu^2 + sigma^2 - 1) / 2 - log sigma; mu and sigma (n, latents)."""
    return np.sum((mu**2 + sigma**2 - 1) / 2 - np.log(sigma), axis=1)


def gaussian_kl_backward(dkl, mu, sigma):
    """dmu and dsigma, (n, latents), from dkl (n,)."""
    raise NotImplementedError


# 5. The Bernoulli likelihood, from logits


def bernoulli_nll(logits, x):
    """nll (n, K): the sum over features of log(1 + exp(logits)) - x * logits; logits (n, K, features), x (n, features).

    This is -log p(x) where each feature is 1 with probability 1 / (1 + exp(-logit)).
    """
    return np.sum(softplus(logits) - x[:, None] * logits, axis=2)


def bernoulli_nll_backward(dnll, logits, x):
    """dlogits (n, K, features) from dnll (n, K). Finite for every logit, 1000 and -1000 too."""
    raise NotImplementedError


# 6. The whole of the ELBO: down and up again through a small model. You may use the pieces above.


def elbo(to_mu, to_rho, decoder, x, noise):
    """loss (), minus the ELBO: the mean over the n examples of (the mean over K draws of nll) + kl.

    x (n, features) -> mu = x to_mu, rho = x to_rho, (n, latents); sigma = softplus(rho) -> z (n, K, latents)
    -> logits = z decoder, (n, K, features). to_mu and to_rho are (features, latents), decoder is (latents, features).
    """
    mu, sigma = x @ to_mu, softplus(x @ to_rho)
    z = reparameterize(mu, sigma, noise)
    nll = bernoulli_nll(z @ decoder, x)
    return np.mean(np.mean(nll, axis=1) + gaussian_kl(mu, sigma))


def elbo_backward(to_mu, to_rho, decoder, x, noise):
    """dto_mu, dto_rho and ddecoder, each of the shape of its parameter: the gradient of `elbo` itself (dloss = 1)."""
    raise NotImplementedError


# 7. The importance weighted bound (IWAE)


def iwae(log_weight):
    """loss (n,) = -L_K = -log((1/K) sum_k exp(log_weight[:, k])), from log_weight (n, K), so that nothing overflows."""
    top = np.max(log_weight, axis=1)
    return -top - np.log(np.mean(np.exp(log_weight - top[:, None]), axis=1))


def iwae_backward(dloss, log_weight):
    """dlog_weight (n, K) from dloss (n,). Finite where log weights are about 1000 or -1000 too."""
    raise NotImplementedError


# 8. The score function estimator (REINFORCE): a gradient without the derivative of f


def log_density(mu, sigma, z):
    """log q(z), (n,), of q = N(mu, sigma^2), independent over the latents; mu, sigma and z (n, latents)."""
    return np.sum(-(((z - mu) / sigma) ** 2) / 2 - np.log(sigma) - np.log(2 * np.pi) / 2, axis=1)


def score_function(mu, sigma, z, f):
    """dmu and dsigma, (n, latents): an unbiased estimate of the gradient of the mean over the examples of E[f(z)].

    z (n, latents) has one draw from each example's q, and f (n,) the values there; f may be a black box. From the f of
    each example a baseline is taken off: the mean of f over the other n - 1 examples.
    """
    raise NotImplementedError
