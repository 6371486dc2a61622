"""The reparameterization layer: how a gradient passes through a sample.

We want the gradient of E[f(z)], z ~ N(mu, sigma^2), with respect to mu and sigma. A sample has no derivative with
respect to the parameters of the distribution it was drawn from: drawing is not a function of them. Write the same
random variable as

    z = mu + sigma * noise,    noise ~ N(0, 1)

and all the randomness sits in `noise`, which depends on no parameter. For fixed noise, z is an ordinary function:

    dz/dmu = 1,    dz/dsigma = noise

so with dz = df/dz, one draw gives unbiased estimates dmu = dz and dsigma = dz * noise. Two things are easy to get
wrong, and most published NumPy implementations do: `backward` must use the very noise that `forward` used (a fresh
draw gives a gradient with respect to sigma that is zero on average), and `sigma` must be the standard deviation that
the KL term means.

The layer in front gives an unconstrained rho, and sigma = softplus(rho) or exp(rho) makes it positive, so the last
step is drho = dsigma * dsigma/drho with dsigma/drho = sigmoid(rho) or sigma.

Source: Kingma and Welling, "Auto-Encoding Variational Bayes" (arXiv:1312.6114), section 2.4; Rezende, Mohamed and
Wierstra, "Stochastic Backpropagation and Approximate Inference in Deep Generative Models" (arXiv:1401.4082), section
3.
"""

import numpy as np

from .errors import expect, expect_array, expect_choice, expect_multiple
from .kernels import Backend
from .kernels.naive import SCALES
from .layers import NO_ARRAY, resolve_backend
from .parameters import DTYPES, Portable, RowBuffers


class Reparameterize(Portable):
    """z = mu + sigma * noise with sigma = softplus(rho) or exp(rho); routes gradients to mu and, through sigma, to rho.

    Parameters
    ----------
    scale : "softplus" or "exp" (then rho is log sigma)
    dtype : "float32" or "float64"
    backend : a name or a `Backend`

    Attributes
    ----------
    sigma, z : (n, latent) and (n * samples, latent), of the last forward pass
    """

    _transient, _shown = ("rho", "sigma", "z", "noise"), ("scale",)

    def __init__(self, scale: str = "softplus", *, dtype: str = "float32", backend: str | Backend = "numpy") -> None:
        expect_choice("scale", scale, SCALES)
        expect_choice("dtype", dtype, DTYPES)
        self.scale, self.dtype = scale, dtype
        self.backend = resolve_backend(backend)
        self._buffers = RowBuffers(self.backend, dtype)
        self.rho = self.sigma = self.z = self.noise = NO_ARRAY

    def forward(self, mu: np.ndarray, rho: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """z (n * samples, latent) from mu and rho (n, latent) and noise (n * samples, latent).

        Sample s of example i is row i * samples + s. The noise is kept, not copied: it must stay as it is until
        `backward`.
        """
        expect_array("mu", mu, (None, None), self.dtype)
        n, latent = mu.shape
        expect_array("rho", rho, (n, latent), self.dtype)
        expect_array("noise", noise, (None, latent), self.dtype)
        expect_multiple("noise", noise.shape[0], "mu", n)
        self.rho, self.noise = rho, noise
        self.sigma = self._buffers("sigma", n, latent)
        self.z = self._buffers("z", noise.shape[0], latent)
        self.backend.reparameterize_forward(mu, rho, noise, self.scale, self.sigma, self.z)
        return self.z

    def backward(
        self, dz: np.ndarray, dmu: np.ndarray | None = None, drho: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """dmu = dz, dsigma = dz * noise, drho = dsigma * dsigma/drho, summed over the samples of each example.

        Returns (dmu, drho), each (n, latent), in the arrays given or in the layer's own.
        """
        expect(self.noise is not None, "backward", "no forward pass", "a forward pass before it")
        expect_array("dz", dz, self.noise.shape, self.dtype)
        n, latent = self.sigma.shape
        dmu = self._buffers("dmu", n, latent) if dmu is None else dmu
        drho = self._buffers("drho", n, latent) if drho is None else drho
        self.backend.reparameterize_backward(self.rho, self.sigma, self.noise, dz, self.scale, dmu, drho)
        return dmu, drho
