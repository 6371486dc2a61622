// From the example to z: what changes the state that all views look at.

import { encode } from "./network.js";
import { Source } from "./noise.js";
import { payload } from "./payload.js";
import { change, state } from "./state.js";

let source = null;
let drawn = null; // the noise before z was moved by hand

// The first example, the first two latents, noise of the page's own source.
export function begin() {
  const { model, data } = payload;
  source = new Source(payload.seed ?? 0);
  const latent = model?.latent ?? (data.points ? data.points.mu.length / data.points.count : 0);
  state.axes = [0, Math.min(1, Math.max(0, latent - 1))];
  state.noise = drawn = Float64Array.from(source.normals(model ? latent : 0));
  if (data.rows) pick(0);
}

// Example `index` of the page is the one at hand.
export function pick(index) {
  const { data } = payload;
  const x = data.x.slice(index * data.features, (index + 1) * data.features);
  look(x, { index, drawn: false });
}

// x (features,) is encoded, and z drawn from its posterior with the noise that was drawn last.
export function look(x, more = { index: -1, drawn: true }) {
  change({ ...more, x });
  if (!payload.model) return;
  const { mu, rho, sigma } = encode(payload.model, x);
  change({ head: { mu: Float64Array.from(mu), rho: Float64Array.from(rho), sigma: Float64Array.from(sigma) } });
  setNoise(drawn);
}

// z = mu + sigma * noise, for all latents.
export function setNoise(noise) {
  const { mu, sigma } = state.head;
  drawn = noise;
  change({ noise, z: mu.map((m, j) => m + sigma[j] * noise[j]), moved: false });
}

export function drawNoise() {
  setNoise(Float64Array.from(source.normals(state.noise.length)));
}

// Latent j of z is put somewhere by hand; the noise that would have led there is in `noise` until the next example.
export function moveZ(values) {
  const { mu, sigma } = state.head;
  const z = Float64Array.from(state.z);
  const noise = Float64Array.from(state.noise);
  for (const [j, value] of Object.entries(values)) {
    z[j] = value;
    noise[j] = (value - mu[j]) / sigma[j];
  }
  change({ z, noise, moved: true });
}
