// The page: its head with language and theme, the examples, and the views as tabs.

import { begin, pick } from "./flow.js";
import { className, load, payload } from "./payload.js";
import { forgetColours, image } from "./plot.js";
import { showView, state, watch } from "./state.js";
import { currentLanguage, languages, setLanguage, t } from "./text.js";
import { button, h, instead, redrawAll } from "./ui.js";
import { view as bits } from "./view_bits.js";
import { view as bound } from "./view_bound.js";
import { view as estimators } from "./view_estimators.js";
import { view as model } from "./view_model.js";
import { view as trick } from "./view_trick.js";

const views = [model, trick, estimators, bound, bits];
const built = new Map(); // name -> section
const tabs = new Map();

// #trick, or #trick&lang=zh&theme=dark: the view, and what of the look is fixed by the address.
function asked() {
  const [name, ...rest] = location.hash.slice(1).split("&");
  const options = Object.fromEntries(rest.map((pair) => pair.split("=")));
  return { ...options, name: views.some((view) => view.name === name) ? name : views[0].name };
}

function remember(changes) {
  const now = { ...asked(), ...changes };
  const rest = ["lang", "theme"].filter((key) => now[key]).map((key) => `&${key}=${now[key]}`);
  if (location.protocol !== "about:") history.replaceState(null, "", `#${now.name}${rest.join("")}`);
}

function show(name) {
  for (const [other, tab] of tabs) {
    tab.setAttribute("aria-selected", String(other === name));
    tab.tabIndex = other === name ? 0 : -1;
  }
  for (const [other, section] of built) section.hidden = other !== name;
  if (built.has(name)) {
    showView(name);
  } else {
    const view = views.find((each) => each.name === name);
    const section = h("div", { class: "view", id: `view-${name}`, role: "tabpanel", "aria-labelledby": `tab-${name}` });
    document.getElementById("main").append(section);
    built.set(name, section);
    // `without` is what a view that needs the model says where that does not run here.
    showView(name, () => (view.without && !payload.model ? section.append(instead(view.without)) : view.build(section)));
  }
  remember({ name });
}

function tabList() {
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": t("Views", "视图") });
  for (const { name, title } of views) {
    const tab = h("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `view-${name}` }, title);
    tab.addEventListener("click", () => show(name));
    tabs.set(name, tab);
    list.append(tab);
  }
  arrows(list, [...tabs.values()], (i) => show(views[i].name));
  return list;
}

// Arrow keys go round the items of a list: go(i), and the focus is on item i.
function arrows(list, items, go) {
  list.addEventListener("keydown", (event) => {
    const now = items.indexOf(document.activeElement);
    const steps = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: items.length - 1 };
    if (!(event.key in steps) || now < 0) return;
    event.preventDefault();
    const next = (steps[event.key] + items.length) % items.length;
    go(next);
    items[next].focus();
  });
}

const THEMES = ["auto", "light", "dark"];
const DARK = matchMedia("(prefers-color-scheme: dark)");
const THEME_NAMES = { auto: t("auto", "自动"), light: t("light", "浅色"), dark: t("dark", "深色") };
let theme = "auto";

function setTheme(name) {
  theme = THEMES.includes(name) ? name : "auto";
  document.documentElement.dataset.theme = theme !== "auto" ? theme : DARK.matches ? "dark" : "light";
  forgetColours();
  redrawAll();
}

function switches() {
  const other = button({
    label: t("中文", "English"),
    onclick: () => {
      const name = languages.find((each) => each !== currentLanguage());
      setLanguage(name);
      remember({ lang: name });
    },
  });
  other.setAttribute("lang", "");
  const look = button({
    label: t(() => `Theme: ${THEME_NAMES[theme].en}`, () => `主题：${THEME_NAMES[theme].zh}`),
    onclick: () => {
      setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]);
      setLanguage(currentLanguage());
      remember({ theme });
    },
  });
  return h("div", { class: "switches" }, other, look);
}

// The examples, as one list that the arrow keys go through.
function strip() {
  const { data } = payload;
  const items = [];
  const list = h("div", { class: "strip", role: "listbox", "aria-orientation": "horizontal", "aria-label": t("Held-out examples", "留出样本") });
  for (let i = 0; i < data.rows; i++) {
    const kind = className(data.labels?.[i] ?? -1);
    const name = t(
      () => `example ${data.index[i]}${kind === null ? "" : `, class ${kind}`}`,
      () => `样本 ${data.index[i]}${kind === null ? "" : `，类别 ${kind}`}`,
    );
    const item = h("button", { type: "button", role: "option", tabindex: -1, "aria-label": name, title: name }, thumbnail(i));
    item.addEventListener("click", () => pick(i));
    items.push(item);
    list.append(item);
  }
  arrows(list, items, pick);
  watch(["index"], () => {
    items.forEach((item, i) => {
      item.setAttribute("aria-selected", String(i === state.index));
      item.tabIndex = i === Math.max(0, state.index) ? 0 : -1;
    });
    const chosen = items[state.index];
    if (chosen) list.scrollTo({ left: chosen.offsetLeft - list.clientWidth / 2 });
  });
  return list;
}

function thumbnail(i) {
  const { data } = payload;
  if (data.kind !== "image") return document.createTextNode(String(data.index[i]));
  const [tall, wide] = data.shape;
  const canvas = h("canvas", { width: wide, height: tall, "aria-hidden": "true" });
  const values = data.x.subarray(i * data.features, (i + 1) * data.features);
  image(canvas.getContext("2d"), values, data.shape, 0, 0, wide, tall, data.low, data.high);
  return canvas;
}

function about() {
  const { model, data } = payload;
  const sizes = model ? [data.features, ...model.encoder.map((layer) => layer.outputs), model.latent].join("-") : null;
  const what = sizes ? `${sizes}, ${model.likelihood.name}` : data.name;
  const named = payload.name === sizes ? [] : [h("bdi", {}, payload.name), " · "];  // by default the name is the widths
  return h("p", { class: "about" }, named, what);
}

export async function start() {
  await load();
  const { lang, theme: look } = asked();
  setLanguage(lang ?? (navigator.language.startsWith("zh") ? "zh" : "en"));
  setTheme(look);
  DARK.addEventListener("change", () => setTheme(theme));
  begin();
  const title = h("div", { class: "title" }, h("h1", {}, "minivae"), about());
  document.getElementById("head").append(title, switches(), tabList(), strip());
  if (!payload.model && payload.reason) {
    const reason = t(payload.reason.en, payload.reason.zh);
    document.getElementById("head").append(h("p", { class: "instead", role: "note" }, reason));
  }
  window.addEventListener("hashchange", () => {
    const { name, lang: given, theme: wanted } = asked();
    if (given) setLanguage(given);
    if (wanted) setTheme(wanted);
    show(name);
  });
  show(asked().name);
  requestAnimationFrame(() => {
    performance.mark("ready");
    document.documentElement.dataset.ready = "";
  });
}

// A browser of before 2023 cannot unpack the arrays.
start().catch((error) => {
  const text = t(`This browser cannot show the page: ${error.message}`, `此浏览器无法显示本页面：${error.message}`);
  document.getElementById("main").append(instead(text));
  throw error;
});
