// Long work, a little of it in each frame, so that no frame is late: all jobs together have one budget.

import { everyFrame } from "./frame.js";
import { shownView } from "./state.js";

const BUDGET = 6; // milliseconds of a frame's 16

const jobs = new Set();
let running = false;

/**
 * Runs a generator piece by piece (a piece goes up to its next yield) while its view is shown, and calls told(done,
 * result) after the pieces of a frame. Returns a function that stops it.
 */
export function inSlices(view, work, told) {
  const job = { view, work, told };
  jobs.add(job);
  if (!running) {
    running = true;
    everyFrame(frame);
  }
  return () => jobs.delete(job);
}

function frame() {
  const end = performance.now() + BUDGET, worked = new Map();
  let shown = [...jobs].filter((job) => job.view === shownView());
  while (shown.length && performance.now() < end) {
    for (const job of shown) {
      const { done, value } = job.work.next();
      worked.set(job, { done, value });
      if (done) jobs.delete(job);
      if (performance.now() >= end) break;
    }
    shown = shown.filter((job) => jobs.has(job));
  }
  for (const [job, { done, value }] of worked) job.told(done, value);
  // The first in line has had its turn.
  for (const job of worked.keys()) if (jobs.delete(job)) jobs.add(job);
  running = jobs.size > 0;
  return running;
}
