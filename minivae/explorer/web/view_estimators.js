// View: estimators.

import { t } from "./text.js";
import { instead } from "./ui.js";

export const view = {
  name: "estimators",
  title: t("Estimators", "估计量"),
  build(root) {
    root.append(instead(t("Not there yet.", "尚未完成。")));
  },
};
