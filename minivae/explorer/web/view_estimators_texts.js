// What the view of the estimators says.

import { t } from "./text.js";

export const TEXTS = {
  title: t("Four estimates of one gradient", "同一个梯度的四种估计"),
  how: t(
    "Each histogram is of estimates of the slope of E[f(z)], z ~ N(μ, σ²). " +
      "All aim at the green line; they differ in how far they scatter.",
    "每个直方图都是对 E[f(z)]（z ~ N(μ, σ²)）斜率的估计。目标都是绿线，差别在于散布的宽窄。",
  ),
  picture: t("Histograms of the four estimators over the same axis", "四种估计量在同一坐标轴上的直方图"),
  axis: (letter) => t(`estimate of d/d${letter} of E[f(z)]`, `对 dE[f(z)]/d${letter} 的估计值`),
  deviation: (value, short) =>
    (short ? t(`exact s.d. ${value}`, `标准差 ${value}`) : t(`exact standard deviation ${value}`, `精确标准差 ${value}`)),
  reading: t(
    "The bracket under each histogram is the exact mean ± one exact standard deviation, the dot the mean so far. " +
      "Each is drawn to its own height.",
    "直方图下方的横条是精确均值 ± 一个精确标准差，圆点是目前的均值。各图高度按自身缩放。",
  ),
  numbers: t("Measured, and from theory", "测量值与理论值"),
  numbers_how: t(
    "Measured values with 99 % intervals; the exact ones come from closed forms or quadrature, with no sampling.",
    "测量值附 99% 置信区间；精确值来自闭式公式或数值积分，没有抽样。",
  ),
  ranking: t("Variance, per draw and at equal cost", "方差：按单次与按同等代价"),
  ranking_how: t(
    "Bars: exact variance, least first; points: measured, with 99 % interval; rings: at equal " +
      "cost, times the evaluations of f or f′ a draw takes.",
    "横条：精确方差，从小到大；黑点：测量值及 99% 置信区间；圆环：同等代价下的方差，即乘以每次估计所需的 f 或 f′ 求值次数。",
  ),
  names: {
    score_function: t("score function", "得分函数"),
    baseline: t("with best baseline", "得分函数＋最优基线"),
    pathwise: t("pathwise", "路径导数"),
    measure_valued: t("measure-valued", "测度值导数"),
  },
  formulas: {
    score_function: "f(z) ∂log q(z)",
    baseline: "(f(z) − b) ∂log q(z)",
    pathwise: "f′(z) ∂z",
    measure_valued: "c (f(z₊) − f(z₋))",
  },
  functions: {
    quadratic: t("parabola, (z − k)²", "抛物线 (z − k)²"),
    exponential: t("bell, exp(−kz²)", "钟形 exp(−kz²)"),
    cosine: t("cosine, cos(kz)", "余弦 cos(kz)"),
    step: t("step, 1 above k", "阶跃：z > k 时为 1"),
    loss: t("the decoder's loss, −log p(x|z)", "解码器的损失 −log p(x|z)"),
  },
  parameter: t("gradient with respect to", "对哪个参数求导"),
  K: t("draws K", "抽样数 K"),
  again: t("Again, same seed", "同一种子重来"),
  next: t("Next seed", "下一个种子"),
  of_each: t("estimates of each", "次估计（每种）"),
  seed: t("seed", "种子"),
  slope: t("exact gradient:", "精确梯度："),
  mean: t("mean", "均值"),
  variance: t("variance", "方差"),
  exact: t("exact", "精确值"),
  at_cost: (count) => t(`× ${count} evaluation${count > 1 ? "s" : ""}`, `× ${count} 次求值`),
  rank: t("place per draw / at equal cost", "名次：单次 / 同等代价"),
  fails: t(
    "Its mean is not the gradient: f jumps, and a path does not see a jump.",
    "它的均值不是梯度：f 有跳跃，而路径看不见跳跃。",
  ),
  fails_short: t("fails", "失效"),
  zero: t("variance 0", "方差为 0"),
};
