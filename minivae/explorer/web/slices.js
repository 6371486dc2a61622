// Long work, a little of it in each frame, so that no frame is late: all jobs together have one budget.

import { everyFrame } from "./frame.js";
import { state, watch } from "./state.js";

const BUDGET = 6; // milliseconds of a frame's 16

const jobs = new Set();
let running = false;

/**
 * Runs a generator piece by piece (a piece goes up to its next yield) while its view is shown, and calls told(done,
 * result) after the pieces of a frame. Returns a function that stops it.
 */
export function inSlices(view, work, told) {
  const job = { view, work, told, took: 0 }; // took: milliseconds, of its last piece
  jobs.add(job);
  begin();
  return () => jobs.delete(job);
}

function begin() {
  if (running || !jobs.size) return;
  running = true;
  everyFrame(frame);
}

watch(["view"], begin);

function frame() {
  const end = performance.now() + BUDGET, worked = new Map();
  let now = performance.now();
  let shown = [...jobs].filter((job) => job.view === state.view);
  if (!shown.length) return (running = false); // until one that has work is shown
  // At least one piece, and others that are likely to fit.
  const fits = (job) => jobs.has(job) && (!worked.size || now + job.took < end);
  while ((shown = shown.filter(fits)).length) {
    for (const job of shown) {
      if (!fits(job)) continue;
      const { done, value } = job.work.next();
      worked.set(job, { done, value });
      if (done) jobs.delete(job);
      const then = performance.now();
      job.took = then - now;
      now = then;
    }
  }
  for (const [job, { done, value }] of worked) job.told(done, value);
  // The first in line has had its turn.
  for (const job of worked.keys()) if (jobs.delete(job)) jobs.add(job);
  running = jobs.size > 0;
  return running;
}
