// View: the bound. Prices of draws, L_K against log p(x), what beta buys, and gradient steps on the example at hand.

import { betaPanel } from "./panel_beta.js";
import { drawsPanels } from "./panel_draws.js";
import { stepPanel } from "./panel_step.js";
import { t } from "./text.js";

const NAME = "bound";

export const view = {
  name: NAME,
  title: t("The bound", "变分下界"),
  without: t(
    "The bound needs the model itself, and it does not run in this page.",
    "这个视图要用到模型本身，而此模型不能在页面中运行。",
  ),
  build(root) {
    root.append(...drawsPanels(NAME), betaPanel(NAME), stepPanel(NAME));
  },
};
