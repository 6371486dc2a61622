// View: bits. What the example at hand costs in a file, pixel by pixel, and what bits back returns.

import { barsOfBits, drawAccount, drawRate } from "./bits_figures.js";
import { Draws } from "./bounds.js";
import { account, kind_of_code, NAT, raw_bits, thresholded } from "./coding.js";
import { decode, encode, mean, reparameterize } from "./network.js";
import { payload } from "./payload.js";
import { pixelPictures } from "./pixel_pictures.js";
import { inSlices } from "./slices.js";
import { state, watch } from "./state.js";
import { t } from "./text.js";
import { drawNoise } from "./flow.js";
import { button, figure, h, instead, note, numbers, panel, row, slider, toggle } from "./ui.js";

const NAME = "bits";
const DIGITS = 10; // of z after the binary point
const DATA_DIGITS = 8; // of a feature that is a real number
const FIRST_K = 4; // log2 of K

export const view = {
  name: NAME,
  title: t("Bits", "比特"),
  without: t(
    "What an example costs is computed by the model, and it does not run in this page.",
    "一个样本的代价要由模型来算，而此模型不能在页面中运行。",
  ),
  build(root) {
    new Bits(root);
  },
};

class Bits {
  constructor(root) {
    const { model } = payload;
    this.density = model.likelihood.name === "gaussian";
    this.threshold = true; // of grey values
    this.digits = DIGITS;
    this.data_digits = this.density ? DATA_DIGITS : 0;
    this.power = FIRST_K;
    this.draws = null;
    this.rate = null;
    this.stop = () => {};
    root.append(this.remark(), this.pixelPanel(), this.accountPanel(), this.rivalPanel());
    watch(["head"], () => this.restart());
    watch(["z"], () => this.update());
  }

  // Takes up the example at hand, made 0 and 1 if it must be.
  restart() {
    const { model } = payload;
    this.kind = kind_of_code(model, state.x);
    this.made = this.kind === "grey" && this.threshold;
    this.x = this.made ? thresholded(state.x) : state.x.slice();
    this.head = this.made ? encode(model, this.x) : state.head;
    this.draws = new Draws(model, this.x, this.head, 0);
    this.extend();
    this.update();
  }

  // Bits for the steps into which the features of a density are cut.
  get cut() {
    return this.data_digits * payload.model.features;
  }

  extend() {
    this.stop();
    this.stop = inSlices(NAME, this.drawing(2 ** this.power), () => this.showRate());
  }

  *drawing(count) {
    while (this.draws.count < count) {
      this.draws.next();
      yield;
    }
  }

  // The account of the z at hand; of another x than the state's with the same noise.
  update() {
    const { model } = payload;
    if (!this.draws) return;
    this.z = this.made ? reparameterize(this.head.mu, this.head.sigma, state.noise) : state.z;
    this.mean = mean(model, decode(model, this.z).output);
    this.account = account(model, this.x, this.head, this.z, this);
    this.show();
  }

  show() {
    const { data, prior, posterior, net } = this.account, no_code = this.kind === "grey" && !this.made;
    for (const part of this.parts) part.hidden = no_code;
    this.grey.hidden = this.kind !== "grey";
    this.table.set({ bits_data: data, bits_prior: prior, bits_posterior: posterior, bits_net: net });
    this.table.set({ bits_nats: (net - this.cut) / NAT, bits_each: net / payload.model.features });
    this.pictures.show(this);
    this.accounts.redraw();
    this.showRate();
  }

  showRate() {
    const k = Math.min(2 ** this.power, this.draws.count);
    if (!k) return;
    const { log_weight, bound } = this.draws, raw = raw_bits(payload.model);
    const mean = log_weight.slice(0, k).reduce((total, value) => total + value, 0) / k;
    const one = this.cut - NAT * mean, prices = bound.slice(0, k).map((value) => this.cut - NAT * value);
    this.rates.set({ bits_one: one, bits_k: prices[k - 1], bits_raw: raw });
    this.rate = { one, prices, many: prices[k - 1], raw };
    this.rateFigure.redraw();
    this.rivals.redraw();
  }

  // What stands above everything where there are no bits, and what is shown in their place.
  remark() {
    const box = toggle({
      label: t("Make the values 0 and 1 (1 above one half)", "把数值变成 0 和 1（大于二分之一为 1）"),
      value: true,
      onchange: (on) => {
        this.threshold = on;
        this.restart();
      },
    });
    box.input.dataset.name = "threshold";
    this.grey = h("div", { class: "wide" }, instead(t(
      "This example has values between 0 and 1, to which a Bernoulli likelihood gives no probability. " +
        "Its sum is a cross entropy, no length of a code; the nearest thing with one is the same with each value 0 or 1.",
      "这个样本含有 0 与 1 之间的数值，伯努利似然并不给这样的值分配概率。算出的和是交叉熵，不是编码长度；" +
        "最接近而又真有编码长度的，是把每个数值变成 0 或 1 的版本。",
    )), box.root);
    if (!this.density) return this.grey;
    const cut = slider({
      label: t("binary digits of x", "x 的二进制位数"),
      min: 0,
      max: 16,
      step: 1,
      value: DATA_DIGITS,
      format: String,
      onchange: (value) => {
        this.data_digits = value;
        this.update();
      },
    });
    const root = h("div", { class: "wide" }, instead(t(
      "A Gaussian likelihood is a density of real numbers: it has no bits. What has some is x cut into steps, " +
        "here of 2 to the minus digits: a step then has the probability density × width, as long as it is narrow " +
        "beside σ of the likelihood. The price depends on the steps.",
      "高斯似然是实数上的密度，没有比特数可言。把 x 切成小格（宽 2 的负位数次方）才有：每格的概率约为密度乘以宽度，只要格子比似然的 σ 窄得多。价格取决于格子的宽度。",
    )), cut.root);
    root.append(this.grey); // always hidden here
    return root;
  }

  pixelPanel() {
    this.pictures = pixelPictures();
    const root = panel(
      payload.data.kind === "image" ? t("Pixel by pixel", "逐个像素") : t("Value by value", "逐个数值"),
      note(t(
        "A value of probability P given z costs −log₂ P bits: next to nothing where the decoder is sure and right, " +
          "much where it is not, as at the edges of a digit. Move over the picture, or use the arrow keys.",
        "给定 z 时概率为 P 的数值要花 −log₂ P 比特：解码器有把握而且对的地方几乎不花钱，没把握的地方（比如笔画边缘）最贵。" +
          "在图上移动，或用方向键查看。",
      )),
      this.pictures.root,
    );
    this.parts = [root];
    return root;
  }

  accountPanel() {
    this.accounts = figure({
      label: t("an account: paid for x, paid for z, returned, net", "账目：x 的花费、z 的花费、退回、净额"),
      height: 190,
      draw: (g, w, tall) => drawAccount(g, w, tall, this.account),
    });
    this.table = numbers([
      ["bits_data", t("x given z: −log₂ p(x|z)", "给定 z 时的 x：−log₂ p(x|z)"), 2],
      ["bits_prior", t("z: −log₂ p(z)", "z：−log₂ p(z)"), 2],
      ["bits_posterior", t("back: −log₂ q(z|x)", "退回：−log₂ q(z|x)"), 2],
      ["bits_net", t("net, bits", "净额（比特）"), 2],
      ["bits_each", t("net, bits per value of x", "净额，x 的每个数值分摊（比特）"), 4],
      ["bits_nats", t("net, nats: −log w of this z", "净额（奈特）：这个 z 的 −log w"), 2],
    ]);
    const digits = slider({
      label: t("binary digits of z", "z 的二进制位数"),
      min: 0,
      max: 16,
      step: 1,
      value: DIGITS,
      format: String,
      onchange: (value) => {
        this.digits = value;
        this.update();
      },
    });
    const root = panel(
      t("Bits back", "比特退回"),
      note(t(
        "The sender draws z from q(z|x) by taking bits of what was written before for random ones; the receiver, " +
          "once x is there, knows q(z|x) as well and puts the very same bits back. So z costs −log₂ p(z) + log₂ " +
          "q(z|x), and the net price is on average the negative ELBO.",
        "发送者把先前写下的比特当作随机数，用它们从 q(z|x) 抽出 z；接收者解出 x 之后同样知道 q(z|x)，便能把这些比特原样还回去。所以 z 的代价是 −log₂ p(z) + log₂ q(z|x)，" +
          "净价平均就是负的 ELBO。",
      )),
      note(t(
        "z is cut into steps of 2 to the minus digits: more digits cost more, and bring as much back.",
        "z 被切成宽 2 的负（位数）次方的小格：位数越多付得越多，退回的也一样多。",
      )),
      digits.root,
      this.accounts.root,
      this.table.root,
      row(button({ label: t("Draw another z", "重新抽一个 z"), onclick: drawNoise })),
    );
    this.parts.push(root);
    return root;
  }

  rivalPanel() {
    this.rateFigure = figure({
      label: t("net bits of K draws over K", "K 次抽样的净比特数随 K 的变化"),
      height: 210,
      draw: (g, w, tall) => drawRate(g, w, tall, this.rate),
    });
    this.rivals = figure({
      label: t("bits as they are, without bits back, with it, and with K draws", "原样、不退回、退回、K 次抽样各需多少比特"),
      height: 170,
      draw: (g, w, tall) => barsOfBits(g, w, tall, { ...this.account, ...this.rate, density: this.density }),
    });
    this.rates = numbers([
      ...(this.density ? [] : [["bits_raw", t("as it is", "原样"), 0]]),
      ["bits_one", t("one draw, mean: −ELBO", "一次抽样，平均：−ELBO"), 2],
      ["bits_k", t("K draws: −Lₖ", "K 次抽样：−Lₖ"), 2],
    ]);
    const howMany = slider({
      label: "K",
      min: 1,
      max: 10,
      step: 1,
      value: FIRST_K,
      format: (value) => String(2 ** value),
      onchange: (value) => {
        this.power = value;
        this.extend();
        this.showRate();
      },
    });
    const root = panel(
      t("And with K draws", "抽 K 次又如何"),
      note(t(
        "With K draws, one of them chosen by its weight, the net price is −Lₖ: a tighter bound is a smaller file.",
        "抽 K 个 z、按权重选用其中一个，净价就是 −Lₖ：下界越紧，文件越小。",
      )),
      howMany.root,
      this.rateFigure.root,
      this.rates.root,
      this.rivals.root,
    );
    this.parts.push(root);
    return root;
  }
}
