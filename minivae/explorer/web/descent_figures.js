// The pictures of a descent: its course, its posterior, and what it makes of the example.

import { latentNumbers, within } from "./marks.js";
import { payload } from "./payload.js";
import { axes, colours, dot, image, label, line } from "./plot.js";
import { state } from "./state.js";
import { say, t } from "./text.js";
import { figure } from "./ui.js";

const COURSE = [
  ["loss", t("loss = nll + β KL", "损失 = nll + β KL")],
  ["nll", t("nll", "nll")],
  ["kl", t("KL", "KL")],
  ["sigma", t("median σ", "σ 的中位数")],
];

// Each mistake has the colour of what it gets wrong: nll, sigma, the noise, the KL.
export function trackColour(name) {
  const c = colours();
  return { right: c.ink, mean: c.accent, "softplus-exp": c.sigma, "fresh-noise": c.noise, "no-kl": c.z }[name];
}

// tracks(): Map from name to Descent; asked(): the number of steps that were asked for.
export function descentFigures(tracks, asked) {
  const curves = figure({
    label: t("loss, nll, KL and median sigma over the steps", "损失、nll、KL 与 σ 的中位数随步数的变化"),
    height: (w) => (w < 620 ? 420 : 220),
    draw: drawCurves,
  });
  const latents = figure({
    label: t("mu and sigma of each latent", "每个潜变量的 μ 与 σ"),
    height: 220,
    draw: drawLatents,
  });
  const { kind } = payload.data;
  const pictures = kind !== "image" ? null : figure({
    label: t("the example, and the mean of p(x|z) at z = μ", "样本，以及 z = μ 处 p(x|z) 的均值"),
    height: 120,
    draw: drawPictures,
  });

  function drawCurves(g, w, h) {
    const across = w < 620 ? 2 : 4, down = 4 / across;
    COURSE.forEach(([key, title], i) => {
      const [wide, tall] = [w / across, h / down];
      const left = (i % across) * wide, top = Math.floor(i / across) * tall;
      const box = { x: left + 50, y: top + 26, w: wide - 62, h: tall - 62 };
      drawCourse(g, box, key, say(title));
    });
  }

  function drawCourse(g, box, key, title) {
    const value = (now) => (key === "sigma" ? median(now.sigma) : now[key]);
    const courses = [...tracks()].map(([name, { history }]) => [name, history.map(value)]);
    const y = limits(courses, key === "kl" || key === "sigma");
    const a = axes(g, box, { x: [0, Math.max(10, asked())], ...y, ylabel: title });
    within(g, box, () => {
      for (const [name, values] of [...courses].reverse()) {
        const xs = values.map((_, step) => a.px(step)), ys = values.map(a.py);
        line(g, xs, ys, trackColour(name), name === "right" ? 2.5 : 2);
        const last = values.length - 1;
        if (last >= 0) dot(g, xs[last], ys[last], 3.5, trackColour(name));
      }
    });
  }

  function drawLatents(g, w, h) {
    const shown = [...tracks()].filter(([, { history }]) => history.length);
    if (!shown.length) return;
    const c = colours(), box = { x: 46, y: 24, w: w - 62, h: h - 66 };
    const now = shown.map(([name, { history }]) => [name, history[history.length - 1]]);
    const count = now[0][1].mu.length;
    const ends = now.flatMap(([, { mu, sigma }]) => Array.from(mu, (m, j) => Math.abs(m) + sigma[j]));
    const top = Math.min(1.05 * Math.max(2, ...ends.filter(Number.isFinite)), 12);
    const a = axes(g, box, {
      x: [0.4, count + 0.6],
      y: [-top, top],
      xlabel: say(t("latent: μ, and from μ − σ to μ + σ", "潜变量：μ，以及 μ − σ 到 μ + σ")),
      ylabel: "z",
      xticks: false,
    });
    latentNumbers(g, a, count);
    line(g, [box.x, box.x + box.w], [a.py(0), a.py(0)], c.grid, 1);
    within(g, box, () => {
      now.forEach(([name, { mu, sigma }], i) => {
        const aside = (0.7 / now.length) * (i - (now.length - 1) / 2);
        for (let j = 0; j < count; j++) {
          const x = a.px(j + 1 + aside);
          line(g, [x, x], [a.py(mu[j] - sigma[j]), a.py(mu[j] + sigma[j])], trackColour(name), 2);
          dot(g, x, a.py(mu[j]), 2.5, trackColour(name));
        }
      });
    });
  }

  function drawPictures(g, w, h) {
    const { shape, low, high } = payload.data;
    const begun = [...tracks()].filter(([, { history }]) => history.length);
    const made = begun.map(([name, { history }]) => [name, history[history.length - 1].mean]);
    const size = Math.min(h - 26, (w - 8 * made.length) / (made.length + 1)), longer = Math.max(shape[0], shape[1]);
    const tall = (size * shape[0]) / longer, wide = (size * shape[1]) / longer;
    [["x", state.x], ...made].forEach(([name, values], i) => {
      const x = i * (size + 8);
      image(g, values, shape, x, 20, wide, tall, low, high);
      const colour = name === "x" ? colours().muted : trackColour(name);
      if (name === "x") label(g, "x", x, 10, { colour });
      else line(g, [x, x + wide], [14, 14], colour, 4);
    });
  }

  return {
    curves,
    latents,
    pictures,
    redraw() {
      curves.redraw();
      latents.redraw();
      pictures?.redraw();
    },
  };
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

// y limits that hold the right track whole, and the others as far as they do not flatten it; a logarithmic axis, if
// that may be, where values are far apart.
function limits(courses, logarithmic) {
  const finite = (values) => values.filter(Number.isFinite);
  const all = finite(courses.flatMap(([, values]) => values)), right = finite(courses[0]?.[1] ?? []);
  if (!all.length) return { y: [0, 1] };
  const [low, high] = [Math.min(...all), Math.max(...all)];
  if (logarithmic && low > 0 && high > 30 * low) return { y: [low / 1.3, high * 1.3], logy: true };
  const highest = Math.max(...right), most = right.length ? highest + 2 * (highest - low) + 10 : high;
  const top = logarithmic ? high : Math.min(high, most), pad = 0.08 * (top - low || 1);
  return { y: [low - pad, top + pad] };
}
