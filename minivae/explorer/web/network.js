// The model: encoder, reparameterization, decoder, the two terms of the loss, and the whole pass back.
//
//   x -> encoder -> posterior layer -> mu, rho     sigma = softplus(rho) or exp(rho)
//   z = mu + sigma * noise                         noise ~ N(0, 1)
//   z -> decoder -> output layer -> p(x|z)         loss = nll + beta * KL
//
// One example at a time, in double precision over the run's float32 weights. `model` is the payload's: its lists of
// layers, `scale`, `likelihood`, `beta`. Everything is in nats. The same in Python: minivae/vae.py, layers.py,
// reparam.py, losses.py.

import { chain_backward, chain_forward, sigmoid, softplus } from "./dense.js";
import { LIKELIHOODS } from "./likelihoods.js";

// Below this softplus(rho) = exp(rho) to double precision, and its logarithm is rho itself.
const SOFTPLUS_TAIL = -40;

const upward = (model) => [...model.encoder, model.posterior];
const downward = (model) => [...model.decoder, model.output];
const sum = (values) => values.reduce((total, value) => total + value, 0);
const last = (list) => list[list.length - 1];

/** q(z|x) = N(mu, sigma^2): { mu, rho, sigma } (latent) each, and `kept` for the pass back, from x (features). */
export function encode(model, x) {
  const kept = chain_forward(upward(model), x), head = last(kept).y;
  const mu = head.slice(0, model.latent), rho = head.slice(model.latent);
  return { mu, rho, sigma: rho.map((value) => scale_of(value, model.scale)), kept };
}

/** What the likelihood takes, such as logits, (outputs * features), and `kept` for the pass back, from z (latent). */
export function decode(model, z) {
  const kept = chain_forward(downward(model), z);
  return { output: last(kept).y, kept };
}

/** The mean of p(x|z) (features) from the decoder's output. */
export function mean(model, output) {
  return LIKELIHOODS[model.likelihood.name].mean(output);
}

/**
 * -log p(x|z): `each` (features), their sum `total`, the derivative `doutput` with respect to the decoder's output and,
 * for the gaussian, `dlog_sigma` (1 or features).
 */
export function nll(model, x, output) {
  const each = new Float64Array(model.features), doutput = new Float64Array(output.length);
  const { name, log_sigma } = model.likelihood;
  const dlog_sigma = LIKELIHOODS[name].nll(x, output, each, doutput, log_sigma);
  return { each, total: sum(each), doutput, dlog_sigma };
}

/** sigma = softplus(rho), or exp(rho) for the scale "exp". */
export function scale_of(rho, scale) {
  return scale === "exp" ? Math.exp(rho) : softplus(rho);
}

/** dsigma/drho = sigmoid(rho) for softplus, sigma for exp. */
export function dscale(rho, sigma, scale) {
  return scale === "exp" ? sigma : sigmoid(rho);
}

/** z = mu + sigma * noise (latent): for fixed noise an ordinary function, dz/dmu = 1 and dz/dsigma = noise. */
export function reparameterize(mu, sigma, noise) {
  return mu.map((value, j) => value + sigma[j] * noise[j]);
}

/** dmu = dz, dsigma = dz * noise (the very noise that z was made with), drho = dsigma * dsigma/drho. */
export function backward_sample(dz, rho, sigma, noise, scale) {
  const dsigma = dz.map((value, j) => value * noise[j]);
  return { dmu: dz.slice(), dsigma, drho: dsigma.map((value, j) => value * dscale(rho[j], sigma[j], scale)) };
}

/**
 * KL(N(mu, sigma^2) || N(0, 1)) = (mu^2 + sigma^2 - 1) / 2 - log sigma: `each` (latent), their sum `total`, and
 * dmu = mu, dsigma = sigma - 1 / sigma, drho = dsigma * dsigma/drho.
 */
export function kl(mu, rho, sigma, scale) {
  const each = mu.map((m, j) => 0.5 * (m * m + sigma[j] * sigma[j] - 1) - log_scale(rho[j], scale));
  const dsigma = sigma.map((s) => s - 1 / s);
  // (dsigma/drho) / sigma stays 1 where both have become 0
  const drho = sigma.map((s, j) => s * dscale(rho[j], s, scale) - relative_slope(rho[j], s, scale));
  return { each, total: sum(each), dmu: mu.slice(), dsigma, drho };
}

/** log sigma, from rho where sigma is too small for its own logarithm. */
function log_scale(rho, scale) {
  return scale === "exp" || rho < SOFTPLUS_TAIL ? rho : Math.log(softplus(rho));
}

function relative_slope(rho, sigma, scale) {
  return scale === "exp" || rho < SOFTPLUS_TAIL ? 1 : sigmoid(rho) / sigma;
}

/** dz (latent) and the gradients of the decoder's layers, the output layer's last; without `parameters` only dz. */
export function backward_decoder(model, kept, doutput, parameters = true) {
  const { dx, gradients } = chain_backward(downward(model), kept, doutput, parameters);
  return { dz: dx, gradients };
}

/** dx (features) and the gradients of the encoder's layers, the posterior's last; without `parameters` only dx. */
export function backward_encoder(model, kept, dmu, drho, parameters = true) {
  const dhead = new Float64Array(2 * model.latent);
  dhead.set(dmu);
  dhead.set(drho, model.latent);
  return chain_backward(upward(model), kept, dhead, parameters);
}

/**
 * The whole pass down and up for one draw: loss = nll + beta * KL and its gradients. dmu and drho are those of the
 * whole loss; `gradients` has { dweight, dbias } of every layer, from the first of the encoder to the output layer.
 */
export function loss(model, x, noise, { beta = model.beta, parameters = true } = {}) {
  const { mu, rho, sigma, kept: kept_up } = encode(model, x);
  const z = reparameterize(mu, sigma, noise);
  const { output, kept: kept_down } = decode(model, z);
  const reconstruction = nll(model, x, output), divergence = kl(mu, rho, sigma, model.scale);

  const { dz, gradients: below } = backward_decoder(model, kept_down, reconstruction.doutput, parameters);
  const through_z = backward_sample(dz, rho, sigma, noise, model.scale);
  const whole = (name) => through_z[name].map((value, j) => value + beta * divergence[name][j]);
  const dmu = whole("dmu"), dsigma = whole("dsigma"), drho = whole("drho");
  const { gradients: above } = backward_encoder(model, kept_up, dmu, drho, parameters);
  return {
    mu, rho, sigma, z, output, dz, dmu, dsigma, drho, through_z, kept_up, kept_down,
    nll: reconstruction.total, nll_each: reconstruction.each, doutput: reconstruction.doutput,
    kl: divergence.total, kl_each: divergence.each,
    loss: reconstruction.total + beta * divergence.total,
    gradients: [...above, ...below], dlog_sigma: reconstruction.dlog_sigma,
  };
}
