// Functions f of one latent z, for the question of the page: what is the gradient of E[f(z)], z ~ N(mu, sigma^2), with
// respect to mu and sigma? For each of these the answer is known in closed form, so an estimate can be held against it.
//
// A function is { name, k, value(z), slope(z) = f'(z), mean(mu, sigma) = E[f], gradient(mu, sigma) = [dE/dmu, dE/dsigma] }
// and may have breaks, the places where it jumps or kinks: a quadrature must not step over them.
// The same in Python: minivae/estimators/functions.py.

import { normal_cdf, normal_density } from "./dense.js";

const ROOT_TWO_PI = Math.sqrt(2 * Math.PI);

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

/** A function given by its values and slopes (Float64Array each) at equal steps from low to high: between two places the
 *  cubic that has both, beyond the ends straight. Its averages are computed, not sampled. */
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
    (i, t, s) => 6 * t * s * (values[i + 1] - values[i]) / h + slopes[i] * s * (s - 2 * t) + slopes[i + 1] * t * (t - 2 * s),
    (i) => slopes[i]);
  const breaks = Array.from(values, (_, i) => low + i * h);
  const f = { name, k: 0, value, slope, breaks };
  f.mean = (mu, sigma) => average(f, mu, sigma)[0];
  f.gradient = (mu, sigma) => average(f, mu, sigma).slice(1);
  return f;
}

const NODES = 16; // of a part
const REACH = 13; // standard deviations to each side: the density beyond is below 1e-36
const FEWEST = 26; // parts
const MOST = 832;

/** Gauss and Legendre's rule on [-1, 1]: roots x of the polynomial P of degree NODES, weights 2 / ((1 - x^2) P'(x)^2),
 *  and integrals[i][j]: the weight of value j in the integral from -1 to x[i]. */
function legendre_rule() {
  const polynomials = (x) => {
    const p = [1, x];
    for (let n = 2; n <= NODES; n++) p.push(((2 * n - 1) * x * p[n - 1] - (n - 1) * p[n - 2]) / n);
    return p;
  };
  const x = [];
  const weights = [];
  for (let i = 0; i < NODES; i++) {
    let root = -Math.cos(Math.PI * (i + 0.75) / (NODES + 0.5));
    let derivative = 0;
    for (let turn = 0; turn < 8; turn++) {
      const p = polynomials(root);
      derivative = NODES * (p[NODES - 1] - root * p[NODES]) / (1 - root * root);
      root -= p[NODES] / derivative;
    }
    x.push(root);
    weights.push(2 / ((1 - root * root) * derivative ** 2));
  }
  // the polynomial through the values has the coefficients (n + 1/2) sum_j w_j P_n(x_j) value_j, and the integral of
  // (2 n + 1) P_n is P_(n+1) - P_(n-1)
  const all = x.map(polynomials);
  const integrals = all.map((upper) => all.map((p, j) => {
    let sum = upper[1] + 1;
    for (let n = 1; n < NODES; n++) sum += p[n] * (upper[n + 1] - upper[n - 1]);
    return 0.5 * weights[j] * sum;
  }));
  return { x, weights, integrals };
}

const RULE = legendre_rule();

/** Ends of the parts of [0, REACH] for the noise: equal ones, and the places where f breaks on either side of mu. */
function part_ends(f, mu, sigma, parts) {
  const ends = Array.from({ length: parts + 1 }, (_, i) => REACH * i / parts);
  for (const place of f.breaks ?? []) {
    const distance = Math.abs(place - mu) / sigma;
    if (distance < REACH) ends.push(distance);
  }
  return ends.sort((a, b) => a - b).filter((end, i) => i === 0 || end - ends[i - 1] > 1e-14);
}

/** visit(noise, weight) at the nodes of all parts; weight is that of the normal density. Returns nothing. */
function over_noise(f, mu, sigma, parts, visit) {
  const ends = part_ends(f, mu, sigma, parts);
  for (let part = 0; part + 1 < ends.length; part++) {
    const half = 0.5 * (ends[part + 1] - ends[part]);
    for (let i = 0; i < NODES; i++) {
      const noise = ends[part] + half * (RULE.x[i] + 1);
      visit(noise, half * RULE.weights[i] * normal_density(noise), half, part, i);
    }
  }
}

/** [E f, dE/dmu, dE/dsigma] by quadrature: E f, E[f noise] / sigma and E[f (noise^2 - 1)] / sigma. */
export function average(f, mu, sigma) {
  const sums = [0, 0, 0];
  over_noise(f, mu, sigma, FEWEST, (noise, weight) => {
    const above = f.value(mu + sigma * noise);
    const below = f.value(mu - sigma * noise);
    sums[0] += weight * (above + below);
    sums[1] += weight * (above - below) * noise;
    sums[2] += weight * (above + below) * (noise * noise - 1);
  });
  return [sums[0], sums[1] / sigma, sums[2] / sigma];
}

/** { estimator: { mean: [mu, sigma], variance: [mu, sigma] } } of one draw of each estimator of draws.js, with no
 *  sampling, and best: the baselines E[f s^2] / E[s^2] for the scores s of mu and sigma, which make it vary least.
 *  On twice as many parts until no second moment moves by more than 1e-11 of itself; between the many breaks of a table
 *  the first parts will do. */
export function moments(f, mu, sigma) {
  let before = null;
  for (let parts = FEWEST; ; parts *= 2) {
    const found = second_moments(f, mu, sigma, parts);
    const still = before && Object.keys(found.columns).every((name) => found.columns[name].every(([, second], p) =>
      Math.abs(second - before.columns[name][p][1]) <= 1e-11 * second + 1e-28 * found.scale));
    if (still || parts >= MOST || f.breaks?.length > FEWEST) {
      const result = { best: found.best };
      for (const [name, column] of Object.entries(found.columns)) {
        const variance = column.map(([mean, second]) => Math.max(0, second - mean * mean));
        result[name] = { mean: column.map(([mean]) => mean), variance };
      }
      return result;
    }
    before = found;
  }
}

/** Mean and second moment of each estimator for mu and for sigma: columns { name: [[mean, second], [mean, second]] }. */
function second_moments(f, mu, sigma, parts) {
  const centre = f.value(mu);
  const noise = [];
  const weight = [];
  const value = [[], []]; // of f above mu and below
  const inner = [[], []]; // its integral, less f(mu), over the noise from 0 to the node
  const whole = [0, 0];
  over_noise(f, mu, sigma, parts, (e, w, half, part, i) => {
    noise.push(e);
    weight.push(w);
    for (const side of [0, 1]) value[side].push(f.value(mu + (side ? -sigma : sigma) * e));
    if (i < NODES - 1) return;
    for (const side of [0, 1]) {
      const here = value[side].slice(-NODES);
      for (const row of RULE.integrals) {
        inner[side].push(whole[side] + half * row.reduce((sum, r, j) => sum + r * (here[j] - centre), 0));
      }
      whole[side] += half * here.reduce((sum, v, j) => sum + RULE.weights[j] * (v - centre), 0);
    }
  });

  const each = (term) => { // the sum over both sides and all nodes
    let sum = 0;
    for (let n = 0; n < noise.length; n++) sum += weight[n] * (term(n, 0, noise[n]) + term(n, 1, -noise[n]));
    return sum;
  };
  const score = [(e) => e / sigma, (e) => (e * e - 1) / sigma];
  const slope = [0, 1].map((side) => noise.map((e) => f.slope(mu + (side ? -sigma : sigma) * e)));
  const best = score.map((s) =>
    each((n, side, e) => value[side][n] * s(e) ** 2) / each((n, side, e) => s(e) ** 2));
  const pair = (estimate) => [each(estimate), each((n, side, e) => estimate(n, side, e) ** 2)];

  // dmu: (f(mu + sigma w) - f(mu - sigma w)) / (sigma sqrt(2 pi)); w exp(-w^2/2) is the normal density times sqrt(2 pi) w
  const rayleigh = [1, 2].map((power) => noise.reduce((sum, w, n) =>
    sum + weight[n] * w * ROOT_TWO_PI * ((value[0][n] - value[1][n]) / (sigma * ROOT_TWO_PI)) ** power, 0));
  // dsigma: (f(m) - f(m u)) / sigma, where m has the density m^2 times the normal one and m u the normal one; over u the
  // mean of f(m u) is that of f between 0 and m
  const maxwell = [
    each((n, side, e) => (value[side][n] - centre) * (e * e - 1)) / sigma,
    each((n, side, e) => (value[side][n] - centre) ** 2 * (e * e + 1)
      - 2 * Math.abs(e) * (value[side][n] - centre) * inner[side][n]) / sigma ** 2,
  ];
  const columns = {
    score_function: score.map((s) => pair((n, side, e) => value[side][n] * s(e))),
    baseline: score.map((s, p) => pair((n, side, e) => (value[side][n] - best[p]) * s(e))),
    pathwise: [pair((n, side) => slope[side][n]), pair((n, side, e) => slope[side][n] * e)],
    measure_valued: [rayleigh, maxwell],
  };
  return { columns, best, scale: Math.max(...Object.values(columns).flat().map(([, second]) => second)) };
}
