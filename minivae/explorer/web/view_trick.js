// View: trick.

import { t } from "./text.js";
import { instead } from "./ui.js";

export const view = {
  name: "trick",
  title: t("The trick", "重参数化"),
  build(root) {
    root.append(instead(t("Not there yet.", "尚未完成。")));
  },
};
