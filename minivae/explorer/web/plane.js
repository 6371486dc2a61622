// The latent plane: two latents with what the decoder makes of them, the held-out points, the prior, the posterior and
// z, which can be dragged; with one latent, an axis with the densities of prior and posterior.

import { moveZ } from "./flow.js";
import { latentName, reach } from "./latents.js";
import { Manifold } from "./manifold.js";
import { within } from "./marks.js";
import { payload } from "./payload.js";
import { arrow, axes, colours, dot, ellipse, line } from "./plot.js";
import { classOf, drawPoints, nearest } from "./points.js";
import { state, watch } from "./state.js";
import { inEachLanguage, say, t } from "./text.js";
import { arrowStep, figure, h } from "./ui.js";

const TILE = 30; // CSS pixels of a decoded picture, about
const STEP = 0.05; // of an arrow key
const ZOOM = 4; // standard deviations of the posterior to each side
const DENSITIES = 150; // CSS pixels, height of the densities' chart for one latent

// { root, redraw, show }: show({ pictures, points, zoom }) says what is seen.
export function plane() {
  const { model, data } = payload;
  const { points } = data;
  const latent = model ? model.latent : points.mu.length / points.count;
  const flat = latent === 1;
  const shown = { pictures: model !== null && data.kind !== "plane", points: true, zoom: false };
  const how = model
    ? { en: "Drag z, or use the arrow keys.", zh: "拖动 z，或使用方向键。" }
    : { en: "The arrow keys move a ring.", zh: "方向键移动圆圈。" };
  const manifold = new Manifold(() => picture.redraw());
  const behind = new Behind();
  let a = null; // the axes, once they are drawn
  let told = null; // the point under the pointer
  const nearby = h("p", { class: "note nearby" });

  const picture = figure({
    label: flat
      ? t(`The axis of the latent. ${how.en}`, `潜变量轴。${how.zh}`)
      : t(`The plane of two latents. ${how.en}`, `两个潜变量的平面。${how.zh}`),
    width: 620,
    height: (w) => (flat ? DENSITIES + 110 : w),
    draw(g, w, tall) {
      const [i, j] = state.axes, limits = range();
      const box = { x: 34, y: flat ? 70 : 24, w: w - 44, h: flat ? DENSITIES : tall - 68 };
      const columns = Math.max(3, Math.round(box.w / TILE)), rows = flat ? 1 : Math.max(3, Math.round(box.h / TILE));
      const place = flat ? { ...box, y: 22, h: box.w / columns } : box;
      if (shown.pictures) {
        manifold.want({ axes: [i, j], z: state.z, ...limits, columns, rows, ink: colours().ink });
        g.globalAlpha = flat ? 1 : 0.4;
        g.imageSmoothingEnabled = true;
        g.drawImage(manifold.canvas, place.x, place.y, place.w, place.h);
        g.globalAlpha = 1;
      }
      const narrow = flat && model ? state.head.sigma[0] : null; // which the height of the axis follows
      const seen = [limits.x, limits.y, state.axes, shown.points, narrow];
      const key = [w, tall, ...seen, colours().ink, say(latentName(0))].join(" ");
      a = behind.draw(g, w, tall, key, (inner) => (flat ? axis(inner, box, limits) : square(inner, box, limits)));
      if (!model) {
        if (told) ellipse(g, a.px(told[0]), flat ? box.y + box.h : a.py(told[1]), 8, 8, colours().accent, 2);
        return;
      }
      within(g, box, () => (flat ? posteriorCurve(g, a) : posterior(g, a, i, j)));
    },
    onpoint: (x, y, kind) => {
      if (!a) return;
      if (model && (kind === "down" || kind === "move")) move(a.ix(x), a.iy(y));
      tell(kind === "over" ? [a.ix(x), a.iy(y)] : null);
    },
    keys(event) {
      const step = arrowStep(event);
      if (!step) return;
      const [x, y] = model ? state.axes.map((j) => state.z[j]) : (told ?? [0, 0]);
      const to = [x + STEP * step[0], y + STEP * step[1]];
      if (model) move(...to);
      else tell(to);
    },
    describe: () => (model ? `z = ${shownAxes().map((j) => state.z[j].toFixed(2))}; ` : "") + nearby.textContent,
  });

  function move(x, y) {
    const inside = (value, [low, high]) => Math.min(high, Math.max(low, value)), limits = range();
    const to = [inside(x, limits.x), inside(y, limits.y)];
    moveZ(Object.fromEntries(shownAxes().map((j, place) => [j, to[place]])));
  }

  function shownAxes() {
    return flat ? [0] : state.axes;
  }

  // The limits { x, y } of what is seen: about the prior, or about the posterior.
  function range() {
    if (!shown.zoom) return around([0, 0], reach(shownAxes()));
    const { mu, sigma } = state.head;
    return around(state.axes.map((j) => mu[j]), ZOOM * Math.max(...shownAxes().map((j) => sigma[j])));
  }

  // What stays while z moves: axes, points, prior.
  function square(g, box, limits) {
    const [i, j] = state.axes;
    const found = axes(g, box, { ...limits, xlabel: say(latentName(i)), ylabel: say(latentName(j)), grid: false });
    within(g, box, () => {
      if (points && shown.points) {
        drawPoints(g, points, (k) => found.px(points.mu[k * latent + i]), (k) => found.py(points.mu[k * latent + j]));
      }
      for (const r of [1, 2, 3]) {
        const radius = found.px(r) - found.px(0);
        ellipse(g, found.px(0), found.py(0), radius, radius, colours().muted, 1.2, [5, 4]);
      }
    });
    return found;
  }

  function axis(g, box, { x }) {
    const top = 1.1 * density(0, 0, Math.min(1, model ? state.head.sigma[0] : 1));
    const found = axes(g, box, { x, y: [0, top], xlabel: say(latentName(0)), grid: false, yticks: false });
    curve(g, found, 0, 1, colours().line, [5, 4]);
    // spread upwards a little, or they would hide each other
    const up = (k) => box.y + box.h - 4 - 14 * ((k * 0.618) % 1);
    if (points && shown.points) drawPoints(g, points, (k) => found.px(points.mu[k]), up);
    return found;
  }

  // The class of the held-out point next to the pointer or, without one, to z.
  function tell(where = null) {
    told = where;
    nearby.textContent = points?.labels ? say(sentence()) : "";
    if (!model) picture.redraw();
  }
  function sentence() {
    const [i, j] = flat ? [0, 0] : state.axes;
    const [x, y] = told ?? [state.z[i], state.z[j]];
    if (!told && !model) return t("Point at a dot to read its class, or use the arrow keys.", "指向某个点即可查看类别，也可使用方向键。");
    const off = (k, axis, value) => (points.mu[k * latent + axis] - value) ** 2;
    const name = classOf(points, nearest(points, (k) => off(k, i, x) + (flat ? 0 : off(k, j, y)))) ?? "–";
    return told
      ? t(`Nearest point here: class ${name}`, `此处最近的点：类别 ${name}`)
      : t(`Nearest held-out point to z: class ${name}`, `离 z 最近的留出样本：类别 ${name}`);
  }
  picture.canvas.addEventListener("pointerleave", () => tell());
  inEachLanguage(() => tell(told));

  watch(["z", "axes", "head"], () => {
    picture.redraw();
    tell(told);
  });
  const show = (what) => {
    Object.assign(shown, what);
    picture.redraw();
  };
  return { root: h("div", { class: "column" }, picture.root, nearby), show, shown, manifold, canvas: picture.canvas };
}

function around([x, y], half) {
  return { x: [x - half, x + half], y: [y - half, y + half] };
}

// A picture that is drawn when its key changes, and else copied.
class Behind {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.key = this.found = null;
  }

  // paint(g) draws it and returns what draw returns.
  draw(g, w, tall, key, paint) {
    const dense = window.devicePixelRatio || 1;
    key = `${key} ${dense}`;
    if (key !== this.key) {
      this.canvas.width = Math.round(w * dense);
      this.canvas.height = Math.round(tall * dense);
      const inner = this.canvas.getContext("2d");
      inner.setTransform(dense, 0, 0, dense, 0, 0);
      this.found = paint(inner);
      this.key = key;
    }
    g.drawImage(this.canvas, 0, 0, w, tall);
    return this.found;
  }
}

// The ellipses of q(z|x) at one and two sigma, mu, and the way from mu to z.
function posterior(g, a, i, j) {
  const { mu, sigma } = state.head, c = colours();
  const [x, y] = [a.px(mu[i]), a.py(mu[j])], to = [a.px(state.z[i]), a.py(state.z[j])];
  for (const r of [1, 2]) {
    const [rx, ry] = [r * (a.px(sigma[i]) - a.px(0)), r * (a.py(0) - a.py(sigma[j]))];
    ellipse(g, x, y, rx, ry, c.paper, 5);
    ellipse(g, x, y, rx, ry, c.sigma, 2.2);
  }
  arrow(g, x, y, ...to, c.paper, 5);
  arrow(g, x, y, ...to, c.noise, 2);
  dot(g, x, y, 4, c.mu, c.paper);
  dot(g, ...to, 6, c.z, c.paper);
}

// The same for one latent: the density of q(z|x), mu, z.
function posteriorCurve(g, a) {
  const { mu, sigma } = state.head, c = colours(), foot = a.py(0);
  curve(g, a, mu[0], sigma[0], c.sigma);
  line(g, [a.px(mu[0]), a.px(mu[0])], [foot, a.py(density(mu[0], mu[0], sigma[0]))], c.mu, 2);
  line(g, [a.px(state.z[0]), a.px(state.z[0])], [foot, a.box.y], c.z, 2);
  dot(g, a.px(state.z[0]), foot - 14, 7, c.z, c.paper);
}

function density(z, mu, sigma) {
  return Math.exp(-0.5 * ((z - mu) / sigma) ** 2) / (sigma * Math.sqrt(2 * Math.PI));
}

function curve(g, a, mu, sigma, colour, dash = []) {
  const count = Math.round(a.box.w), zs = Float64Array.from({ length: count + 1 }, (_, k) => a.ix(a.box.x + k));
  line(g, zs.map(a.px), zs.map((z) => a.py(density(z, mu, sigma))), colour, 2, dash);
}
