// What one example costs in bits, as `minivae compress` would write it with bits back (docs/compression.md).
//
//   paid      -log2 p(x|z), pixel by pixel, and -log2 p(z)
//   returned  -log2 q(z|x): z was drawn with bits of what was written before, and they come back
//   net       -log2 p(x|z) - log2 p(z) + log2 q(z|x) = -log2 w, on average over z the negative ELBO in bits
//
// z is real, so its line is cut into steps of 2^-digits and a step of p is p(z) 2^-digits: `digits` bits more for each
// latent are paid, and returned. With K draws the net price is -log2 (1/K) sum_k w_k.

import { decode, nll } from "./network.js";

export const NAT = 1 / Math.LN2; // bits
const HALF_LOG2_2PI = 0.5 * Math.log2(2 * Math.PI);

/**
 * "bits" where p(x|z) is a probability, so that -log2 of it is a length; "grey" for a Bernoulli likelihood of values
 * between 0 and 1, whose sum is a cross entropy and no probability of anything; "density" for real numbers.
 */
export function kind_of_code(model, x) {
  if (model.likelihood.name === "gaussian") return "density";
  if (model.likelihood.name !== "bernoulli") return "bits";
  return x.every((value) => value === 0 || value === 1) ? "bits" : "grey";
}

/** The bits of x as it is: 1 for each pixel of 0 and 1, 8 for each byte. */
export function raw_bits(model) {
  return model.features * (model.likelihood.name === "bernoulli" ? 1 : 8);
}

/** 1 above one half, else 0, as `--pixels threshold` does it. */
export function thresholded(x) {
  return Float32Array.from(x, (value) => (value > 0.5 ? 1 : 0));
}

/**
 * The account of x and one z (latent), in bits: `pixels` (features) and their sum `data`, `prior` and `posterior`, what
 * z costs and what comes back, and `net`. data_digits cuts the features of a density, as digits cuts z.
 */
export function account(model, x, head, z, { digits = 0, data_digits = 0 } = {}) {
  const pixels = nll(model, x, decode(model, z).output).each.map((nats) => nats * NAT + data_digits);
  const data = pixels.reduce((total, value) => total + value, 0);
  let prior = 0, posterior = 0;
  for (let j = 0; j < z.length; j++) {
    prior += normal_bits(z[j], 0, 1) + digits;
    posterior += normal_bits(z[j], head.mu[j], head.sigma[j]) + digits;
  }
  return { pixels, data, prior, posterior, net: data + prior - posterior };
}

/** -log2 of the density of N(mean, sigma^2) at z. */
function normal_bits(z, mean, sigma) {
  return 0.5 * ((z - mean) / sigma) ** 2 * NAT + Math.log2(sigma) + HALF_LOG2_2PI;
}
