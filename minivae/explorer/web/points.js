// The held-out points that planes show: where they are, by class, and which is nearest.

import { className } from "./payload.js";
import { CLASSES, colours } from "./plot.js";
import { t } from "./text.js";
import { h } from "./ui.js";

const RADIUS = 2.4;

export function labelsOf(points) {
  return points.labels ?? new Int32Array(points.count).fill(-1);
}

// Dots of points given as two functions of their number, x and y in pixels.
export function drawPoints(g, points, x, y) {
  const labels = labelsOf(points), c = colours();
  g.globalAlpha = 0.8;
  for (let i = 0; i < points.count; i++) {
    g.fillStyle = labels[i] < 0 ? c.accent : c[`class-${labels[i] % CLASSES}`];
    g.beginPath();
    g.arc(x(i), y(i), RADIUS, 0, 2 * Math.PI);
    g.fill();
  }
  g.globalAlpha = 1;
}

// The number of the point whose squared distance, distance(i), is least.
export function nearest(points, distance) {
  let best = 0, least = Infinity;
  for (let i = 0; i < points.count; i++) {
    const here = distance(i);
    if (here < least) [best, least] = [i, here];
  }
  return best;
}

// What the class of a label is called in a sentence; without labels, null.
export function classOf(points, i) {
  return className(labelsOf(points)[i]);
}

// The classes with their colours; null where there are none.
export function legend(points) {
  if (!points?.labels) return null;
  const found = [...new Set(points.labels)].filter((label) => label >= 0).sort((a, b) => a - b);
  if (!found.length) return null;
  const list = h("ul", { class: "legend", "aria-label": t("Classes", "类别") });
  for (const label of found) {
    const swatch = h("span", { class: "spot", "aria-hidden": "true" });
    swatch.style.backgroundColor = `var(--class-${label % CLASSES})`; // of whichever theme
    list.append(h("li", {}, swatch, h("bdi", {}, className(label))));
  }
  if (found.length <= CLASSES) return list;
  const many = t(
    "The ten colours repeat; the line below names the nearest point's class.",
    "十种颜色循环使用；下方文字给出最近点的类别。",
  );
  const count = t(`${found.length} classes`, `${found.length} 个类别`);
  return h("details", {}, h("summary", {}, count), h("p", { class: "note" }, many), list);
}
