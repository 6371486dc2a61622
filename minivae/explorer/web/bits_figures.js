// The pictures of an account in bits.

import { namesBeside, spaced, within } from "./marks.js";
import { axes, colours, dot, label, line } from "./plot.js";
import { say, t } from "./text.js";
import { formatted } from "./ui.js";

const BAR = 20;

// Paid for x, paid for z, returned, and what is left: each bar begins where the one above it ended.
export function drawAccount(g, w, h, { data, prior, posterior, net }) {
  const c = colours();
  const rows = [
    [t("x given z", "给定 z 的 x"), 0, data, c.accent],
    [t("z", "z"), data, data + prior, c.z],
    [t("back", "退回"), data + prior, net, c.good],
    [t("net", "净额"), 0, net, c.ink],
  ];
  const [low, high] = [Math.min(0, data, net, data + prior), Math.max(0, data, data + prior, net)];
  const a = axes(g, { x: 76, y: 8, w: w - 140, h: h - 52 }, {
    x: [low, high + 1e-9],
    y: [0, rows.length],
    xlabel: say(t("bits", "比特")),
    yticks: false,
  });
  rows.forEach(([name, from, to, colour], i) => {
    const middle = a.py(rows.length - i - 0.5);
    label(g, say(name), 70, middle, { align: "right" });
    g.fillStyle = colour;
    g.fillRect(Math.min(a.px(from), a.px(to)), middle - BAR / 2, Math.max(1, Math.abs(a.px(to) - a.px(from))), BAR);
    const sign = (i === 1 || i === 2) && to > from ? "+" : ""; // what is added to the bar above
    const end = Math.max(a.px(from), a.px(to)) + 5;
    label(g, sign + formatted(to - from, 1), end, middle, { colour, room: w - end });
    if (i < 2) line(g, [a.px(to), a.px(to)], [middle + BAR / 2, a.py(rows.length - i - 1.5) - BAR / 2], c.line, 1);
    if (i === 2) line(g, [a.px(to), a.px(to)], [middle + BAR / 2, a.py(0.5) - BAR / 2], c.line, 1);
  });
}

// The net price of the first K draws over K, `prices`, and what one draw costs on average.
export function drawRate(g, w, h, rate) {
  if (!rate || rate.prices.length < 2) return;
  const c = colours(), box = { x: 50, y: 24, w: w - 130, h: h - 70 }, { one, prices } = rate, count = prices.length;
  const [low, high] = [Math.min(...prices, one), Math.max(...prices, one)], pad = 0.1 * (high - low || 1);
  const a = axes(g, box, {
    x: [1, count],
    y: [low - pad, high + pad],
    logx: true,
    xlabel: "K",
    ylabel: say(t("net bits", "净比特数")),
  });
  const ks = spaced(count);
  within(g, box, () => line(g, ks.map((k) => a.px(k)), ks.map((k) => a.py(prices[k - 1])), c.accent, 2));
  line(g, [box.x, box.x + box.w], [a.py(one), a.py(one)], c.z, 1.5, [5, 4]);
  dot(g, a.px(count), a.py(prices[count - 1]), 4, c.accent);
  const names = [[a.py(one), say(t("−ELBO", "−ELBO")), c.z], [a.py(prices[count - 1]), "−Lₖ", c.accent]];
  namesBeside(g, box.x + box.w + 8, names, box.y + box.h);
}

// The same example in four ways, by how long they are; a density has no length as it is.
export function barsOfBits(g, w, h, { data, prior, one, many, raw, density }) {
  if (one === undefined) return;
  const c = colours();
  const rows = [
    ...(density ? [] : [[t("as it is", "原样"), raw, c.muted]]),
    [t("nothing back", "不退回"), data + prior, c.line],
    [t("bits back", "退回"), one, c.z],
    [t("K draws", "抽 K 次"), many, c.accent],
  ];
  const a = axes(g, { x: 96, y: 8, w: w - 156, h: h - 52 }, {
    x: [Math.min(0, ...rows.map(([, bits]) => bits)), Math.max(1, ...rows.map(([, bits]) => bits))],
    y: [0, rows.length],
    xlabel: say(t("bits", "比特")),
    yticks: false,
  });
  rows.forEach(([name, bits, colour], i) => {
    const middle = a.py(rows.length - i - 0.5);
    label(g, say(name), 90, middle, { align: "right" });
    g.fillStyle = colour;
    g.fillRect(Math.min(a.px(0), a.px(bits)), middle - BAR / 2, Math.max(1, Math.abs(a.px(bits) - a.px(0))), BAR);
    label(g, formatted(bits, 0), Math.max(a.px(0), a.px(bits)) + 5, middle, {});
  });
}
