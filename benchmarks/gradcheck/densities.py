"""Layers that sample with the noise given, divergences, flows, bounds; factors of matrices; complex numbers."""

import numpy as np

from .registry import family, one_hot, softmax


@family(logits="straight_through noise_differentiated", said={r"factor 0\.7": "temperature_forgotten"})
def gumbel_softmax(data, bug):
    noise = np.asarray(data.rng.gumbel(size=(4, 5)), data.dtype)

    def forward(logits, noise):
        p = softmax((logits + noise) / 0.7)
        return one_hot(p.argmax(-1), p) if bug == "straight_through" else p, p

    def backward(dy, p):
        dlogits = p * (dy - (dy * p).sum(-1, keepdims=True))
        if bug == "noise_differentiated":
            dlogits = dlogits + dlogits.mean(0)
        return dlogits if bug == "temperature_forgotten" else dlogits / 0.7

    return (forward, backward), data.normal(4, 5), {"fixed": [noise]}


@family(
    log_sigma="noise_of_other_row",
    said={
        r"log_sigma.*(exp\(log_sigma\)|factor)": "exp_forgotten",
        r"log_sigma.*(noise|fixed|factor)": "noise_forgotten",
        r"another draw|fresh|random": "fresh_noise",
        r"log_sigma.*(zero|no gradient)": "sigma_zero",
    },
)
def reparameterization(data, bug):
    noise, rng = data.normal(6, 3), np.random.default_rng(11)

    def forward(mu, log_sigma, noise):
        sigma = np.exp(log_sigma)
        return mu + sigma * noise, (sigma, noise)

    def backward(dz, cache):
        sigma, noise = cache
        if bug == "fresh_noise":
            noise = rng.standard_normal(noise.shape)
        if bug == "noise_of_other_row":
            noise = np.roll(noise, 1, axis=0)
        if bug == "noise_forgotten":
            return dz, dz * sigma
        if bug == "sigma_zero":
            return dz, np.zeros_like(dz)
        return dz, dz * noise if bug == "exp_forgotten" else dz * noise * sigma

    return (forward, backward), (data.normal(6, 3), data.normal(6, 3, scale=0.4)), {"fixed": [noise]}


@family(A="outer_transposed log_determinant_forgotten log_determinant_twice exp_of_diagonal_missing upper_not_masked")
def full_covariance(data, bug):
    """z = mu + L noise with L lower triangular, exp on its diagonal; and the KL from a standard normal."""
    noise = data.normal(3, 4)

    def forward(mu, A, noise):
        eye = np.eye(A.shape[-1], dtype=A.dtype)
        log_diagonal = np.einsum("nii->ni", A)
        L = A * np.tril(np.ones_like(A), -1).real + np.exp(log_diagonal)[..., None] * eye
        z = mu + np.einsum("nij,nj->ni", L, noise)
        kl = 0.5 * ((L**2).sum((1, 2)) + (mu**2).sum(1) - len(eye)) - log_diagonal.sum(1)
        return (z, kl), (mu, L, noise)

    def backward(dz, dkl, cache):
        mu, L, noise = cache
        outer = dz[:, :, None] * noise[:, None, :]
        dL = (outer.swapaxes(1, 2) if bug == "outer_transposed" else outer) + dkl[:, None, None] * L
        diagonal = np.einsum("nii->ni", dL)
        if bug != "exp_of_diagonal_missing":
            diagonal = diagonal * np.einsum("nii->ni", L)
        times = {"log_determinant_forgotten": 0, "log_determinant_twice": 2}.get(bug, 1)
        diagonal = diagonal - times * dkl[:, None]
        dA = dL * (1 - np.eye(L.shape[-1], dtype=L.dtype)) if bug == "upper_not_masked" else np.tril(dL, -1)
        places = np.arange(L.shape[-1])
        dA[:, places, places] = diagonal
        return dz + dkl[:, None] * mu, dA

    return (forward, backward), (data.normal(3, 4), data.normal(3, 4, 4, scale=0.5)), {"fixed": [noise]}


@family(B="diagonal_not_halved upper_kept not_symmetrized inverse_once")
def cholesky(data, bug):
    """The Cholesky factor of B B' + I (Murray 2016, arXiv:1602.07527)."""

    def forward(B):
        L = np.linalg.cholesky(B @ B.T + np.eye(len(B), dtype=B.dtype))
        return L, (B, L)

    def backward(dL, cache):
        B, L = cache
        P = L.T @ dL if bug == "upper_kept" else np.tril(L.T @ dL)
        if bug != "diagonal_not_halved":
            P = P - 0.5 * np.diag(np.diag(P))
        inverse = np.linalg.inv(L)
        S = inverse.T @ P @ (np.eye(len(B)) if bug == "inverse_once" else inverse)
        return 2 * S @ B if bug == "not_symmetrized" else (S + S.T) @ B

    return (forward, backward), data.normal(4, 4)


@family(A="one_inverse", said={r"A.*|transposed": "transposes_missing", r"A.*sign": "sign"})
def matrix_inverse(data, bug):
    def forward(A):
        inverse = np.linalg.inv(A)
        return inverse, inverse

    def backward(dy, inverse):
        if bug == "transposes_missing":
            return -inverse @ dy @ inverse
        if bug == "one_inverse":
            return -inverse.T @ dy
        dA = inverse.T @ dy @ inverse.T
        return dA if bug == "sign" else -dA

    return (forward, backward), data.normal(4, 4, scale=0.3) + 2 * np.eye(4, dtype=data.dtype)


@family(A="log_determinant_ignored log_determinant_averaged log_determinant_of_batch slope_of_tanh_missing")
def affine_coupling(data, bug):
    """z2 = x2 exp(s) + x1 B with s = 2 tanh(x1 A / 2), beside x1; and log |det| = sum s."""

    def forward(x, A, B):
        half = x.shape[1] // 2
        x1, x2 = x[:, :half], x[:, half:]
        t = np.tanh(x1 @ A / 2)
        z = np.concatenate([x1, x2 * np.exp(2 * t) + x1 @ B], axis=1)
        return (z, 2 * t.sum(1)), (x1, x2, t, A, B)

    def backward(dz, dlog, cache):
        x1, x2, t, A, B = cache
        d1, d2 = np.split(dz, 2, axis=1)
        e = np.exp(2 * t)
        dlog = dlog[:, None]
        if bug == "log_determinant_ignored":
            dlog = 0
        if bug == "log_determinant_averaged":
            dlog = dlog / t.shape[1]
        if bug == "log_determinant_of_batch":
            dlog = dlog.mean()
        da = (d2 * x2 * e + dlog) * (1 if bug == "slope_of_tanh_missing" else 1 - t**2)
        return np.concatenate([d1 + da @ A.T + d2 @ B.T, d2 * e], axis=1), x1.T @ da, x1.T @ d2

    return (forward, backward), (data.normal(4, 6), data.normal(3, 3), data.normal(3, 3))


@family(
    mu="kl_counted_k_times",
    log_sigma="noise_averaged",
    decoder="decoder_of_first_sample",
    said={
        r"\bdecoder\b.*(factor 3|= 3)": "summed_over_samples",
        r"log_sigma.*(constant -?0\.25|missing|extra)": "entropy_forgotten",
    },
)
def negative_elbo(data, bug):
    """0.5 |x - z decoder|^2 averaged over K samples z = mu + sigma noise, plus the KL, averaged over rows."""
    x, noise = data.normal(4, 5), data.normal(3, 4, 2)

    def forward(mu, log_sigma, decoder, x, noise):
        sigma = np.exp(log_sigma)
        z = mu + sigma * noise
        error = z @ decoder - x
        kl = (0.5 * (mu**2 + sigma**2 - 1) - log_sigma).sum(1)
        return (0.5 * (error**2).sum((0, 2)) / len(noise) + kl).mean(), (mu, sigma, decoder, z, error, noise)

    def backward(dloss, cache):
        mu, sigma, decoder, z, error, noise = cache
        samples, rows = noise.shape[:2]
        each = error / (rows if bug == "summed_over_samples" else samples * rows)
        dz = each @ decoder.T
        weight = (samples if bug == "kl_counted_k_times" else 1) / rows
        if bug == "noise_averaged":
            noise = noise.mean(0)
        dsigma = (dz * noise * sigma).sum(0)
        dlog_sigma = dsigma + weight * (sigma**2 - (0 if bug == "entropy_forgotten" else 1))
        ddecoder = np.einsum("knd,knp->dp", z, each)
        if bug == "decoder_of_first_sample":
            ddecoder = z[0].T @ error[0] / rows
        return dloss * (dz.sum(0) + weight * mu), dloss * dlog_sigma, dloss * ddecoder

    inputs = data.normal(4, 2), data.normal(4, 2, scale=0.3), data.normal(2, 5)
    return (forward, backward), inputs, {"fixed": [x, noise]}


@family(W="not_conjugated", x="real_part_only", said={r"W.*factor 2|W.*twice": "scaled"})
def complex_dense(data, bug):
    """Gradients are dL/dRe + i dL/dIm, with L the real part of sum(conj(dy) y)."""

    def forward(x, W):
        return x @ W, (x, W)

    def backward(dy, cache):
        x, W = cache
        dx, dW = dy @ W.conj().T, x.conj().T @ dy
        if bug == "not_conjugated":
            dW = x.T @ dy
        if bug == "real_part_only":
            dx = dx.real.astype(dx.dtype)
        return dx, 2 * dW if bug == "scaled" else dW

    return (forward, backward), (data.complex(4, 3), data.complex(3, 2))


@family(z="conjugated dropped", said={r"z.*(0\.5|half)": "halved", r"z.*factor 5": "beside_real_wrong"})
def complex_power(data, bug):
    """sum x |z|^2 of a real x beside a complex z."""

    def value(x, z):
        return np.sum(x * np.abs(z) ** 2)

    def gradient(x, z):
        dz = 2 * x * z
        if bug == "conjugated":
            dz = dz.conj()
        if bug == "dropped":
            return np.abs(z) ** 2, None
        return np.abs(z) ** 2, {"halved": 0.5, "beside_real_wrong": 5}.get(bug, 1) * dz

    return value, (data.normal(5), data.complex(5)), {"gradient": gradient}


@family(("float64",), x="imaginary_part forward_transform", said={r"x.*(factor|length|1/8)": "not_scaled"})
def fourier(data, bug):
    """Real in, complex out: the spectrum."""

    def forward(x):
        return np.fft.fft(x), None

    def backward(dy, _):
        if bug == "not_scaled":
            return np.fft.ifft(dy).real
        if bug == "imaginary_part":
            return (dy.shape[-1] * np.fft.ifft(dy)).imag
        return np.fft.fft(dy).real if bug == "forward_transform" else (dy.shape[-1] * np.fft.ifft(dy)).real

    return (forward, backward), data.normal(8)
