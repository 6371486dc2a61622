// -log p(x|z) in nats from what the decoder puts out, its gradient and the mean of p(x|z).
//
// Each likelihood has `outputs`, how many numbers the decoder puts out for each feature (all the first ones, then all
// the second ones), nll(x, output, each, doutput, log_sigma), which fills the nll of each feature and its derivative
// with respect to the output, and mean(output). The same formulas: minivae/kernels/naive/likelihoods.py.

import { sigmoid, softplus } from "./dense.js";

const BYTE = 255;
// How far from 0 what a decoder puts out counts: log alpha and log beta, the mean, the log scale.
const LOG_LIMIT = 30, MEAN_LIMIT = 1e30, LOG_SCALE_LIMIT = 8;

function limited(value, limit) {
  return Math.min(Math.max(value, -limit), limit);
}

/** 1 where `limited` lets the gradient pass, 0 outside. */
function open(value, limit) {
  return Math.abs(value) > limit ? 0 : 1;
}

/** nll = softplus(l) - x l, dl = sigmoid(l) - x, for the logit l. */
const bernoulli = {
  outputs: 1,
  nll(x, logits, each, dlogits) {
    for (let i = 0; i < x.length; i++) {
      each[i] = softplus(logits[i]) - x[i] * logits[i];
      dlogits[i] = sigmoid(logits[i]) - x[i];
    }
  },
  mean: (logits) => Float64Array.from(logits, sigmoid),
};

/**
 * nll = (x - m)^2 / (2 s^2) + log s + log(2 pi) / 2, dm = (m - x) / s^2, with one s for all features or one for each;
 * dlog_s = 1 - (x - m)^2 / s^2, added up over the features that share s.
 */
const gaussian = {
  outputs: 1,
  nll(x, mean, each, dmean, log_sigma) {
    const dlog_sigma = new Float64Array(log_sigma.length);
    for (let i = 0; i < x.length; i++) {
      const which = log_sigma.length > 1 ? i : 0, s = Math.exp(log_sigma[which]);
      const distance = (mean[i] - x[i]) / s;
      each[i] = 0.5 * distance * distance + log_sigma[which] + 0.5 * Math.log(2 * Math.PI);
      dmean[i] = distance / s;
      dlog_sigma[which] += 1 - distance * distance;
    }
    return dlog_sigma;
  },
  mean: (mean) => Float64Array.from(mean),
};

/**
 * Bytes k = round(255 x) whose count out of n = 255 is beta-binomial, alpha = exp(first output), beta = exp(second):
 *
 *   P(k) = C(n, k) prod_{i < k} (alpha + i) prod_{i < n - k} (beta + i) / prod_{i < n} (alpha + beta + i)
 *   dnll/dlog alpha = alpha (sum_{i < n} 1 / (alpha + beta + i) - sum_{i < k} 1 / (alpha + i)), the same for beta
 */
const beta_binomial = {
  outputs: 2,
  nll(x, output, each, doutput) {
    const features = x.length;
    for (let i = 0; i < features; i++) {
      const k = Math.round(BYTE * x[i]), first = output[i], second = output[features + i];
      const alpha = Math.exp(limited(first, LOG_LIMIT)), beta = Math.exp(limited(second, LOG_LIMIT));
      each[i] = -LOG_WAYS[k] - log_quotients(alpha, alpha + beta, k) - log_quotients(beta, alpha + beta + k, BYTE - k);
      const rise = reciprocals(alpha + beta, BYTE);
      doutput[i] = open(first, LOG_LIMIT) * alpha * (rise - reciprocals(alpha, k));
      doutput[features + i] = open(second, LOG_LIMIT) * beta * (rise - reciprocals(beta, BYTE - k));
    }
  },
  /** alpha / (alpha + beta) */
  mean: (output) =>
    Float64Array.from({ length: output.length / 2 }, (_, i) =>
      sigmoid(limited(output[i], LOG_LIMIT) - limited(output[output.length / 2 + i], LOG_LIMIT))),
};

// log C(255, k) for each k, one factor after another
const LOG_WAYS = new Float64Array(BYTE + 1);
for (let k = 1; k <= BYTE; k++) LOG_WAYS[k] = LOG_WAYS[k - 1] + Math.log((BYTE + 1 - k) / k);

/** sum_{i < count} log((a + i) / (b + i)), one logarithm for sixteen quotients: their product is above 1e-250. */
function log_quotients(a, b, count) {
  let total = 0, product = 1;
  for (let i = 0; i < count; i++) {
    product *= (a + i) / (b + i);
    if (i % 16 === 15) {
      total += Math.log(product);
      product = 1;
    }
  }
  return total + Math.log(product);
}

/** sum_{i < count} 1 / (a + i) */
function reciprocals(a, count) {
  let total = 0;
  for (let i = 0; i < count; i++) total += 1 / (a + i);
  return total;
}

/**
 * Bytes k = round(255 x) from a logistic distribution cut into bins of width 1/255, the outer two open. With mean m =
 * 1/2 + first output, scale s = exp(second output) / 8 and the bin's ends u = (x + 1/510 - m) / s and l =
 * (x - 1/510 - m) / s:
 *
 *   -log P(k) = softplus(-u) + softplus(l) - log(1 - exp(l - u)), where u = inf for k = 255 and l = -inf for k = 0
 *   dnll/dm = (sigmoid(-u) - sigmoid(l)) / s
 *   dnll/dlog s = sigmoid(-u) u - sigmoid(l) l + (u - l) / (exp(u - l) - 1)
 */
const logistic = {
  outputs: 2,
  nll(x, output, each, doutput) {
    const features = x.length;
    for (let i = 0; i < features; i++) {
      const k = Math.round(BYTE * x[i]), first = output[i], second = output[features + i];
      const s = Math.exp(limited(second, LOG_SCALE_LIMIT)) / 8, width = 1 / (BYTE * s);
      const distance = (k / BYTE - (0.5 + limited(first, MEAN_LIMIT))) / s;
      const u = distance + width / 2, l = distance - width / 2;
      let nll = 0, dm = 0, dlog_s = 0;
      if (k < BYTE) {
        nll += softplus(-u);
        dm += sigmoid(-u) / s;
        dlog_s += sigmoid(-u) * u;
      }
      if (k > 0) {
        nll += softplus(l);
        dm -= sigmoid(l) / s;
        dlog_s -= sigmoid(l) * l;
      }
      if (k > 0 && k < BYTE) {
        nll -= Math.log(-Math.expm1(-width));
        dlog_s += width / Math.expm1(width);
      }
      each[i] = nll;
      doutput[i] = open(first, MEAN_LIMIT) * dm;
      doutput[features + i] = open(second, LOG_SCALE_LIMIT) * dlog_s;
    }
  },
  /** s (softplus(m / s) - softplus((m - 1) / s)): the mean with what lies outside [0, 1] moved to its ends. */
  mean: (output) =>
    Float64Array.from({ length: output.length / 2 }, (_, i) => {
      const s = Math.exp(limited(output[output.length / 2 + i], LOG_SCALE_LIMIT)) / 8;
      const m = Math.min(Math.max(0.5 + output[i], -40 * s), 1 + 40 * s);
      return Math.min(Math.max(s * (softplus(m / s) - softplus((m - 1) / s)), 0), 1);
    }),
};

export const LIKELIHOODS = { bernoulli, gaussian, beta_binomial, logistic };
