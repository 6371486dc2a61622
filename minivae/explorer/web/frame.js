// One queue for what is to happen in the next frame: each function once, and what they ask for in the same frame.

const waiting = new Set();
let asked = false;
let running = false;

export function schedule(fn) {
  waiting.add(fn);
  if (asked || running) return;
  asked = true;
  requestAnimationFrame(flush);
}

// Runs what waits. Tests, and whoever must see the effect at once, call it too.
export function flush() {
  asked = false;
  running = true;
  try {
    for (let round = 0; waiting.size && round < 8; round++) {
      const now = [...waiting];
      waiting.clear();
      for (const fn of now) fn();
    }
  } finally {
    running = false;
  }
  if (waiting.size) schedule([...waiting][0]);
}

// Calls step() in each frame for as long as it returns true; returns a function that stops it.
export function everyFrame(step) {
  let going = true;
  const next = () => {
    if (going && step()) requestAnimationFrame(next);
    else going = false;
  };
  requestAnimationFrame(next);
  return () => (going = false);
}
