// The example, what the decoder expects, and what each value costs: images side by side, or bars for other data.

import { payload } from "./payload.js";
import { axes, bars, colours, image, label } from "./plot.js";
import { say, t } from "./text.js";
import { arrowStep, column, figure, numbers } from "./ui.js";

const GAP = 12;
const HEAD = 20; // above each picture, for its name

// root, and show({x, mean, account: {pixels}}).
export function pixelPictures() {
  const { data } = payload;
  const pictured = data.kind === "image" && data.shape.length === 2;
  const count = data.features;
  let shown = null, chosen = Math.floor(count / 2);

  const map = figure({
    label: t("bits of each value of x; arrow keys choose one", "x 的每个数值各花多少比特；用方向键选择"),
    height: pictured ? (w) => HEAD + square(w) * Math.min(1, data.shape[0] / data.shape[1]) + 4 : 220,
    draw: pictured ? drawImages : drawBars,
    onpoint: (x, y) => choose(at(x, y)),
    keys: (event) => {
      const step = arrowStep(event);
      if (step) choose(pictured ? chosen + step[0] - step[1] * data.shape[1] : chosen + step[0] + step[1]);
    },
  });
  const table = numbers([
    ["pixel_place", t("value", "第几个数值"), 0],
    ["pixel_x", "x", 3],
    ["pixel_mean", t("expected: mean of p(x|z)", "期望：p(x|z) 的均值"), 3],
    ["pixel_bits", t("its bits", "所花比特"), 3],
  ]);

  function square(w) {
    return (w - 2 * GAP) / 3;
  }

  // The value under a point of the figure; -1 for none.
  function at(x, y) {
    const w = map.canvas.clientWidth;
    if (!pictured) return map.place ? Math.round(map.place.ix(x)) : -1;
    const [tall, wide] = data.shape, cell = square(w) / wide;
    const [i, j] = [Math.floor((y - HEAD) / cell), Math.floor((x % (square(w) + GAP)) / cell)];
    return i >= 0 && i < tall && j < wide ? i * wide + j : -1;
  }

  function choose(k) {
    if (!(k >= 0 && k < count)) return;
    chosen = k;
    write();
    map.redraw();
  }

  function write() {
    if (!shown) return;
    const { x, mean, account } = shown;
    table.set({ pixel_place: chosen, pixel_x: x[chosen], pixel_mean: mean[chosen], pixel_bits: account.pixels[chosen] });
  }

  function drawImages(g, w) {
    if (!shown) return;
    const { x, mean, account } = shown, [tall, wide] = data.shape, side = square(w), cell = side / wide;
    const names = [t("x", "x"), t("expected", "期望"), t("bits", "比特")];
    const most = Math.max(...account.pixels), heat = heated(account.pixels, most);
    [[x, data.shape], [mean, data.shape], [heat, [tall, wide, 3]]].forEach(([values, shape, ], i) => {
      const left = i * (side + GAP), [low, high] = i === 2 ? [0, 255] : [data.low, data.high];
      label(g, i === 2 ? `${say(names[i])} 0–${most.toFixed(1)}` : say(names[i]), left, HEAD / 2, { colour: colours().muted });
      image(g, values, shape, left, HEAD, side, cell * tall, low, high);
      g.strokeStyle = colours().accent;
      g.lineWidth = 2;
      g.strokeRect(left + (chosen % wide) * cell - 1, HEAD + Math.floor(chosen / wide) * cell - 1, cell + 2, cell + 2);
    });
  }

  function drawBars(g, w, h) {
    if (!shown) return;
    const { pixels } = shown.account, c = colours();
    const a = axes(g, { x: 46, y: 24, w: w - 62, h: h - 70 }, {
      x: [-0.6, count - 0.4],
      y: [Math.min(0, ...pixels), Math.max(1, ...pixels) * 1.1],
      xlabel: say(t("value of x", "x 的第几个数值")),
      ylabel: say(t("bits", "比特")),
      grid: false,
    });
    map.place = a;
    bars(g, a, pixels, -0.5, count - 0.5, c.accent);
    bars(g, a, [pixels[chosen]], chosen - 0.5, chosen + 0.5, c.z);
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

function rgb(colour) {
  return [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
}
