// What the views share: the example at hand and its way through the model. Views keep what is theirs alone.

import { schedule } from "./frame.js";

export const state = {
  view: null, // the one that is to be seen
  index: 0, // of the example among those of the page; -1 where it was drawn by hand
  x: new Float32Array(0), // (features,), what is encoded
  drawn: false,
  axes: [0, 1], // the latents that planes show; the first is the one that the trick is shown for
  head: { mu: new Float64Array(0), rho: new Float64Array(0), sigma: new Float64Array(0) }, // (latent,) each
  noise: new Float64Array(0), // (latent,)
  z: new Float64Array(0), // (latent,), mu + sigma * noise, unless `moved`
  moved: false, // z was put elsewhere by hand
};

const watchers = [];
let owner = null; // the view that is being built

// Runs fn at once, and in the frame after any of these keys of the state was changed; if its view is hidden then, when
// it is shown again.
export function watch(keys, fn) {
  watchers.push({ keys, fn, owner, stale: false });
  fn();
}

// Sets keys of the state. An array that was written in place counts as changed when it is passed again.
export function change(values) {
  Object.assign(state, values);
  for (const watcher of watchers) if (watcher.keys.some((key) => key in values)) watcher.stale = true;
  schedule(settle);
}

function settle() {
  for (const watcher of watchers) {
    if (!watcher.stale || (watcher.owner !== null && watcher.owner !== state.view)) continue;
    watcher.stale = false;
    watcher.fn();
  }
}

// Builds a view by make(), to which the watchers made meanwhile belong, and shows it.
export function showView(name, make) {
  change({ view: name });
  if (!make) return;
  owner = name;
  try {
    make();
  } finally {
    owner = null;
  }
}
