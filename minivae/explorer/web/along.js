// The decoder's own loss for an example, as a function of one latent: f(z_j) = -log p(x | z), the other latents held.
//
// A pass down and back gives f and df/dz at one place. For averages over many draws these are tabulated, a little in
// each frame, first coarsely, then finely. Slopes of E[f] from the finest table are right to about 1e-4 of those of f
// where sigma is 0.1 or more, and to 1e-3 at 0.01, where the kinks of a relu lie between two places.

import { tabulated } from "./functions.js";
import { backward_decoder, decode, nll } from "./network.js";

const LEAST_REACH = 8;
const SIGMAS = 5; // that a table reaches beyond mu
const FINEST = 320; // steps from -reach to reach
const COARSEST = 10;

export class LossAlong {
  /** x (features), z (latent) of which latent j is the one that moves, head: q(z|x), whose mu and sigma say how far. */
  constructor(model, x, z, j, head) {
    const far = Math.abs(head.mu[j]) + SIGMAS * head.sigma[j];
    Object.assign(this, { model, x, j, z: Float64Array.from(z), reach: Math.max(LEAST_REACH, far) });
    this.values = new Float64Array(FINEST + 1);
    this.slopes = new Float64Array(FINEST + 1);
    this.stride = 2 * FINEST / COARSEST; // between the places that are known
    this.known = new Set();
    this.fill(Infinity, FINEST / COARSEST);
  }

  /** [f, df/dz_j] in nats where latent j is `place`. */
  at(place) {
    this.z[this.j] = place;
    const { output, kept } = decode(this.model, this.z);
    const { total, doutput } = nll(this.model, this.x, output);
    return [total, backward_decoder(this.model, kept, doutput, false).dz[this.j]];
  }

  get done() {
    return this.stride === 1;
  }

  /** Tabulates on for so many milliseconds, at most down to a stride; true where a finer table is there. */
  fill(milliseconds, finest = 1) {
    const end = performance.now() + milliseconds;
    const before = this.stride;
    while (this.stride > finest) {
      const next = this.stride / 2;
      for (let i = 0; i <= FINEST; i += next) {
        if (this.known.has(i)) continue;
        if (performance.now() > end) return this.stride < before;
        [this.values[i], this.slopes[i]] = this.at(this.reach * (2 * i / FINEST - 1));
        this.known.add(i);
      }
      this.stride = next;
    }
    return this.stride < before;
  }

  /** The table as a function of functions.js. */
  table() {
    const every = (column) => column.filter((_, i) => i % this.stride === 0);
    return tabulated("loss", -this.reach, this.reach, every(this.values), every(this.slopes));
  }
}
