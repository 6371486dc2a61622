// Dense layers, forward and backward, one example at a time: y = activation(a), a = x @ weight + bias.
//
// weight is a Float32Array (inputs * outputs), row by row: weight[i * outputs + j] leads from input i to output j.
// Sums are taken in double precision. The same formulas: minivae/kernels/naive/dense.py.

const LEAK = 0.01; // the slope of leaky_relu below 0

/** 1 / (1 + e^-a), without overflow. */
export function sigmoid(a) {
  const e = Math.exp(-Math.abs(a));
  return (a >= 0 ? 1 : e) / (1 + e);
}

/** log(1 + e^a), without overflow. */
export function softplus(a) {
  return Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));
}

// (x + 4) Phi(-x) e^(x^2 / 2) in powers of (x - 4) / (x + 4), highest power first: minivae/kernels/mathfun.py
const NORMAL_TAIL = [
  -9.653425420228504e-10, 7.26954547902669e-11, 1.392402399350171e-8, 1.457859334703646e-8, -7.63808205349045e-8,
  -1.5426320536771075e-7, 2.6368248576407624e-7, 1.0198048518135172e-6, -6.25132104047868e-7, -5.918892731763236e-6,
  7.150055959216099e-7, 3.5144181157760973e-5, -1.9078665316613576e-6, -0.0002310948183193762, 0.00013334425401904912,
  0.0016308184418903596, -0.0034796923622425332, -0.007540188965593059, 0.06039657489069947, -0.18652185795969417,
  0.38713740074221886, -0.6078966419718917, 0.7552851304157515,
];

/** Phi(a), the distribution function of N(0, 1). */
export function normal_cdf(a) {
  const x = Math.abs(a), t = (x - 4) / (x + 4);
  let p = 0;
  for (const c of NORMAL_TAIL) p = p * t + c;
  const tail = x > 39 ? 0 : (p / (x + 4)) * Math.exp(-0.5 * x * x);
  return a < 0 ? tail : 1 - tail;
}

/** The density of N(0, 1). */
export function normal_density(a) {
  return Math.exp(-0.5 * a * a) / Math.sqrt(2 * Math.PI);
}

/** What a layer puts out for a, and the derivative of that: from y = value(a) where it follows from y, else from a. */
export const ACTIVATIONS = {
  identity: { value: (a) => a, slope: () => 1 },
  relu: { value: (a) => Math.max(a, 0), slope: (a, y) => (y > 0 ? 1 : 0) },
  leaky_relu: { value: (a) => (a > 0 ? a : LEAK * a), slope: (a, y) => (y > 0 ? 1 : LEAK) },
  tanh: { value: Math.tanh, slope: (a, y) => 1 - y * y },
  sigmoid: { value: sigmoid, slope: (a, y) => y * (1 - y) },
  softplus: { value: softplus, slope: (a, y) => -Math.expm1(-y) },
  gelu: { value: (a) => a * normal_cdf(a), slope: (a) => normal_cdf(a) + a * normal_density(a) },
  silu: { value: (a) => a * sigmoid(a), slope: (a) => sigmoid(a) * (1 + a * sigmoid(-a)) },
};

/** { x, a, y } of a layer: its input (inputs), x @ weight + bias (outputs) and its output (outputs). */
export function dense_forward(layer, x) {
  const { inputs, outputs, weight } = layer;
  const a = Float64Array.from(layer.bias);
  for (let i = 0; i < inputs; i++) {
    const value = x[i];
    if (value === 0) continue; // most of a drawing is empty, half of what relu puts out is 0
    for (let j = 0, w = i * outputs; j < outputs; j++, w++) a[j] += value * weight[w];
  }
  return { x, a, y: activate(layer.activation, a) };
}

function activate(name, a) {
  if (name === "identity") return a;
  const { value } = ACTIVATIONS[name];
  const y = new Float64Array(a.length);
  for (let j = 0; j < a.length; j++) y[j] = value(a[j]);
  return y;
}

/**
 * With da = dy * activation'(a): dx = da @ weight.T, dweight = x.T @ da, dbias = da, in the layout of the parameters.
 * kept is what dense_forward gave; without `parameters` dweight and dbias are left out.
 */
export function dense_backward(layer, kept, dy, parameters = true) {
  const { inputs, outputs, weight } = layer, { x, a, y } = kept;
  const { slope } = ACTIVATIONS[layer.activation];
  const da = new Float64Array(outputs), dx = new Float64Array(inputs);
  for (let j = 0; j < outputs; j++) da[j] = dy[j] * slope(a[j], y[j]);
  for (let i = 0; i < inputs; i++) {
    let total = 0;
    for (let j = 0, w = i * outputs; j < outputs; j++, w++) total += da[j] * weight[w];
    dx[i] = total;
  }
  return parameters ? { dx, dweight: outer(x, da), dbias: da } : { dx };
}

function outer(x, da) {
  const outputs = da.length, dweight = new Float64Array(x.length * outputs);
  for (let i = 0; i < x.length; i++) {
    const value = x[i];
    if (value === 0) continue;
    for (let j = 0, w = i * outputs; j < outputs; j++, w++) dweight[w] = value * da[j];
  }
  return dweight;
}

/** The layers one after another from x: what dense_forward gave for each. */
export function chain_forward(layers, x) {
  const kept = [];
  for (const layer of layers) {
    kept.push(dense_forward(layer, x));
    x = kept[kept.length - 1].y;
  }
  return kept;
}

/** The same layers in reverse from dy: { dx, gradients: [{ dweight, dbias } of each layer, in their order] }. */
export function chain_backward(layers, kept, dy, parameters = true) {
  const gradients = [];
  for (let place = layers.length - 1; place >= 0; place--) {
    const { dx, ...own } = dense_backward(layers[place], kept[place], dy, parameters);
    gradients.unshift(own);
    dy = dx;
  }
  return { dx: dy, gradients };
}
