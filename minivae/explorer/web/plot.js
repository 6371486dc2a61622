// Drawing on a canvas, in CSS pixels and in the colours of the theme.

export const CLASSES = 10; // that have a colour of their own
const NAMES = ["ink", "muted", "line", "grid", "paper", "field", "accent", "mu", "sigma", "z", "noise", "gradient", "good", "bad",
  "score", "baseline", "path", "measure", ...Array.from({ length: CLASSES }, (_, i) => `class-${i}`)];
export const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', sans-serif";

let cached = null;

// By name.
export function colours() {
  if (!cached) {
    const style = getComputedStyle(document.documentElement);
    cached = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }
  return cached;
}

export function forgetColours() {
  cached = null;
}

export function label(g, text, x, y, { colour, align = "left", base = "middle", size = 12, bold = false, room } = {}) {
  g.fillStyle = colour ?? colours().ink;
  g.font = `${bold ? "600 " : ""}${size}px ${FONT}`;
  g.textAlign = align;
  g.textBaseline = base;
  g.fillText(text, x, y, room); // narrower letters where the room, in pixels, is less than the text
}

// As much of a name as has room, in pixels, at the font size that `label` is given.
export function shortened(g, text, room, size = 12) {
  g.font = `${size}px ${FONT}`;
  if (g.measureText(text).width <= room) return text;
  const letters = [...text];
  while (letters.length && g.measureText(`${letters.join("")}…`).width > room) letters.pop();
  return `${letters.join("")}…`;
}

// Round numbers, about `count` of them, from low to high.
export function ticks(low, high, count = 5) {
  const span = high - low;
  if (!(span > 0) || !Number.isFinite(span)) return [];
  const power = 10 ** Math.floor(Math.log10(span / count));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => span / s <= count);
  const first = Math.ceil(low / step - 1e-9), found = []; // far out, first + 1 may be no other number than first
  for (let k = 0; k <= count + 1 && (first + k) * step <= high + 1e-9 * span; k++) found.push((first + k) * step);
  return found;
}

function written(value, all) {
  const step = all.length > 1 ? Math.abs(all[1] - all[0]) : 1;
  if (Math.abs(value) < 1e-9 * step) return "0";
  const power = Math.floor(Math.log10(step) + 1e-9), size = Math.log10(Math.abs(value));
  if (size >= 6 || power < -6) {
    const digits = Math.min(8, Math.max(0, Math.floor(size + 1e-9) - power)); // as many as tell neighbours apart
    return value.toExponential(digits).replaceAll("-", "−").replace("e+", "e");
  }
  return value.toFixed(Math.max(0, -power)).replace("-", "−");
}

// Axes in the box {x, y, w, h}; returns px, py (value to pixel) and ix, iy (back). logx, logy: limits are values > 0.
export function axes(g, box, options) {
  const { x: [x0, x1], y: [y0, y1], xlabel, ylabel, logx = false, logy = false, grid = true, xticks = true, yticks = true } = options;
  const c = colours();
  const scale = (log) => (log ? Math.log10 : (v) => v);
  const back = (log) => (log ? (v) => 10 ** v : (v) => v);
  const [fx, fy] = [scale(logx), scale(logy)];
  const px = (v) => box.x + ((fx(v) - fx(x0)) / (fx(x1) - fx(x0))) * box.w;
  const py = (v) => box.y + box.h - ((fy(v) - fy(y0)) / (fy(y1) - fy(y0))) * box.h;
  const ix = (p) => back(logx)(fx(x0) + ((p - box.x) / box.w) * (fx(x1) - fx(x0)));
  const iy = (p) => back(logy)(fy(y0) + ((box.y + box.h - p) / box.h) * (fy(y1) - fy(y0)));
  g.lineWidth = 1;
  const marks = (low, high, log, count) => {
    if (!log) return ticks(low, high, count);
    const found = [];
    if (!(low > 0) || !Number.isFinite(high)) return found;
    for (let e = Math.ceil(Math.log10(low) - 1e-9); e <= Math.log10(high) + 1e-9; e++) found.push(10 ** e);
    return found;
  };
  const name = (v, all, log) => (log ? (v >= 1e-3 && v < 1e5 ? String(Number(v.toPrecision(1))) : `1e${Math.round(Math.log10(v))}`) : written(v, all));
  if (xticks) {
    const all = marks(x0, x1, logx, Math.max(2, box.w / 70));
    for (const v of all) {
      if (grid) stroke(g, px(v), box.y, px(v), box.y + box.h, c.grid);
      label(g, name(v, all, logx), px(v), box.y + box.h + 5, { colour: c.muted, align: "center", base: "top", size: 11 });
    }
  }
  if (yticks) {
    const all = marks(y0, y1, logy, Math.max(2, box.h / 40));
    for (const v of all) {
      if (grid) stroke(g, box.x, py(v), box.x + box.w, py(v), c.grid);
      label(g, name(v, all, logy), box.x - 6, py(v), { colour: c.muted, align: "right", size: 11, room: box.x - 8 });
    }
  }
  stroke(g, box.x, box.y + box.h, box.x + box.w, box.y + box.h, c.line);
  stroke(g, box.x, box.y, box.x, box.y + box.h, c.line);
  if (xlabel) label(g, xlabel, box.x + box.w / 2, box.y + box.h + 22, { align: "center", base: "top" });
  if (ylabel) label(g, ylabel, box.x, box.y - 8, { align: "left", base: "bottom" });
  return { px, py, ix, iy, box };
}

function stroke(g, x0, y0, x1, y1, colour) {
  g.strokeStyle = colour;
  g.beginPath();
  g.moveTo(x0, y0);
  g.lineTo(x1, y1);
  g.stroke();
}

// A line through pixels; it is broken where a number is not finite.
export function line(g, xs, ys, colour, width = 2, dash = []) {
  g.strokeStyle = colour;
  g.lineWidth = width;
  g.setLineDash(dash);
  g.beginPath();
  let down = false;
  for (let i = 0; i < xs.length; i++) {
    const there = Number.isFinite(xs[i]) && Number.isFinite(ys[i]);
    if (there) down ? g.lineTo(xs[i], ys[i]) : g.moveTo(xs[i], ys[i]);
    down = there;
  }
  g.stroke();
  g.setLineDash([]);
}

export function dot(g, x, y, radius, colour, ring = null) {
  g.fillStyle = colour;
  g.beginPath();
  g.arc(x, y, radius, 0, 2 * Math.PI);
  g.fill();
  if (ring) {
    g.strokeStyle = ring;
    g.lineWidth = 1.5;
    g.stroke();
  }
}

export function ellipse(g, x, y, rx, ry, colour, width = 1.5, dash = []) {
  g.strokeStyle = colour;
  g.lineWidth = width;
  g.setLineDash(dash);
  g.beginPath();
  g.ellipse(x, y, Math.abs(rx), Math.abs(ry), 0, 0, 2 * Math.PI);
  g.stroke();
  g.setLineDash([]);
}

export function arrow(g, x0, y0, x1, y1, colour, width = 2, dash = []) {
  const angle = Math.atan2(y1 - y0, x1 - x0);
  const length = Math.hypot(x1 - x0, y1 - y0);
  if (length < 0.5) return;
  const tip = Math.min(9, length);
  line(g, [x0, x1 - tip * 0.7 * Math.cos(angle)], [y0, y1 - tip * 0.7 * Math.sin(angle)], colour, width, dash);
  g.fillStyle = colour;
  g.beginPath();
  g.moveTo(x1, y1);
  g.lineTo(x1 - tip * Math.cos(angle - 0.42), y1 - tip * Math.sin(angle - 0.42));
  g.lineTo(x1 - tip * Math.cos(angle + 0.42), y1 - tip * Math.sin(angle + 0.42));
  g.fill();
}

// Values (features,) of an image [h, w] or [h, w, 3] in a box, each value a square; grey from low (black) to high.
export function image(g, values, shape, x, y, w, h, low = 0, high = 1) {
  const picture = asPicture(values, shape, low, high);
  g.imageSmoothingEnabled = false;
  g.drawImage(picture, x, y, w, h);
}

const spare = new Map();

function asPicture(values, [tall, wide, channels = 1], low, high) {
  const key = `${tall} ${wide}`;
  if (!spare.has(key)) {
    const canvas = document.createElement("canvas");
    canvas.width = wide;
    canvas.height = tall;
    const g = canvas.getContext("2d");
    spare.set(key, { canvas, g, data: g.createImageData(wide, tall) });
  }
  const { canvas, g, data } = spare.get(key);
  const factor = 255 / (high - low || 1);
  for (let i = 0; i < wide * tall; i++) {
    for (let c = 0; c < 3; c++) data.data[4 * i + c] = (values[i * channels + (channels === 3 ? c : 0)] - low) * factor;
    data.data[4 * i + 3] = 255;
  }
  g.putImageData(data, 0, 0);
  return canvas;
}

// Rectangles from the line y = 0 up to the values, in axes `a`, side by side from low to high.
export function bars(g, a, values, low, high, colour) {
  const wide = (high - low) / values.length;
  g.fillStyle = colour;
  for (let i = 0; i < values.length; i++) {
    const [left, right] = [a.px(low + i * wide), a.px(low + (i + 1) * wide)];
    const [top, foot] = [a.py(values[i]), a.py(0)];
    g.fillRect(left, Math.min(top, foot), Math.max(1, right - left - 0.5), Math.abs(foot - top));
  }
}
