// Bounds of log p(x) from K draws of z for one example, and log p(x) itself where there are one or two latents.
//
//   log w_k = log p(x|z_k) + log p(z_k) - log q(z_k|x),   z_k = mu + sigma * noise_k
//   L_K = log (1/K) sum_k w_k,   ELBO = E[L_1] <= E[L_K] <= E[L_(K+1)] <= log p(x)
//
// (Burda, Grosse and Salakhutdinov, arXiv:1509.00519, theorem 1). Everything is in nats. The same in Python:
// minivae/bounds.py, minivae/evaluation/importance.py, and for the integral minivae/lab/calibration.py.

import { decode, nll, reparameterize } from "./network.js";
import { normals } from "./noise.js";

const HALF_LOG_2PI = 0.5 * Math.log(2 * Math.PI);

/**
 * One draw from q: z (latent), nll = -log p(x|z), kl = log q(z|x) - log p(z), whose mean over draws is the KL, and
 * log_weight = -nll - kl, whose mean is the ELBO. head: { mu, sigma } (latent) each.
 */
export function one_draw(model, x, head, noise) {
  const z = reparameterize(head.mu, head.sigma, noise);
  const cost = nll(model, x, decode(model, z).output).total;
  const kl = log_prior_ratio(head, noise, z);
  return { z, nll: cost, kl, log_weight: -cost - kl };
}

/** log q(z|x) - log p(z): of both densities log(2 pi) / 2 cancels, and of q only -noise^2 / 2 - log sigma is left. */
export function log_prior_ratio(head, noise, z) {
  let total = 0;
  for (let j = 0; j < z.length; j++) total += 0.5 * (z[j] * z[j] - noise[j] * noise[j]) - Math.log(head.sigma[j]);
  return total;
}

// Draw k of seed s is draw k of model.log_likelihood(x, seed=s) in Python, for an x of this one row.
const IMPORTANCE = 8; // the stream's number in kernels/philox.py
const PAGE = 1000; // draws that share a step of the stream
const BLOCK = 4; // draws whose noise is made at a time: whole blocks of the cipher

/** Draws of one example, one more with each `next`: lists nll, kl, log_weight, and bound: L_K of the first K. */
export class Draws {
  constructor(model, x, head, seed) {
    Object.assign(this, { model, x, head, seed });
    this.nll = [];
    this.kl = [];
    this.log_weight = [];
    this.bound = [];
    this.top = -Infinity; // of log_weight
    this.total = 0; // the sum of the weights, divided by exp(top)
  }

  get count() {
    return this.log_weight.length;
  }

  next() {
    const draw = one_draw(this.model, this.x, this.head, this.noise_of(this.count));
    this.nll.push(draw.nll);
    this.kl.push(draw.kl);
    this.log_weight.push(draw.log_weight);
    const higher = Math.max(this.top, draw.log_weight);
    this.total = this.total * Math.exp(this.top - higher) + Math.exp(draw.log_weight - higher);
    this.top = higher;
    this.bound.push(higher + Math.log(this.total / this.count));
  }

  /** The noise of draw k, (latent). */
  noise_of(k) {
    const { latent } = this.model, page = Math.floor(k / PAGE), place = k % PAGE, first = place - (place % BLOCK);
    if (this.first !== page * PAGE + first) {
      this.first = page * PAGE + first;
      this.block = normals(this.seed, IMPORTANCE, page, BLOCK * latent, first * latent);
    }
    return this.block.subarray((place - first) * latent, (place - first + 1) * latent);
  }
}

/** log (1/K) sum_k exp(value_k), whatever the values' size. */
export function log_mean_exp(values) {
  let top = -Infinity, total = 0;
  for (const value of values) top = Math.max(top, value);
  for (const value of values) total += Math.exp(value - top);
  return top + Math.log(total / values.length);
}

/** The mean of L_K over the groups of K successive log weights. */
export function mean_bound(log_weight, count) {
  const groups = Math.floor(log_weight.length / count);
  let total = 0;
  for (let i = 0; i < groups; i++) total += log_mean_exp(log_weight.slice(i * count, (i + 1) * count));
  return total / groups;
}

/**
 * log mean w as an estimate of log p(x), its standard error, how many equal weights would be as good, and u (K), the
 * weights divided by their sum.
 */
export function moments(log_weight) {
  const count = log_weight.length, value = log_mean_exp(log_weight);
  const u = Float64Array.from(log_weight, (one) => Math.exp(one - value) / count);
  let squares = 0, spread = 0;
  for (const share of u) {
    squares += share * share;
    spread += (share * count - 1) ** 2;
  }
  return { value, error: Math.sqrt(spread / (count - 1) / count), effective: 1 / squares, u };
}

const COARSEST = 0.5; // the first grid's step, in standard deviations of the prior
const LEAST_HALF = 6, MOST_HALF = 30; // the grid's half width, likewise
const MOST_POINTS = 60_000; // then it ends in any case
const LEFT_OUT = 16; // nats below the highest point: what lies there adds less than e^-16 of it for each point
const CLOSE = 6e-6; // of max(1, |log p(x)|), between two grids: about three times what the finer is off by

/**
 * log p(x) = log integral p(x|z) p(z) dz for one or two latents, as a sum over a grid: for a smooth function that
 * vanishes at its ends the sum converges faster than any power of the step. Almost all of the plane holds nothing, so
 * each grid is as fine again as the one before, and only where that one was high; it ends when two agree.
 *
 * A generator, because it takes seconds: it yields after each point, and returns { value, points, step }.
 */
export function* quadrature(model, x, head) {
  const reach = Array.from(head.mu, (value, j) => Math.abs(value) + 8 * head.sigma[j]);
  const half = Math.min(Math.max(LEAST_HALF, ...reach), MOST_HALF);
  // No peak of p(x, z) is taken to be narrower than this, so that none falls between the points of the first grid.
  const narrowest = Math.min(0.08, 0.5 * Math.min(...head.sigma));
  const flat = model.latent === 1, most = Math.ceil(half / COARSEST);
  let step = COARSEST, points = [], known = new Map(), before = NaN, evaluated = 0;
  for (let a = -most; a <= most; a++) {
    for (let b = flat ? 0 : -most; b <= (flat ? 0 : most); b++) points.push([a, b]);
  }
  for (; ; step /= 2) {
    const here = new Map(); // log p(x, z) by point
    let top = -Infinity;
    for (const [a, b] of points) {
      // every other point was on the grid before
      let value = a % 2 || b % 2 ? undefined : known.get(key(a / 2, b / 2));
      if (value === undefined) {
        value = log_joint(model, x, flat ? [a * step] : [a * step, b * step]);
        evaluated++;
        yield evaluated;
      }
      here.set(key(a, b), value);
      top = Math.max(top, value);
    }
    const value = log_mean_exp([...here.values()]) + Math.log(here.size) + model.latent * Math.log(step);
    const settled = Math.abs(value - before) < CLOSE * Math.max(1, Math.abs(value));
    if (settled || evaluated > MOST_POINTS || !points.length) return { value, points: evaluated, step };
    before = value;
    // A point this far below the highest may still have a peak in its cell.
    const margin = LEFT_OUT + 0.5 * ((Math.SQRT1_2 * step) / narrowest) ** 2;
    points = finer(points.filter(([a, b]) => here.get(key(a, b)) > top - margin), flat);
    known = here;
  }
}

function key(a, b) {
  return a * 2 ** 24 + b;
}

/** The points of the grid of half the step that lie in the cells of these points. */
function finer(points, flat) {
  const found = new Map();
  for (const [a, b] of points) {
    for (let i = -1; i <= 1; i++) {
      for (let j = flat ? 0 : -1; j <= (flat ? 0 : 1); j++) {
        found.set(key(2 * a + i, 2 * b + j), [2 * a + i, 2 * b + j]);
      }
    }
  }
  return [...found.values()];
}

/** log p(x|z) + log p(z). */
function log_joint(model, x, z) {
  let total = -nll(model, x, decode(model, z).output).total;
  for (const value of z) total -= 0.5 * value * value + HALF_LOG_2PI;
  return total;
}
