// What beta buys: the posterior of one example that is best for nll + beta * KL, by gradient descent on its own mu and
// log sigma. KL is the rate, what z costs; nll the distortion, what is left of x. Both in nats.
//
// (Higgins et al., "beta-VAE", ICLR 2017; Alemi et al., "Fixing a broken ELBO", arXiv:1711.00464.)

import { backward_decoder, decode, kl, nll, reparameterize } from "./network.js";
import { normals, PAGE_STREAM } from "./noise.js";

// Streams of the page's own: the noise of the steps, and that of the measurements.
const STEPPING = PAGE_STREAM + 12, MEASURING = PAGE_STREAM + 13;
const STEPS = 160;
const RATE = 0.06; // Adam's at the first step; it falls to 0 along half a cosine
export const MEASURE = 64; // pairs of draws

/** Adam (Kingma and Ba, arXiv:1412.6980) on a list of numbers. */
class Adam {
  constructor(count) {
    this.first = new Float64Array(count);
    this.second = new Float64Array(count);
    this.steps = 0;
  }

  update(values, slopes, rate) {
    const t = ++this.steps;
    for (let i = 0; i < values.length; i++) {
      this.first[i] = 0.9 * this.first[i] + 0.1 * slopes[i];
      this.second[i] = 0.999 * this.second[i] + 0.001 * slopes[i] ** 2;
      const mean = this.first[i] / (1 - 0.9 ** t), size = Math.sqrt(this.second[i] / (1 - 0.999 ** t));
      values[i] -= (rate * mean) / (size + 1e-8);
    }
  }
}

/** Starts at the encoder's posterior { mu, sigma }; `step` moves it, and `fit` all the way. */
export class BestPosterior {
  constructor(model, x, { mu, sigma }) {
    Object.assign(this, { model, x });
    this.mu = Float64Array.from(mu);
    this.log_sigma = Float64Array.from(sigma, Math.log);
  }

  get sigma() {
    return this.log_sigma.map(Math.exp);
  }

  /** All steps for beta, as a generator that yields after each. */
  *fit(beta) {
    const adam = { mu: new Adam(this.mu.length), log_sigma: new Adam(this.mu.length) };
    for (let t = 0; t < STEPS; t++) {
      this.step(beta, t, adam, 0.5 * RATE * (1 + Math.cos((Math.PI * t) / STEPS)));
      yield;
    }
  }

  /** One step against the mean gradient of a draw and its opposite. */
  step(beta, t, adam, rate) {
    const { model, x, mu, sigma } = this, { latent } = model;
    const divergence = kl(mu, this.log_sigma, sigma, "exp"); // for the scale "exp" rho is log sigma
    const dmu = divergence.dmu.map((value) => beta * value), dlog_sigma = divergence.drho.map((value) => beta * value);
    const drawn = normals(0, STEPPING, t, latent);
    for (const noise of [drawn, drawn.map((value) => -value)]) {
      const { output, kept } = decode(model, reparameterize(mu, sigma, noise));
      const { dz } = backward_decoder(model, kept, nll(model, x, output).doutput, false);
      for (let j = 0; j < latent; j++) {
        dmu[j] += dz[j] / 2;
        dlog_sigma[j] += (dz[j] * noise[j] * sigma[j]) / 2;
      }
    }
    adam.mu.update(mu, dmu, rate);
    adam.log_sigma.update(this.log_sigma, dlog_sigma, rate);
  }
}

/** nll of q = N(mu, sigma^2), averaged over the same draws for each q: a generator that yields after each draw. */
export function* mean_nll(model, x, mu, sigma) {
  let total = 0;
  for (let pair = 0; pair < MEASURE; pair++) {
    const drawn = normals(0, MEASURING, pair, model.latent);
    for (const noise of [drawn, drawn.map((value) => -value)]) {
      total += nll(model, x, decode(model, reparameterize(mu, sigma, noise)).output).total;
      yield;
    }
  }
  return total / (2 * MEASURE);
}
