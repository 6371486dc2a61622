"""An entropy coder: one stack of symbols in integers (rANS), and the masses of the distributions that a VAE needs.

A symbol with the mass `freq` of 2^bits, the masses below it adding up to `start`, is pushed onto a state x by

    x -> (x // freq) * 2^bits + x % freq + start

and popped by the inverse: what x % 2^bits falls into is the symbol. Pushing costs log2(2^bits / freq) bits; popping a
symbol of which nobody pushed anything turns as many random bits into a draw from the distribution, and pushing it again
gives back the same bits. The state lies in [2^31, 2^63); 32-bit words go between it and a stack.

`build` makes the functions for a target from one source, as `philox.build` does: run as they stand they are the
specification, compiled by `cpu/coder.py` they are fast, and both write the same words. All is integers, but for one
subtraction and one division of IEEE doubles in `normal_below`, and ratios in the beta-binomial: nothing that a compiler
may contract or reorder.

state : (4,) int64: x, the words on the stack, the initial words drawn, and whether a push found no room
words : (room,) uint32, the stack

Source: Duda, "Asymmetric numeral systems" (arXiv:1311.2540), section 2.3 and 3.3.
"""

import math
from types import SimpleNamespace

import numpy as np

X, TOP, DRAWN, FULL = range(4)
LOW = 1 << 31  # the least state
WORD = (1 << 32) - 1
WEYL = 0x9E3779B9

PIXEL_BITS = 16  # of the masses of Bernoulli pixels
BYTE_BITS = 22  # of those of bytes
NORMAL_BITS = 24  # of those of a posterior's buckets
CHOICE_BITS = 24  # of those of one among K draws
PHI_BITS = 30  # of the table of the distribution function
STEPS, FARTHEST = 512, 9  # its grid: steps in a unit, and where it ends
LOG_BITS = 16  # of the fraction of a logarithm
LEADING = 12  # the bits of a mass that its logarithm is taken of
BYTES = 256


def build(jit):
    """The functions for one target; jit is its decorator for functions that others call and may be made a part of."""
    last = 2 * FARTHEST * STEPS
    lifted = (1 << BYTE_BITS) - BYTES

    @jit
    def initial_word(number):
        """The initial words: a Weyl sequence, scrambled. Anybody can make them again, so they need not be kept."""
        z = (number + 1) * WEYL & WORD
        z ^= z >> 15
        z = z * 0x2C1B3C6D & WORD
        z ^= z >> 12
        z = z * 0x297A2D39 & WORD
        return z ^ z >> 15

    # Words move now and then. `spill` and `refill` are called only then: compiled code pays much for two results.

    @jit
    def crowded(x, freq, bits):
        """Whether a push needs a word moved to the stack first."""
        return x >> 32 >= (LOW >> bits) * freq

    @jit
    def spill(x, top, state, words):
        if top == words.size:
            state[FULL] = 1
            return x >> 32, top
        words[top] = x & WORD
        return x >> 32, top + 1

    @jit
    def push(x, start, freq, bits):
        quotient = x // freq
        return (quotient << bits) + x - quotient * freq + start

    @jit
    def refill(x, top, state, words):
        """(x, top) where a pop left x below LOW: a word from the stack, or where that is empty an initial one."""
        if top > 0:
            return (x << 32) | int(words[top - 1]), top - 1
        word = initial_word(int(state[DRAWN]))
        state[DRAWN] += 1
        return (x << 32) | word, top

    # Equal masses

    def push_uniform(state, words, symbols, count, bits):
        """Symbols, int64 of any shape, of 0 .. count - 1, all about as likely."""
        x, top = int(state[X]), int(state[TOP])
        flat = symbols.reshape(-1)
        for i in range(flat.size - 1, -1, -1):
            start = (int(flat[i]) << bits) // count
            freq = ((int(flat[i]) + 1 << bits) // count) - start
            if crowded(x, freq, bits):
                x, top = spill(x, top, state, words)
            x = push(x, start, freq, bits)
        state[X], state[TOP] = x, top

    def pop_uniform(state, words, symbols, count, bits):
        x, top = int(state[X]), int(state[TOP])
        flat = symbols.reshape(-1)
        for i in range(flat.size):
            c = x & ((1 << bits) - 1)
            symbol = ((c + 1) * count - 1) >> bits
            start = (symbol << bits) // count
            flat[i] = symbol
            x = (((symbol + 1 << bits) // count) - start) * (x >> bits) + c - start
            if x < LOW:
                x, top = refill(x, top, state, words)
        state[X], state[TOP] = x, top

    # Buckets of z under N(mu, sigma^2)

    @jit
    def normal_below(i, edges, mu, sigma, phi):
        """The mass of the buckets below i, of 2^NORMAL_BITS: bucket i lies between edges[i] and edges[i + 1].

        A bucket may have none. It is then never popped, so it need not be pushed; a least mass for each would draw z
        from anywhere now and then.
        """
        if i <= 0:
            return 0
        if i >= edges.size - 1:
            return 1 << NORMAL_BITS
        t = (edges[i] - mu) / sigma * STEPS + FARTHEST * STEPS  # STEPS is a power of two: its product is exact
        if not t > 0:
            return 0
        if t >= last:
            return 1 << NORMAL_BITS
        k = int(t)
        part = int((t - k) * 65536)
        rise = (int(phi[k + 1]) - int(phi[k])) * part >> 16
        return (int(phi[k]) + rise) >> (PHI_BITS - NORMAL_BITS)

    def push_normal(state, words, z, mu, sigma, edges, phi):
        """z (n, latent) int64 buckets; mu, sigma (n, latent) float64."""
        x, top = int(state[X]), int(state[TOP])
        for i in range(z.shape[0] - 1, -1, -1):
            for j in range(z.shape[1] - 1, -1, -1):
                k = int(z[i, j])
                start = normal_below(k, edges, mu[i, j], sigma[i, j], phi)
                freq = normal_below(k + 1, edges, mu[i, j], sigma[i, j], phi) - start
                if freq == 0:  # only a damaged file, or another model, has such a bucket
                    state[FULL] = 1
                    return
                if crowded(x, freq, NORMAL_BITS):
                    x, top = spill(x, top, state, words)
                x = push(x, start, freq, NORMAL_BITS)
        state[X], state[TOP] = x, top

    def pop_normal(state, words, z, mu, sigma, edges, phi):
        x, top = int(state[X]), int(state[TOP])
        for i in range(z.shape[0]):
            for j in range(z.shape[1]):
                c = x & ((1 << NORMAL_BITS) - 1)
                low, high = 0, edges.size - 1
                below, above = 0, 1 << NORMAL_BITS
                while high - low > 1:
                    middle = (low + high) >> 1
                    mass = normal_below(middle, edges, mu[i, j], sigma[i, j], phi)
                    if mass <= c:
                        low, below = middle, mass
                    else:
                        high, above = middle, mass
                z[i, j] = low
                x = (above - below) * (x >> NORMAL_BITS) + c - below
                if x < LOW:
                    x, top = refill(x, top, state, words)
        state[X], state[TOP] = x, top

    # Pixels of 0 and 1

    def push_bernoulli(state, words, pixels, index, table):
        """pixels (n, features) uint8 of 0 and 1; index (n, features) int32 into the masses of 1."""
        x, top = int(state[X]), int(state[TOP])
        for i in range(pixels.shape[0] - 1, -1, -1):
            for j in range(pixels.shape[1] - 1, -1, -1):
                one = int(table[index[i, j]])
                start, freq = 0, (1 << PIXEL_BITS) - one
                if pixels[i, j]:
                    start, freq = freq, one
                if crowded(x, freq, PIXEL_BITS):
                    x, top = spill(x, top, state, words)
                x = push(x, start, freq, PIXEL_BITS)
        state[X], state[TOP] = x, top

    def pop_bernoulli(state, words, pixels, index, table):
        x, top = int(state[X]), int(state[TOP])
        for i in range(pixels.shape[0]):
            for j in range(pixels.shape[1]):
                zero = (1 << PIXEL_BITS) - int(table[index[i, j]])
                c = x & ((1 << PIXEL_BITS) - 1)
                if c >= zero:
                    pixels[i, j] = 1
                    x = ((1 << PIXEL_BITS) - zero) * (x >> PIXEL_BITS) + c - zero
                else:
                    pixels[i, j] = 0
                    x = zero * (x >> PIXEL_BITS) + c
                if x < LOW:
                    x, top = refill(x, top, state, words)
        state[X], state[TOP] = x, top

    # Bytes: the masses below each of them, all of which have at least 1

    @jit
    def beta_binomial_starts(alpha, beta, starts):
        """P(k + 1) / P(k) = (N - k) (k + alpha) / ((k + 1) (N - k - 1 + beta)) with N = 255: no lgamma."""
        p, total = 1.0, 0.0
        for k in range(BYTES):
            starts[k] = total
            total += p
            if k < BYTES - 1:
                p = p * ((BYTES - 1 - k) * (k + alpha)) / ((k + 1) * (BYTES - 2 - k + beta))
                if p > 1e150:  # what came before is nothing beside it, but the masses must stay finite
                    p *= 2.0**-512
                    total *= 2.0**-512
                    for before in range(k + 1):
                        starts[before] *= 2.0**-512
        for k in range(BYTES):
            starts[k] = math.floor(starts[k] / total * lifted) + k
        starts[BYTES] = 1 << BYTE_BITS

    @jit
    def logistic_starts(mean, scale, sigmoid, starts):
        """Bins of width 1, the outer ones open: byte k lies between k - 1/2 and k + 1/2. mean and scale in bytes."""
        starts[0] = 0
        for k in range(1, BYTES):
            t = (k - 0.5 - mean) / scale * STEPS + (sigmoid.size - 1) // 2
            if not t > 0:
                p = 0
            elif t >= sigmoid.size - 1:
                p = int(sigmoid[sigmoid.size - 1])
            else:
                i = int(t)
                part = int((t - i) * 65536)
                p = int(sigmoid[i]) + ((int(sigmoid[i + 1]) - int(sigmoid[i])) * part >> 16)
            starts[k] = (p * lifted >> PHI_BITS) + k
        starts[BYTES] = 1 << BYTE_BITS

    @jit
    def byte_starts(kind, first, second, sigmoid, starts):
        if kind == 0:
            beta_binomial_starts(first, second, starts)
        else:
            logistic_starts(first, second, sigmoid, starts)

    def push_bytes(state, words, pixels, kind, first, second, sigmoid):
        """pixels (n, features) uint8; first and second (n, features) float64: alpha and beta, or mean and scale."""
        x, top = int(state[X]), int(state[TOP])
        starts = np.empty(BYTES + 1)
        for i in range(pixels.shape[0] - 1, -1, -1):
            for j in range(pixels.shape[1] - 1, -1, -1):
                byte_starts(kind, first[i, j], second[i, j], sigmoid, starts)
                k = int(pixels[i, j])
                start = int(starts[k])
                freq = int(starts[k + 1]) - start
                if crowded(x, freq, BYTE_BITS):
                    x, top = spill(x, top, state, words)
                x = push(x, start, freq, BYTE_BITS)
        state[X], state[TOP] = x, top

    def pop_bytes(state, words, pixels, kind, first, second, sigmoid):
        x, top = int(state[X]), int(state[TOP])
        starts = np.empty(BYTES + 1)
        for i in range(pixels.shape[0]):
            for j in range(pixels.shape[1]):
                byte_starts(kind, first[i, j], second[i, j], sigmoid, starts)
                c = x & ((1 << BYTE_BITS) - 1)
                low, high = 0, BYTES
                while high - low > 1:
                    middle = (low + high) >> 1
                    if int(starts[middle]) <= c:
                        low = middle
                    else:
                        high = middle
                pixels[i, j] = low
                start = int(starts[low])
                x = (int(starts[low + 1]) - start) * (x >> BYTE_BITS) + c - start
                if x < LOW:
                    x, top = refill(x, top, state, words)
        state[X], state[TOP] = x, top

    # One of K draws, with a probability as its weight

    @jit
    def log2(mass, logs):
        """log2 of a mass of at least 1 in units of 2^-LOG_BITS, from its leading bits; logs[m] is that of m."""
        shift = 0
        while mass >= 1 << LEADING:
            mass >>= 1
            shift += 1
        return int(logs[mass]) + (shift << LOG_BITS)

    def log2_normal(z, mu, sigma, edges, phi, logs, out):
        """out (rows,) += log2 q(z) of each row of z, without a constant; mu and sigma (n, latent), n divides rows."""
        draws = z.shape[0] // mu.shape[0]
        for r in range(z.shape[0]):
            total, i = 0, r // draws
            for j in range(z.shape[1]):
                k = int(z[r, j])
                below = normal_below(k, edges, mu[i, j], sigma[i, j], phi)
                mass = normal_below(k + 1, edges, mu[i, j], sigma[i, j], phi) - below
                total += log2(max(mass, 1), logs)
            out[r] += total

    def log2_bernoulli(pixels, index, table, logs, out):
        """out (rows,) += log2 p(x|z), without a constant; pixels (n, features), n divides rows."""
        draws = index.shape[0] // pixels.shape[0]
        for r in range(index.shape[0]):
            total, i = 0, r // draws
            for j in range(index.shape[1]):
                one = int(table[index[r, j]])
                total += log2(one if pixels[i, j] else (1 << PIXEL_BITS) - one, logs)
            out[r] += total

    def log2_bytes(pixels, kind, first, second, sigmoid, logs, out):
        draws = first.shape[0] // pixels.shape[0]
        starts = np.empty(BYTES + 1)
        for r in range(first.shape[0]):
            total, i = 0, r // draws
            for j in range(first.shape[1]):
                byte_starts(kind, first[r, j], second[r, j], sigmoid, starts)
                k = int(pixels[i, j])
                total += log2(int(starts[k + 1]) - int(starts[k]), logs)
            out[r] += total

    def choice_starts(log_weight, powers, starts):
        """starts (n, K + 1) int64 of 2^CHOICE_BITS from log2 weights (n, K); powers[f] = 2^(30 - f / powers.size)."""
        n, draws = log_weight.shape
        for i in range(n):
            top = 0
            for k in range(draws):
                if log_weight[i, k] > log_weight[i, top]:
                    top = k
            total = 0
            for k in range(draws):
                down = (int(log_weight[i, top]) - int(log_weight[i, k])) * powers.size >> LOG_BITS
                whole = down // powers.size
                weight = int(powers[down - whole * powers.size]) >> whole if whole < 31 else 0
                starts[i, k + 1] = weight
                total += weight
            starts[i, 0] = 0
            used = 0
            for k in range(draws):
                mass = (int(starts[i, k + 1]) << CHOICE_BITS) // total
                starts[i, k + 1] = mass
                used += mass
            starts[i, top + 1] += (1 << CHOICE_BITS) - used
            for k in range(draws):
                starts[i, k + 1] += starts[i, k]

    def push_choice(state, words, chosen, starts):
        """chosen (n,) int64 of 0 .. K - 1; starts (n, K + 1) int64."""
        x, top = int(state[X]), int(state[TOP])
        for i in range(chosen.size - 1, -1, -1):
            k = int(chosen[i])
            freq = int(starts[i, k + 1]) - int(starts[i, k])
            if freq == 0:  # as in push_normal
                state[FULL] = 1
                return
            if crowded(x, freq, CHOICE_BITS):
                x, top = spill(x, top, state, words)
            x = push(x, int(starts[i, k]), freq, CHOICE_BITS)
        state[X], state[TOP] = x, top

    def pop_choice(state, words, chosen, starts):
        x, top = int(state[X]), int(state[TOP])
        for i in range(chosen.size):
            c, k = x & ((1 << CHOICE_BITS) - 1), 0
            while int(starts[i, k + 1]) <= c:
                k += 1
            chosen[i] = k
            start = int(starts[i, k])
            x = (int(starts[i, k + 1]) - start) * (x >> CHOICE_BITS) + c - start
            if x < LOW:
                x, top = refill(x, top, state, words)
        state[X], state[TOP] = x, top

    return SimpleNamespace(
        initial_word=initial_word,
        push_uniform=push_uniform,
        pop_uniform=pop_uniform,
        push_normal=push_normal,
        pop_normal=pop_normal,
        push_bernoulli=push_bernoulli,
        pop_bernoulli=pop_bernoulli,
        push_bytes=push_bytes,
        pop_bytes=pop_bytes,
        log2_normal=log2_normal,
        log2_bernoulli=log2_bernoulli,
        log2_bytes=log2_bytes,
        choice_starts=choice_starts,
        push_choice=push_choice,
        pop_choice=pop_choice,
    )


specification = build(lambda function: function)
