// From the strokes of a pen to an image, and to one that is centred as the digits of MNIST are.
//
// A stroke is a list of points [x, y] in pixels of the image, pixel (i, j) reaching from (j, i) to (j + 1, i + 1).

// How far from the middle of a stroke ink reaches half its strength; MNIST's strokes are about this wide at 28 pixels.
export function penRadius([tall, wide]) {
  return Math.max(0.7, 0.042 * Math.min(tall, wide));
}

// Ink (tall * wide) from 0 to 1: 1 along the strokes, falling to 0 across one pixel at their edge.
export function inked(strokes, [tall, wide], radius) {
  const ink = new Float64Array(tall * wide);
  const reach = radius + 0.5;
  for (const points of strokes) {
    for (let k = 0; k < points.length; k++) {
      const [x0, y0] = points[Math.max(0, k - 1)], [x1, y1] = points[k];
      const [top, foot] = [Math.min(y0, y1) - reach, Math.max(y0, y1) + reach];
      const [left, right] = [Math.min(x0, x1) - reach, Math.max(x0, x1) + reach];
      for (let i = Math.max(0, Math.floor(top)); i < Math.min(tall, Math.ceil(foot)); i++) {
        for (let j = Math.max(0, Math.floor(left)); j < Math.min(wide, Math.ceil(right)); j++) {
          const here = reach - distance(j + 0.5, i + 0.5, x0, y0, x1, y1);
          ink[i * wide + j] = Math.max(ink[i * wide + j], Math.min(1, here));
        }
      }
    }
  }
  return ink;
}

// From the point (x, y) to the nearest one between (x0, y0) and (x1, y1).
function distance(x, y, x0, y0, x1, y1) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const along = ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy || 1);
  const t = Math.min(1, Math.max(0, along));
  return Math.hypot(x - x0 - t * dx, y - y0 - t * dy);
}

const FITTED = 20 / 28; // of the image's side: what the longer side of the drawing becomes
const LARGEST = 6; // no drawing is made so many times larger: a dot stays a dot

// The strokes, scaled so that their ink just fits into 20 of 28 pixels, moved so that its centre of mass lies at 14.5.
export function centred(strokes, shape, radius) {
  const points = strokes.flat();
  if (!points.length) return strokes;
  const [tall, wide] = shape;
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const span = Math.max(Math.max(...xs) - left, Math.max(...ys) - top);
  const scale = Math.min(LARGEST, (FITTED * tall - 2 * radius) / (span || 1));
  const fitted = moved(strokes, ([x, y]) => [(x - left) * scale, (y - top) * scale], [wide / 4, tall / 4]);
  const [x, y] = centre(inked(fitted, shape, radius), shape);
  // by whole pixels, as MNIST's makers moved theirs
  return moved(fitted, (point) => point, [Math.round(wide / 2 + 0.5 - x), Math.round(tall / 2 + 0.5 - y)]);
}

function moved(strokes, place, [dx, dy]) {
  return strokes.map((points) => points.map(place).map(([x, y]) => [x + dx, y + dy]));
}

// The centre of mass [x, y] of the ink.
export function centre(ink, [tall, wide]) {
  let [mass, x, y] = [0, 0, 0];
  for (let i = 0; i < tall; i++) {
    for (let j = 0; j < wide; j++) {
      const here = ink[i * wide + j];
      mass += here;
      x += here * (j + 0.5);
      y += here * (i + 0.5);
    }
  }
  return mass ? [x / mass, y / mass] : [wide / 2, tall / 2];
}
