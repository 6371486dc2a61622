// What the view of the trick says.

import { say, t } from "./text.js";
import { formatted } from "./ui.js";

const now_in_words = (now, en) => {
  const two = (value) => formatted(value, 2);
  const { mu, sigma, noise, z, f, df, dmu, dsigma } = now;
  const numbers = `μ ${two(mu)}, σ ${two(sigma)}, ε ${two(noise)}, z ${two(z)}, f ${two(f)}, df/dz ${two(df)}`;
  return en === null ? numbers : `${numbers}; dμ ${two(dmu)}, dσ ${two(dsigma)}`;
};

export const TEXTS = {
  graphs: t("The same sample, twice", "同一个样本，两种写法"),
  graphs_how: t(
    "Circles are drawn at random, boxes are computed. Grey arrows lead forward; dashed ones carry the gradient back.",
    "圆圈是随机抽取的，方框是计算出来的。灰色箭头是前向计算，虚线箭头把梯度带回去。",
  ),
  without: t("Without the trick: z is drawn from N(μ, σ²)", "不用重参数化：z 直接从 N(μ, σ²) 抽取"),
  with: t("With the trick: z = μ + σε is computed", "用重参数化：z = μ + σε 是算出来的"),
  none: (letter) => say(t(`no ∂z/∂${letter}`, `∂z/∂${letter} 不存在`)),
  number: (z) => [
    say(t(`The generator returned ${z}: a number,`, `随机数发生器给出 ${z}：`)),
    say(t("not a function of μ and σ.", "它只是一个数，不是 μ、σ 的函数。")),
  ],
  graph: (trick, now) => () => (now() ? now_in_words(now(), trick ? "" : null) : ""),
  curve_title: t("Move it, with the noise held", "固定噪声，动手试试"),
  curve_how: t(
    "Drag μ, σ, or z on the curve. With the noise frozen z moves along its path; the red tangent is what goes back.",
    "拖动 μ、σ，或曲线上的 z。噪声固定时，z 沿着自己的路径移动；红色切线的斜率就是往回传的量。",
  ),
  curve: t(
    "f over z, the density of q, the draw z and its tangent; arrow keys move μ (left, right) and σ (up, down)",
    "f(z) 曲线、q 的密度、样本 z 及其切线；方向键左右移动 μ，上下改变 σ",
  ),
  curve_now: (now) => () => (now() ? now_in_words(now(), "") : ""),
  averages: t("One draw is right only on average", "单次抽样只在平均意义下正确"),
  averages_how: t(
    "Run many draws: the averages of dμ and dσ settle on the slope of E[f] (green). The band is one standard error.",
    "连续抽样：dμ 与 dσ 的平均值收敛到 E[f] 的斜率（绿线）。色带为一倍标准误差。",
  ),
  settling: (p) => t(
    `Running average of ${p ? "dσ" : "dμ"} over the draws, beside the exact slope`,
    `${p ? "dσ" : "dμ"} 随抽样次数变化的平均值，以及精确斜率`,
  ),
  mean: (name) => t(`average of ${name}`, `${name} 的平均值`),
  draws: t("draws", "次抽样"),
  count: t("draws", "抽样次数"),
  exact: t("slope of E[f]", "E[f] 的斜率"),
  by_path: t("by the path", "路径导数"),
  by_score: t("score function", "得分函数"),
  path_mean: t("average, by the path", "平均值（路径导数）"),
  score_mean: t("average, by the score function", "平均值（得分函数）"),
  numbers: [
    ["mu", "μ"], ["sigma", "σ"], ["noise", t("noise ε", "噪声 ε")], ["z", "z = μ + σε"], ["f", "f(z)"], ["df", "df/dz"],
    ["dmu", "dμ = df/dz · 1"], ["dsigma", "dσ = df/dz · "],
  ].map(([name, label]) => [name, label, 4]),
  functions: {
    loss: t("the decoder's loss, −log p(x|z)", "解码器的损失 −log p(x|z)"),
    quadratic: t("parabola, (z − k)²", "抛物线 (z − k)²"),
    cosine: t("cosine, cos(kz)", "余弦 cos(kz)"),
    step: t("step, 1 above k", "阶跃：z > k 时为 1"),
  },
  latent: t("latent", "潜变量"),
  noise: t("noise ε", "噪声 ε"),
  draw: t("Draw again", "重新抽样"),
  freeze: t("freeze the noise", "固定噪声"),
  encoder: t("The encoder's μ, σ", "恢复编码器的 μ, σ"),
  run: t("Run many draws", "连续抽样"),
  mistake: t("mistake: fresh noise in backward", "错误：反向传播时另抽噪声"),
  score: t("score function beside it", "同时画出得分函数"),

  /** What is to be seen in what was chosen. */
  message({ name, mistake, frozen }) {
    if (name === "step") {
      return t(
        "The step is flat on both sides: df/dz is 0 at every draw, and the path carries nothing back, with an " +
          "error of 0. " +
          "But moving μ does change how often z lands above k. The score function asks only for f(z), and finds it.",
        "阶跃函数两侧都是平的：每次抽样的 df/dz 都是 0，路径什么也带不回来，误差还显示为 0。" +
          "可是移动 μ 的确会改变 z 落在 k 右侧的概率。得分函数只需要 f(z) 的值，所以能算对。",
      );
    }
    if (mistake) {
      return t(
        "The way back multiplies by ε′, drawn anew: it has nothing to do with the z that was used, so dσ averages to " +
          "E[df/dz] · E[ε′] = 0 whatever the slope is. dμ needs no noise and stays right: training goes on, and " +
          "nothing tells you.",
        "反向传播时乘的是另抽的 ε′，它与前向用过的 z 毫无关系，于是 dσ 的平均值是 E[df/dz] · E[ε′] = 0，与真正的斜率无关。" +
          "dμ 不需要噪声，仍然正确：训练照常进行，也不会有任何报错。",
      );
    }
    if (!frozen) {
      return t(
        "New noise at each move: z jumps about, and there is no path along which f could be differentiated. Freeze it.",
        "每动一下就换一次噪声：z 四处乱跳，没有路径可供求导。请把噪声固定下来。",
      );
    }
    return t(
      "For this one ε, z is an ordinary function of μ and σ: ∂z/∂μ = 1, ∂z/∂σ = ε. The green dashed curve is " +
        "E[f] as μ " +
        "moves; its slope at μ is what dμ finds on average.",
      "ε 固定后，z 就是 μ 和 σ 的普通函数：∂z/∂μ = 1，∂z/∂σ = ε。绿色虚线是 E[f] 随 μ 变化的曲线，它在 μ 处的斜率就是 dμ 的平均值。",
    );
  },
};
