"""The specification: every kernel of the contract as plain loops over plain arrays.

Each function states its formula and shapes and computes them in the most obvious way, element by element, in float64,
rounding once when the result is stored. It is far too slow to use and exists to be read and to be tested against: a
backend has exactly these functions with exactly these arguments.

Rules that hold for all of them:

* Results go into arrays the caller owns; inputs are not changed unless the text says so.
* All float arrays of one call share one dtype, float32 or float64. `totals`, `norm` and `rates` are always float64,
  `clock` and `order` int64.
* Arrays are C-contiguous, except `mu`, `rho`, `dmu` and `drho`, which may be column blocks of a wider array.
* What changes from step to step (`clock`, `rates`, `order`) is read from arrays, so that a recorded sequence of calls
  can be replayed with the same arguments.
* Where rows of samples belong to rows of data, sample `s` of example `i` is row `i * samples + s`.
"""

import math

from .. import philox

ACTIVATIONS = ("identity", "relu", "tanh", "sigmoid", "softplus")
SCALES = ("softplus", "exp")
PIXELS = ("grey", "threshold", "dynamic")

# Below this softplus(rho) = exp(rho) to double precision, and its logarithm is rho itself.
SOFTPLUS_TAIL = -40.0

# The largest logarithm of a ratio of importance weights: e^46 is about 1e20, which float32 holds and rounding hides.
LARGEST_LOG_RATIO = 46.0


def _sigmoid(a):
    return 1.0 / (1.0 + math.exp(-a)) if a >= 0 else math.exp(a) / (1.0 + math.exp(a))


def _softplus(a):
    return max(a, 0.0) + math.log1p(math.exp(-abs(a)))


def _exp(a):
    return math.exp(a) if a < 709.0 else math.inf


def _activate(a, activation):
    if activation == "identity":
        return a
    if activation == "relu":
        return max(a, 0.0)
    if activation == "tanh":
        return math.tanh(a)
    if activation == "sigmoid":
        return _sigmoid(a)
    return _softplus(a)


def _derivative_from_output(y, activation):
    if activation == "identity":
        return 1.0
    if activation == "relu":
        return 1.0 if y > 0 else 0.0
    if activation == "tanh":
        return 1.0 - y * y
    if activation == "sigmoid":
        return y * (1.0 - y)
    return -math.expm1(-y)


def dense_forward(x, weight, bias, activation, y):
    """y = activation(x @ weight + bias).

    x (rows, inputs), weight (inputs, outputs), bias (outputs,), y (rows, outputs); activation is one of ACTIVATIONS.
    """
    rows, inputs = x.shape
    for i in range(rows):
        for j in range(weight.shape[1]):
            total = float(bias[j])
            for k in range(inputs):
                total += float(x[i, k]) * float(weight[k, j])
            y[i, j] = _activate(total, activation)


def dense_backward(x, weight, y, dy, activation, dx, dweight, dbias):
    """With da = dy * activation'(a): dx = da @ weight.T, dweight = x.T @ da, dbias = sum of the rows of da.

    The derivative is taken from the output: relu' = [y > 0], tanh' = 1 - y^2, sigmoid' = y (1 - y),
    softplus' = 1 - exp(-y). Shapes as in `dense_forward`; dx may be None (the first layer needs none).
    """
    rows, inputs = x.shape
    outputs = weight.shape[1]
    da = [
        [float(dy[i, j]) * _derivative_from_output(float(y[i, j]), activation) for j in range(outputs)]
        for i in range(rows)
    ]
    for k in range(inputs):
        for j in range(outputs):
            total = 0.0
            for i in range(rows):
                total += float(x[i, k]) * da[i][j]
            dweight[k, j] = total
    for j in range(outputs):
        dbias[j] = sum(da[i][j] for i in range(rows))
    if dx is not None:
        for i in range(rows):
            for k in range(inputs):
                dx[i, k] = sum(da[i][j] * float(weight[k, j]) for j in range(outputs))


def standard_normal(seed, stream, clock, noise):
    """noise[e] = the e-th standard normal of (seed, stream, step = clock[0]), e counting elements in C order.

    noise is any shape; float64 receives the float32 values. Bit for bit the numbers of `philox.scalar`.
    """
    flat = noise.reshape(-1)
    for e in range(flat.size):
        flat[e] = philox.scalar_normal(seed, stream, int(clock[0]), e)


def reparameterize_forward(mu, rho, noise, scale, sigma, z):
    """sigma = softplus(rho) or exp(rho); z = mu + sigma * noise.

    mu, rho, sigma (n, latent); noise, z (n * samples, latent); scale is one of SCALES.
    """
    n, latent = mu.shape
    samples = noise.shape[0] // n
    for i in range(n):
        for j in range(latent):
            r = float(rho[i, j])
            sigma[i, j] = s = _softplus(r) if scale == "softplus" else _exp(r)
            for row in range(i * samples, (i + 1) * samples):
                z[row, j] = float(mu[i, j]) + s * float(noise[row, j])


def reparameterize_backward(rho, sigma, noise, dz, scale, dmu, drho):
    """dmu = sum of dz over samples; dsigma = sum of dz * noise over samples; drho = dsigma * dsigma/drho.

    dsigma/drho = sigmoid(rho) = 1 - exp(-sigma) for softplus, sigma for exp. Shapes as in `reparameterize_forward`.
    """
    n, latent = sigma.shape
    samples = noise.shape[0] // n
    for i in range(n):
        for j in range(latent):
            rows = range(i * samples, (i + 1) * samples)
            slope = _sigmoid(float(rho[i, j])) if scale == "softplus" else float(sigma[i, j])
            dmu[i, j] = sum(float(dz[row, j]) for row in rows)
            drho[i, j] = slope * sum(float(dz[row, j]) * float(noise[row, j]) for row in rows)


def gaussian_kl_forward(mu, rho, sigma, scale, kl):
    """kl = (mu^2 + sigma^2 - 1) / 2 - log sigma, the divergence of N(mu, sigma^2) from N(0, 1) in nats.

    mu, rho, sigma, kl (n, latent). log sigma is taken from rho, so that it stays right where sigma underflows.
    """
    for i in range(mu.shape[0]):
        for j in range(mu.shape[1]):
            m, r, s = float(mu[i, j]), float(rho[i, j]), float(sigma[i, j])
            log_sigma = r if scale == "exp" or r < SOFTPLUS_TAIL else math.log(_softplus(r))
            kl[i, j] = 0.5 * (m * m + s * s - 1.0) - log_sigma


def gaussian_kl_backward(mu, rho, sigma, weight, scale, dmu, drho):
    """Adds the gradient of sum_i weight_i * sum_j kl_ij: dmu += weight * mu, drho += weight * (sigma - 1 / sigma) *
    dsigma/drho.

    weight (n,), the rest (n, latent). mu and rho feed the sampler too, so this kernel adds to the sampler's gradients.
    (dsigma/drho) / sigma is 1 for exp and tends to 1 for softplus as rho falls: it is never computed as 0 * inf.
    """
    for i in range(mu.shape[0]):
        w = float(weight[i])
        for j in range(mu.shape[1]):
            r, s = float(rho[i, j]), float(sigma[i, j])
            slope = s if scale == "exp" else _sigmoid(r)
            relative = 1.0 if scale == "exp" or r < SOFTPLUS_TAIL else slope / _softplus(r)
            dmu[i, j] += w * float(mu[i, j])
            drho[i, j] += w * (s * slope - relative)


def bernoulli_nll(x, logits, weight, nll, dlogits):
    """nll_r = sum_f softplus(l_rf) - x_if * l_rf, in nats; dlogits_rf = weight_r * (sigmoid(l_rf) - x_if).

    x (n, features) in [0, 1]; logits, dlogits (n * samples, features); weight, nll (n * samples,); row r of the logits
    belongs to row i = r // samples of x. nll may be None, or dlogits and weight may be None: that part is then left
    out.
    """
    samples = logits.shape[0] // x.shape[0]
    for row in range(logits.shape[0]):
        total = 0.0
        for f in range(x.shape[1]):
            logit, pixel = float(logits[row, f]), float(x[row // samples, f])
            total += _softplus(logit) - pixel * logit
            if dlogits is not None:
                dlogits[row, f] = float(weight[row]) * (_sigmoid(logit) - pixel)
        if nll is not None:
            nll[row] = total


def gaussian_nll(x, mean, log_sigma, weight, nll, dmean, dlog_sigma):
    """nll_r = sum_f (x_if - m_rf)^2 / (2 s^2) + log s + log(2 pi) / 2 in nats, with s = exp(log_sigma).

    dmean_rf = weight_r * (m_rf - x_if) / s^2; dlog_sigma = sum_rf weight_r * (1 - (x_if - m_rf)^2 / s^2).
    x (n, features); mean, dmean (n * samples, features); weight, nll (n * samples,); log_sigma, dlog_sigma (1,).
    nll may be None; dmean and weight may be None; dlog_sigma may be None: that part is then left out.
    """
    samples = mean.shape[0] // x.shape[0]
    features = x.shape[1]
    s = math.exp(float(log_sigma[0]))
    slope = 0.0
    for row in range(mean.shape[0]):
        squares = 0.0
        for f in range(features):
            difference = float(mean[row, f]) - float(x[row // samples, f])
            squares += (difference / s) ** 2
            if dmean is not None:
                dmean[row, f] = float(weight[row]) * difference / (s * s)
        if nll is not None:
            nll[row] = 0.5 * squares + features * (math.log(s) + 0.5 * math.log(2.0 * math.pi))
        if dlog_sigma is not None:
            slope += float(weight[row]) * (features - squares)
    if dlog_sigma is not None:
        dlog_sigma[0] = slope


def log_weights(nll, rho, sigma, noise, z, scale, log_weight):
    """log p(x|z) + log p(z) - log q(z|x) of each row in nats: -nll_r + sum_j (noise_rj^2 - z_rj^2) / 2 + log sigma_ij.

    nll, log_weight (n * samples,); rho, sigma (n, latent); noise, z (n * samples, latent). The terms log(2 pi) / 2 of
    prior and posterior cancel. log sigma is taken from rho, as in `gaussian_kl_forward`.
    """
    n, latent = rho.shape
    samples = nll.shape[0] // n
    for row in range(nll.shape[0]):
        total = -float(nll[row])
        for j in range(latent):
            r = float(rho[row // samples, j])
            log_sigma = r if scale == "exp" or r < SOFTPLUS_TAIL else math.log(_softplus(r))
            total += 0.5 * (float(noise[row, j]) ** 2 - float(z[row, j]) ** 2) + log_sigma
        log_weight[row] = total


def _log_mean_exp(values):
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values) / len(values)) if math.isfinite(top) else top


def importance_weights(log_weight, outer, pooled, squared, loss, weight, latent_weight, ratio):
    """The importance-weighted loss of each example, and what each row counts for in its gradient.

    The S samples of an example are `outer` groups of K, one after another: sample s is in group s // K. With
    L = log mean exp of the log weights of a group, loss_i = -mean of L over the groups; with `pooled` the group is all
    S for loss and weight. u_r = exp(log_weight_r - L) / K sums to 1 in its group. For the mean of the loss over n
    examples, weight_r = u_r / (n * groups), latent_weight_r = u_r / (n * outer), or u_r^2 / (n * outer) with `squared`,
    where u is that of the group even if `pooled`; ratio_r = latent_weight_r / weight_r.

    log_weight, weight, latent_weight, ratio (n * S,); loss (n,). weight is raised to latent_weight / e^46 where it is
    less, far below rounding, so that ratio, made from logarithms, is finite where weight would underflow.
    """
    n = loss.shape[0]
    samples = log_weight.shape[0] // n
    inner = samples // outer
    for i in range(n):
        own = [float(value) for value in log_weight[i * samples : (i + 1) * samples]]
        means = [_log_mean_exp(own[m * inner : (m + 1) * inner]) for m in range(outer)]
        pool = _log_mean_exp(own)
        loss[i] = -pool if pooled else -sum(means) / outer
        for s in range(samples):
            log_u = own[s] - means[s // inner] - math.log(inner)
            log_latent = (2.0 * log_u if squared else log_u) - math.log(n * outer)
            log_all = own[s] - pool - math.log(n * samples) if pooled else log_u - math.log(n * outer)
            log_ratio = min(log_latent - log_all, LARGEST_LOG_RATIO)
            row = i * samples + s
            weight[row] = _exp(log_latent - log_ratio)
            latent_weight[row] = _exp(log_latent)
            ratio[row] = _exp(log_ratio)


def importance_gradient(z, noise, sigma, latent_weight, ratio, path, dz):
    """dz_rj = ratio_r * dz_rj + latent_weight_r * (z_rj - path * noise_rj / sigma_ij), in place.

    On entry dz is the weighted gradient of nll by z. z and -noise / sigma are the gradients by z of -log p(z) and of
    log q(z|x) at fixed mu and sigma: with `path` (True or False) the latter belongs to the path through z. z, noise, dz
    (n * samples, latent); sigma (n, latent); latent_weight, ratio (n * samples,).
    """
    samples = z.shape[0] // sigma.shape[0]
    for row in range(z.shape[0]):
        for j in range(z.shape[1]):
            slope = float(z[row, j])
            if path:
                slope -= float(noise[row, j]) / float(sigma[row // samples, j])
            dz[row, j] = float(ratio[row]) * float(dz[row, j]) + float(latent_weight[row]) * slope


def log_sigma_backward(rho, sigma, weight, scale, drho):
    """Adds the gradient of -sum_i weight_i * sum_j log sigma_ij: drho -= weight * (dsigma/drho) / sigma.

    weight (n,); rho, sigma, drho (n, latent). (dsigma/drho) / sigma is computed as in `gaussian_kl_backward`.
    """
    for i in range(rho.shape[0]):
        for j in range(rho.shape[1]):
            r = float(rho[i, j])
            relative = 1.0 if scale == "exp" or r < SOFTPLUS_TAIL else _sigmoid(r) / _softplus(r)
            drho[i, j] -= float(weight[i]) * relative


def clip_norm(gradient, limit, norm):
    """norm[0] = the Euclidean norm of gradient; where it exceeds limit, gradient *= limit / norm. gradient (size,)."""
    norm[0] = math.sqrt(sum(float(g) ** 2 for g in gradient))
    if norm[0] > limit:
        for i in range(gradient.size):
            gradient[i] = float(gradient[i]) * (limit / norm[0])


def sgd_update(parameter, gradient, velocity, rates, clock, momentum, nesterov):
    """velocity = momentum * velocity + gradient; parameter -= rate * velocity, or with nesterov
    parameter -= rate * (gradient + momentum * velocity).

    All (size,); rate = rates[min(clock[0], len(rates) - 1)]; velocity may be None where momentum is 0. A velocity below
    the smallest normal number of its dtype may be stored as 0.
    """
    rate = float(rates[min(int(clock[0]), len(rates) - 1)])
    for i in range(parameter.size):
        direction = g = float(gradient[i])
        if velocity is not None:
            velocity[i] = v = momentum * float(velocity[i]) + g
            direction = g + momentum * v if nesterov else v
        parameter[i] = float(parameter[i]) - rate * direction


def adam_update(parameter, gradient, first, second, rates, clock, beta1, beta2, eps, weight_decay):
    """first = beta1 first + (1 - beta1) g; second = beta2 second + (1 - beta2) g^2;
    parameter -= rate * (first / (1 - beta1^t) / (sqrt(second / (1 - beta2^t)) + eps) + weight_decay * parameter).

    All (size,); t = clock[0] + 1; rate = rates[min(clock[0], len(rates) - 1)]. A moment below the smallest normal
    number of its dtype may be stored as 0: the moments of a parameter whose gradient stays 0 decay to there, where x86
    processors are slow.
    """
    t = int(clock[0]) + 1
    rate = float(rates[min(int(clock[0]), len(rates) - 1)])
    correction1, correction2 = 1.0 - beta1**t, 1.0 - beta2**t
    for i in range(parameter.size):
        g, p = float(gradient[i]), float(parameter[i])
        m = beta1 * float(first[i]) + (1.0 - beta1) * g
        v = beta2 * float(second[i]) + (1.0 - beta2) * g * g
        first[i], second[i] = m, v
        parameter[i] = p - rate * ((m / correction1) / (math.sqrt(v / correction2) + eps) + weight_decay * p)


def gather(data, order, clock, batch_size, pixels, seed, x):
    """x = the rows of data that the batch of step clock[0] asks for, as floats.

    With batches = ceil(len(order) / batch_size) and start = (clock[0] % batches) * batch_size, row i of x is row
    order[start + i] of data. data (examples, features) is uint8 (value = byte / 255) or float (value as it is); x
    (rows, features), rows <= batch_size. pixels: "grey" keeps the value; "threshold" gives 1 where value > 1/2, else
    0; "dynamic" gives 1 with probability value: where u < value, u = the uniform of (seed, PIXELS stream, clock[0],
    element of x), exactly.
    """
    batches = -(-len(order) // batch_size)
    start = (int(clock[0]) % batches) * batch_size
    for i in range(x.shape[0]):
        for f in range(data.shape[1]):
            stored = data[order[start + i], f]
            value = int(stored) / 255 if data.dtype.kind == "u" else float(stored)
            if pixels == "threshold":
                value = float(value > 0.5)
            elif pixels == "dynamic":
                word = philox.scalar_word(seed, philox.PIXELS, int(clock[0]), i * data.shape[1] + f) >> 8
                # both sides of u < value are exact: integers for bytes, doubles for floats
                value = float(word * 255 < int(stored) << 24 if data.dtype.kind == "u" else word * 2.0**-24 < value)
            x[i, f] = value


def accumulate(nll, kl, beta, totals, clock):
    """Adds a batch to the running totals of an epoch.

    With a = sum(nll) / samples and b = sum(kl): totals[0] += a, totals[1] += b, totals[2] += n, totals[3] = (a + beta
    b) / n, the loss of this batch; where that is not finite and totals[4] is 0, totals[4] = clock[0] + 1, the step it
    went wrong. nll (n * samples,), kl (n, latent), totals (5,).
    """
    n = kl.shape[0]
    samples = nll.shape[0] // n
    a = sum(float(value) for value in nll) / samples
    b = sum(float(value) for row in kl for value in row)
    totals[0] += a
    totals[1] += b
    totals[2] += n
    totals[3] = (a + beta * b) / n
    if not math.isfinite(totals[3]) and totals[4] == 0:
        totals[4] = int(clock[0]) + 1


def tick(clock):
    """clock[0] += 1: the last call of a step."""
    clock[0] += 1
