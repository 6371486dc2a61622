// Data of two features: the plane that they lie in, with x, which can be moved, and what the decoder makes of z.

import { look } from "./flow.js";
import { within } from "./marks.js";
import { decode, mean } from "./network.js";
import { payload } from "./payload.js";
import { axes, colours, dot, ellipse, line, shortened } from "./plot.js";
import { drawPoints } from "./points.js";
import { featureName } from "./profile.js";
import { state, watch } from "./state.js";
import { say, t } from "./text.js";
import { arrowStep, column, figure, slider } from "./ui.js";

const SIDE = 240; // CSS pixels
const GRID = 15; // lines of the latent grid in each direction
const FINE = 31; // points of each line

function limits() {
  const { low, high } = payload.data, more = 0.08 * (high - low);
  return [low - more, high + more];
}

function frame(g, w, tall) {
  const box = { x: 36, y: 22, w: w - 44, h: tall - 64 };
  const names = [0, 1].map((i) => shortened(g, say(featureName(i)), box.w));
  return axes(g, box, { x: limits(), y: limits(), xlabel: names[0], ylabel: names[1] });
}

function cloud(g, a) {
  const { points } = payload.data;
  if (points?.x) drawPoints(g, points, (i) => a.px(points.x[2 * i]), (i) => a.py(points.x[2 * i + 1]));
}

// { root }: x among the held-out points; drag it, or use the arrow keys or the sliders.
export function planeInput() {
  let a = null;
  const [low, high] = limits();
  const give = (x) => look(Float32Array.from(x, (value) => Math.min(high, Math.max(low, value))));
  const picture = figure({
    label: t("The plane of the data with x. Drag x, or use the arrow keys.", "数据平面与 x。拖动 x，或使用方向键。"),
    width: SIDE,
    height: (w) => w,
    draw(g, w, tall) {
      a = frame(g, w, tall);
      within(g, a.box, () => cloud(g, a));
      dot(g, a.px(state.x[0]), a.py(state.x[1]), 6, colours().ink, colours().paper);
    },
    onpoint: (x, y, kind) => a && (kind === "down" || kind === "move") && give([a.ix(x), a.iy(y)]),
    keys(event) {
      const step = arrowStep(event);
      if (step) give([0, 1].map((i) => state.x[i] + (step[i] * (high - low)) / 200));
    },
    describe: () => `x = ${state.x[0].toFixed(2)}, ${state.x[1].toFixed(2)}`,
  });
  const sliders = [0, 1].map((i) => {
    const onchange = (value) => give(state.x.map((old, j) => (j === i ? value : old)));
    return slider({ label: featureName(i), min: low, max: high, value: state.x[i], onchange });
  });
  watch(["x"], () => {
    picture.redraw();
    sliders.forEach((each, i) => (each.value = state.x[i]));
  });
  return { root: column(picture.root, ...sliders.map(({ root }) => root)) };
}

// { root, redraw }: the mean of p(x|z) with the likelihood's standard deviation; behind it what the decoder makes of
// the lines of a grid of z.
export function planeOutput(values) {
  const { model } = payload;
  const lines = gridLines(model);
  return figure({
    label: t("The decoder's mean with one standard deviation, and x", "解码器给出的均值及一个标准差，以及 x"),
    width: SIDE,
    height: (w) => w,
    draw(g, w, tall) {
      const a = frame(g, w, tall), c = colours();
      within(g, a.box, () => {
        for (const [xs, ys] of lines) line(g, xs.map(a.px), ys.map(a.py), c.line, 0.7);
        dot(g, a.px(state.x[0]), a.py(state.x[1]), 5, c.ink, c.paper);
        const [x, y] = values();
        dot(g, a.px(x), a.py(y), 6, c.z, c.paper);
        const { log_sigma } = model.likelihood;
        if (!log_sigma) return;
        const [sx, sy] = [0, 1].map((i) => Math.exp(log_sigma[log_sigma.length > 1 ? i : 0]));
        ellipse(g, a.px(x), a.py(y), a.px(x + sx) - a.px(x), a.py(y) - a.py(y + sy), c.z, 1.5, [4, 3]);
      });
    },
  });
}

// Lines of constant z in one or two latents from -3 to 3, as the decoder's means: [[xs, ys], ...]. The other latents
// are 0; it is made once.
function gridLines(model) {
  const at = (i, count) => (6 * i) / (count - 1) - 3;
  const through = (place) => {
    const [xs, ys] = [new Float64Array(FINE), new Float64Array(FINE)];
    for (let i = 0; i < FINE; i++) {
      const z = new Float64Array(model.latent);
      place(z, at(i, FINE));
      [xs[i], ys[i]] = mean(model, decode(model, z).output);
    }
    return [xs, ys];
  };
  if (model.latent === 1) return [through((z, value) => (z[0] = value))];
  const found = [];
  for (let k = 0; k < GRID; k++) {
    for (const [one, other] of [[0, 1], [1, 0]]) {
      found.push(through((z, value) => {
        z[one] = at(k, GRID);
        z[other] = value;
      }));
    }
  }
  return found;
}
