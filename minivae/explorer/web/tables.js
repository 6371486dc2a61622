// Tables of numbers with named columns and rows.

import { h, number } from "./ui.js";

// columns: texts or nodes; rows: [[text or node, [name or null, ...]], ...], a name for each column; digits(name).
// The root, which is called `label`, scrolls sideways where there is no room.
export function matrix(label, columns, rows, digits = () => 2) {
  const all = rows.flatMap(([, names]) => names).filter(Boolean);
  const made = new Map(all.map((name) => [name, number(name, digits(name))]));
  const head = h("tr", {}, h("td", {}), ...columns.map((column) => h("th", { scope: "col" }, column)));
  const cells = (names) => names.map((name) => h("td", {}, name ? made.get(name).root : ""));
  const body = rows.map(([text, names]) => h("tr", {}, h("th", { scope: "row" }, text), ...cells(names)));
  const table = h("table", { class: "numbers matrix" }, h("thead", {}, head), h("tbody", {}, ...body));
  return {
    root: h("div", { class: "sideways", role: "group", tabindex: 0, "aria-label": label }, table),
    set(values) {
      for (const [name, value] of Object.entries(values)) made.get(name)?.set(value);
    },
  };
}
