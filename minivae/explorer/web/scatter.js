// Pictures of estimates: how each estimator's scatter about the gradient, and the order of their variances.

import { axes, colours, dot, label, line } from "./plot.js";
import { say } from "./text.js";
import { formatted } from "./ui.js";

const BINS = 160;

/** As in the figures of minivae/lab. */
export function estimator_colour(name) {
  const c = colours();
  return { score_function: c.score, baseline: c.baseline, pathwise: c.path, measure_valued: c.measure }[name];
}

/** Counts in equal bins from low to high; what lies outside is counted in `total` only. */
export class Histogram {
  constructor(low, high) {
    Object.assign(this, { low, high, total: 0, counts: new Float64Array(BINS) });
  }

  add(value) {
    const bin = Math.floor((value - this.low) / (this.high - this.low) * BINS);
    this.total += 1;
    if (bin >= 0 && bin < BINS) this.counts[bin] += 1;
  }
}

/** A row for each estimator, over the same axis: its histogram, and the exact standard deviation about the mean. */
export function draw_histograms(g, width, height, { names, histograms, running, exact, p, texts }) {
  const c = colours();
  const { low, high } = histograms[names[0]];
  const box = { x: 10, y: 8, w: width - 20, h: height - 52 };
  const a = axes(g, box, { x: [low, high], y: [0, 1], yticks: false, xlabel: say(texts.axis(p ? "σ" : "μ")) });
  const tall = box.h / names.length;
  names.forEach((name, i) => {
    const foot = box.y + tall * (i + 1);
    const { counts } = histograms[name];
    const most = Math.max(1, ...counts);
    g.fillStyle = estimator_colour(name);
    counts.forEach((count, bin) => {
      if (!count) return;
      const left = box.x + box.w * bin / BINS;
      const up = (tall - 34) * count / most;
      g.fillRect(left, foot - 14 - up, Math.max(1, box.w / BINS - 0.4), up);
    });
    line(g, [box.x, box.x + box.w], [foot - 14, foot - 14], c.grid, 1);
    const deviation = Math.sqrt(exact[name].variance);
    const inside = (x) => Math.min(box.x + box.w, Math.max(box.x, x));
    const [from, middle, to] = [-1, 0, 1].map((side) => inside(a.px(exact[name].mean + side * deviation)));
    line(g, [from, to], [foot - 7, foot - 7], c.ink, 1.6);
    for (const end of [from, to]) line(g, [end, end], [foot - 11, foot - 3], c.ink, 1.6);
    if (running[name].count) dot(g, a.px(running[name].mean), foot - 7, 4, estimator_colour(name), c.ink);
    else dot(g, middle, foot - 7, 2, c.ink);
    label(g, say(texts.names[name]), box.x + 6, foot - tall + 12, { bold: true });
    const spread = say(texts.deviation(formatted(deviation, 2), width < 460));
    label(g, spread, box.x + box.w - 4, foot - tall + 12, { colour: c.muted, align: "right" });
  });
  line(g, [a.px(exact.gradient), a.px(exact.gradient)], [box.y, box.y + box.h], c.good, 1.6, [6, 4]);
}

/** The variances on a logarithmic axis: per draw exactly (a bar) and as measured with its interval (a point), and at
 *  equal cost (a ring). */
export function draw_ranking(g, width, height, { names, exact, running, ranks, costs, texts, sure }) {
  const c = colours();
  const good = names.filter((name) => exact[name].variance > 0);
  const sizes = good.flatMap((name) => [exact[name].variance, exact[name].variance * costs[name]]);
  const low = 10 ** Math.floor(Math.log10(Math.min(...sizes, 1) / 1.5));
  const high = 10 ** Math.ceil(Math.log10(Math.max(...sizes, 2 * low) * 1.2));
  const room = width < 500 ? 0 : 190;
  const box = { x: 12 + room, y: 6, w: width - 28 - room, h: height - 56 };
  const a = axes(g, box, { x: [low, high], y: [0, 1], logx: true, yticks: false, xlabel: say(texts.variance) });
  const order = [...names].sort((one, two) => (ranks[one].draw ?? 9) - (ranks[two].draw ?? 9));
  const tall = box.h / names.length;
  order.forEach((name, i) => {
    const y = box.y + tall * (i + (room ? 0.5 : 0.68));
    const { variance, fails } = exact[name];
    const colour = estimator_colour(name);
    const place = fails ? say(texts.fails_short) : `${ranks[name].draw}. `;
    const text = fails ? `${say(texts.names[name])}: ${place}` : place + say(texts.names[name]);
    if (room) label(g, text, 6, y, { bold: true });
    else label(g, text, box.x + 6, y - 16, { bold: true });
    if (!(variance > 0)) {
      label(g, say(texts.zero), box.x + 6, y, { colour: c.muted });
      return;
    }
    const at = a.px(variance);
    const cost = a.px(variance * costs[name]);
    line(g, [box.x, at], [y, y], colour, 5);
    if (cost > at + 1) line(g, [at, cost], [y, y], colour, 1.5, [3, 3]);
    dot(g, cost, y, 6, c.paper, colour);
    const { variance: measured, count } = running[name];
    const error = exact[name].error / Math.sqrt(count);
    if (count < 2 || !(measured > 0)) return;
    const ends = [Math.max(measured - sure * error, low), measured + sure * error].map(a.px);
    line(g, ends, [y, y], c.ink, 1.6);
    for (const end of ends) line(g, [end, end], [y - 5, y + 5], c.ink, 1.6);
    dot(g, a.px(measured), y, 3, c.ink);
  });
}
