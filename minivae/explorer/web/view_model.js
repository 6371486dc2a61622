// View: the model. From an example or a drawing through the encoder to the posterior, z, and through the decoder back.

import { planeInput, planeOutput } from "./dataplane.js";
import { drawNoise, moveZ, setNoise } from "./flow.js";
import { heat } from "./heat.js";
import { chart, latentName, sliders } from "./latents.js";
import { decode, encode, kl, mean, nll } from "./network.js";
import { Source } from "./noise.js";
import { imageHeight, pad } from "./pad.js";
import { payload } from "./payload.js";
import { plane } from "./plane.js";
import { image } from "./plot.js";
import { legend } from "./points.js";
import { profileInput, profileOutput } from "./profile.js";
import { change, state, watch } from "./state.js";
import { say, t } from "./text.js";
import { button, choice, column, figure, h, instead, node, note, number, numbers, panel, row, toggle, widePanel } from "./ui.js";

const SIDE = 224; // CSS pixels of an image
const PRIOR_STREAM = 103; // beside those of view_trick.js, of the draws of z from the prior

export const view = {
  name: "model",
  title: t("The model", "模型"),
  build(root) {
    const { model, data } = payload;
    if (model) root.append(wayThrough());
    else root.append(exampleAlone());
    if (model || data.points) root.append(...planeAndControls());
    else root.append(instead(t("This run has no points in the latent space to show.", "此次运行没有可显示的潜空间点。")));
  },
};

// Panel: x -> encoder -> q(z|x) and z -> decoder -> mean of p(x|z), with the numbers.
function wayThrough() {
  const { model, data } = payload;
  const now = { up: [], down: [], mean: new Float64Array(data.features) };
  const input = { image: pad, plane: planeInput, profile: profileInput }[data.kind]();
  const output = { image: imageOutput, plane: planeOutput, profile: profileOutput }[data.kind](() => now.mean);
  const up = model.encoder.map((layer, k) => heat(layer, () => now.up[k].y));
  const down = model.decoder.map((layer, k) => heat(layer, () => now.down[k].y));
  const posterior = chart();
  const terms = numbers([
    ["nll", "−log p(x|z)", 3],
    ["kl", "KL(q(z|x) ‖ p(z))", 3],
    ["elbo", t("ELBO, of one draw", "ELBO（单次抽样）"), 3],
  ]);

  watch(["x"], () => {
    now.up = encode(model, state.x).kept;
    up.forEach(({ redraw }) => redraw());
  });
  watch(["x", "head", "z"], () => {
    const { output: put, kept } = decode(model, state.z);
    now.down = kept;
    now.mean = mean(model, put);
    const { mu, rho, sigma } = state.head;
    const given = { nll: nll(model, state.x, put).total, kl: kl(mu, rho, sigma, model.scale).total };
    terms.set({ ...given, elbo: state.moved ? NaN : -given.nll - given.kl }); // no draw, no estimate
    for (const part of [...down, output, posterior]) part.redraw();
  });
  watch(["axes"], posterior.redraw);

  const way = h("div", { class: "way" });
  const cells = [
    cell("x", input.root, data.kind),
    ...up.map(({ root }) => root),
    cell("q(z|x), z", posterior.root, "middle"),
    ...down.map(({ root }) => root),
    cell(t("mean of p(x|z)", "p(x|z) 的均值"), output.root, data.kind),
  ];
  cells.forEach((each, k) => way.append(...(k ? [h("span", { class: "to", "aria-hidden": "true" }, "→")] : []), each));
  const units = note(t("nats, for the z shown", "单位为奈特，对应所示的 z"));
  way.append(h("div", { class: "cell terms" }, chosenLatents(), terms.root, units));
  const first = {
    image: t("Draw in the first square, or pick an example above.", "在第一个方框里画图，或在上方选择样本。"),
    plane: t("Drag x in the first plane, or pick an example above.", "在第一个平面中拖动 x，或在上方选择样本。"),
    profile: t("Change a value of x, or pick an example above.", "改变 x 的某个值，或在上方选择样本。"),
  }[data.kind];
  const key = h("p", { class: "note" },
    mark("mu", "●"), t(" μ with ", " μ 及 "), mark("sigma", "━"), t(" σ to both sides, ", " 两侧的 σ，"), mark("z", "●"),
    t(" z = μ + σ · noise. A click on a latent puts it into the plane below.", " z = μ + σ · 噪声。点击某个潜变量，下方平面即以它为横轴。"));
  return widePanel(t("From x to z and back", "从 x 到 z，再返回"), h("p", {}, first), way, key);
}

function cell(caption, content, kind = "") {
  return h("div", { class: `cell ${kind}` }, h("span", { class: "note caption" }, caption), content);
}

function mark(name, sign) {
  return h("span", { class: `mark-${name}`, "aria-hidden": "true" }, sign);
}

// mu, sigma and z of the latents in the plane.
function chosenLatents() {
  const shown = payload.model.latent === 1 ? [0] : [0, 1];
  const made = shown.map((place) => {
    const suffix = place ? "2" : "";
    const values = { mu: number(`mu${suffix}`, 3), sigma: number(`sigma${suffix}`, 3), z: number(`z${suffix}`, 3) };
    const name = h("th", { scope: "row" });
    const line = h("tr", {}, name, ...Object.values(values).map(({ root }) => h("td", {}, root)));
    const write = () => (name.textContent = String(state.axes[place]));
    return { line, values, write };
  });
  watch(["head", "z", "axes"], () => {
    made.forEach(({ values, write }, place) => {
      const j = state.axes[place];
      write();
      values.mu.set(state.head.mu[j]);
      values.sigma.set(state.head.sigma[j]);
      values.z.set(state.z[j]);
    });
  });
  const heads = [t("latent", "潜变量"), "μ", "σ", "z"].map((name) => h("th", { scope: "col" }, name));
  const body = h("tbody", {}, ...made.map(({ line }) => line));
  return h("table", { class: "numbers" }, h("thead", {}, h("tr", {}, ...heads)), body);
}

function imageOutput(values, label = t("The decoder's mean for z", "解码器对 z 给出的均值")) {
  const { data } = payload;
  return figure({
    label,
    width: SIDE,
    height: imageHeight,
    draw: (g, w, tall) => image(g, values(), data.shape, 0, 0, w, tall, data.low, data.high),
  });
}

// Panels: the latent plane, and beside it what moves z.
function planeAndControls() {
  const { model, data } = payload;
  const latent = model ? model.latent : data.points.mu.length / data.points.count;
  const picture = plane();
  const drag = latent === 1 ? t("Drag z along its axis.", "沿轴拖动 z。") : t("Drag z.", "拖动 z。");
  const switchOf = (name, label) =>
    toggle({ label, value: picture.shown[name], onchange: (value) => picture.show({ [name]: value }) }).root;
  const shown = column(
    data.points ? switchOf("points", t("held-out points", "留出样本点")) : null,
    picture.shown.pictures ? switchOf("pictures", t("decoded pictures", "解码图像")) : null,
    model ? switchOf("zoom", t("zoom to the posterior", "放大到后验")) : null,
  );
  const left = panel(
    latent === 1 ? t("The latent axis", "潜变量轴") : t("The latent plane", "潜变量平面"),
    h("p", {}, ...(model ? [drag, " "] : []), axesChoice(latent)),
    h("div", { class: "mapped" }, picture.root, column(shown, legend(data.points), note(caption(latent)))),
  );
  left.classList.add("double");
  return model ? [left, controls()] : [left];
}

function caption(latent) {
  const { model } = payload;
  const prior = latent === 1
    ? t("Dashed: the prior N(0, 1).", "虚线：先验 N(0, 1)。")
    : t("Dashed circles: the prior at 1, 2 and 3 standard deviations.", "虚线圆：先验的 1、2、3 个标准差。");
  if (!model) return prior;
  const own = latent === 1
    ? t(" Orange: the posterior q(z|x).", "橙色：后验 q(z|x)。")
    : t(" Orange: the posterior q(z|x) at 1 and 2 σ. Green: σ · noise.", "橙色：后验 q(z|x) 的 1σ 与 2σ。绿色：σ · 噪声。");
  const held = latent > 2 ? t(" All other latents are held at z.", "其余潜变量固定在当前的 z。") : t("", "");
  return t(prior.en + own.en + held.en, prior.zh + own.zh + held.zh);
}

// Which latents the plane shows; nothing to choose with one or two.
function axesChoice(latent) {
  if (latent < 3) return null;
  const options = Array.from({ length: latent }, (_, j) => [String(j), latentName(j)]);
  const set = (place) => (value) => {
    const chosen = [...state.axes], j = Number(value);
    if (chosen[1 - place] === j) chosen[1 - place] = chosen[place];
    chosen[place] = j;
    change({ axes: chosen });
  };
  const across = choice({ label: t("across", "横轴"), options, onchange: set(0) });
  const up = choice({ label: t("up", "纵轴"), options, onchange: set(1) });
  watch(["axes"], () => ([across.value, up.value] = state.axes.map(String)));
  return h("span", { class: "row" }, across.root, up.root);
}

function controls() {
  const source = new Source(payload.seed, PRIOR_STREAM);
  const buttons = row(
    button({ label: t("New noise", "重新抽取噪声"), onclick: drawNoise }),
    button({ label: t("Back to μ", "回到 μ"), onclick: () => setNoise(new Float64Array(payload.model.latent)) }),
    button({
      label: t("z from the prior", "从先验抽取 z"),
      onclick: () => moveZ(Object.fromEntries([...source.normals(payload.model.latent)].entries())),
    }),
  );
  const where = t(() => (state.moved ? MOVED.en : DRAWN.en), () => (state.moved ? MOVED.zh : DRAWN.zh));
  const written = node(where);
  watch(["moved"], () => (written.data = say(where)));
  return panel(t("z, latent by latent", "逐个潜变量的 z"), column(buttons, note(written), sliders()));
}

const DRAWN = t("z = μ + σ · noise.", "z = μ + σ · 噪声。");
const MOVED = t("z was moved by hand.", "z 已被手动移动。");

// Panel for a run whose model cannot run in the page.
function exampleAlone() {
  const { data } = payload;
  if (data.kind !== "image") {
    return panel(t("The example", "样本"), (data.kind === "plane" ? planeInput() : profileInput()).root);
  }
  const picture = imageOutput(() => state.x, "x");
  watch(["x"], picture.redraw);
  return panel(t("The example", "样本"), picture.root);
}
