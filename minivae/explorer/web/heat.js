// The activations of a hidden layer as small squares, as many as the layer has units.

import { colours } from "./plot.js";
import { t } from "./text.js";
import { figure, h } from "./ui.js";

const TALL = 224; // CSS pixels
const ROWS = 56; // squares in a column, at most

// { root, redraw }: values() gives the activations (outputs,) of the layer.
export function heat(layer, values) {
  const columns = Math.ceil(layer.outputs / ROWS), rows = Math.ceil(layer.outputs / columns);
  const wide = Math.min(48, Math.max(16, 5 * columns)); // CSS pixels
  const small = document.createElement("canvas");
  small.width = columns;
  small.height = rows;
  const inner = small.getContext("2d"), pixels = inner.createImageData(columns, rows);
  const picture = figure({
    label: t(
      `Activations of ${layer.outputs} units, ${layer.activation}: the stronger, the darker`,
      `${layer.outputs} 个单元的激活值（${layer.activation}）：颜色越深，数值越大`,
    ),
    width: wide,
    height: TALL,
    draw(g, w, tall) {
      const found = values(), most = found.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-9);
      const signs = [rgb(colours().accent), rgb(colours().sigma)];
      for (let i = 0; i < columns * rows; i++) {
        const value = i < found.length ? found[i] / most : 0;
        pixels.data.set(signs[value < 0 ? 1 : 0], 4 * i);
        pixels.data[4 * i + 3] = 255 * Math.abs(value);
      }
      inner.putImageData(pixels, 0, 0);
      g.fillStyle = colours().field;
      g.fillRect(0, 0, w, tall);
      g.imageSmoothingEnabled = false;
      g.drawImage(small, 0, 0, w, tall);
    },
  });
  const caption = h("span", { class: "note caption" }, String(layer.outputs));
  const root = h("div", { class: "column heat" }, caption, picture.root);
  root.style.width = `${Math.max(wide, 26)}px`;
  return { root, redraw: picture.redraw };
}

// "#rrggbb" as three bytes.
export function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}
