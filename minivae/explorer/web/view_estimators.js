// View: estimators. Four estimates of the same gradient, drawn over and over: how they scatter, what theory says of
// that, and which is the best for the cost. As `minivae lab variance`.

import { LossAlong } from "./along.js";
import { estimates, ESTIMATORS, Running } from "./draws.js";
import { schedule } from "./frame.js";
import { FUNCTIONS } from "./functions.js";
import { payload } from "./payload.js";
import { moments } from "./quadrature.js";
import { draw_histograms, draw_ranking, Histogram } from "./scatter.js";
import { inSlices } from "./slices.js";
import { state, watch } from "./state.js";
import { t } from "./text.js";
import { button, choice, column, figure, h, note, number, row, slider, widePanel } from "./ui.js";
import { TEXTS } from "./view_estimators_texts.js";

const NAMES = Object.keys(ESTIMATORS);
const COSTS = Object.fromEntries(NAMES.map((name) => [name, ESTIMATORS[name].evaluations]));
const MOST = 40000; // estimates of each
const AT_ONCE = 1000; // draws of each; seed and settings, not the machine's speed, decide which numbers come
const BUSY = 5; // milliseconds of a frame for the loss's table
const SURE = 2.576; // standard errors to each side of a 99 % interval
const PARAMETERS = { quadratic: [-3, 3, 0], exponential: [0.1, 10, 1], cosine: [0.5, 5, 2], step: [-3, 3, 0.5] };
const COUNTS = 7; // K is 1, 2, 4 .. 64

/** { name: { mean, variance, error, fails } } of the mean of K draws for parameter p (0: mu, 1: sigma), without
 *  sampling, and the baselines. A variance v measured on n such means has the standard error error / sqrt(n),
 *  error^2 = m4 - v^2 with m4 the fourth moment, which the draws themselves would tell badly where their tails are
 *  heavy. fails: the mean is not the gradient, as the path's on a jump. */
export function theory(f, mu, sigma, K, p) {
  const exact = moments(f, mu, sigma);
  const gradient = f.gradient(mu, sigma)[p];
  const found = { gradient, best: exact.best };
  for (const name of NAMES) {
    const mean = exact[name].mean[p];
    const variance = (f.variances?.(mu, sigma) ?? { [name]: exact[name].variance })[name][p] / K;
    const fourth = exact[name].fourth[p] / K ** 3 + 3 * (K - 1) / K * variance ** 2;
    const error = Math.sqrt(Math.max(0, fourth - variance ** 2));
    const scale = Math.abs(gradient) + Math.sqrt(exact[name].variance[p]);
    found[name] = { mean, variance, error, fails: Math.abs(mean - gradient) > 1e-3 * scale };
  }
  return found;
}

/** { name: { draw, cost } }: places by variance, 1 the least, per draw and at equal cost; none for what fails. */
export function ranks(exact) {
  const places = Object.fromEntries(NAMES.map((name) => [name, {}]));
  const list = NAMES.filter((name) => !exact[name].fails);
  const by = { draw: () => 1, cost: (name) => COSTS[name] };
  for (const [key, cost] of Object.entries(by)) {
    const size = (name) => exact[name].variance * cost(name);
    for (const name of list) {
      places[name][key] = 1 + list.filter((other) => size(other) < size(name) * (1 - 1e-9) - 1e-15).length;
    }
  }
  return places;
}

/** The limits of the histograms: wide enough for the widest, unless it is far wider than the next. */
function around(exact) {
  const [widest, next] = NAMES.map((name) => Math.sqrt(exact[name].variance)).sort((a, b) => b - a);
  const half = 3.2 * Math.min(widest, 4 * next || widest) || 1;
  return [exact.gradient - half, exact.gradient + half];
}

class Estimators {
  constructor(root) {
    Object.assign(this, { name: "quadratic", k: 0, mu: 1, sigma: 1, K: 1, p: 0, seed: BigInt(payload.seed ?? 0) });
    this.build(root);
    this.choose(this.name);
    if (payload.model) watch(["x", "z", "axes"], () => this.name === "loss" && this.choose("loss"));
  }

  choose(name) {
    this.name = name;
    const own = PARAMETERS[name];
    this.controls.k.root.hidden = !own;
    if (own) {
      const [min, max, k] = own;
      this.controls.k.limit(min, max, this.k = k);
      this.begin();
      return;
    }
    const j = state.axes[0];
    this.along = new LossAlong(payload.model, state.x, state.z, j, state.head);
    Object.assign(this, { mu: state.head.mu[j], sigma: state.head.sigma[j] });
    const { mu, sigma } = this.controls;
    mu.limit(Math.min(-3, this.mu), Math.max(3, this.mu), this.mu);
    sigma.limit(Math.min(0.05, this.sigma), Math.max(3, this.sigma), this.sigma);
    this.begin();
  }

  /** From the first draw of the seed, with what is set. */
  begin() {
    const { name, mu, sigma, K, p } = this;
    this.f = name === "loss" ? this.along.table() : FUNCTIONS[name](this.k);
    this.exact = theory(this.f, mu, sigma, K, p);
    this.ranks = ranks(this.exact);
    this.step = 0;
    this.running = Object.fromEntries(NAMES.map((each) => [each, new Running(this.exact[each].mean)]));
    const range = around(this.exact);
    this.histograms = Object.fromEntries(NAMES.map((each) => [each, new Histogram(...range)]));
    this.stop?.();
    this.stop = inSlices(view.name, this.draws(), this.show);
    schedule(this.show);
  }

  /** All draws; a finer table of the loss comes first, and begins again with it. */
  * draws() {
    for (; this.name === "loss" && !this.along.done; yield) if (this.along.fill(BUSY)) return this.begin();
    for (; this.count < MOST; yield) this.draw();
  }

  get count() {
    return this.running[NAMES[0]].count;
  }

  /** The next estimates of each estimator. */
  draw() {
    const { f, mu, sigma, K, p, seed, exact } = this;
    const count = Math.min(MOST - this.count, Math.ceil(AT_ONCE / K));
    for (const name of NAMES) {
      const column = estimates(name, f, { mu, sigma, K, best: exact.best }, seed, this.step, count)[p];
      for (const value of column) {
        this.running[name].add(value);
        this.histograms[name].add(value);
      }
    }
    this.step += 1;
  }

  show = () => {
    this.drawn.set(this.count);
    this.seeded.set(this.seed);
    this.gradient.set(this.exact.gradient);
    for (const name of NAMES) {
      const running = this.running[name];
      const { mean, variance, error } = this.exact[name];
      this.cards[name].set({
        mean: running.mean, mean_error: SURE * running.error, exact_mean: mean,
        variance: running.variance, variance_error: SURE * error / Math.sqrt(running.count || NaN),
        exact_variance: variance,
        cost_variance: variance * COSTS[name],
        rank: this.ranks[name].draw ?? NaN, cost_rank: this.ranks[name].cost ?? NaN,
      });
      this.cards[name].fails.hidden = !this.exact[name].fails;
    }
    this.picture.redraw();
    this.ranking.redraw();
  };

  set(values) {
    Object.assign(this, values);
    this.begin();
  }

  build(root) {
    this.drawn = number("estimates", 0);
    this.seeded = number("seed", 0);
    this.gradient = number("gradient", 4);
    this.build_controls();
    this.picture = figure({
      label: TEXTS.picture, height: 400,
      draw: (g, w, tall) => draw_histograms(g, w, tall, { ...this, names: NAMES, texts: TEXTS }),
    });
    this.ranking = figure({
      label: TEXTS.ranking, height: 230,
      draw: (g, w, tall) => draw_ranking(g, w, tall, { ...this, names: NAMES, costs: COSTS, texts: TEXTS, sure: SURE }),
    });
    this.cards = Object.fromEntries(NAMES.map((name) => [name, card(name)]));
    const { controls } = this;
    root.append(
      widePanel(TEXTS.title, note(TEXTS.how), h("div", { class: "beside" },
        this.picture.root,
        column(
          controls.f.root, controls.parameter.root,
          controls.k.root, controls.mu.root, controls.sigma.root, controls.K.root,
          row(controls.again, controls.next),
          h("p", {}, this.drawn.root, " ", TEXTS.of_each, " · ", TEXTS.seed, " ", this.seeded.root),
          h("p", {}, TEXTS.slope, " ", this.gradient.root),
          note(TEXTS.reading),
        ))),
      widePanel(TEXTS.numbers, note(TEXTS.numbers_how),
        h("div", { class: "cards" }, NAMES.map((name) => this.cards[name].root))),
      widePanel(TEXTS.ranking, note(TEXTS.ranking_how), this.ranking.root),
    );
  }

  build_controls() {
    const moving = (name, label, min, max) => {
      const made = slider({ label, min, max, value: this[name], onchange: (value) => this.set({ [name]: value }) });
      made.limit(min, max, this[name]);
      return made;
    };
    const names = [...Object.keys(PARAMETERS), ...(payload.model ? ["loss"] : [])];
    this.controls = {
      f: choice({
        label: t("f(z)", "f(z)"), options: names.map((name) => [name, TEXTS.functions[name]]), value: this.name,
        onchange: (name) => this.choose(name),
      }),
      parameter: choice({
        label: TEXTS.parameter, options: [["0", "μ"], ["1", "σ"]], onchange: (p) => this.set({ p: Number(p) }),
      }),
      k: moving("k", "k", -3, 3), mu: moving("mu", "μ", -3, 3), sigma: moving("sigma", "σ", 0.05, 3),
      K: slider({
        label: TEXTS.K, min: 0, max: COUNTS - 1, step: 1, value: 0, format: (power) => String(2 ** power),
        onchange: (power) => this.set({ K: 2 ** power }),
      }),
      again: button({ label: TEXTS.again, onclick: () => this.begin() }),
      next: button({ label: TEXTS.next, onclick: () => this.set({ seed: BigInt.asUintN(64, this.seed + 1n) }) }),
    };
  }
}

/** The numbers of an estimator: what was measured with its 99 % interval, what theory says, its places. */
function card(name) {
  const made = {};
  const value = (key, digits) => (made[key] = number(`${key}_${name}`, digits)).root;
  const line = (label, ...parts) => h("tr", {}, h("th", { scope: "row" }, label), h("td", {}, ...parts));
  const swatch = h("span", { class: `swatch ${name}`, "aria-hidden": "true" });
  const fails = h("p", { class: "instead" }, TEXTS.fails);
  const root = h("div", { class: "card" },
    h("h3", {}, swatch, TEXTS.names[name]),
    h("p", { class: "formula" }, TEXTS.formulas[name]),
    h("table", { class: "numbers" }, h("tbody", {},
      line(TEXTS.mean, value("mean", 3), " ± ", value("mean_error", 3)),
      line(TEXTS.exact, value("exact_mean", 3)),
      line(TEXTS.variance, value("variance", 3), " ± ", value("variance_error", 3)),
      line(TEXTS.exact, value("exact_variance", 3)),
      line(TEXTS.at_cost(COSTS[name]), value("cost_variance", 3)),
      line(TEXTS.rank, value("rank", 0), " / ", value("cost_rank", 0)))),
    fails);
  const set = (values) => {
    for (const [key, each] of Object.entries(values)) made[key].set(each);
  };
  return { root, fails, set };
}

export const view = {
  name: "estimators",
  title: t("Estimators", "估计量"),
  build: (root) => new Estimators(root),
};
