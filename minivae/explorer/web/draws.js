// Four estimators of the gradient of E[f(z)], z ~ N(mu, sigma^2), with respect to mu and sigma: each takes a few
// standard normals e and returns one estimate, right on average, of [dE/dmu, dE/dsigma]. Where minivae/estimators draws
// from a Rayleigh and a Maxwell distribution, here the length of an arrow of two normals, or three, has it.

import { normals } from "./noise.js";

const ROOT_TWO_PI = Math.sqrt(2 * Math.PI);

/** f(z) d log q(z) / d parameter. Asks for no slope of f. Source: Williams (1992). */
function score_function(f, mu, sigma, e) {
  return with_baseline(f, mu, sigma, e, [0, 0]);
}

/** (f(z) - baseline) d log q(z) / d parameter. The score has mean 0: only the variance changes. */
function with_baseline(f, mu, sigma, e, baseline) {
  const value = f.value(mu + sigma * e[0]);
  return [(value - baseline[0]) * e[0] / sigma, (value - baseline[1]) * (e[0] * e[0] - 1) / sigma];
}

/** f'(z) and f'(z) noise for z = mu + sigma noise: the reparameterization trick. Source: Kingma and Welling (2013). */
function pathwise(f, mu, sigma, e) {
  const dz = f.slope(mu + sigma * e[0]);
  return [dz, dz * e[0]];
}

/** Differences of f at two coupled draws. Asks for no slope of f. Source: Pflug (1989); Mohamed et al. (2019).
 *
 *  dq/dmu = (q+ - q-) / (sigma sqrt(2 pi)), q+-: mu +- sigma w, and w is the length of two normals (Rayleigh).
 *  dq/dsigma = (qm - q) / sigma, qm: mu + sigma m, where m, with density m^2 exp(-m^2/2) / sqrt(2 pi), has the length
 *  of three normals and the sign of the first. The first itself, a share u of m, uniform on (0, 1), is the draw from
 *  q. */
function measure_valued(f, mu, sigma, e) {
  const w = Math.sqrt(e[0] * e[0] + e[1] * e[1]);
  const m = Math.sign(e[2]) * Math.sqrt(e[2] * e[2] + e[3] * e[3] + e[4] * e[4]);
  return [
    (f.value(mu + sigma * w) - f.value(mu - sigma * w)) / (sigma * ROOT_TWO_PI),
    (f.value(mu + sigma * m) - f.value(mu + sigma * e[2])) / sigma,
  ];
}

/** normals: how many one estimate takes; evaluations: of f or f' for one parameter. */
export const ESTIMATORS = {
  score_function: { normals: 1, evaluations: 1, estimate: score_function },
  baseline: { normals: 1, evaluations: 1, estimate: with_baseline },
  pathwise: { normals: 1, evaluations: 1, estimate: pathwise },
  measure_valued: { normals: 5, evaluations: 2, estimate: measure_valued },
};

/** Estimates [dmu, dsigma], each the mean of K, from the normals of (seed, step): two Float64Array(count). */
export function estimates(name, f, { mu, sigma, best, K = 1 }, seed, step, count) {
  const { normals: width, estimate } = ESTIMATORS[name];
  const stream = Object.keys(ESTIMATORS).indexOf(name);
  const noise = normals(seed, stream, step, count * K * width);
  const columns = [new Float64Array(count), new Float64Array(count)];
  const e = new Float64Array(width);
  for (let row = 0, at = 0; row < count; row++) {
    for (let draw = 0; draw < K; draw++, at += width) {
      for (let i = 0; i < width; i++) e[i] = noise[at + i];
      const [dmu, dsigma] = estimate(f, mu, sigma, e, best);
      columns[0][row] += dmu / K;
      columns[1][row] += dsigma / K;
    }
  }
  return columns;
}

/** Mean and variance of numbers as they come. About a centre near the mean, which keeps the squares from cancelling. */
export class Running {
  constructor(centre = 0) {
    Object.assign(this, { centre, count: 0, sum: 0, squares: 0 });
  }

  add(value) {
    const distance = value - this.centre;
    this.count += 1;
    this.sum += distance;
    this.squares += distance * distance;
  }

  get mean() {
    return this.centre + this.sum / this.count;
  }

  get variance() {
    return Math.max(0, this.squares / this.count - (this.sum / this.count) ** 2);
  }

  /** The standard error of the mean: sqrt(variance / n). */
  get error() {
    return Math.sqrt(this.variance / this.count);
  }
}
