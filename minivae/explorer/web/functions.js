// Functions f of one latent z, for the question of the page: what is the gradient of E[f(z)], z ~ N(mu, sigma^2), with
// respect to mu and sigma? For each of these the answer is known in closed form, so an estimate can be held against it.
//
// A function is { name, k, value(z), slope(z) = f'(z), mean(mu, sigma) = E[f],
// gradient(mu, sigma) = [dE/dmu, dE/dsigma] } and may have breaks, the places where it jumps or kinks: quadrature
// must not step over them.
// The same in Python: minivae/estimators/functions.py.

import { normal_cdf, normal_density } from "./dense.js";
import { average, average_slopes } from "./quadrature.js";

/** (z - k)^2; E f = (mu - k)^2 + sigma^2. */
export function quadratic(k) {
  return {
    name: "quadratic", k,
    value: (z) => (z - k) ** 2,
    slope: (z) => 2 * (z - k),
    mean: (mu, sigma) => (mu - k) ** 2 + sigma ** 2,
    gradient: (mu, sigma) => [2 * (mu - k), 2 * sigma],

    /** Variance of one draw for [mu, sigma], from the moments 1, 3, 15, 105 of noise^2, noise^4, noise^6, noise^8. */
    variances(mu, sigma) {
      const d2 = (mu - k) ** 2;
      const v = sigma ** 2;
      return {
        score_function: [d2 ** 2 / v + 14 * d2 + 15 * v, 2 * d2 ** 2 / v + 60 * d2 + 74 * v],
        baseline: [8 * d2 + 6 * v, 40 * d2 + 24 * v],
        pathwise: [4 * v, 4 * d2 + 8 * v],
        measure_valued: [16 * d2 * (2 - Math.PI / 2) / (2 * Math.PI), 4 * d2 + 4 * v],
      };
    },
  };
}

/** exp(-k z^2), k > 0; E f = exp(-k mu^2 / c) / sqrt(c) with c = 1 + 2 k sigma^2. */
export function exponential(k) {
  const value = (z) => Math.exp(-k * z * z);
  const spread = (sigma) => 1 + 2 * k * sigma ** 2;
  const mean = (mu, sigma) => Math.exp(-k * mu ** 2 / spread(sigma)) / Math.sqrt(spread(sigma));
  return {
    name: "exponential", k, value, mean,
    slope: (z) => -2 * k * z * value(z),
    gradient(mu, sigma) {
      const c = spread(sigma);
      const dc = mean(mu, sigma) * (k * mu ** 2 / c ** 2 - 0.5 / c);
      return [-2 * k * mu / c * mean(mu, sigma), dc * 4 * k * sigma];
    },
  };
}

/** cos(k z); E f = cos(k mu) exp(-k^2 sigma^2 / 2). */
export function cosine(k) {
  const damping = (sigma) => Math.exp(-0.5 * (k * sigma) ** 2);
  return {
    name: "cosine", k,
    value: (z) => Math.cos(k * z),
    slope: (z) => -k * Math.sin(k * z),
    mean: (mu, sigma) => Math.cos(k * mu) * damping(sigma),
    gradient: (mu, sigma) => [
      -k * Math.sin(k * mu) * damping(sigma),
      -k * k * sigma * Math.cos(k * mu) * damping(sigma),
    ],
  };
}

/** 1 above k and 0 below; E f = P(z > k). Its slope is 0 wherever it has one, yet E f moves with mu: the path fails. */
export function step(k) {
  return {
    name: "step", k, breaks: [k],
    value: (z) => (z > k ? 1 : 0),
    slope: () => 0,
    mean: (mu, sigma) => normal_cdf((mu - k) / sigma),
    gradient(mu, sigma) {
      const t = (mu - k) / sigma;
      return [normal_density(t) / sigma, -t * normal_density(t) / sigma];
    },
  };
}

export const FUNCTIONS = { quadratic, exponential, cosine, step };

/** A function given by its values and slopes (Float64Array each) at equal steps from low to high: between two places
 *  the cubic that has both, beyond the ends straight. Its averages are computed, not sampled. */
export function tabulated(name, low, high, values, slopes) {
  const last = values.length - 1;
  const h = (high - low) / last;
  const piece = (z, inside, outside) => {
    if (z <= low) return outside(0, z - low);
    if (z >= high) return outside(last, z - high);
    const place = (z - low) / h;
    const i = Math.min(last - 1, Math.floor(place));
    return inside(i, place - i, 1 - (place - i));
  };
  const value = (z) => piece(z,
    (i, t, s) => values[i] * (1 + 2 * t) * s * s + values[i + 1] * (1 + 2 * s) * t * t
      + h * t * s * (slopes[i] * s - slopes[i + 1] * t),
    (i, beyond) => values[i] + slopes[i] * beyond);
  const slope = (z) => piece(z,
    (i, t, s) => 6 * t * s * (values[i + 1] - values[i]) / h
      + slopes[i] * s * (s - 2 * t) + slopes[i + 1] * t * (t - 2 * s),
    (i) => slopes[i]);
  const breaks = Array.from(values, (_, i) => low + i * h);
  const f = { name, k: 0, value, slope, breaks };
  f.mean = (mu, sigma) => average(f, mu, sigma)[0];
  f.gradient = (mu, sigma) => average_slopes(f, mu, sigma);
  return f;
}
