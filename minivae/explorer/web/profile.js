// Data that are no images: their values as bars, of which one can be moved, and what the decoder makes of them.

import { look } from "./flow.js";
import { payload } from "./payload.js";
import { axes, bars, colours, dot, label, line, shortened } from "./plot.js";
import { state, watch } from "./state.js";
import { say, t } from "./text.js";
import { choice, column, figure, slider } from "./ui.js";

const MARGIN = { left: 40, right: 8, top: 10, bottom: 26 };

// The name of feature i.
export function featureName(i) {
  return payload.data.columns?.[i] ?? t(`value ${i}`, `第 ${i} 个值`);
}

function frame(g, w, tall, features) {
  const { low, high } = payload.data, more = 0.05 * (high - low);
  const { left, right, top, bottom } = MARGIN;
  const box = { x: left, y: top, w: w - left - right, h: tall - top - bottom };
  return axes(g, box, { x: [-0.5, features - 0.5], y: [Math.min(0, low) - more, high + more], xticks: features > 8 });
}

// Names below the bars where there is room for them.
function names(g, a, features) {
  if (features > 8) return;
  const look = { colour: colours().muted, align: "center", size: 11 };
  for (let i = 0; i < features; i++) {
    label(g, shortened(g, say(featureName(i)), a.box.w / features - 4, 11), a.px(i), a.box.y + a.box.h + 12, look);
  }
}

// { root }: x as bars; a click or the arrow keys choose one and move it.
export function profileInput() {
  const { data } = payload;
  let chosen = 0;
  let a = null;
  const picture = figure({
    label: t(
      "The values of the example. Arrow keys left and right choose one, up and down change it.",
      "样本的各个值。左右方向键选择，上下方向键改变数值。",
    ),
    height: 224,
    draw(g, w, tall) {
      a = frame(g, w, tall, data.features);
      bars(g, a, state.x, -0.5, data.features - 0.5, colours().line);
      names(g, a, data.features);
      dot(g, a.px(chosen), a.py(state.x[chosen]), 5, colours().accent, colours().paper);
    },
    onpoint(x, y, kind) {
      if (!a || kind === "over" || kind === "up") return;
      if (kind === "down") choose(Math.round(a.ix(x)));
      give(a.iy(y));
    },
    keys(event) {
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      if (event.key === "ArrowLeft" || event.key === "ArrowRight") choose(chosen + step);
      else give(state.x[chosen] + (step * (data.high - data.low)) / 100);
    },
    describe: () => `${say(featureName(chosen))} = ${state.x[chosen].toFixed(3)}`,
  });
  const which = choice({
    label: t("Value", "数值"),
    options: Array.from({ length: data.features }, (_, i) => [String(i), featureName(i)]),
    onchange: (value) => choose(Number(value)),
  });
  const level = slider({ label: t("set to", "设为"), min: data.low, max: data.high, value: state.x[0], onchange: give });

  function choose(i) {
    chosen = Math.min(data.features - 1, Math.max(0, i));
    which.value = String(chosen);
    level.value = state.x[chosen];
    picture.redraw();
  }

  function give(value) {
    const x = state.x.slice();
    x[chosen] = Math.min(data.high, Math.max(data.low, ofKind(value)));
    look(x);
  }

  watch(["x"], () => {
    level.value = state.x[chosen];
    picture.redraw();
  });
  return { root: column(picture.root, which.root, level.root) };
}

// Whole bytes for the likelihoods of bytes, 0 and 1 for a model of such.
function ofKind(value) {
  const { data, model } = payload;
  if (data.pixels !== "grey") return value > 0.5 ? 1 : 0;
  const bytes = model && ["beta_binomial", "logistic"].includes(model.likelihood.name);
  return bytes ? Math.round(255 * value) / 255 : value;
}

// { root, redraw }: the mean of p(x|z) as a line over the values of x.
export function profileOutput(mean) {
  const { data } = payload;
  return figure({
    label: t("The decoder's mean (line) and the values of x (bars)", "解码器给出的均值（折线）与 x 的值（条形）"),
    height: 224,
    draw(g, w, tall) {
      const a = frame(g, w, tall, data.features), c = colours();
      bars(g, a, state.x, -0.5, data.features - 0.5, c.grid);
      names(g, a, data.features);
      const xs = Float64Array.from({ length: data.features }, (_, i) => a.px(i));
      line(g, xs, mean().map(a.py), c.z, 2);
      if (data.features <= 40) mean().forEach((value, i) => dot(g, xs[i], a.py(value), 3.5, c.z));
    },
  });
}
