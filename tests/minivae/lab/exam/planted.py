"""Mistakes to be planted in the solution: (function, what stands there, what is put there, words that must be said)."""

DENSE = "dense_backward"
SOFTPLUS = "softplus_backward"
SAMPLE = "reparameterize_backward"
KL = "gaussian_kl_backward"
NLL = "bernoulli_nll_backward"
ELBO = "elbo_backward"
IWAE = "iwae_backward"
SCORE = "score_function"

SIGMOID = "dsigma / (1 + np.exp(-rho))"
UNIT = "weight / weight.sum(axis=1, keepdims=True)"
WEIGHT = "np.exp(log_weight - log_weight.max(axis=1, keepdims=True))"
BASELINE = "(f - (f.sum() - f) / (len(f) - 1))"

PLANTED = [
    (DENSE, " * (1 - np.tanh(x @ weight + bias) ** 2)", "", "slope of tanh is left out"),
    (DENSE, "da @ weight.T", "da @ weight", "transposed"),
    (DENSE, "x.T @ da", "da.T @ x", "(transposed?)"),
    (DENSE, "da.sum(axis=0)", "da", "axis 0, of length 5, is not summed over?"),
    (DENSE, "x.T @ da,", "x.T @ da / len(x),", "dweight: this is the right gradient, 5 times too small"),
    (DENSE, "bias) ** 2", "bias)", "lacks the square"),
    (DENSE, "x.T @ da", "-x.T @ da", "dweight: this is the right gradient, turned in sign"),
    (DENSE, "da @ weight.T", "dy @ weight.T", "dx: this is what one gets when the slope of tanh is left out"),
    (SOFTPLUS, SIGMOID, "dsigma * 1", "slope of softplus is left out"),
    (SOFTPLUS, SIGMOID, "dsigma * np.exp(rho)", "the slope is that of exp"),
    (SOFTPLUS, SIGMOID, "dsigma * softplus(rho)", "sigma is taken for the slope"),
    (SOFTPLUS, SIGMOID, "-" + SIGMOID, "turned in sign"),
    (SOFTPLUS, SIGMOID, "1 / (1 + np.exp(-rho))", "dsigma is ignored"),
    (SOFTPLUS, SIGMOID, "dsigma * np.exp(rho) / (1 + np.exp(rho))", "nan for rho = -1000 and 1000"),
    (SOFTPLUS, SIGMOID, "dsigma * (rho > 0)", "these are dsigma * (rho > 0)"),
    (SAMPLE, "dz * noise", "dz * np.random.standard_normal(dz.shape)", "backward draws fresh noise"),
    (SAMPLE, "dz * noise", "dz * np.random.default_rng(1).standard_normal(dz.shape)", "did not use forward's noise"),
    (SAMPLE, "dz * noise", "dz", "the noise is left out"),
    (SAMPLE, "sum(axis=1)", "mean(axis=1)", "averaged over the draws instead of summed"),
    (SAMPLE, "(dz * noise).sum(axis=1)", "2 * sigma * (dz * noise).sum(axis=1)", "sigma is taken for the variance"),
    (SAMPLE, "(dz * noise).sum(axis=1)", "(dz * noise).sum(axis=1) * sigma", "gradient with respect to log sigma"),
    (SAMPLE, "dz.sum(axis=1),", "dz,", "axis 1, of length 3, is not summed over?"),
    (KL, " - 1 / sigma", "", "the term -log sigma is left out"),
    (KL, "dkl[:, None] * mu", "2 * dkl[:, None] * mu", "the half in front of mu^2 + sigma^2 is forgotten"),
    (KL, "(sigma - 1 / sigma)", "(sigma**2 - 1)", "gradient with respect to log sigma"),
    (KL, "(sigma - 1 / sigma)", "(1 - 1 / sigma) / 2", "sigma is taken for the variance"),
    (KL, "dkl[:, None]", "-dkl[:, None]", "the sign is turned"),
    (KL, "dkl[:, None]", "dkl[:, None] / len(mu)", "divided by the number of examples"),
    (KL, "dkl[:, None] * ", "", "dkl is ignored"),
    (KL, "1 / sigma", "0.5 / sigma", "of (mu^2 + sigma^2) / 2 counts 1 times and that of -log sigma 0.5 times"),
    (NLL, "(1 / (1 + np.exp(-logits)) - x[:, None])", "(x[:, None] - 1 / (1 + np.exp(-logits)))", "the sign is turned"),
    (NLL, "1 / (1 + np.exp(-logits))", "logits", "the sigmoid is left out"),
    (NLL, " - x[:, None]", "", "the data x are left out"),
    (NLL, "dnll[:, :, None]", "dnll[:, :, None] / x.shape[1]", "averaged over the features"),
    (NLL, "dnll[:, :, None]", "dnll[:, :, None] / dnll.shape[1]", "3 times too small, the number of draws"),
    (NLL, "1 / (1 + np.exp(-logits))", "np.exp(logits) / (1 + np.exp(logits))", "an exp overflows"),
    (NLL, "dnll[:, :, None] * ", "", "dnll is ignored"),
    (NLL, "- x[:, None]", "- 2 * x[:, None]", "that of -x * logits 2 times"),
    (ELBO, "dmu + kl_mu", "dmu", "dto_mu: this is what one gets when the KL is forgotten"),
    (ELBO, "dsigma + kl_sigma", "kl_sigma", "the KL's gradient replaces that of the reconstruction"),
    (ELBO, "softplus_backward(dsigma + kl_sigma, rho)", "dsigma + kl_sigma", "the slope of softplus is forgotten"),
    (ELBO, "1 / (n * draws)", "1 / n", "K is forgotten"),
    (ELBO, "1 / (n * draws)", "1.0", "the gradient of nll counts 15 times and that of the KL 1 times"),
    (ELBO, "mu, rho = x", "noise = np.random.standard_normal(noise.shape); mu, rho = x", "backward draws fresh noise"),
    (ELBO, "np.full(n, 1 / n)", "np.full(n, 1.0)", "the KL is summed over the batch"),
    (ELBO, "dsigma + kl_sigma", "dsigma + 2 * kl_sigma", "that of the KL 2 times"),
    (IWAE, "-dloss", "dloss", "the sign is turned"),
    (IWAE, UNIT, "np.exp(log_weight)", "the weights are not normalised"),
    (IWAE, UNIT, UNIT + " / weight.shape[1]", "divided by K once more"),
    (IWAE, UNIT, UNIT.replace("axis=1", "axis=0"), "normalised over the examples"),
    (IWAE, UNIT, "weight / weight.max()", "divided by the largest"),
    (IWAE, UNIT, "np.ones_like(weight) / weight.shape[1]", "the gradient of the ELBO"),
    (IWAE, WEIGHT, "np.exp(log_weight)", "nan for log weights moved by 1000"),
    (IWAE, UNIT, f"({UNIT}) ** 2", "the normalised weights are squared"),
    (IWAE, UNIT, f"({UNIT}) ** 0.5", "what belongs to each example has the sum 1."),
    (SCORE, BASELINE, "(f - f.mean())", "the baseline depends on the draw"),
    (SCORE, BASELINE, "f", "no baseline is taken off"),
    (SCORE, "[:, None] / len(f)", "[:, None]", "n is forgotten"),
    (SCORE, "(noise**2 - 1)", "noise**2", "the -1 is missing"),
    (SCORE, "each * noise / sigma,", "each * noise,", "z - mu is divided by sigma, not by sigma^2"),
    (SCORE, "(z - mu)", "(mu - z)", "turned"),
    (SCORE, BASELINE, "(f - f.min())", "f less its baseline, is not"),
    (DENSE, "da.sum(axis=0)", "sum(da[i] for i in range(5))", "with 6 examples, 2 draws: dbias"),
    (ELBO, "1 / (n * draws)", "1 / 15", "with 6 examples, 2 draws: "),
    (IWAE, "weight.sum(axis=1, keepdims=True)", "(weight @ np.ones((3, 1)))", "with 6 examples, 2 draws: "),
]

# (..., words that must be said, words that would name another mistake)
NO_OTHER_CAUSE = [
    (KL, "dkl[:, None] * mu", "dkl[:, None] * mu / 2", "dmu: constant factor 0.5", "this is what one gets"),
    (KL, "sigma - 1 / sigma", "sigma - 1 / (sigma + 1e-8)", "nearly right", "this is what one gets"),
    (KL, "(sigma - 1 / sigma)", "(sigma - 1 / sigma - 1)", "the error is the same all along axis 1", "path"),
    (ELBO, "dlogits @ decoder.T", "-dlogits @ decoder.T", "nll counts -1 times", "sign of the KL is turned"),
    (ELBO, "1 / (n * draws)", "1.0", "ddecoder: this is the right gradient, 15 times", "K is forgotten"),
    (IWAE, WEIGHT, "np.exp(-log_weight)", "dlog_weight: ", "has the sum 1.00"),
    (SAMPLE, "(dz * noise).sum(axis=1)", "(dz * noise)[:, 2]", "axis 1 of dz", "axis 1 of dy"),
    (DENSE, "da.sum(axis=0)", "da.sum(axis=0, keepdims=True)", "is one too many", "not summed over"),
]
