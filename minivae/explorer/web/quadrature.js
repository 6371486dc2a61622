// Averages over z ~ N(mu, sigma^2) without sampling: of f, and of the estimators of the gradient of E[f(z)].
//
// Gauss and Legendre's rule on parts of the noise to both sides of mu. In Python: minivae/estimators/functions.py.

import { normal_density } from "./dense.js";

const ROOT_TWO_PI = Math.sqrt(2 * Math.PI);
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

/** Ends of the parts of [0, REACH] for the noise: equal ones, and the places where f breaks on either side of mu; of
 *  the many kinks of a table only those that lie apart, as between near ones hardly anything bends. */
function part_ends(f, mu, sigma, parts) {
  const ends = Array.from({ length: parts + 1 }, (_, i) => REACH * i / parts);
  for (const place of f.breaks ?? []) {
    const distance = Math.abs(place - mu) / sigma;
    if (distance < REACH) ends.push(distance);
  }
  const apart = f.breaks?.length > FEWEST ? 0.08 : 1e-14;
  let last = -1;
  return ends.sort((a, b) => a - b).filter((end) => {
    const kept = end - last > apart;
    if (kept) last = end;
    return kept;
  });
}

/** The nodes of all parts above mu, then those of all parts below: noise, its weight under the normal density, f there,
 *  (nodes) each; and half of each part's width. */
function on_nodes(f, mu, sigma, parts) {
  const ends = part_ends(f, mu, sigma, parts);
  const halves = ends.slice(1).map((end, part) => 0.5 * (end - ends[part]));
  const count = NODES * halves.length;
  const [noise, weight, value] = [0, 1, 2].map(() => new Float64Array(2 * count));
  halves.forEach((half, part) => RULE.x.forEach((x, i) => {
    const at = NODES * part + i;
    const e = ends[part] + half * (x + 1);
    noise[at] = e;
    noise[count + at] = -e;
    weight[at] = weight[count + at] = half * RULE.weights[i] * normal_density(e);
    value[at] = f.value(mu + sigma * e);
    value[count + at] = f.value(mu - sigma * e);
  }));
  return { noise, weight, value, halves };
}

/** [E f, dE/dmu, dE/dsigma] by quadrature: E f, E[f noise] / sigma and E[f (noise^2 - 1)] / sigma. */
export function average(f, mu, sigma) {
  const { noise, weight, value } = on_nodes(f, mu, sigma, FEWEST);
  const sums = [0, 0, 0];
  for (let i = 0; i < noise.length; i++) {
    const share = weight[i] * value[i];
    sums[0] += share;
    sums[1] += share * noise[i];
    sums[2] += share * (noise[i] * noise[i] - 1);
  }
  return [sums[0], sums[1] / sigma, sums[2] / sigma];
}

/** [dE/dmu, dE/dsigma] along the path, E f' and E[f' noise]: for f without jumps. Nothing is divided by sigma, so that
 *  no difference of values is lost however small it is. */
export function average_slopes(f, mu, sigma) {
  const { noise, weight, value } = on_nodes({ value: f.slope, breaks: f.breaks }, mu, sigma, FEWEST);
  const sums = [0, 0];
  for (let i = 0; i < noise.length; i++) {
    sums[0] += weight[i] * value[i];
    sums[1] += weight[i] * value[i] * noise[i];
  }
  return sums;
}

/** { estimator: { mean, variance, fourth } }, [mu, sigma] each, of one draw of each estimator of draws.js, with no
 *  sampling, fourth the mean of the fourth power of what it is away from its mean; and best: the baselines
 *  E[f s^2] / E[s^2] for the scores s of mu and sigma, which make the score function vary least.
 *  On twice as many parts until no variance moves by more than 1e-11 of itself; between the many breaks of a table the
 *  first parts will do. */
export function moments(f, mu, sigma) {
  const names = ["score_function", "baseline", "pathwise", "measure_valued"];
  let before = null;
  for (let parts = FEWEST; ; parts *= 2) {
    const found = moments_on(f, mu, sigma, parts);
    const scale = Math.max(...names.flatMap((name) => found[name].variance));
    const still = before && names.every((name) => found[name].variance.every((variance, p) =>
      Math.abs(variance - before[name].variance[p]) <= 1e-11 * variance + 1e-24 * scale));
    if (still || parts >= MOST || f.breaks?.length > FEWEST) return found;
    before = found;
  }
}

function moments_on(f, mu, sigma, parts) {
  const { noise, weight, value, halves } = on_nodes(f, mu, sigma, parts);
  const count = noise.length / 2;
  const sum = (term, many = 2 * count) => {
    let total = 0;
    for (let i = 0; i < many; i++) total += weight[i] * term(i);
    return total;
  };
  const about_mean = (term, many, density = () => 1) => {
    const mean = sum((i) => density(i) * term(i), many);
    let variance = 0;
    const fourth = sum((i) => {
      const squared = (term(i) - mean) * (term(i) - mean);
      variance += weight[i] * density(i) * squared;
      return density(i) * squared * squared;
    }, many);
    return { mean, variance, fourth };
  };
  const both = (...columns) => Object.fromEntries(
    ["mean", "variance", "fourth"].map((key) => [key, columns.map((column) => column[key])]));

  const score = [noise.map((e) => e / sigma), noise.map((e) => (e * e - 1) / sigma)];
  const best = score.map((s) => sum((i) => value[i] * s[i] ** 2) / sum((i) => s[i] ** 2));
  const slope = noise.map((e) => f.slope(mu + sigma * e));
  const centre = f.value(mu);
  return {
    best,
    score_function: both(...score.map((s) => about_mean((i) => value[i] * s[i]))),
    baseline: both(...score.map((s, p) => about_mean((i) => (value[i] - best[p]) * s[i]))),
    pathwise: both(about_mean((i) => slope[i]), about_mean((i) => slope[i] * noise[i])),
    measure_valued: both(
      // at mu +- sigma w, w with the density sqrt(2 pi) w times the normal one
      about_mean((i) => (value[i] - value[count + i]) / (sigma * ROOT_TWO_PI), count, (i) => ROOT_TWO_PI * noise[i]),
      maxwell(noise, weight, value.map((v) => v - centre), halves, sigma)),
  };
}

/** Of (f(m) - f(m u)) / sigma, where m has the density m^2 times the normal one, and m u the normal one. Over u the
 *  mean of f(m u)^k is that of f^k between 0 and m; so E[(f(m) - f(m u))^r] is a sum of E[f(m)^(r - k) mean_k(m)]. */
function maxwell(noise, weight, value, halves, sigma) {
  const powers = [value.map(() => 1), value];
  for (let k = 2; k <= 4; k++) powers.push(powers[k - 1].map((power, i) => power * value[i]));
  const between = powers.map((power, k) => (k && k < 4 ? integrals(power, halves) : null)); // from 0 to the node
  const product = (a, k) => { // E[f(m)^a f(m u)^k]
    let total = 0;
    for (let i = 0; i < noise.length; i++) {
      const e = Math.abs(noise[i]);
      total += weight[i] * (a === 0 ? powers[k][i] : powers[a][i] * e * (k === 0 ? e : between[k][i]));
    }
    return total / sigma ** (a + k);
  };
  const [m1, m2, m3, m4] = [[1, -1], [1, -2, 1], [1, -3, 3, -1], [1, -4, 6, -4, 1]].map((signs, i) =>
    signs.reduce((sum, sign, k) => sum + sign * product(i + 1 - k, k), 0));
  const variance = Math.max(0, m2 - m1 * m1);
  return { mean: m1, variance, fourth: Math.max(variance ** 2, m4 - 4 * m1 * m3 + 6 * m1 * m1 * m2 - 3 * m1 ** 4) };
}

/** The integral over |noise| from 0 to each node. */
function integrals(values, halves) {
  const found = new Float64Array(values.length);
  let at = 0;
  for (const _ of [0, 1]) {
    let whole = 0;
    for (const half of halves) {
      const part = values.subarray(at, at + NODES);
      for (const row of RULE.integrals) {
        let sum = 0;
        for (let j = 0; j < NODES; j++) sum += row[j] * part[j];
        found[at++] = whole + half * sum;
      }
      for (let j = 0; j < NODES; j++) whole += half * RULE.weights[j] * part[j];
    }
  }
  return found;
}
