// View: bits.

import { t } from "./text.js";
import { instead } from "./ui.js";

export const view = {
  name: "bits",
  title: t("Bits", "比特"),
  build(root) {
    root.append(instead(t("Not there yet.", "尚未完成。")));
  },
};
