// What several figures share: names of lines beside a picture, and places along a logarithmic axis.

import { colours, label } from "./plot.js";

const APART = 15; // pixels

// Names at the right of a picture, [[y, text, colour], ...], moved apart where they would cover each other.
export function namesBeside(g, x, list, bottom) {
  const sorted = list.filter(([y]) => Number.isFinite(y)).sort((a, b) => a[0] - b[0]);
  const ys = sorted.map(([y]) => y);
  for (let i = 1; i < ys.length; i++) ys[i] = Math.max(ys[i], ys[i - 1] + APART);
  for (let i = ys.length - 1, most = bottom; i >= 0; i--, most = ys[i + 1] - APART) ys[i] = Math.min(ys[i], most);
  sorted.forEach(([, text, colour], i) => label(g, text, x, ys[i], { colour }));
}

// Under axes `a`, where place j is at j + 1, the numbers 0, 1, ..., as many as have room; or names(j), each so wide.
export function latentNumbers(g, a, count, names = String, wide = 28) {
  const every = [0, 1, 2, 3, 4, 5, 6].flatMap((power) => [1, 2, 5].map((step) => step * 10 ** power))
    .find((step) => count / step <= a.box.w / wide);
  const look = { colour: colours().muted, align: "center", base: "top", size: 11 };
  for (let j = 0; j < count; j += every) label(g, names(j), a.px(j + 1), a.box.y + a.box.h + 5, look);
}

// Draws inside a box only.
export function within(g, { x, y, w, h }, draw) {
  g.save();
  g.beginPath();
  g.rect(x, y, w, h);
  g.clip();
  draw();
  g.restore();
}

// 1, 2, 3, ... and then ever further apart up to count: enough for a line over a logarithmic axis.
export function spaced(count) {
  const found = [];
  for (let k = 1; k < count; k = Math.max(k + 1, Math.round(k * 1.06))) found.push(k);
  return [...found, count];
}
