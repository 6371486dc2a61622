// View: model.

import { t } from "./text.js";
import { instead } from "./ui.js";

export const view = {
  name: "model",
  title: t("The model", "模型"),
  build(root) {
    root.append(instead(t("Not there yet.", "尚未完成。")));
  },
};
