// Random numbers with the same bits as Python's: Philox4x32-10, and standard normals by Box-Muller from polynomials.
//
// A number is a function of (seed, stream, step, element) and of nothing else. The key is the two halves of the 64-bit
// seed, the counter (element / 4, step low, step high, stream); each block of the cipher gives four 32-bit words, for
// four elements. Only float32 multiplication, addition and square root appear, each rounded once by Math.fround (a
// result of two float32 numbers in double precision, rounded again, is the correctly rounded one), so the normals are
// those of minivae/kernels/philox.py bit for bit; the sources are named there.

const f = Math.fround;
const MULTIPLIER_0 = 0xd2511f53, MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9, WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

const LOG_COEFFICIENTS = [
  7.0376836292e-2, -1.151461031e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
  2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
].map(f);
const LN2_HIGH = f(0.693359375), LN2_LOW = f(-2.1219444e-4);
const SIN_COEFFICIENTS = [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1].map(f);
const COS_COEFFICIENTS = [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2].map(f);
const TURN_24 = f(2 * Math.PI * 2 ** -24);
const SQRT2_24 = Math.floor(2 ** 23 * Math.SQRT2); // a 24-bit mantissa above this is taken relative to the next power

// The streams that minivae's Python uses are numbered from 0 (kernels/philox.py); this one is the page's own.
export const PAGE_STREAM = 100;

/** The upper 32 bits of the product of two 32-bit words, from the products of their halves. */
function multiply_high(a, b) {
  const a_low = a & 0xffff, a_high = a >>> 16, b_low = b & 0xffff, b_high = b >>> 16;
  const middle = a_high * b_low + ((a_low * b_low) >>> 16);
  return a_high * b_high + Math.floor(middle / 65536) + ((((middle & 0xffff) + a_low * b_high) / 65536) | 0);
}

/** Four words from the counter (c0, c1, c2, c3) and the key (k0, k1). */
export function philox(c0, c1, c2, c3, k0, k1) {
  for (let round = 0; round < ROUNDS; round++) {
    const high_0 = multiply_high(MULTIPLIER_0, c0), low_0 = Math.imul(MULTIPLIER_0, c0);
    const high_1 = multiply_high(MULTIPLIER_1, c2), low_1 = Math.imul(MULTIPLIER_1, c2);
    [c0, c1, c2, c3] = [(high_1 ^ c1 ^ k0) >>> 0, low_1 >>> 0, (high_0 ^ c3 ^ k1) >>> 0, low_0 >>> 0];
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** -ln(m 2^-24) for an integer m in 1 .. 2^24: m = (1 + t) 2^(24 + e), 1 + t between sqrt(1/2) and sqrt(2). */
function minus_log(m) {
  let e = 0, t;
  for (; m < 2 ** 23; m *= 2) e -= 1;
  if (m > SQRT2_24) {
    t = f(f(m * 2 ** -24) - 1);
  } else {
    t = f(f(m * 2 ** -23) - 1);
    e -= 1;
  }
  const t2 = f(t * t);
  let p = f(f(horner(LOG_COEFFICIENTS, t) * t) * t2);
  p = f(p + f(e * LN2_LOW));
  p = f(p + f(-0.5 * t2));
  p = f(t + p);
  return -f(p + f(e * LN2_HIGH));
}

/** [sin, cos] of 2 pi (n + 1/2) 2^-24 for an integer n in 0 .. 2^24 - 1; the quadrant is exact. */
function sine_cosine(n) {
  const quadrant = (n + 2 ** 21) >>> 22;
  const a = f(f(n - quadrant * 2 ** 22 + 0.5) * TURN_24), a2 = f(a * a);
  const sine = f(f(f(horner(SIN_COEFFICIENTS, a2) * a2) * a) + a);
  const q = f(horner(COS_COEFFICIENTS, a2) * f(a2 * a2));
  const cosine = f(f(q + f(-0.5 * a2)) + 1);
  return [[sine, cosine], [cosine, -sine], [-sine, -cosine], [-cosine, sine]][quadrant & 3];
}

/** The polynomial with these coefficients, highest power first, each operation rounded to float32. */
function horner(coefficients, t) {
  let p = coefficients[0];
  for (let i = 1; i < coefficients.length; i++) p = f(f(p * t) + coefficients[i]);
  return p;
}

/**
 * The words of elements first .. first + count - 1, first a multiple of 4. seed and step: whole numbers below 2^64, a
 * BigInt where above 2^53.
 */
export function words(seed, stream, step, count, first = 0) {
  const [k0, k1] = halves(seed), [step_low, step_high] = halves(step);
  const out = new Uint32Array(4 * Math.ceil(count / 4));
  for (let block = 0; 4 * block < count; block++) {
    out.set(philox(first / 4 + block, step_low, step_high, stream, k0, k1), 4 * block);
  }
  return out.subarray(0, count);
}

function halves(value) {
  const whole = BigInt.asUintN(64, BigInt(value));
  return [Number(whole & 0xffffffffn), Number(whole >> 32n)];
}

/** Uniforms in [0, 1) with 24 bits, Float32Array(count), as philox.uniforms. */
export function uniforms(seed, stream, step, count) {
  return Float32Array.from(words(seed, stream, step, count), (word) => (word >>> 8) * 2 ** -24);
}

/** Standard normals, Float32Array(count), as philox.fill_normals; those of elements from `first`, a multiple of 4. */
export function normals(seed, stream, step, count, first = 0) {
  const drawn = words(seed, stream, step, 2 * Math.ceil(count / 2), first);
  const out = new Float32Array(drawn.length);
  for (let i = 0; i < drawn.length; i += 2) {
    const radius = f(Math.sqrt(f(2 * minus_log((drawn[i] >>> 8) + 1))));
    const [sine, cosine] = sine_cosine(drawn[i + 1] >>> 8);
    out[i] = f(radius * cosine);
    out[i + 1] = f(radius * sine);
  }
  return out.subarray(0, count);
}

/** A row of draws: each call gives new numbers, which follow from the seed and how many calls there were before. */
export class Source {
  constructor(seed, stream = PAGE_STREAM) {
    this.seed = seed;
    this.stream = stream;
    this.step = 0;
  }

  /** Standard normals, Float32Array(count). */
  normals(count) {
    return normals(this.seed, this.stream, this.step++, count);
  }

  /** Uniforms in [0, 1), Float32Array(count). */
  uniforms(count) {
    return uniforms(this.seed, this.stream, this.step++, count);
  }
}
