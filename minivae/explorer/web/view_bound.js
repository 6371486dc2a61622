// View: bound.

import { t } from "./text.js";
import { instead } from "./ui.js";

export const view = {
  name: "bound",
  title: t("The bound", "变分下界"),
  build(root) {
    root.append(instead(t("Not there yet.", "尚未完成。")));
  },
};
