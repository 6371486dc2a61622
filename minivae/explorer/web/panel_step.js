// Gradient descent on the digit at hand, one step at a time, next to what four mistakes make of it.

import { descentFigures } from "./descent_figures.js";
import { payload } from "./payload.js";
import { inSlices } from "./slices.js";
import { state, watch } from "./state.js";
import { Descent, MISTAKES, PAIRS } from "./step.js";
import { matrix } from "./tables.js";
import { t } from "./text.js";
import { button, choice, column, formatted, h, note, number, row, slider, toggle, widePanel } from "./ui.js";

const AT_ONCE = 10; // steps of the second button
const LONGEST = 2000; // steps; more are not asked for

const NAMES = {
  right: t("right", "正确"),
  mean: t("mean over features, sum over latents", "特征取平均，潜变量求和"),
  "softplus-exp": t("softplus, then exp again", "softplus 之后又取 exp"),
  "fresh-noise": t("fresh noise in backward", "反向传播换了新噪声"),
  "no-kl": t("no KL term", "漏掉 KL 项"),
};

const SAID = {
  mean: t(
    "nll is averaged over the features and the KL summed: the KL weighs as many times too much as there are " +
      "features. It falls to 0, and z says nothing any more.",
    "nll 对特征（像素）取了平均，KL 却是求和：特征有多少个，KL 就被放大多少倍。KL 降到 0，z 不再携带任何信息。",
  ),
  "softplus-exp": t(
    "σ = exp(softplus(ρ)) is never below 1: no posterior can be narrower than the prior, however well μ is placed.",
    "σ = exp(softplus(ρ)) 总大于 1：无论 μ 放得多准，后验都不可能比先验更窄。",
  ),
  "fresh-noise": t(
    "dσ = dz · ε′ with another ε′ than z was made with is zero on average: of the reconstruction σ hears " +
      "nothing, only the KL, which wants σ = 1.",
    "dσ = dz · ε′ 用的 ε′ 不是生成 z 的那个噪声，平均为零：σ 听不到重构误差，只听到 KL，而 KL 要 σ = 1。",
  ),
  "no-kl": t(
    "Nothing rewards a wide posterior: σ shrinks, μ runs away, nll is the lowest of all and nll + KL is not.",
    "没有什么鼓励后验变宽：σ 不断缩小，μ 越跑越远；nll 最低，nll + KL 却不低。",
  ),
};

export function stepPanel(view) {
  const { model } = payload;
  let tracks = new Map(); // name -> Descent, "right" first
  let rates = []; // of the steps that were asked for, the same for every track
  let alone = false;
  let running = false;
  let stop = () => {};
  const switched = new Set();

  const names = () => ["right", ...MISTAKES.filter((name) => switched.has(name))];

  function restart() {
    tracks = new Map();
    rates = [];
    setRunning(false);
    work();
  }

  // Every track goes as far as steps were asked for; one that was switched on later starts at the beginning.
  function work() {
    stop();
    stop = inSlices(view, catchingUp(), (done) => {
      show();
      if (!done || !running) return;
      const { history } = tracks.get("right");
      if (Number.isFinite(history[history.length - 1].loss)) ask(1);
      else setRunning(false);
    });
  }

  function* catchingUp() {
    for (const name of tracks.keys()) if (!names().includes(name)) tracks.delete(name);
    for (const name of names()) {
      if (!tracks.has(name)) tracks.set(name, new Descent(model, state.x, { mistake: name, alone }));
    }
    const behind = () => [...tracks.values()].filter((track) => track.history.length <= rates.length);
    while (behind().length) {
      for (const track of behind()) {
        // where it was stopped in the middle of a step, that step's record comes first
        if (track.history.length > track.steps) {
          track.step(rates[track.steps]);
          yield;
        }
        track.look();
        yield;
        track.record();
        yield;
      }
    }
  }

  function ask(steps) {
    if (rates.length + steps > LONGEST) return setRunning(false);
    for (let i = 0; i < steps; i++) rates.push(10 ** rate.value);
    work();
  }

  function setRunning(value) {
    running = value;
    run.setAttribute("aria-pressed", String(value));
    if (running) ask(1);
  }

  const run = button({ label: t("Run", "连续运行"), pressed: false, onclick: () => setRunning(!running) });
  const rate = slider({
    label: t("learning rate", "学习率"),
    min: -5,
    max: 0,
    step: 0.25,
    value: -4,
    format: (value) => formatted(10 ** value, 5).replace(/0+$/, ""),
  });
  const what = choice({
    label: t("What moves:", "更新什么："),
    options: [
      ["weights", t("all weights (a copy)", "全部权重（副本）")],
      ["alone", t("only this example's μ and ρ", "只更新这个样本的 μ 和 ρ")],
    ],
    value: "weights",
    onchange: (value) => {
      alone = value === "alone";
      rate.value = alone ? -3 : -4;
      restart();
    },
  });
  const switches = MISTAKES.map((name) => {
    const one = toggle({
      label: h("span", { class: `track ${name}` }, NAMES[name]),
      onchange: (on) => {
        if (on) switched.add(name);
        else switched.delete(name);
        explain();
        columns();
        work();
      },
    });
    one.input.dataset.mistake = name;
    return one.root;
  });

  const said = h("div", { "aria-live": "polite" });

  function explain() {
    said.replaceChildren(...names().slice(1).map((name) =>
      h("p", {}, h("strong", { class: `track ${name}` }, NAMES[name]), ": ", SAID[name])));
  }

  // A column for each track: where it is, and the gradient of its next step for the latent that the planes show first.
  const latent = t(() => `${state.axes[0]}`, () => `${state.axes[0]}`);
  const ROWS = [
    ["loss", t("loss = nll + β KL", "损失 = nll + β KL")],
    ["nll", "nll"],
    ["kl", "KL"],
    ["mu", h("span", {}, "μ", h("sub", {}, latent))],
    ["sigma", h("span", {}, "σ", h("sub", {}, latent))],
    ["dz", t("next step: dz", "下一步：dz")],
    ["dmu", t("dμ = dz + β μ", "dμ = dz + β μ")],
    ["dsigma", t("dσ = dz ε + β (σ − 1/σ)", "dσ = dz ε + β (σ − 1/σ)")],
    ["drho", t("dρ = dσ dσ/dρ", "dρ = dσ · ∂σ/∂ρ")],
  ];
  const place = h("div", {});
  let table = null;

  function columns() {
    const heads = names().map((name) => h("span", { class: `track ${name}` }, NAMES[name]));
    const rows = ROWS.map(([key, label]) => [label, names().map((name) => `step_${key}_${name}`)]);
    const digits = (name) => (["loss", "nll", "kl"].includes(name.split("_")[1]) ? 2 : 4);
    table = matrix(t("where each descent is, and its gradient", "各条下降路径的位置与梯度"), heads, rows, digits);
    place.replaceChildren(table.root);
  }

  const steps = number("steps", 0);
  const figures = descentFigures(() => tracks, () => rates.length);

  function show() {
    steps.set(tracks.get("right")?.steps ?? 0);
    const [j] = state.axes;
    for (const [name, track] of tracks) {
      if (track.history.length <= track.steps) continue; // in the middle of a step
      const here = track.history[track.steps], next = track.look();
      const values = { ...here, mu: here.mu[j], sigma: here.sigma[j] };
      for (const key of ["dz", "dmu", "dsigma", "drho"]) values[key] = next[key][j];
      for (const [key] of ROWS) table.set({ [`step_${key}_${name}`]: values[key] });
    }
    figures.redraw();
  }

  columns();
  watch(["x"], restart);
  watch(["axes"], show);

  return widePanel(
    t("One gradient step at a time", "一次只走一步梯度"),
    note(
      t(
        "Each step draws a z, goes back through the decoder, the sample and the encoder by hand, and moves " +
          "against the gradient. Switch a mistake on to see, from the same start and with the same noise, what it " +
          `does. None of them gives an error message. nll is the mean of ${2 * PAIRS} draws, the same ones after each ` +
          "step: a start that is off by chance stays off, and the course is right.",
        "每一步抽一个 z，手工把梯度传回解码器、采样和编码器，再沿负梯度走一步。打开一个典型错误，看它从同样的起点、用同样的噪声会走到哪里。这些错误都不会报错。" +
          `nll 是 ${2 * PAIRS} 次抽样的平均，每步之后都用同样的抽样：起点带有抽样误差，走势可靠。`,
      ),
    ),
    model.objective === "elbo" && !model.free_bits ? null : note(
      t(
        "This run was trained for another objective; the steps here are those of the ELBO with one draw.",
        "这个模型是按别的目标训练的；这里的每一步用的是单次抽样的 ELBO。",
      ),
    ),
    row(
      button({ label: t("One step", "走一步"), onclick: () => ask(1) }),
      button({ label: t(() => `${AT_ONCE} steps`, () => `走 ${AT_ONCE} 步`), onclick: () => ask(AT_ONCE) }),
      run,
      button({ label: t("Reset", "重置"), onclick: restart }),
      h("span", {}, t("steps: ", "步数："), steps.root),
    ),
    row(what.root, rate.root),
    h("fieldset", {}, h("legend", {}, t("The four classical mistakes", "四个典型错误")), ...switches),
    said,
    figures.curves.root,
    h("div", { class: "halves" }, column(figures.latents.root, figures.pictures?.root), place),
  );
}
