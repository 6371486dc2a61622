// The picture under the graphs: f over z, the density of q at its foot, the draw z on the curve with its tangent, and
// E[f] as a curve of its own over mu, whose slope the gradients are to find.

import { arrow, axes, colours, dot, label, line } from "./plot.js";
import { formatted } from "./ui.js";

const POINTS = 200;
const FOOT = 0.42; // of the height of the curve: the room for the density

/** What does not change while mu, sigma and noise do: f at the points, its range. */
export function survey(f, low, high) {
  const zs = Array.from({ length: POINTS + 1 }, (_, i) => low + (high - low) * i / POINTS);
  const values = zs.map(f.value);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const span = most - least || 1;
  return { f, zs, values, low, high, range: [least - FOOT * span, most + 0.08 * span] };
}

/** E[f] where q is moved to each of the points; for one without a closed form by 33 draws of even spacing. */
function means({ f, zs }, sigma) {
  if (f.name !== "loss") return zs.map((mu) => f.mean(mu, sigma));
  const noise = Array.from({ length: 33 }, (_, i) => -4 + i / 4);
  const weights = noise.map((e) => Math.exp(-0.5 * e * e));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return zs.map((mu) => noise.reduce((sum, e, i) => sum + weights[i] * f.value(mu + sigma * e), 0) / total);
}

/** now: { mu, sigma, noise, z, f, df }. Returns the places of what can be dragged, in pixels. */
export function draw_curve(g, width, height, surveyed, now) {
  const c = colours();
  const { zs, values, low, high, range } = surveyed;
  const { mu, sigma, z, df } = now;
  const box = { x: 46, y: 14, w: width - 58, h: height - 60 };
  const a = axes(g, box, { x: [low, high], y: range, xlabel: "z" });
  g.save();
  g.beginPath();
  g.rect(box.x, box.y - 8, box.w + 10, box.h + 8);
  g.clip();

  // the density, as high whatever sigma is: its width is what is dragged
  const foot = box.y + box.h;
  const tall = 0.19 * box.h;
  const density = (at) => foot - tall * Math.exp(-0.5 * ((at - mu) / sigma) ** 2);
  g.fillStyle = c.mu;
  g.globalAlpha = 0.16;
  g.beginPath();
  g.moveTo(box.x, foot);
  for (let x = box.x; x <= box.x + box.w; x++) g.lineTo(x, density(a.ix(x)));
  g.lineTo(box.x + box.w, foot);
  g.fill();
  g.globalAlpha = 1;

  line(g, zs.map(a.px), means(surveyed, sigma).map(a.py), c.good, 1.6, [6, 4]);
  line(g, zs.map(a.px), values.map(a.py), c.ink, 2);

  const [x, y] = [a.px(z), a.py(now.f)];
  const reach = 0.16 * box.w;
  const rise = (reach * a.py(now.f + df) - reach * y) / (a.px(z + 1) - x);
  const shrink = Math.min(1, 0.42 * box.h / Math.max(1, Math.abs(rise)));
  line(g, [x - reach * shrink, x + reach * shrink], [y - rise * shrink, y + rise * shrink], c.gradient, 2.4);
  line(g, [x, x], [foot, y], c.z, 1.2, [2, 3]);

  // mu, and the path from it to z: sigma times noise
  const middle = [a.px(mu), foot - tall];
  const aside = [a.px(mu + sigma), density(mu + sigma)];
  line(g, [middle[0], middle[0]], [foot, middle[1]], c.mu, 1.2);
  line(g, [middle[0], aside[0]], [aside[1], aside[1]], c.sigma, 1.6);
  arrow(g, middle[0], foot - 12, x, foot - 12, c.noise, 2.4);
  dot(g, ...middle, 7, c.mu, c.paper);
  dot(g, ...aside, 7, c.sigma, c.paper);
  dot(g, x, y, 7, c.z, c.paper);
  g.restore();

  label(g, "μ", middle[0], middle[1] - 17, { colour: c.mu, align: "center", size: 14, bold: true });
  label(g, "σ", aside[0] + 12, aside[1] - 4, { colour: c.sigma, size: 14, bold: true });
  const short = Math.abs(x - middle[0]) < 26;
  label(g, "σε", short ? Math.min(x, middle[0]) - 6 : (middle[0] + x) / 2, foot - (short ? 12 : 23), {
    colour: c.noise, align: short ? "right" : "center", bold: true,
  });
  g.fillStyle = c.paper; // over a number of the axis
  g.fillRect(x - 8, foot + 2, 16, 18);
  label(g, "z", x, foot + 4, { colour: c.z, align: "center", base: "top", size: 14, bold: true });
  // on the side where the tangent falls, unless there is no room
  const left = (df >= 0 || x > box.x + box.w - 110) && x > box.x + 110;
  label(g, `df/dz = ${formatted(df, 2)}`, x + (left ? -10 : 10), y + (y > box.y + 25 ? -17 : 19), {
    colour: c.gradient, align: left ? "right" : "left", bold: true,
  });
  return { mu: middle, sigma: aside, z: [x, y], scale: 1 / (a.px(1) - a.px(0)) };
}

/** Which of the places is nearest to a point. */
export function nearest(places, x, y) {
  const far = (name) => Math.hypot(places[name][0] - x, places[name][1] - y);
  return ["z", "mu", "sigma"].reduce((best, name) => (far(name) < far(best) ? name : best));
}
