// The elements of all views: labelled, reachable by keyboard and touch, in both languages.

import { schedule } from "./frame.js";
import { inEachLanguage, say } from "./text.js";

const figures = new Set();
let names = 0;

// An element. Properties: class, on (an object of listeners), aria-*, data-*, other attributes; texts may be t(...).
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name === "on") for (const [event, fn] of Object.entries(value)) element.addEventListener(event, fn);
    else if (value !== null && typeof value === "object") inEachLanguage(() => element.setAttribute(name, say(value)));
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined).map(node));
  return element;
}

// A node of a text, number or node; a text of both languages follows the language.
export function node(child) {
  if (child instanceof Node) return child;
  const written = document.createTextNode("");
  if (typeof child === "object") inEachLanguage(() => (written.data = say(child)));
  else written.data = String(child);
  return written;
}

function unused(stem) {
  return `${stem}-${names++}`;
}

// A titled part of a view.
export function panel(title, ...children) {
  const id = unused("panel");
  return h("section", { class: "panel", "aria-labelledby": id }, h("h2", { id }, title), ...children);
}

// The same over the whole width of the view.
export function widePanel(title, ...children) {
  const made = panel(title, ...children);
  made.classList.add("wide");
  return made;
}

export function row(...children) {
  return h("div", { class: "row" }, ...children);
}

export function column(...children) {
  return h("div", { class: "column" }, ...children);
}

export function note(...children) {
  return h("p", { class: "note" }, ...children);
}

export function formatted(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (typeof value === "bigint") return String(value);
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text = size !== 0 && (size >= 1e6 || size < 0.5 * 10 ** -digits) ? value.toExponential(2) : value.toFixed(digits);
  return text.replaceAll("-", "−");
}

// A range with its label and value. `format` says how the value is written.
export function slider({ label, min, max, step = "any", value, onchange, format = (v) => formatted(v, 2) }) {
  const id = unused("slider");
  const input = h("input", { id, type: "range", min, max, step: step === "any" ? (max - min) / 200 : step });
  const shown = h("output", { for: id });
  const write = () => {
    shown.textContent = format(Number(input.value));
    input.setAttribute("aria-valuetext", shown.textContent);
  };
  input.value = value;
  write();
  input.addEventListener("input", () => {
    write();
    onchange?.(Number(input.value));
  });
  const root = h("div", { class: "slider" }, h("label", { for: id }, label), input, shown);
  return {
    root,
    input,
    get value() {
      return Number(input.value);
    },
    set value(given) {
      input.value = given;
      write();
    },
    // Other limits, between which `value` need be on no step.
    limit(min, max, value) {
      Object.assign(input, { min, max, step: "any" });
      this.value = value;
    },
  };
}

// pressed: null for a plain button, true or false for one that stays down.
export function button({ label, onclick, pressed = null, title }) {
  const root = h("button", { type: "button", title, "aria-pressed": pressed === null ? null : String(pressed) }, label);
  root.addEventListener("click", onclick);
  return root;
}

// A check box.
export function toggle({ label, value = false, onchange }) {
  const id = unused("toggle");
  const input = h("input", { id, type: "checkbox" });
  input.checked = value;
  input.addEventListener("change", () => onchange?.(input.checked));
  return {
    root: h("div", { class: "toggle" }, input, h("label", { for: id }, label)),
    input,
    get value() {
      return input.checked;
    },
    set value(given) {
      input.checked = given;
    },
  };
}

// options: [[value, text], ...]; values are strings.
export function choice({ label, options, value, onchange }) {
  const id = unused("choice");
  const select = h("select", { id }, ...options.map(([given, text]) => h("option", { value: given }, text)));
  if (value !== undefined) select.value = value;
  select.addEventListener("change", () => onchange?.(select.value));
  return {
    root: h("div", { class: "choice" }, h("label", { for: id }, label), select),
    select,
    get value() {
      return select.value;
    },
    set value(given) {
      select.value = given;
    },
  };
}

// A number that is shown with so many digits and kept in data-value in full.
export function number(name, digits = 3) {
  const root = h("output", { class: "number", "data-name": name, "data-value": "" }, "–");
  return {
    root,
    set(value) {
      const text = formatted(value, digits);
      if (root.textContent !== text) root.textContent = text;
      root.dataset.value = String(value);
    },
  };
}

// A small table of names and numbers: [[name, label, digits], ...].
export function numbers(list) {
  const made = new Map(list.map(([name, , digits]) => [name, number(name, digits)]));
  const rows = list.map(([name, label]) => h("tr", {}, h("th", { scope: "row" }, label), h("td", {}, made.get(name).root)));
  return {
    root: h("table", { class: "numbers" }, h("tbody", {}, ...rows)),
    set(values) {
      for (const [name, value] of Object.entries(values)) made.get(name)?.set(value);
    },
  };
}

// A picture that draw(g, width, height) draws in CSS pixels, `height` a number or a function of the width.
// onpoint(x, y, kind, event): kind is "down", "move" (with a button down), "up" or "over"; keys(event) for the keyboard.
export function figure({ label, width = null, height = 240, draw, onpoint, keys, describe }) {
  const canvas = h("canvas", {
    class: onpoint ? "figure active" : "figure",
    role: keys ? "application" : "img",
    tabindex: keys ? 0 : null,
    "aria-label": label,
  });
  const root = h("div", { class: "canvas" }, canvas);
  if (width) root.style.maxWidth = `${width}px`;
  let size = [0, 0];
  const paint = () => {
    const [w, tall] = size;
    if (!w || !canvas.isConnected) return;
    const dense = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(w * dense) || canvas.height !== Math.round(tall * dense)) {
      canvas.width = Math.round(w * dense);
      canvas.height = Math.round(tall * dense);
      canvas.style.height = `${tall}px`;
    }
    const g = canvas.getContext("2d");
    g.setTransform(dense, 0, 0, dense, 0, 0);
    g.clearRect(0, 0, w, tall);
    draw(g, w, tall);
    if (describe) canvas.setAttribute("aria-description", say(describe()));
  };
  const redraw = () => schedule(paint);
  new ResizeObserver(() => {
    const w = Math.floor(root.clientWidth);
    const tall = typeof height === "function" ? Math.round(height(w)) : height;
    if (w !== size[0] || tall !== size[1]) {
      size = [w, tall];
      redraw();
    }
  }).observe(root);
  if (onpoint) follow(canvas, onpoint);
  if (keys) canvas.addEventListener("keydown", keys);
  figures.add(redraw);
  inEachLanguage(redraw);
  return { root, canvas, redraw };
}

function follow(canvas, onpoint) {
  const tell = (kind) => (event) => {
    if (!event.isPrimary || event.button > 0) return; // a second finger, another button
    const box = canvas.getBoundingClientRect();
    const held = kind === "move" ? event.buttons : 1;
    if (kind === "down") {
      canvas.setPointerCapture(event.pointerId);
      canvas.focus({ preventScroll: true });
    }
    onpoint(event.clientX - box.left, event.clientY - box.top, held ? kind : "over", event);
  };
  for (const [event, kind] of Object.entries({ pointerdown: "down", pointermove: "move", pointerup: "up" })) {
    canvas.addEventListener(event, tell(kind));
  }
}

// For arrow keys: the step [dx, dy] that a key asks for, dy upwards, ten times with Shift; null for other keys.
export function arrowStep(event) {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  if (!step) return null;
  event.preventDefault();
  return step.map((value) => value * (event.shiftKey ? 10 : 1));
}

export function redrawAll() {
  for (const redraw of figures) redraw();
}

// One sentence in the place of what this run cannot show.
export function instead(text) {
  return h("p", { class: "instead", role: "note" }, text);
}
