// The two graphs of z ~ N(mu, sigma^2) and f(z): without reparameterization, where z itself is drawn and the way back
// ends, and with it, where the noise comes from outside and the way back goes on to mu and sigma. Circles are drawn at
// random, boxes computed; grey arrows lead forward, dashed ones carry the gradient back. See minivae/lab/graphs.py.

import { arrow, colours, FONT, label, line } from "./plot.js";
import { formatted } from "./ui.js";

const RADIUS = 19;
const GAP = 5; // between a node and the ends of its arrows
const ASIDE = 11; // of the arrow back from the arrow forward
const short = (value) => formatted(value, 2);

export const GRAPH_HEIGHT = 266;

/** Where the nodes are, in a picture this wide. */
function places(width) {
  const left = Math.max(46, 0.13 * width);
  const narrow = width < 400;
  const middle = Math.round((narrow ? 0.52 : 0.59) * width);
  return {
    mu: [left, 34], sigma: [left, 158], z: [middle, 96], f: [width - 44, 96],
    noise: [middle, 220], fresh: [middle - (narrow ? 56 : 90), 224],
  };
}

/** values: { mu, sigma, noise, z, f, df, dmu, dsigma } and, for the mistake, fresh: another draw of the noise. */
export function draw_graph(g, width, { trick, values, texts }) {
  const c = colours();
  const at = places(width);
  const { mu, sigma, noise, z, f, df, dmu, dsigma, fresh } = values;

  edge(g, at.z, at.f, `∂f/∂z = ${short(df)}`, { side: 1 });
  label(g, `z = ${short(z)}`, at.z[0] - 8, at.z[1] - RADIUS - 10, { colour: c.z });
  value(g, at.f, `f = ${short(f)}`, c.ink, -1);
  value(g, at.mu, `μ = ${short(mu)}`, c.mu);
  value(g, at.sigma, `σ = ${short(sigma)}`, c.sigma);
  if (trick) {
    edge(g, at.mu, at.z, "∂z/∂μ = 1", { side: -1 });
    const wrong = fresh !== null;
    const wide = width >= 400;
    const factor = `${wide ? "∂z/∂σ = " : ""}ε = ${short(noise)}`;
    edge(g, at.sigma, at.z, wrong ? "× ε′" : factor, { side: 1, wrong });
    forward(g, at.noise, at.z);
    label(g, `ε = ${short(noise)}`, at.noise[0] + RADIUS + 7, at.noise[1] - 8, { colour: c.noise });
    label(g, "ε ~ N(0, 1)", at.noise[0] + RADIUS + 7, at.noise[1] + 9, { colour: c.muted, size: 11 });
    const product = (by, result) => (wide ? `${short(df)} × ${by} = ${short(result)}` : short(result));
    gradient(g, at.mu, `dμ = ${product("1", dmu)}`, c.gradient);
    gradient(g, at.sigma, `dσ = ${product(short(wrong ? fresh : noise), dsigma)}`, c.gradient);
    if (wrong) {
      const [x, y] = at.fresh;
      const share = (x - at.sigma[0]) / (at.z[0] - at.sigma[0]);
      const above = at.sigma[1] + share * (at.z[1] - at.sigma[1]) + ASIDE + GAP;
      node(g, at.fresh, "ε′", { random: true, colour: c.bad });
      value(g, at.fresh, `ε′ = ${short(fresh)}`, c.bad);
      line(g, [x, x], [y - RADIUS - 2, above], c.bad, 1.5, [2, 3]);
    }
  } else {
    edge(g, at.mu, at.z, texts.none("μ"), { side: -1, blocked: true });
    edge(g, at.sigma, at.z, texts.none("σ"), { side: 1, blocked: true });
    gradient(g, at.mu, "dμ = ?", c.bad);
    gradient(g, at.sigma, "dσ = ?", c.bad);
    texts.number(short(z)).forEach((text, i) =>
      label(g, text, width - 8, 232 + 17 * i, { colour: c.muted, align: "right" }));
  }
  node(g, at.mu, "μ", { colour: c.mu });
  node(g, at.sigma, "σ", { colour: c.sigma });
  node(g, at.z, "z", { colour: c.z, random: !trick });
  node(g, at.f, "f", { colour: c.ink });
  if (trick) node(g, at.noise, "ε", { colour: c.noise, random: true });
}

function node(g, [x, y], name, { colour, random = false }) {
  const c = colours();
  g.beginPath();
  if (random) g.arc(x, y, RADIUS, 0, 2 * Math.PI);
  else g.roundRect(x - RADIUS + 2, y - RADIUS + 2, 2 * RADIUS - 4, 2 * RADIUS - 4, 5);
  g.fillStyle = c.paper;
  g.fill();
  g.strokeStyle = colour;
  g.lineWidth = 1.8;
  g.setLineDash(random ? [3, 3] : []);
  g.stroke();
  g.setLineDash([]);
  label(g, name, x, y + 1, { colour, align: "center", size: 16, bold: true });
}

/** A node's value, above it (side -1) or below. */
function value(g, [x, y], text, colour, side = 1) {
  label(g, text, x, y + side * (RADIUS + 10), { colour, align: "center" });
}

/** What came back to a node, below its value; however long, it stays inside the picture. */
function gradient(g, [x, y], text, colour) {
  g.font = `600 12px ${FONT}`;
  const half = g.measureText(text).width / 2 + 4;
  label(g, text, Math.max(x, half), y + RADIUS + 27, { colour, align: "center", bold: true });
}

function between([x0, y0], [x1, y1]) {
  const length = Math.hypot(x1 - x0, y1 - y0);
  const [ux, uy] = [(x1 - x0) / length, (y1 - y0) / length];
  const off = RADIUS + GAP;
  return { ux, uy, from: [x0 + ux * off, y0 + uy * off], to: [x1 - ux * off, y1 - uy * off] };
}

function forward(g, a, b) {
  const { from, to } = between(a, b);
  arrow(g, ...from, ...to, colours().line, 1.6);
}

/** From a to b forward, and beside it, above (side -1) or below (1), the way back with its factor; blocked: it ends. */
function edge(g, a, b, text, { side, blocked = false, wrong = false }) {
  const c = colours();
  const colour = blocked || wrong ? c.bad : c.gradient;
  const { ux, uy, from, to } = between(a, b);
  forward(g, a, b);
  const [nx, ny] = [-uy * side * ASIDE, ux * side * ASIDE];
  const [x0, y0, x1, y1] = [to[0] + nx, to[1] + ny, from[0] + nx, from[1] + ny];
  if (blocked) {
    const [x, y] = [x0 - 0.4 * (x0 - x1), y0 - 0.4 * (y0 - y1)];
    line(g, [x0, x], [y0, y], colour, 2, [5, 4]);
    line(g, [x - 6, x + 6], [y - 6, y + 6], colour, 2.6);
    line(g, [x - 6, x + 6], [y + 6, y - 6], colour, 2.6);
  } else {
    arrow(g, x0, y0, x1, y1, colour, 2, [5, 4]);
  }
  const [x, y] = [0.5 * (x0 + x1), 0.5 * (y0 + y1)];
  if (Math.abs(uy) > 0.05) label(g, text, x + 6, y + side * 15, { colour });
  else label(g, text, x + 4, y + side * 13, { colour, align: "center" });
}
