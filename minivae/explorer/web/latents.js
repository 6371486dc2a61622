// The posterior of every latent: a chart of mu, sigma and z, and sliders for z.

import { moveZ } from "./flow.js";
import { payload } from "./payload.js";
import { colours, dot, label, line, ticks } from "./plot.js";
import { change, state, watch } from "./state.js";
import { t } from "./text.js";
import { figure, formatted, h, slider } from "./ui.js";

const TALL = 224; // CSS pixels, of the chart where it does not scroll
const TOP = 14; // of these for the numbers of the axis
const LEAST = 10.5, MOST = 44; // of a row

export function latentName(j) {
  return t(`latent ${j}`, `潜变量 ${j}`);
}

const spreads = new Map(); // of each latent over the held-out points

// How far the latents' axes reach from 0: as far as 199 of 200 means of the held-out points, the posterior and z do.
export function reach(which) {
  let most = 3;
  for (const j of which) {
    if (!spreads.has(j)) spreads.set(j, spreadOfPoints(j));
    most = Math.max(most, spreads.get(j));
    const { mu, sigma } = state.head;
    if (state.z.length) most = Math.max(most, Math.abs(state.z[j]), Math.abs(mu[j]) + 2 * sigma[j]);
  }
  return Math.ceil(2.1 * most) / 2;
}

function spreadOfPoints(j) {
  const { points } = payload.data;
  if (!points) return 0;
  const latent = points.mu.length / points.count;
  const sizes = Float64Array.from({ length: points.count }, (_, i) => Math.abs(points.mu[i * latent + j])).sort();
  return sizes[Math.floor(0.995 * (points.count - 1))];
}

// Latent j becomes the first of the plane's axes.
export function choose(j) {
  const [first, second] = state.axes;
  if (j !== first) change({ axes: [j, j === second ? first : second] });
}

// { root, redraw }: for each latent mu (a dot) with sigma to both sides, and z. A click or the arrow keys choose one.
export function chart() {
  const count = payload.model.latent;
  const tallRow = Math.min(MOST, Math.max(LEAST, (TALL - TOP) / count));
  const picture = figure({
    label: t(
      "The posterior of each latent: mu with sigma to both sides, and z. Arrow keys up and down choose a latent.",
      "每个潜变量的后验：μ、两侧的 σ，以及 z。上下方向键选择潜变量。",
    ),
    height: TOP + count * tallRow,
    draw(g, w, tall) {
      const c = colours(), range = Math.max(3.5, spread()), left = 26;
      const px = (v) => left + ((v + range) / (2 * range)) * (w - left - 6);
      const { mu, sigma } = state.head;
      for (let j = 0; j < count; j++) {
        if (!state.axes.includes(j)) continue;
        g.fillStyle = c.field;
        g.fillRect(0, TOP + j * tallRow, w, tallRow);
      }
      for (const v of ticks(-range, range, 8)) {
        line(g, [px(v), px(v)], [TOP, tall], v ? c.grid : c.line, 1);
        label(g, String(v).replace("-", "−"), px(v), 6, { align: "center", size: 11, colour: c.muted });
      }
      const size = Math.min(4.5, tallRow / 3);
      for (let j = 0; j < count; j++) {
        const y = TOP + (j + 0.5) * tallRow, bold = state.axes.includes(j);
        label(g, String(j), left - 8, y, { align: "right", size: 11, colour: bold ? c.ink : c.muted, bold });
        line(g, [px(mu[j] - sigma[j]), px(mu[j] + sigma[j])], [y, y], c.sigma, Math.max(1.5, size / 2));
        dot(g, px(mu[j]), y, size, c.mu);
        dot(g, px(state.z[j]), y, size * 0.9, c.z, c.paper);
      }
    },
    onpoint: (x, y, kind) => kind === "down" && choose(within(Math.floor((y - TOP) / tallRow))),
    keys(event) {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      choose(within(state.axes[0] + step));
      const row = state.axes[0] * tallRow;
      scroll.scrollTop = Math.min(row, Math.max(scroll.scrollTop, TOP + row + tallRow - TALL));
    },
    describe() {
      const [j] = state.axes, { mu, sigma } = state.head;
      return `${j}: μ ${formatted(mu[j])}, σ ${formatted(sigma[j])}, z ${formatted(state.z[j])}`;
    },
  });
  function within(j) {
    return Math.min(count - 1, Math.max(0, j));
  }
  const scroll = h("div", { class: "scroll chart" }, picture.root);
  return { root: scroll, redraw: picture.redraw };
}

function spread() {
  const { mu, sigma } = state.head;
  return mu.reduce((most, m, j) => Math.max(most, Math.abs(m) + sigma[j], Math.abs(state.z[j])), 0);
}

// A slider for each latent; only those whose z has changed are written.
export function sliders() {
  const made = Array.from(state.z, (z, j) => {
    const range = reach([j]);
    const onchange = (value) => moveZ({ [j]: value });
    return slider({ label: latentName(j), min: -range, max: range, step: 0.01, value: z, onchange });
  });
  const shown = Float64Array.from(state.z);
  watch(["z"], () => {
    made.forEach((each, j) => {
      if (shown[j] === state.z[j]) return;
      shown[j] = state.z[j];
      const limit = Math.max(Number(each.input.max), Math.ceil(Math.abs(state.z[j])));
      if (limit > Number(each.input.max)) [each.input.min, each.input.max] = [-limit, limit];
      // what is being dragged shows its own value already
      if (Number(each.input.value) !== shown[j]) each.value = shown[j];
    });
  });
  const name = t("z, latent by latent", "逐个潜变量的 z");
  return h("div", { class: "scroll sliders", role: "group", "aria-label": name }, ...made.map(({ root }) => root));
}
