// The prices of single draws, and the bound of K draws against log p(x).

import { Draws, mean_bound, moments, quadrature } from "./bounds.js";
import { kind_of_code } from "./coding.js";
import { namesBeside, spaced, within } from "./marks.js";
import { kl } from "./network.js";
import { payload } from "./payload.js";
import { axes, colours, dot, line } from "./plot.js";
import { inSlices } from "./slices.js";
import { state, watch } from "./state.js";
import { matrix } from "./tables.js";
import { say, t } from "./text.js";
import { arrowStep, figure, note, numbers, panel, slider } from "./ui.js";

const REPEATS = 8;
const SHOWN = 32; // draws in the first picture
const FIRST_K = 8; // log2 of K

// Builds both panels and keeps them up to date with the example.
export function drawsPanels(view) {
  const { model } = payload, exact = model.latent <= 2;
  let repeats = []; // Draws of the seeds 0, 1, ...
  let evidence = null; // { value, error } of log p(x); error null where it is an integral
  let curve = []; // [K, the mean of L_K]
  let chosen = 0; // the draw whose numbers are shown
  let power = FIRST_K;
  let stopDrawing = () => {};
  let stopIntegral = () => {};

  const wanted = () => 2 ** power;

  function restart() {
    const { head } = state, x = state.x.slice();
    repeats = Array.from({ length: REPEATS }, (_, seed) => new Draws(model, x, head, seed));
    evidence = null;
    curve = [];
    extend();
    stopIntegral();
    if (exact) stopIntegral = inSlices(view, quadrature(model, x, head), integrated);
  }

  // Draws up to the K that is asked for.
  function extend() {
    stopDrawing();
    stopDrawing = inSlices(view, drawing(wanted()), show);
  }

  function* drawing(count) {
    while (repeats.some((draws) => draws.count < count)) {
      for (const draws of repeats) {
        if (draws.count < count) draws.next();
        yield;
      }
    }
    const all = repeats.flatMap((draws) => draws.log_weight.slice(0, count)), found = [];
    for (let k = 1; k <= count; k *= 2) {
      found.push([k, mean_bound(all, k)]);
      yield;
    }
    curve = found;
    if (!exact) evidence = moments(repeats.flatMap((draws) => draws.log_weight));
  }

  function integrated(done, result) {
    if (!done) return;
    evidence = { value: result.value, error: null };
    show();
  }

  const prices = figure({
    label: t(
      "nll and −log w of single draws; arrow keys choose a draw",
      "各次抽样的 nll 与 −log w；用方向键选择一次抽样",
    ),
    height: 250,
    draw: drawPrices,
    onpoint: (x, y, kind) => kind !== "over" && prices.place && choose(Math.round(prices.place.ix(x)) - 1),
    keys: (event) => {
      const step = arrowStep(event);
      if (step) choose(chosen + step[0] + step[1]);
    },
  });

  function choose(k) {
    chosen = Math.min(Math.max(k, 0), Math.min(SHOWN, wanted()) - 1);
    show();
  }

  const bounds = figure({
    label: t("the bound of K draws over K, against log p(x)", "K 次抽样的下界随 K 的变化，以及 log p(x)"),
    height: 280,
    draw: drawBounds,
  });

  const one = matrix(t("prices in nats", "代价（奈特）"), ["nll", "log q − log p", "−log w"], [
    [t("this draw", "这次抽样"), ["draw_nll", "draw_kl", "draw_cost"]],
    [t("mean of the draws", "各次抽样的平均"), ["nll", "kl_drawn", "minus_elbo"]],
    [t("KL in closed form", "KL 的解析式"), [null, "kl", null]],
  ]);
  const many = numbers([
    ["bound", t("Lₖ, mean of the repeats", "Lₖ（各次重复的平均）"), 2],
    ["log_p", exact ? t("log p(x), integrated", "log p(x)（数值积分）") : t("log p(x), estimated", "log p(x)（估计）"), 2],
    ...(exact ? [] : [["log_p_error", t("its standard error", "其标准误"), 3]]),
    ["gap", t("log p(x) − Lₖ", "log p(x) − Lₖ"), 2],
    ["effective", t("draws that count, of K", "K 次抽样中起作用的次数"), 1],
  ]);

  function show() {
    const [first] = repeats, k = Math.min(wanted(), first.count);
    if (k > chosen) {
      const { nll, kl: ratio, log_weight } = first;
      one.set({ draw_nll: nll[chosen], draw_kl: ratio[chosen], draw_cost: -log_weight[chosen] });
      const { mu, rho, sigma } = state.head;
      one.set({ nll: mean(nll, k), kl_drawn: mean(ratio, k), minus_elbo: -mean(log_weight, k) });
      one.set({ kl: kl(mu, rho, sigma, model.scale).total });
      const bound = curve.length ? curve[curve.length - 1][1] : NaN;
      many.set({ bound, log_p: evidence?.value, log_p_error: evidence?.error });
      many.set({ gap: evidence ? evidence.value - bound : NaN });
      many.set({ effective: moments(first.log_weight.slice(0, k)).effective });
    }
    prices.redraw();
    bounds.redraw();
  }

  function drawPrices(g, w, h) {
    const [first] = repeats, count = Math.min(SHOWN, wanted(), first.count);
    if (count < 2) return;
    const c = colours(), { nll, log_weight } = first;
    const box = { x: 46, y: 24, w: w - 130, h: h - 70 };
    const k = Math.min(wanted(), first.count), elbo = mean(log_weight, k), cost = mean(nll, k);
    const all = [...nll.slice(0, count), ...log_weight.slice(0, count).map((value) => -value), cost, -elbo];
    if (evidence) all.push(-evidence.value);
    const [low, high] = [Math.min(...all), Math.max(...all)], pad = 0.06 * (high - low || 1);
    const a = axes(g, box, {
      x: [0.3, count + 0.7],
      y: [low - pad, high + pad],
      xlabel: say(t("draw", "第几次抽样")),
      ylabel: say(t("nats", "奈特")),
    });
    prices.place = a;
    for (let i = 0; i < count; i++) {
      const x = a.px(i + 1), wide = i === chosen ? 3 : 1.5;
      line(g, [x, x], [a.py(nll[i]), a.py(-log_weight[i])], c.z, wide);
      dot(g, x, a.py(nll[i]), i === chosen ? 5 : 3, c.accent);
      dot(g, x, a.py(-log_weight[i]), i === chosen ? 5 : 3, c.z);
    }
    const names = [[a.py(-elbo), "−ELBO", c.z], [a.py(cost), say(t("mean nll", "nll 平均")), c.accent]];
    if (evidence) names.push([a.py(-evidence.value), "−log p(x)", c.good]);
    for (const [y, , colour] of names) line(g, [box.x, box.x + box.w], [y, y], colour, 1.5, [5, 4]);
    namesBeside(g, box.x + box.w + 6, names, box.y + box.h);
  }

  function drawBounds(g, w, h) {
    const count = Math.min(wanted(), ...repeats.map((draws) => draws.count));
    if (count < 2) return;
    const c = colours(), box = { x: 46, y: 24, w: w - 130, h: h - 70 };
    const elbo = mean(repeats.flatMap((draws) => draws.log_weight.slice(0, Math.min(count, 256))));
    const top = Math.max(evidence?.value ?? -Infinity, ...repeats.map((draws) => draws.bound[count - 1]));
    const span = Math.max(top - elbo, 1);
    const a = axes(g, box, {
      x: [1, Math.max(wanted(), 2)],
      y: [elbo - 0.35 * span, top + 0.15 * span],
      logx: true,
      xlabel: "K",
      ylabel: say(t("nats", "奈特")),
    });
    const ks = spaced(count), xs = ks.map((k) => a.px(k));
    within(g, box, () => {
      g.globalAlpha = 0.4;
      for (const draws of repeats) line(g, xs, ks.map((k) => a.py(draws.bound[k - 1])), c.muted, 1.25);
      g.globalAlpha = 1;
      line(g, curve.map(([k]) => a.px(k)), curve.map(([, value]) => a.py(value)), c.accent, 2.5);
      for (const [k, value] of curve) dot(g, a.px(k), a.py(value), 3, c.accent);
    });
    const names = [[a.py(elbo), "ELBO", c.z]];
    if (evidence) names.push([a.py(evidence.value), "log p(x)", c.good]);
    for (const [y, , colour] of names) line(g, [box.x, box.x + box.w], [y, y], colour, 1.5, [5, 4]);
    if (curve.length) names.push([a.py(curve[curve.length - 1][1]), say(t("mean Lₖ", "Lₖ 平均")), c.accent]);
    namesBeside(g, box.x + box.w + 6, names, box.y + box.h);
  }

  const howMany = slider({
    label: "K",
    min: 1,
    max: 12,
    step: 1,
    value: FIRST_K,
    format: (value) => (2 ** value).toLocaleString("en"),
    onchange: (value) => {
      power = value;
      curve = [];
      choose(chosen);
      extend();
    },
  });

  const grey = note(
    t(
      "Grey pixels have no likelihood: here nll is their cross entropy, and log p(x) what exp(−nll) comes to " +
        "over the prior.",
      "灰度像素没有真正的似然：这里的 nll 是交叉熵，log p(x) 是 exp(−nll) 对先验求平均再取对数。",
    ),
  );

  watch(["head"], () => {
    grey.hidden = kind_of_code(model, state.x) !== "grey";
    restart();
  });

  return [
    panel(
      t("What each draw costs", "每次抽样的代价"),
      note(
        t(
          "A z drawn from q(z|x) leaves nll of x to be told (blue), and is itself worth log q − log p (violet, " +
            "on top). The mean of these sums is −ELBO, which lies above −log p(x). Click a draw, or use the arrow " +
            "keys.",
          "从 q(z|x) 抽出一个 z 之后，描述 x 还要付 nll（蓝色），z 本身值 log q − log p（紫色，叠在上面）。总和的平均就是 −ELBO，它高于 −log p(x)。点击某次抽样，" +
            "或用方向键选择。",
        ),
      ),
      prices.root,
      one.root,
    ),
    panel(
      t("More draws, a tighter bound", "抽样越多，下界越紧"),
      note(
        t(
          "Lₖ is the logarithm of the mean weight w = p(x, z) / q(z|x) of K draws. A single run (grey, eight of " +
            "them) jumps whenever a heavy weight comes; the mean (blue) rises from the ELBO towards log p(x), and " +
            "may pass it by chance. Drag K.",
          "Lₖ 是 K 次抽样的权重 w = p(x, z) / q(z|x) 取平均之后的对数。单独一次（灰线，共八条）遇到大权重就会跳一下；平均（蓝线）则从 ELBO 升向 log p(x)，偶尔也会因为抽样误差略微超过它。拖动 K 看看。",
        ),
      ),
      howMany.root,
      bounds.root,
      many.root,
      grey,
      exact ? null : note(
        t(
          "log p(x) is estimated from all draws made so far for this example; on average that, too, is too low.",
          "log p(x) 由这个样本到目前为止的全部抽样估计，这个估计平均来说也偏低。",
        ),
      ),
    ),
  ];
}

function mean(values, count = values.length) {
  let total = 0;
  for (let i = 0; i < count; i++) total += values[i];
  return total / count;
}
