// The input of a model of images: an example, or a drawing by mouse, finger, pen or keyboard.

import { look } from "./flow.js";
import { payload } from "./payload.js";
import { centred, inked, penRadius } from "./pen.js";
import { colours, image, line } from "./plot.js";
import { state, watch } from "./state.js";
import { t } from "./text.js";
import { arrowStep, button, column, figure, h, row, toggle } from "./ui.js";

const SIDE = 224; // CSS pixels

// The height of the picture of an image that is w wide, unless it were a thread or a tower.
export function imageHeight(w) {
  const [tall, wide] = payload.data.shape;
  return Math.round(Math.min(2 * w, Math.max(w / 8, (w * tall) / wide)));
}

// { root }: the pad with its buttons. It looks at what it drew, and shows the example at hand before.
export function pad() {
  const { data } = payload;
  const [tall, wide, channels = 1] = data.shape;
  const radius = penRadius(data.shape);
  const likeDigits = tall === 28 && wide === 28 && channels === 1;
  let strokes = []; // [{ points, ink: the colour's values (channels) }, ...] since the example or the last clearing
  let under = null; // x that they are drawn upon
  let down = false; // whether the pen is, for the keyboard
  let pressed = false; // whether a pointer is
  let cursor = [wide / 2, tall / 2];
  let own = null; // the x that this pad made last

  const ink = paint(data, channels);
  const centring = likeDigits
    ? toggle({ label: t("centre it, as MNIST's digits are", "像 MNIST 那样居中"), value: true, onchange: centringChanged })
    : null;
  const centres = () => centring?.value ?? false;
  ink.root.hidden = likeDigits; // there is nothing to erase from a drawing that will be moved

  const drawing = figure({
    label: t(
      "Drawing pad. Arrow keys move the pen, Space puts it down and lifts it, Delete clears.",
      "画板。方向键移动画笔，空格键落笔或抬笔，Delete 键清空。",
    ),
    width: SIDE,
    height: imageHeight,
    draw(g, w, tallest) {
      const centredStrokes = centres() && strokes.length > 0;
      const values = centredStrokes ? blended(blank(data), strokes, data, radius) : state.x;
      image(g, values, data.shape, 0, 0, w, tallest, data.low, data.high);
      const [x, y] = [(cursor[0] * w) / wide, (cursor[1] * tallest) / tall];
      if (document.activeElement === drawing.canvas) cross(g, x, y, down);
    },
    onpoint(x, y, kind) {
      cursor = [(x * wide) / drawing.canvas.clientWidth, (y * tall) / drawing.canvas.clientHeight];
      if (kind === "down") begin();
      if (kind === "move" && pressed) extend();
      if (kind !== "over") pressed = kind !== "up";
    },
    keys(event) {
      const step = arrowStep(event);
      if (step) {
        cursor = [clip(cursor[0] + step[0], wide), clip(cursor[1] - step[1], tall)];
        if (down) extend();
        drawing.redraw();
      } else if (event.key === " ") {
        event.preventDefault();
        down = !down;
        if (down) begin();
        drawing.redraw();
      } else if (event.key === "Delete" || event.key === "Backspace") {
        event.preventDefault();
        clear();
      }
    },
    describe: () => t(
      () => `Pen ${down ? "down" : "up"} at ${cursor.map(Math.round).join(", ")}`,
      () => `画笔${down ? "已落下" : "已抬起"}，位置 ${cursor.map(Math.round).join(", ")}`,
    ),
  });
  for (const event of ["focus", "blur"]) drawing.canvas.addEventListener(event, () => drawing.redraw());

  function begin() {
    if (!strokes.length) under = centres() ? blank(data) : state.x.slice();
    strokes.push({ points: [cursor], ink: ink.values() });
    give();
  }

  function extend() {
    strokes[strokes.length - 1].points.push(cursor);
    give();
  }

  function centringChanged() {
    ink.root.hidden = centres();
    if (strokes.length) give();
  }

  // What was drawn becomes x.
  function give() {
    const parts = centres() ? centredParts(strokes, data.shape, radius) : strokes;
    own = asData(blended(centres() ? blank(data) : under, parts, data, radius), data);
    look(own);
    drawing.redraw();
  }

  function clear() {
    forget();
    own = asData(blank(data), data);
    look(own);
  }

  function forget() {
    strokes = [];
    under = null;
    down = false;
    drawing.redraw();
  }

  watch(["x"], () => (state.x === own ? drawing.redraw() : forget()));

  const seen = centring && seenBy(data, () => centres() && strokes.length > 0);
  const undo = button({
    label: t("Undo", "撤销"),
    onclick() {
      strokes.pop();
      if (strokes.length) give();
      else clear();
    },
  });
  const buttons = row(button({ label: t("Clear", "清空"), onclick: clear }), undo, ink.root);
  return { root: column(drawing.root, buttons, centring?.root, seen), drawing };
}

// What the model is given where that is not what the pad shows.
function seenBy(data, shown) {
  const small = figure({
    label: t("The image that the model is given", "输入模型的图像"),
    width: 56,
    height: 56,
    draw: (g, w, tall) => image(g, state.x, data.shape, 0, 0, w, tall, data.low, data.high),
  });
  const caption = h("span", { class: "note" }, t("what the model is given", "输入模型的图像"));
  const root = h("div", { class: "row", hidden: true }, small.root, caption);
  watch(["x"], () => {
    root.hidden = !shown();
    small.redraw();
  });
  return root;
}

// What colour the pen has: light for grey images that are centred, else one to choose.
function paint(data, channels) {
  if (channels === 3) {
    const input = h("input", { type: "color", value: "#ffffff", "aria-label": t("Colour of the pen", "画笔颜色") });
    const part = (i) => parseInt(input.value.slice(1 + 2 * i, 3 + 2 * i), 16) / 255;
    return { root: input, values: () => [part(0), part(1), part(2)] };
  }
  const erase = toggle({ label: t("erase", "橡皮") });
  const root = erase.root;
  return { root, values: () => [!root.hidden && erase.value ? 0 : 1] };
}

function blank(data) {
  return new Float32Array(data.features).fill(data.low);
}

// The values (features,) with the strokes upon them, one after another.
function blended(under, strokes, { shape, low, high }, radius) {
  const values = Float64Array.from(under);
  const channels = shape[2] ?? 1;
  let from = 0;
  while (from < strokes.length) {
    // strokes of one colour in one go, so that their soft edges do not add up
    let to = from + 1;
    while (to < strokes.length && String(strokes[to].ink) === String(strokes[from].ink)) to++;
    const cover = inked(strokes.slice(from, to).map(({ points }) => points), shape, radius);
    for (let i = 0; i < cover.length; i++) {
      if (cover[i] === 0) continue;
      for (let c = 0; c < channels; c++) {
        const at = i * channels + c;
        values[at] += cover[i] * (low + strokes[from].ink[c] * (high - low) - values[at]);
      }
    }
    from = to;
  }
  return values;
}

function centredParts(strokes, shape, radius) {
  const points = centred(strokes.map((stroke) => stroke.points), shape, radius);
  return strokes.map((stroke, k) => ({ ...stroke, points: points[k] }));
}

// As the data are: 0 and 1 where the model learns from such, else whole bytes where values are from 0 to 1.
function asData(values, { pixels, low, high }) {
  if (pixels !== "grey") return Float32Array.from(values, (value) => (value > 0.5 ? 1 : 0));
  const bytes = low === 0 && high === 1;
  return Float32Array.from(values, (value) => (bytes ? Math.round(255 * value) / 255 : value));
}

function clip(value, most) {
  return Math.min(most - 0.5, Math.max(0.5, value));
}

function cross(g, px, py, down) {
  const { accent } = colours(), size = down ? 5 : 8;
  line(g, [px - size, px + size], [py, py], accent, 2);
  line(g, [px, px], [py - size, py + size], accent, 2);
}
