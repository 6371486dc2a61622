// One step of gradient descent at a time on one example: the whole pass down and up by hand, right or with a mistake.
//
// The mistakes are those of `minivae lab collapse` (minivae/lab/collapse.py). Each is one line changed, and none of
// them gives an error message:
//
//   mean          nll is a mean over the features, the KL a sum over the latents: it weighs `features` times too much
//   softplus-exp  sigma = exp(softplus(rho)), never below 1: no posterior can be narrower than the prior
//   fresh-noise   the way back takes another draw than the way down: sigma hears nothing of the reconstruction
//   no-kl         the loss is nll alone: nothing keeps sigma from going to 0

import { sigmoid, softplus } from "./dense.js";
import { backward_decoder, backward_encoder, decode, encode, mean, nll } from "./network.js";
import { dscale, reparameterize, scale_of } from "./network.js";
import { normals, PAGE_STREAM } from "./noise.js";

export const MISTAKES = ["mean", "softplus-exp", "fresh-noise", "no-kl"];

/**
 * The loss nll + beta * KL of one draw and its gradients. own: { mu, rho } (latent) of this example as parameters of
 * their own, in the place of the encoder's. `other` is the noise that the mistake "fresh-noise" takes on the way back.
 * Whatever the mistake, loss, nll and kl are the right ones: what a mistake changes is the gradient (and sigma).
 */
export function gradient(model, x, noise, { mistake = "right", other = null, beta = model.beta, own = null } = {}) {
  const { mu, rho, kept: above } = own ?? encode(model, x);
  const { sigma, slope } = spread(model, rho, mistake);
  const z = reparameterize(mu, sigma, noise);
  const { output, kept: below } = decode(model, z);
  const reconstruction = nll(model, x, output), kl = divergence(mu, sigma);

  const nll_weight = mistake === "mean" ? 1 / model.features : 1;
  const kl_weight = mistake === "no-kl" ? 0 : beta;
  const back = mistake === "fresh-noise" ? other : noise;
  const doutput = reconstruction.doutput.map((value) => nll_weight * value);
  const { dz, gradients: of_decoder } = backward_decoder(model, below, doutput, !own);
  const dmu = dz.map((value, j) => value + kl_weight * mu[j]);
  const dsigma = dz.map((value, j) => value * back[j] + kl_weight * (sigma[j] - 1 / sigma[j]));
  const drho = dsigma.map((value, j) => value * slope[j]);
  const gradients = own ? [] : [...backward_encoder(model, above, dmu, drho).gradients, ...of_decoder];
  return {
    mu: mu.slice(), sigma, z, nll: reconstruction.total, kl, loss: reconstruction.total + beta * kl,
    dz, dmu, dsigma, drho, gradients,
  };
}

/** sigma and dsigma/drho, (latent) each. */
export function spread(model, rho, mistake = "right") {
  if (mistake === "softplus-exp") {
    const sigma = rho.map((value) => Math.exp(softplus(value)));
    return { sigma, slope: sigma.map((value, j) => value * sigmoid(rho[j])) };
  }
  const sigma = rho.map((value) => scale_of(value, model.scale));
  return { sigma, slope: sigma.map((value, j) => dscale(rho[j], value, model.scale)) };
}

/** KL(N(mu, sigma^2) || N(0, 1)), summed over the latents. */
function divergence(mu, sigma) {
  return mu.reduce((total, m, j) => total + 0.5 * (m * m + sigma[j] * sigma[j] - 1) - Math.log(sigma[j]), 0);
}

/** The model's layers in the order of `gradients`. */
export function layers_of(model) {
  return [...model.encoder, model.posterior, ...model.decoder, model.output];
}

/** A copy whose weights may be changed: the page's own model stays as it is. */
export function copied(model) {
  const copy = (layer) => ({ ...layer, weight: layer.weight.slice(), bias: layer.bias.slice() });
  const [encoder, decoder] = [model.encoder.map(copy), model.decoder.map(copy)];
  return { ...model, encoder, decoder, posterior: copy(model.posterior), output: copy(model.output) };
}

// Streams of the page's own: the noise of the steps, and that of the measurements.
const STEPPING = PAGE_STREAM + 10, MEASURING = PAGE_STREAM + 11;
export const PAIRS = 4; // draws and their opposites, the same ones after each step, by which the loss is measured

/**
 * Gradient descent on one example, from where the model is. alone: only the example's mu and rho move; otherwise all
 * weights do, those of a copy (a learned sigma of the likelihood stays). Step t of every descent has the same noise.
 *
 * `history` holds what `record` has measured, after each step.
 */
export class Descent {
  constructor(model, x, { mistake = "right", alone = false, beta = model.beta, seed = 0 } = {}) {
    Object.assign(this, { model, x, mistake, alone, beta, seed });
    const { mu, rho } = encode(model, x);
    this.own = alone ? { mu, rho } : null;
    this.steps = 0;
    this.history = [];
    this.found = null;
  }

  /** What `gradient` gives for the coming step. */
  look() {
    if (this.found) return this.found;
    const { model, x, mistake, beta, own } = this, { latent } = model;
    const both = normals(this.seed, STEPPING, this.steps, 2 * latent);
    const noise = both.subarray(0, latent), other = both.subarray(latent);
    this.found = gradient(model, x, noise, { mistake, other, beta, own });
    return this.found;
  }

  /** One step against the gradient. */
  step(rate) {
    const { dmu, drho, gradients } = this.look();
    if (this.alone) {
      descend(this.own.mu, dmu, rate);
      descend(this.own.rho, drho, rate);
    } else {
      if (this.steps === 0) this.model = copied(this.model);
      layers_of(this.model).forEach((layer, i) => {
        descend(layer.weight, gradients[i].dweight, rate);
        descend(layer.bias, gradients[i].dbias, rate);
      });
    }
    this.steps++;
    this.found = null;
  }

  /** Adds where the descent is now to the history; the picture of `mean` is kept of the last place alone. */
  record() {
    const before = this.history[this.history.length - 1];
    if (before) before.mean = null;
    this.history.push(this.measure());
  }

  /** The right loss where the descent is now, nll averaged over draws; mu, sigma and the mean of p(x|z) at z = mu. */
  measure() {
    const { model, x, beta } = this, { mu, sigma } = this.look();
    let total = 0;
    for (let pair = 0; pair < PAIRS; pair++) {
      const noise = normals(this.seed, MEASURING, pair, model.latent);
      for (const draw of [noise, noise.map((value) => -value)]) {
        total += nll(model, x, decode(model, reparameterize(mu, sigma, draw)).output).total;
      }
    }
    const cost = total / (2 * PAIRS), kl = divergence(mu, sigma);
    return { loss: cost + beta * kl, nll: cost, kl, mu, sigma, mean: mean(model, decode(model, mu).output) };
  }
}

/** value -= rate * slope, in place. */
function descend(values, slopes, rate) {
  for (let i = 0; i < values.length; i++) values[i] -= rate * slopes[i];
}
