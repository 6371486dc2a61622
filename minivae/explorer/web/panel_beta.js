// What beta buys: rate against distortion, and the price of each latent.

import { kl } from "./network.js";
import { latentNumbers, within } from "./marks.js";
import { payload } from "./payload.js";
import { axes, colours, dot, label, line } from "./plot.js";
import { BestPosterior, MEASURE, mean_nll } from "./rates.js";
import { inSlices } from "./slices.js";
import { state, watch } from "./state.js";
import { matrix } from "./tables.js";
import { say, t } from "./text.js";
import { figure, note, panel, slider } from "./ui.js";

const [LEAST, MOST] = [-3, 4]; // log2 of beta: the curve is traced through the powers of 2 between
const COUNTS = 0.1; // nats: a latent that is used

export function betaPanel(view) {
  const { model } = payload;
  let x, best;
  let encoded = null; // { nll, kl, each } of the encoder's q
  let beta = model.beta > 0 ? Math.min(Math.max(model.beta, 2 ** LEAST), 2 ** MOST) : 1;
  let found = new Map(); // beta -> { nll, kl } of the best q
  let stop = () => {};

  function restart() {
    x = state.x.slice();
    best = new BestPosterior(model, x, state.head);
    encoded = null;
    found = new Map();
    work(fitting());
  }

  function work(job) {
    stop();
    stop = inSlices(view, job, show);
  }

  function* fitting() {
    const { mu, rho, sigma } = state.head;
    if (!encoded) encoded = { ...costs(kl(mu, rho, sigma, model.scale)), nll: yield* mean_nll(model, x, mu, sigma) };
    // from where it was for the beta before
    yield* fit(best, beta);
    const other = new BestPosterior(model, x, best);
    for (let power = LEAST; power <= MOST; power++) if (!found.has(2 ** power)) yield* fit(other, 2 ** power);
  }

  function* fit(q, weight) {
    yield* q.fit(weight);
    found.set(weight, { ...priceOf(q), nll: yield* mean_nll(model, x, q.mu, q.sigma) });
  }

  const priceOf = (q) => costs(kl(q.mu, q.log_sigma, q.sigma, "exp"));
  const now = () => priceOf(best);
  const used = (each) => each.filter((value) => value > COUNTS).length;
  const costs = ({ total, each }) => ({ kl: total, each });

  const plane = figure({
    label: t("distortion nll over rate KL, for each beta", "失真 nll 与码率 KL 的关系（随 β 变化）"),
    height: 250,
    draw: drawPlane,
  });
  const prices = figure({
    label: t("KL of each latent, as the encoder has it and at the best for beta", "每个潜变量的 KL：编码器给出的，以及该 β 下最优的"),
    height: 190,
    draw: drawPrices,
  });
  const table = matrix(t("prices in nats", "代价（奈特）"), ["nll", "KL", "nll + β KL", t("latents in use", "在用的潜变量")], [
    [t("encoder's q", "编码器的 q"), ["beta_nll", "beta_kl", "beta_loss", "beta_used"]],
    [t("best q", "最优的 q"), ["best_nll", "best_kl", "best_loss", "best_used"]],
  ], (name) => (name.endsWith("used") ? 0 : 2));

  function show() {
    if (encoded) {
      table.set({ beta_nll: encoded.nll, beta_kl: encoded.kl, beta_loss: encoded.nll + beta * encoded.kl });
      table.set({ beta_used: used(encoded.each) });
    }
    const there = found.get(beta);
    table.set({ best_nll: there?.nll, best_kl: there?.kl, best_loss: there && there.nll + beta * there.kl });
    table.set({ best_used: used(now().each) });
    plane.redraw();
    prices.redraw();
  }

  function drawPlane(g, w, h) {
    if (!encoded) return;
    const c = colours(), box = { x: 46, y: 24, w: w - 62, h: h - 70 };
    const points = [...found].sort(([a], [b]) => a - b).map(([, point]) => point);
    const xs = [encoded, ...points].map((point) => point.kl), ys = [encoded, ...points].map((point) => point.nll);
    const high = Math.max(...xs) * 1.25 + 1;
    const spread = Math.max(Math.max(...ys) - Math.min(...ys), 4 * beta, 4);
    const a = axes(g, box, {
      x: [0, high],
      y: [Math.min(...ys) - 0.15 * spread, Math.max(...ys) + 0.2 * spread],
      xlabel: say(t("rate: KL, nats", "码率：KL（奈特）")),
      ylabel: say(t("distortion: nll, nats", "失真：nll（奈特）")),
    });
    const there = found.get(beta);
    within(g, box, () => {
      line(g, points.map(({ kl: rate }) => a.px(rate)), points.map(({ nll }) => a.py(nll)), c.z, 2);
      for (const { kl: rate, nll } of points) dot(g, a.px(rate), a.py(nll), 3, c.z);
      if (!there) return;
      // where nll + beta * KL is what it is at the best q: the curve lies above
      const at = (rate) => a.py(there.nll - beta * (rate - there.kl));
      line(g, [a.px(0), a.px(high)], [at(0), at(high)], c.muted, 1.25, [5, 4]);
      dot(g, a.px(there.kl), a.py(there.nll), 6, c.z, c.paper);
    });
    dot(g, a.px(encoded.kl), a.py(encoded.nll), 6, c.mu, c.paper);
    label(g, say(t("encoder", "编码器")), a.px(encoded.kl) + 10, a.py(encoded.nll) - 12, { colour: c.mu });
  }

  function drawPrices(g, w, h) {
    const c = colours(), box = { x: 46, y: 24, w: w - 62, h: h - 66 };
    const before = encoded?.each ?? [], after = now().each, count = after.length;
    const a = axes(g, box, {
      x: [0.4, count + 0.6],
      y: [0, Math.max(0.5, ...before, ...after) * 1.1],
      xlabel: say(t("latent", "潜变量")),
      ylabel: say(t("KL, nats", "KL（奈特）")),
      xticks: false,
    });
    latentNumbers(g, a, count);
    const wide = Math.max(1, Math.min(40, a.px(1.7) - a.px(1)));
    for (let j = 0; j < count; j++) {
      const left = a.px(j + 1) - wide / 2, top = a.py(after[j]);
      g.fillStyle = c.z;
      g.fillRect(left, top, wide, a.py(0) - top);
      if (j < before.length) line(g, [left - 1, left + wide + 1], [a.py(before[j]), a.py(before[j])], c.mu, 2.5);
    }
  }

  const weight = slider({
    label: "β",
    min: LEAST,
    max: MOST,
    step: 0.25,
    value: Math.log2(beta),
    format: (value) => (2 ** value).toFixed(value < 0 ? 3 : value < 3 ? 2 : 1),
    onchange: (value) => {
      beta = 2 ** value;
      show();
      work(fitting());
    },
  });

  watch(["head"], restart);

  return panel(
    t("What β buys", "β 买到了什么"),
    note(
      t(
        "The loss nll + β KL sets a price: one nat of KL costs β nats of nll. Drag β: this example's own q " +
          "(violet) moves to where that trade is best, latent by latent; the encoder's q stays (blue). Where β is " +
          `high, latents are given up. nll is the mean of ${2 * MEASURE} draws, and off by chance.`,
        "损失 nll + β KL 定下了价格：1 奈特的 KL 值 β 奈特的 nll。拖动 β：这个样本自己的 q（紫色）会逐个潜变量地移到最划算的位置，编码器给出的 q（蓝色）不动。β 大时，" +
          `有些潜变量就被放弃了。nll 是 ${2 * MEASURE} 次抽样的平均，带有抽样误差。`,
      ),
    ),
    weight.root,
    plane.root,
    prices.root,
    table.root,
  );
}
