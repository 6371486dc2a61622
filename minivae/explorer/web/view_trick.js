// View: the trick. One latent z ~ N(mu, sigma^2) and a function f of it: how a gradient passes through the sample.
//
// The arithmetic of the whole view is in `forward_and_back`; the rest shows it. The same layer in Python:
// minivae/reparam.py.

import { LossAlong } from "./along.js";
import { Averages, draw_averages, MOST } from "./averages.js";
import { draw_curve, nearest, survey } from "./curve.js";
import { everyFrame, schedule } from "./frame.js";
import { FUNCTIONS } from "./functions.js";
import { draw_graph, GRAPH_HEIGHT } from "./graph.js";
import { choose as chooseLatent } from "./latents.js";
import { Source } from "./noise.js";
import { payload } from "./payload.js";
import { state, watch } from "./state.js";
import { inEachLanguage, say, t } from "./text.js";
import {
  arrowStep, button, choice, column, figure, h, note, number, numbers, row, slider, toggle, widePanel,
} from "./ui.js";
import { TEXTS } from "./view_trick_texts.js";

const STREAM = 101; // of this view's noise: kernels/philox.py numbers those of Python from 0
const FILL = 5; // milliseconds of a frame for the loss's table
const LEAST = 0.01; // sigma, by hand
const FAR = 4.5; // the noise, by hand; of 100,000 draws one lies beyond
const PARAMETERS = { quadratic: [-3, 3, 1], cosine: [0.5, 5, 2], step: [-3, 3, 0.5] }; // least, most, first value of k

/** z = mu + sigma * noise, f(z), and back: dmu = df/dz * 1, dsigma = df/dz * noise. */
export function forward_and_back(value_and_slope, mu, sigma, noise, noise_in_backward = noise) {
  const z = mu + sigma * noise;
  const [f, df] = value_and_slope(z);
  return { mu, sigma, noise, z, f, df, dmu: df * 1, dsigma: df * noise_in_backward };
}

class Trick {
  constructor(root) {
    this.source = new Source(payload.seed ?? 0, STREAM);
    this.averages = new Averages(new Source(payload.seed ?? 0, STREAM + 1));
    this.frozen = true;
    this.mistake = false;
    this.score = false;
    this.name = payload.model ? "loss" : "quadratic";
    this.k = PARAMETERS.quadratic[2];
    Object.assign(this, { mu: 0.5, sigma: 0.8, noise: 0.6, fresh: -0.9 });
    this.build(root);
    if (payload.model) watch(["x", "head", "z", "axes"], () => this.encoder());
    else this.choose(this.name);
  }

  /** mu, sigma and noise are what the encoder and the page's draw say of the latent at hand. */
  encoder() {
    const j = state.axes[0];
    const { mu, sigma } = state.head;
    Object.assign(this, { mu: mu[j], sigma: sigma[j], noise: state.noise[j] });
    this.latent.value = String(j);
    this.along = new LossAlong(payload.model, state.x, state.z, j, state.head);
    this.choose(this.name);
  }

  /** f is another function. */
  choose(name) {
    this.name = name;
    const own = PARAMETERS[name];
    this.controls.k.root.hidden = !own;
    if (own) this.controls.k.limit(own[0], own[1], this.k);
    this.make();
  }

  /** The function, its picture and its averages anew. */
  make() {
    this.f = this.name === "loss" ? this.along.table() : FUNCTIONS[this.name](this.k);
    const { mu, sigma, noise } = this;
    const reach = Math.max(3, Math.abs(mu) + 3 * sigma, Math.abs(mu + sigma * noise));
    this.surveyed = survey(this.f, -reach, reach);
    const far = Math.max(FAR, Math.abs(noise));
    this.limits = { mu: [-reach, reach], sigma: [Math.min(LEAST, sigma), Math.max(2, sigma)], noise: [-far, far] };
    for (const [name, [min, max]] of Object.entries(this.limits)) this.controls[name].limit(min, max, this[name]);
    if (this.name === "loss" && !this.along.done) schedule(() => this.refine(this.along));
    this.begin_again();
  }

  /** A finer table of the loss, a little in each frame. */
  refine(along) {
    everyFrame(() => {
      if (along !== this.along || this.name !== "loss") return false;
      if (along.fill(FILL)) this.make_finer();
      return !along.done;
    });
  }

  make_finer() {
    const { low, high } = this.surveyed;
    this.f = this.along.table();
    this.surveyed = survey(this.f, low, high);
    this.begin_again();
  }

  /** Where a step is of interest: half a sigma from mu. */
  beside() {
    const [least, most] = PARAMETERS.step;
    return Math.min(most, Math.max(least, this.mu + 0.5 * this.sigma));
  }

  /** By slider, finger or key; all three end where the sliders do. */
  moved(values) {
    Object.assign(this, values);
    for (const [name, [low, high]] of Object.entries(this.limits)) this[name] = Math.min(high, Math.max(low, this[name]));
    if (!this.frozen) this.draw();
    this.begin_again();
  }

  /** What was averaged before belongs to another question. */
  begin_again() {
    this.averages.reset(this.f, this.mu, this.sigma, this.mistake);
    schedule(this.show);
  }

  draw() {
    [this.noise] = this.source.normals(1);
    [this.fresh] = this.source.normals(1);
  }

  /** Everything that the figures and numbers show, from what there is. */
  show = () => {
    const value_and_slope = this.name === "loss" ? (z) => this.along.at(z) : (z) => [this.f.value(z), this.f.slope(z)];
    const { mu, sigma, noise, fresh, mistake } = this;
    this.now = forward_and_back(value_and_slope, mu, sigma, noise, mistake ? fresh : noise);
    this.exact = this.f.gradient(mu, sigma);
    for (const name of ["mu", "sigma", "noise"]) this.controls[name].value = this[name];
    this.table.set(this.now);
    this.factor.textContent = mistake ? "ε′" : "ε";
    for (const figure of [...this.graphs, this.curve]) figure.redraw();
    this.message();
    this.show_averages();
  };

  show_averages() {
    const { path, score, count } = this.averages;
    ["mu", "sigma"].forEach((name, p) => {
      this.means[`exact_d${name}`].set(this.exact[p]);
      this.means[`mean_d${name}`].set(path[p].mean);
      this.means[`error_d${name}`].set(path[p].error);
      this.means[`score_d${name}`].set(score[p].mean);
      this.means[`score_error_d${name}`].set(score[p].error);
    });
    this.means.draws.set(count);
    for (const figure of this.settling) figure.redraw();
  }

  /** Many draws, some in each frame, until there are enough. */
  run(going) {
    this.stop?.();
    this.running.setAttribute("aria-pressed", String(going));
    if (!going) return;
    if (this.averages.count >= MOST) this.averages.reset(this.f, this.mu, this.sigma, this.mistake);
    this.stop = everyFrame(() => {
      const more = state.view === "trick" && this.averages.step();
      this.show_averages();
      if (!more) this.running.setAttribute("aria-pressed", "false");
      return more;
    });
  }

  drag(x, y, kind) {
    if (kind === "down") this.held = { name: nearest(this.places, x, y), x, at: this.now };
    if (kind === "up") this.held = null;
    if (!this.held || kind === "over") return;
    const { name, at } = this.held;
    const by = (x - this.held.x) * this.places.scale;
    if (name === "mu") this.moved({ mu: at.mu + by });
    if (name === "sigma") this.moved({ sigma: at.sigma + by });
    if (name === "z") this.moved({ noise: at.noise + by / this.sigma });
  }

  key(event) {
    const step = arrowStep(event);
    if (step) this.moved({ mu: this.mu + 0.02 * step[0], sigma: this.sigma + 0.01 * step[1] });
  }

  build(root) {
    this.factor = h("span", {}, "ε"); // of dsigma, as the table has it
    const labelled = (name, label) => (name === "dsigma" ? h("span", {}, label, this.factor) : label);
    this.table = numbers(TEXTS.numbers.map(([name, label, digits]) => [name, labelled(name, label), digits]));
    this.build_controls();
    const graph = (trick, text) => figure({
      label: text, height: GRAPH_HEIGHT, describe: TEXTS.graph(trick, () => this.now),
      draw: (g, w) => {
        const values = { ...this.now, fresh: trick && this.mistake ? this.fresh : null };
        if (this.now) draw_graph(g, w, { trick, values, texts: TEXTS });
      },
    });
    this.graphs = [graph(false, TEXTS.without), graph(true, TEXTS.with)];
    this.curve = figure({
      label: TEXTS.curve, height: (w) => (w < 500 ? 280 : 330), describe: TEXTS.curve_now(() => this.now),
      draw: (g, w, tall) => {
        if (this.now) this.places = draw_curve(g, w, tall, this.surveyed, this.now);
      },
      onpoint: (...event) => this.drag(...event),
      keys: (event) => this.key(event),
    });
    this.settling = [0, 1].map((p) => figure({
      label: TEXTS.settling(p), height: 230,
      draw: (g, w, tall) => {
        const { averages, score } = this;
        if (this.now) draw_averages(g, w, tall, { averages, exact: this.exact[p], p, score, texts: TEXTS });
      },
    }));

    const half = (...children) => h("div", { class: "half" }, ...children);
    const graphs = [TEXTS.without, TEXTS.with].map((text, i) => half(h("h3", {}, text), this.graphs[i].root));
    this.said = h("p", { class: "instead", role: "status" });
    inEachLanguage(() => this.now && this.message());
    const { controls } = this;
    root.append(
      widePanel(TEXTS.graphs, note(TEXTS.graphs_how), h("div", { class: "halves" }, graphs)),
      widePanel(TEXTS.curve_title, note(TEXTS.curve_how), h("div", { class: "beside" },
        h("div", {}, this.curve.root, this.said),
        column(
          row(payload.model ? this.latent.root : null, this.choice.root),
          controls.k.root, controls.mu.root, controls.sigma.root, controls.noise.root,
          row(controls.draw, controls.frozen.root, payload.model ? controls.encoder : null),
          this.table.root,
        ))),
      widePanel(TEXTS.averages, note(TEXTS.averages_how),
        row(this.running, controls.mistake.root, controls.score.root),
        h("div", { class: "halves" }, this.settling.map((each) => half(each.root))),
        this.build_means()),
    );
  }

  build_controls() {
    const moving = (name, label) => slider({ // `make` sets the limits
      label, min: -4, max: 4, value: this[name], onchange: (value) => this.moved({ [name]: value }),
    });
    const names = payload.model ? ["loss", "quadratic", "cosine", "step"] : ["quadratic", "cosine", "step"];
    this.choice = choice({
      label: t("f(z)", "f(z)"), value: this.name,
      options: names.map((name) => [name, TEXTS.functions[name]]),
      onchange: (name) => {
        this.k = name === "step" ? this.beside() : PARAMETERS[name]?.[2];
        if (name === "step") this.score = this.controls.score.value = true;
        this.choose(name);
      },
    });
    const latents = payload.model ? payload.model.latent : 0;
    this.latent = choice({
      label: TEXTS.latent, options: Array.from({ length: latents }, (_, j) => [String(j), String(j)]),
      onchange: (j) => chooseLatent(Number(j)),
    });
    this.controls = {
      k: slider({
        label: "k", min: -3, max: 3, value: this.k,
        onchange: (k) => {
          this.k = k;
          this.make();
        },
      }),
      mu: moving("mu", "μ"), sigma: moving("sigma", "σ"), noise: moving("noise", TEXTS.noise),
      draw: button({
        label: TEXTS.draw,
        onclick: () => {
          this.draw();
          schedule(this.show);
        },
      }),
      frozen: toggle({ label: TEXTS.freeze, value: true, onchange: (frozen) => this.moved({ frozen }) }),
      encoder: button({ label: TEXTS.encoder, onclick: () => this.encoder() }),
      mistake: toggle({ label: TEXTS.mistake, onchange: (mistake) => this.moved({ mistake }) }),
      score: toggle({
        label: TEXTS.score,
        onchange: (score) => {
          this.score = score;
          schedule(this.show);
        },
      }),
    };
    this.running = button({
      label: TEXTS.run, pressed: false,
      onclick: () => this.run(this.running.getAttribute("aria-pressed") !== "true"),
    });
  }

  /** The averages in numbers: a column for mu and one for sigma. */
  build_means() {
    this.means = { draws: number("draws", 0) };
    const line = (name, text) => h("tr", {}, h("th", { scope: "row" }, text), ...["mu", "sigma"].map((parameter) => {
      const made = (key) => (this.means[key] = number(key, 4)).root;
      const error = { mean: "error", score: "score_error" }[name];
      return h("td", {}, made(`${name}_d${parameter}`), error ? [" ± ", made(`${error}_d${parameter}`)] : "");
    }));
    return h("table", { class: "numbers" },
      h("thead", {}, h("tr", {}, h("td", {}, this.means.draws.root, " ", TEXTS.draws),
        ["dμ", "dσ"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, line("exact", TEXTS.exact), line("mean", TEXTS.path_mean), line("score", TEXTS.score_mean)));
  }

  message() {
    const text = say(TEXTS.message(this));
    if (this.said.textContent !== text) this.said.textContent = text;
  }
}

let shown = null;

/** The view's state once it is built, for the console and tests. */
export function shown_trick() {
  return shown;
}

export const view = {
  name: "trick",
  title: t("The trick", "重参数化"),
  build(root) {
    shown = new Trick(root);
  },
};
