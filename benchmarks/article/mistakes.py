"""The mistakes, each as a few kernels put in the place of right ones. The model itself is not touched.

The printed code's sampler takes exp of what its KL term takes as sigma already: with s = softplus(rho),

    z = mu + exp(s) * noise,    but    KL = (mu^2 + s^2 - 1) / 2 - log s

All gradients here are exact derivatives of the mistaken loss: what is wrong is the loss, not its derivative (the one
exception, for the checks, is `backward_negated`).
"""

from types import SimpleNamespace

import numpy as np

from minivae.kernels import Backend, load_backend, numpy_backend

RIGHT = load_backend("numpy")


def _softplus(rho):
    return np.logaddexp(0, rho).astype(rho.dtype)


def _sigmoid(rho):
    return (0.5 * (1 + np.tanh(0.5 * rho))).astype(rho.dtype)


def _sample_exp(mu, rho, noise, scale, sigma, z):
    """sigma stays softplus(rho), which KL reads; z is drawn with exp(sigma)."""
    RIGHT.reparameterize_forward(mu, rho, noise, scale, sigma, z)
    z[...] = mu + np.exp(sigma) * noise


def _sample_exp_backward(rho, sigma, noise, dz, scale, dmu, drho):
    """dsigma'/drho = exp(softplus(rho)) sigmoid(rho): exp(softplus(rho)) times the right one."""
    RIGHT.reparameterize_backward(rho, sigma, noise, dz, scale, dmu, drho)
    drho *= np.exp(_softplus(rho))


def _sample_exp_throughout(mu, rho, noise, scale, sigma, z):
    """sigma itself is exp(softplus(rho)), for the sampler and for KL."""
    sigma[...] = np.exp(_softplus(rho))
    z[...] = mu + sigma * noise


def _kl_exp(mu, rho, sigma, scale, kl):
    kl[...] = 0.5 * (mu**2 + sigma**2 - 1) - _softplus(rho)


def _kl_exp_backward(mu, rho, sigma, weight, scale, dmu, drho, active=None):
    """dKL/drho = (sigma - 1/sigma) dsigma/drho = (sigma^2 - 1) sigmoid(rho)."""
    dmu += weight[:, None] * mu
    drho += weight[:, None] * (sigma**2 - 1) * _sigmoid(rho)


def _no_kl_backward(mu, rho, sigma, weight, scale, dmu, drho, active=None):
    pass


def _nll_only(nll, kl, beta, totals, clock):
    RIGHT.accumulate(nll, kl, np.zeros(1), totals, clock)


def _negated_nll(x, mean, log_sigma, weight, nll, dmean, dlog_sigma):
    RIGHT.gaussian_nll(x, mean, log_sigma, weight, nll, dmean, dlog_sigma)
    for array in (nll, dmean):
        if array is not None:
            np.negative(array, out=array)


def _negated_kl(mu, rho, sigma, scale, kl):
    RIGHT.gaussian_kl_forward(mu, rho, sigma, scale, kl)
    np.negative(kl, out=kl)


def _negated_kl_backward(mu, rho, sigma, weight, scale, dmu, drho, active=None):
    RIGHT.gaussian_kl_backward(mu, rho, sigma, -weight, scale, dmu, drho)


def _log_density(x, mean, log_sigma, weight, nll, dmean, dlog_sigma):
    """The value of the loss as it should be, the gradient with the other sign."""
    RIGHT.gaussian_nll(x, mean, log_sigma, weight, nll, dmean, dlog_sigma)
    if dmean is not None:
        np.negative(dmean, out=dmean)


_SAMPLER = {"reparameterize_forward": _sample_exp, "reparameterize_backward": _sample_exp_backward}
_NO_KL = {"gaussian_kl_backward": _no_kl_backward, "accumulate": _nll_only}

MISTAKES = {
    "right": {},
    "sampler": _SAMPLER,
    "wide": {
        "reparameterize_forward": _sample_exp_throughout,
        "reparameterize_backward": _sample_exp_backward,
        "gaussian_kl_forward": _kl_exp,
        "gaussian_kl_backward": _kl_exp_backward,
    },
    "no_kl": _NO_KL,
    "printed": _SAMPLER | _NO_KL,
    "sign": {
        "gaussian_nll": _negated_nll,
        "gaussian_kl_forward": _negated_kl,
        "gaussian_kl_backward": _negated_kl_backward,
    },
    "backward_negated": {"gaussian_nll": _log_density, "gaussian_kl_backward": _negated_kl_backward},
}

# Those whose z has standard deviation exp(softplus(rho)), not softplus(rho).
EXP_SAMPLERS = ("sampler", "wide", "printed")


def backend(mistake):
    """A NumPy backend with the kernels of this mistake."""
    return Backend("numpy", SimpleNamespace(**(vars(numpy_backend) | MISTAKES[mistake])))
