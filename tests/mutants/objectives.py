"""Bugs in the importance-weighted bounds."""

import numpy as np

from .registry import after, before, by_sample, instead, slope


@after("log_weights")
def prior_forgotten(a):
    """log p(z) is left out of the weight."""
    a.log_weight += 0.5 * np.sum(a.z**2, axis=1)


@after("log_weights")
def log_sigma_subtracted(a):
    """log sigma enters the weight with the wrong sign."""
    a.log_weight -= 2 * np.sum(np.log(by_sample(a.sigma, len(a.z))), axis=1)


@after("log_weights")
def log_sigma_of_the_wrong_row(a):
    """Row r takes log sigma of example r % n instead of r // samples."""
    n = len(a.rho)
    log_sigma = np.log(a.sigma).sum(axis=1)
    a.log_weight += np.tile(log_sigma, len(a.z) // n) - by_sample(log_sigma, len(a.z))


@after("importance_weights")
def log_k_forgotten(a):
    """log sum exp for log mean exp: the bound is log K too good."""
    a.loss -= np.log(len(a.log_weight) // len(a.loss) // a.outer)


@before("importance_weights")
def groups_pooled(a):
    """All draws go into one bound: IWAE with M K draws under the name of MIWAE. Seen: arXiv:1802.04537 tells them
    apart."""
    a.outer = 1


@instead("importance_weights")
def weights_not_shifted(a):
    """exp(log weight) as it stands: it underflows, and the loss is infinite. Seen: a missing log-sum-exp."""
    a.original(*a.arguments)
    with np.errstate(all="ignore"):
        groups = np.exp(a.log_weight.astype("float32")).reshape(len(a.loss) * a.outer, -1)
        a.loss[...] = -np.log(groups.mean(axis=1)).reshape(len(a.loss), -1).mean(axis=1)


@after("importance_weights")
def weights_uniform(a):
    """Every draw counts alike in the gradient: that of the ELBO under a tighter bound."""
    a.weight[...] = a.latent_weight[...] = 1 / len(a.weight)


@after("importance_weights")
def weights_over_the_batch(a):
    """The weights sum to 1 over the whole batch and not for each example."""
    u = np.exp(a.log_weight - a.log_weight.max())
    a.weight[...] = a.latent_weight[...] = u / u.sum()


@before("importance_gradient")
def score_left_in(a):
    """The path derivative of log q is added where the bound has none: stl under the name of iwae."""
    a.path = True


@after("importance_gradient")
def prior_slope_forgotten(a):
    """dz lacks the derivative of log p(z)."""
    a.dz -= a.latent_weight[:, None] * a.z


@after("log_sigma_backward")
def log_sigma_added(a):
    """The derivative of log sigma is added, not subtracted."""
    a.drho += 2 * a.weight[:, None] * slope(a) / a.sigma


@instead("log_sigma_backward")
def log_sigma_ignored(a):
    """The derivative of log sigma is left out."""
