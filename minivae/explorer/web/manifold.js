// What the decoder makes of a grid of z in a plane: small pictures, made one after another while the page is idle, so
// that no frame waits for them, and kept until another plane is asked for.

import { decode, mean } from "./network.js";
import { rgb } from "./heat.js";
import { payload } from "./payload.js";

const LARGEST = 56; // pixels of a picture
const LEFT_MS = 2; // of the idle time, for the picture that may be begun
const later = globalThis.requestIdleCallback
  ? (fn) => requestIdleCallback(fn)
  : (fn) => setTimeout(() => {
      const end = performance.now() + 6;
      fn({ timeRemaining: () => end - performance.now() });
    }, 20);

export class Manifold {
  // progress() is called when there is more to see
  constructor(progress) {
    this.progress = progress;
    this.canvas = document.createElement("canvas");
    this.g = this.canvas.getContext("2d", { willReadFrequently: true });
    this.key = this.look = null;
    this.waiting = false;
  }

  // The plane through z (latent,) of the latents `axes`, from x[0] to x[1] and y[0] to y[1], in columns times rows
  // pictures; with one row only the first latent varies. `ink` is the colour ("#rrggbb") of what is high.
  want({ axes, z, x, y, columns, rows, ink }) {
    const held = z.filter((_, j) => !axes.slice(0, rows > 1 ? 2 : 1).includes(j));
    const look = [axes, x, y, columns, rows, ink].join(" "), key = `${look} ${held}`;
    if (key === this.key) return;
    if (look !== this.look) this.empty(columns, rows);
    Object.assign(this, { axes, z: Float64Array.from(z), x, y, columns, rows, ink: rgb(ink), key, look, next: 0 });
    this.ask();
  }

  // Where only the latents that are held have moved, the pictures stay until they are made anew.
  empty(columns, rows) {
    const [tall, wide] = tileShape();
    this.canvas.width = columns * wide;
    this.canvas.height = rows * tall;
  }

  ask() {
    if (this.waiting) return;
    this.waiting = true;
    later((deadline) => {
      this.waiting = false;
      const count = this.columns * this.rows, first = this.next;
      while (this.next < count && (this.next === first || deadline.timeRemaining() > LEFT_MS)) this.tile(this.next++);
      this.progress();
      if (this.next < count) this.ask();
    });
  }

  get done() {
    return this.next === this.columns * this.rows;
  }

  // One picture; in an order that fills the plane evenly.
  tile(number) {
    const { columns, rows, axes, x, y } = this, count = columns * rows;
    const place = (number * stride(count)) % count;
    const column = place % columns, row = Math.floor(place / columns);
    this.z[axes[0]] = x[0] + ((column + 0.5) / columns) * (x[1] - x[0]);
    if (rows > 1) this.z[axes[1]] = y[1] - ((row + 0.5) / rows) * (y[1] - y[0]);
    const { model } = payload;
    const values = mean(model, decode(model, this.z).output);
    const [tall, wide] = tileShape();
    if (payload.data.kind === "image") this.picture(values, column * wide, row * tall);
    else this.curve(values, column * wide, row * tall, wide, tall);
  }

  // Grey values as ink, so that the plane is paper in between; colours as they are.
  picture(values, x, y) {
    const { shape: [, across, channels = 1], low, high } = payload.data, step = thinning();
    const [tall, wide] = tileShape(), pixels = this.g.createImageData(wide, tall);
    const level = (value) => (255 * (value - low)) / (high - low);
    for (let i = 0; i < tall * wide; i++) {
      const from = channels * step * (Math.floor(i / wide) * across + (i % wide));
      for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = channels === 3 ? level(values[from + c]) : this.ink[c];
      pixels.data[4 * i + 3] = channels === 3 ? 255 : level(values[from]);
    }
    this.g.putImageData(pixels, x, y);
  }

  // Values that are no image as a small line; a single one is level.
  curve(values, x, y, wide, tall) {
    const { low, high } = payload.data, g = this.g;
    g.clearRect(x, y, wide, tall);
    g.strokeStyle = `rgb(${this.ink.join(" ")})`;
    g.lineWidth = 2;
    g.beginPath();
    const drawn = values.length > 1 ? values : [values[0], values[0]];
    drawn.forEach((value, i) => {
      const across = x + wide * (0.1 + (0.8 * (i + 0.5)) / drawn.length);
      const up = y + tall * (0.9 - 0.8 * Math.min(1, Math.max(0, (value - low) / (high - low))));
      if (i) g.lineTo(across, up);
      else g.moveTo(across, up);
    });
    g.stroke();
  }
}

// Height and width of one picture, in its own pixels.
function tileShape() {
  const { kind, shape } = payload.data;
  return kind === "image" ? [shape[0], shape[1]].map((side) => Math.ceil(side / thinning())) : [64, 64];
}

// Of large images every second pixel is shown, or every third ...
function thinning() {
  return Math.ceil(Math.max(payload.data.shape[0], payload.data.shape[1]) / LARGEST);
}

// A step near the golden section that comes to every place.
function stride(count) {
  const common = (a, b) => (b ? common(b, a % b) : a);
  let step = Math.max(1, Math.round(0.618 * count));
  while (common(step, count) > 1) step++;
  return step;
}
