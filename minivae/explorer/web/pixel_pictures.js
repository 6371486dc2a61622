// The example, what the decoder expects, and what each value costs: images side by side, or bars for other data.

import { rgb } from "./heat.js";
import { latentNumbers } from "./marks.js";
import { imageHeight } from "./pad.js";
import { payload } from "./payload.js";
import { axes, bars, colours, image, label, shortened } from "./plot.js";
import { say, t } from "./text.js";
import { arrowStep, column, figure, numbers } from "./ui.js";

const GAP = 12;
const HEAD = 20; // above each picture, for its name

// root, and show({x, mean, account: {pixels}}).
export function pixelPictures() {
  const { data } = payload;
  const pictured = data.kind === "image" && data.shape.length === 2;
  const count = data.features;
  let shown = null;
  let chosen = null; // by the user; until then the dearest

  const map = figure({
    label: t("bits of each value of x; arrow keys choose one", "x 的每个数值各花多少比特；用方向键选择"),
    height: pictured ? (w) => places(w).foot + 4 : 220,
    draw: pictured ? drawImages : drawBars,
    onpoint: (x, y) => choose(at(x, y)),
    keys: (event) => {
      const step = arrowStep(event);
      if (step) choose(here() + (pictured ? step[0] - step[1] * data.shape[1] : step[0] + step[1]));
    },
  });
  const table = numbers([
    ["pixel_place", t("value", "第几个数值"), 0],
    ["pixel_x", "x", 3],
    ["pixel_mean", t("expected: mean of p(x|z)", "期望：p(x|z) 的均值"), 3],
    ["pixel_bits", t("its bits", "所花比特"), 3],
  ]);

  // The map, and at its right the example above what is expected: left, top, width and height of each, and where it all
  // ends.
  function places(w) {
    const small = (w - GAP) / 3, high = imageHeight(small);
    return {
      map: [0, HEAD, 2 * small, 2 * high],
      x: [2 * small + GAP, HEAD, small, high],
      mean: [2 * small + GAP, 2 * HEAD + high, small, high],
      foot: 2 * HEAD + 2 * high,
    };
  }

  // The value under a point of the figure; -1 for none.
  function at(x, y) {
    const w = map.canvas.clientWidth;
    if (!pictured) return map.place ? Math.round(map.place.ix(x)) - 1 : -1;
    const [tall, wide] = data.shape, { foot: _, ...pictures } = places(w);
    for (const [left, top, across, high] of Object.values(pictures)) {
      const i = Math.floor(((y - top) / high) * tall), j = Math.floor(((x - left) / across) * wide);
      if (i >= 0 && i < tall && j >= 0 && j < wide) return i * wide + j;
    }
    return -1;
  }

  function here() {
    if (chosen !== null) return chosen;
    const { pixels } = shown.account;
    return pixels.indexOf(Math.max(...pixels));
  }

  function choose(k) {
    if (!(k >= 0 && k < count)) return;
    chosen = k;
    write();
    map.redraw();
  }

  function write() {
    if (!shown) return;
    const { x, mean, account } = shown, k = here();
    table.set({ pixel_place: k, pixel_x: x[k], pixel_mean: mean[k], pixel_bits: account.pixels[k] });
  }

  function drawImages(g, w) {
    if (!shown) return;
    const { x, mean, account } = shown, { shape, low, high } = data, [tall, wide] = shape, k = here();
    const most = Math.max(...account.pixels), place = places(w);
    const draw = (name, [left, top, across, high], values, form, from, to) => {
      const cell = across / wide, step = high / tall;
      label(g, name, left, top - HEAD / 2, { colour: colours().muted });
      image(g, values, form, left, top, across, high, from, to);
      g.strokeStyle = colours().accent;
      g.lineWidth = 2;
      g.strokeRect(left + (k % wide) * cell - 1, top + Math.floor(k / wide) * step - 1, cell + 2, step + 2);
    };
    const bits = say(t(`bits, from 0 to ${most.toFixed(1)}`, `比特，0 到 ${most.toFixed(1)}`));
    draw(bits, place.map, heated(account.pixels, most), [tall, wide, 3], 0, 255);
    draw("x", place.x, x, shape, low, high);
    draw(say(t("expected", "期望")), place.mean, mean, shape, low, high);
  }

  function drawBars(g, w, h) {
    if (!shown) return;
    const { pixels } = shown.account, c = colours(), few = data.columns && count <= 6;
    const a = axes(g, { x: 46, y: 24, w: w - 62, h: h - 70 }, {
      x: [0.4, count + 0.6],
      y: [Math.min(0, ...pixels), Math.max(1, ...pixels) * 1.1],
      xlabel: say(t("value of x", "x 的第几个数值")),
      ylabel: say(t("bits", "比特")),
      xticks: false,
    });
    map.place = a;
    const named = (j) => shortened(g, data.columns[j], a.px(2) - a.px(1) - 4, 11);
    latentNumbers(g, a, count, few ? named : String, few ? 50 : 28);
    bars(g, a, pixels, 0.5, count + 0.5, c.accent);
    bars(g, a, [pixels[here()]], here() + 0.5, here() + 1.5, c.z);
  }

  return {
    root: column(map.root, table.root),
    show(given) {
      shown = given;
      write();
      map.redraw();
    },
  };
}

// From no bits (the paper) to the most (the colour of what is bad), as RGB from 0 to 255.
function heated(pixels, most) {
  const [cold, hot] = [rgb(colours().paper), rgb(colours().bad)];
  const values = new Float64Array(3 * pixels.length);
  for (let i = 0; i < pixels.length; i++) {
    const share = Math.sqrt(Math.max(0, pixels[i]) / (most || 1)); // small prices stay visible
    for (let c = 0; c < 3; c++) values[3 * i + c] = cold[c] + share * (hot[c] - cold[c]);
  }
  return values;
}
