// Averages of one-draw gradients over more and more draws, and the picture of how they settle.

import { Running } from "./draws.js";
import { within } from "./marks.js";
import { axes, colours, label, line } from "./plot.js";
import { say } from "./text.js";

export const MOST = 100000; // draws
const AT_ONCE = 2000; // in a frame
const SHARE = 0.04; // of the draws so far, in a frame: the picture's axis of draws is logarithmic

/** The means of dmu and dsigma, each by the path and by the score function. */
export class Averages {
  constructor(source) {
    this.source = source;
    this.reset(null);
  }

  /** Begins again, for f under N(mu, sigma^2); mistake: the way back takes a fresh draw of the noise. */
  reset(f, mu, sigma, mistake) {
    Object.assign(this, { f, mu, sigma, mistake });
    this.path = [new Running(), new Running()];
    this.score = [new Running(), new Running()];
    this.history = { count: [], path: [[], []], error: [[], []], score: [[], []] };
  }

  get count() {
    return this.path[0].count;
  }

  /** Draws so many, or about a frame's worth more; false when there are enough. */
  step(count = Math.min(AT_ONCE, Math.ceil(SHARE * (this.count + 1)))) {
    const draws = Math.min(count, MOST - this.count);
    if (draws <= 0) return false;
    const { f, mu, sigma, path, score, history } = this;
    const noise = this.source.normals(draws);
    const back = this.mistake ? this.source.normals(draws) : noise;
    for (let i = 0; i < draws; i++) {
      const e = noise[i];
      const z = mu + sigma * e;
      const value = f.value(z);
      const dz = f.slope(z);
      path[0].add(dz);
      path[1].add(dz * back[i]);
      score[0].add(value * e / sigma);
      score[1].add(value * (e * e - 1) / sigma);
    }
    history.count.push(this.count);
    for (const p of [0, 1]) {
      history.path[p].push(path[p].mean);
      history.error[p].push(path[p].error);
      history.score[p].push(score[p].mean);
    }
    return this.count < MOST;
  }
}

/** The standard deviation of one draw by the path, roughly: by the middle points of 48 parts of the noise. */
function spread(f, mu, sigma, p) {
  let [total, mean, square] = [0, 0, 0];
  for (let e = -3.9; e < 4; e += 0.165) {
    const weight = Math.exp(-0.5 * e * e);
    const value = f.slope(mu + sigma * e) * (p ? e : 1);
    total += weight;
    mean += weight * value;
    square += weight * value * value;
  }
  return Math.sqrt(Math.max(0, square / total - (mean / total) ** 2));
}

/** Parameter p (0: mu, 1: sigma): the running mean with its standard error, the exact slope, and perhaps the score
 *  function's mean. */
export function draw_averages(g, width, height, { averages, exact, p, score, texts }) {
  const c = colours();
  const { f, mu, sigma, history } = averages;
  const box = { x: 52, y: 24, w: width - 64, h: height - 64 };
  const half = Math.max(1.3 * Math.abs(exact), 0.8 * spread(f, mu, sigma, p), 1e-3);
  const name = p ? "dσ" : "dμ";
  const a = axes(g, box, {
    x: [1, MOST], y: [exact - half, exact + half], logx: true,
    xlabel: say(texts.count), ylabel: say(texts.mean(name)),
  });

  const xs = history.count.map(a.px);
  const band = history.path[p].map((mean, i) => [mean - history.error[p][i], mean + history.error[p][i]]);
  within(g, box, () => {
    g.globalAlpha = 0.18;
    g.fillStyle = c.path;
    g.beginPath();
    band.forEach(([, high], i) => g.lineTo(xs[i], a.py(high)));
    for (let i = band.length - 1; i >= 0; i--) g.lineTo(xs[i], a.py(band[i][0]));
    g.fill();
    g.globalAlpha = 1;
    if (score) line(g, xs, history.score[p].map(a.py), c.score, 1.6);
    line(g, [box.x, box.x + box.w], [a.py(exact), a.py(exact)], c.good, 2, [7, 4]);
    line(g, xs, history.path[p].map(a.py), c.path, 2.2);
  });
  if (score) {
    label(g, say(texts.by_score), box.x + box.w, 10, { colour: c.score, align: "right" });
    label(g, say(texts.by_path), box.x + box.w - 100, 10, { colour: c.path, align: "right" });
  }
  label(g, say(texts.exact), box.x + box.w - 4, a.py(exact) - 9, { colour: c.good, align: "right" });
}
