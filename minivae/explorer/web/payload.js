// What Python put into the page: the run's model, examples and points. Arrays come as the bytes of their numbers, all
// first bytes, then all second bytes and so on, deflated, in base64: floats are smaller that way.

const KINDS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array };

export const payload = {};

// Fills `payload`; resolves when all arrays are there.
export async function load() {
  Object.assign(payload, await decoded(JSON.parse(document.getElementById("payload").textContent)));
  const { data } = payload;
  data.features = data.x.length / data.rows;
  for (const key of ["classes", "columns"]) data[key] = data[key]?.map(isolated) ?? null;
}

// A name in a script that is written from right to left keeps its own direction, and what stands beside it the page's.
function isolated(name) {
  return /[\u0590-\u08ff]/.test(name) ? `\u2068${name}\u2069` : name;
}

// What class `label` is called; null for -1, no class.
export function className(label) {
  return label < 0 ? null : (payload.data.classes?.[label] ?? String(label));
}

async function decoded(value) {
  if (Array.isArray(value)) return Promise.all(value.map(decoded));
  if (value === null || typeof value !== "object") return value;
  if (typeof value.dtype === "string" && "data" in value && "shape" in value) return array(value);
  const values = await Promise.all(Object.values(value).map(decoded));
  return Object.fromEntries(Object.keys(value).map((key, i) => [key, values[i]]));
}

// {dtype, shape, data, divisor?} -> a typed array; with a divisor, floats: the numbers divided by it.
async function array({ dtype, data, divisor }) {
  const text = atob(data);
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < packed.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const Kind = KINDS[dtype];
  const width = Kind.BYTES_PER_ELEMENT;
  const count = planes.length / width;
  const bytes = new Uint8Array(planes.length);
  for (let b = 0; b < width; b++) {
    const plane = b * count;
    for (let i = 0; i < count; i++) bytes[i * width + b] = planes[plane + i];
  }
  const values = new Kind(bytes.buffer); // little-endian, as every browser's machine is
  return divisor ? Float32Array.from(values, (value) => Math.fround(value / divisor)) : values;
}
