/* A CUDA grid on one CPU core: each thread of a block is a coroutine, blocks run one after another. The translated
   kernel (see ptx.py) is included as kernel_body, with SHARED_BYTES of shared memory. */
#define _GNU_SOURCE
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { WARP = 32, STACK = 1 << 16, RUNNING = 0, AT_BARRIER = 1, AT_WARP = 2, DONE = 3 };

typedef struct {
    ucontext_t context;
    int state;
    uint32_t shuffled;
} thread_t;

typedef struct {
    uint64_t begin, end;
} range_t;

static thread_t *threads;
static int thread_count, current;
static ucontext_t scheduler;
static uint8_t *shared_memory;
static uint32_t grid_size[3], block_size[3], block_index[3], thread_index[3];
static const uint64_t *parameters;
static const range_t *ranges;
static int range_count, approximation;
static char *message;

static void enter(int number) {
    current = number;
    thread_index[0] = number % block_size[0];
    thread_index[1] = number / block_size[0] % block_size[1];
    thread_index[2] = number / (block_size[0] * block_size[1]);
}

static void wait_as(int state) {
    int me = current;
    threads[me].state = state;
    swapcontext(&threads[me].context, &scheduler);
    enter(me);
}

/* Ends the block with a message: the scheduler sees it and stops. */
static void fail(const char *what, uint64_t address, int size) {
    if (!message[0])
        snprintf(message, 200, "%s: %d bytes at %llx, block %u, thread %d", what, size, (unsigned long long)address,
                 block_index[0], current);
    wait_as(DONE);
}

static void check_global(uint64_t address, int size) {
    for (int r = 0; r < range_count; r++)
        if (address >= ranges[r].begin && address + size <= ranges[r].end) {
            if (address % size) fail("misaligned access", address, size);
            return;
        }
    fail("access outside every array", address, size);
}

static void check_shared(uint64_t address, int size, int bytes) {
    uint64_t base = (uint64_t)(uintptr_t)shared_memory;
    if (address < base || address + size > base + bytes) fail("access outside shared memory", address, size);
    if (address % size) fail("misaligned access to shared memory", address, size);
}

static float float_of(uint32_t bits) { float value; memcpy(&value, &bits, 4); return value; }
static uint32_t bits_of(float value) { uint32_t bits; memcpy(&bits, &value, 4); return bits; }
static double double_of(uint64_t bits) { double value; memcpy(&value, &bits, 8); return value; }
static uint64_t bits64_of(double value) { uint64_t bits; memcpy(&bits, &value, 8); return bits; }

/* The hardware's approximations, anywhere within their documented error: `approximation` ulps up or down. */
static float flushed(float a) { return fabsf(a) < 0x1p-126f ? copysignf(0.0f, a) : a; }
static float nudged(float a) {
    for (int step = abs(approximation); step > 0 && isfinite(a) && a != 0.0f; step--)
        a = nextafterf(a, approximation > 0 ? INFINITY : -INFINITY);
    return flushed(a);
}
/* Powers with whole exponents are exact: libdevice's tanh of a double, good to 1 ulp of a double, takes its 2^n here. */
static float exp2_approximate(float a) {
    float power = exp2f(flushed(a));
    return rintf(a) == a ? flushed(power) : nudged(power);
}
static float reciprocal_approximate(float a) { return nudged(1.0f / flushed(a)); }
/* documented as the upper 32 bits of the result */
static double reciprocal64_approximate(double a) { return double_of(bits64_of(1.0 / a) & 0xFFFFFFFF00000000ull); }

static float rounded_fma(int mode, volatile float a, volatile float b, volatile float c) {
    fesetround(mode);
    volatile float result = fmaf(a, b, c);
    fesetround(FE_TONEAREST);
    return result;
}
static float rounded_add(int mode, volatile float a, volatile float b) {
    fesetround(mode);
    volatile float result = a + b;
    fesetround(FE_TONEAREST);
    return result;
}
static float saturated(float a) { return !(a > 0.0f) ? 0.0f : a > 1.0f ? 1.0f : a; }

static uint32_t shuffle_down(uint32_t value, uint32_t offset, uint32_t clamp, uint32_t mask) {
    if (clamp != WARP - 1 || mask != 0xFFFFFFFFu) fail("shuffle of part of a warp", mask, 4);
    int me = current, source = (me & (WARP - 1)) + (int)offset;
    threads[me].shuffled = value;
    wait_as(AT_WARP);
    uint32_t result = value;
    if (source < WARP && (me & ~(WARP - 1)) + source < thread_count) result = threads[(me & ~(WARP - 1)) + source].shuffled;
    wait_as(AT_WARP);
    return result;
}

#define LOAD(type, address) ({ type value_; memcpy(&value_, (void *)(uintptr_t)(address), sizeof value_); value_; })
#define STORE(type, address, value) do { type value_ = (type)(value); \
    memcpy((void *)(uintptr_t)(address), &value_, sizeof value_); } while (0)

static void kernel_body(void);

static void start_thread(void) {
    kernel_body();
    wait_as(DONE);
}

/* Lets the warps go whose threads all wait for each other, then the block if all its threads are at the barrier.
   Returns how many threads may run, or -1 where some wait for ever. */
static int release(void) {
    int alive = 0, at_barrier = 0, released = 0;
    for (int first = 0; first < thread_count; first += WARP) {
        int last = first + WARP < thread_count ? first + WARP : thread_count, waiting = 0;
        for (int i = first; i < last; i++) waiting += threads[i].state == AT_WARP;
        for (int i = first; i < last && waiting == last - first; i++) threads[i].state = RUNNING, released++;
    }
    for (int i = 0; i < thread_count; i++) {
        alive += threads[i].state != DONE;
        at_barrier += threads[i].state == AT_BARRIER;
    }
    if (!alive) return 0;
    if (at_barrier == thread_count) {
        for (int i = 0; i < thread_count; i++) threads[i].state = RUNNING;
        return thread_count;
    }
    return released ? released : -1;
}

static int run_block(char *stacks, int backwards) {
    memset(shared_memory, 0xff, SHARED_BYTES + 16); /* NaN: reading what nobody wrote shows */
    for (int i = 0; i < thread_count; i++) {
        getcontext(&threads[i].context);
        threads[i].context.uc_stack.ss_sp = stacks + (size_t)i * STACK;
        threads[i].context.uc_stack.ss_size = STACK;
        threads[i].state = RUNNING;
        makecontext(&threads[i].context, start_thread, 0);
    }
    for (;;) {
        for (int j = 0; j < thread_count; j++) {
            int i = backwards ? thread_count - 1 - j : j;
            if (threads[i].state != RUNNING) continue;
            enter(i);
            swapcontext(&scheduler, &threads[i].context);
            if (message[0]) return 1;
        }
        int runnable = release();
        if (runnable == 0) return 0;
        if (runnable < 0) {
            snprintf(message, 200, "divergent barrier or warp function in block %u", block_index[0]);
            return 1;
        }
    }
}

int run(const uint64_t *values, const range_t *arrays, int array_count, uint32_t blocks, uint32_t block_threads,
        int backwards, int nudge, char *error) {
    parameters = values, ranges = arrays, range_count = array_count, approximation = nudge, message = error;
    grid_size[0] = blocks, block_size[0] = thread_count = block_threads;
    grid_size[1] = grid_size[2] = block_size[1] = block_size[2] = 1;
    threads = calloc(thread_count, sizeof *threads);
    char *stacks = malloc((size_t)thread_count * STACK);
    /* PTX addresses shared memory with 32 bits */
    shared_memory = mmap(0, SHARED_BYTES + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    int failed = 0;
    for (uint32_t b = 0; b < blocks && !failed; b++) {
        block_index[0] = backwards ? blocks - 1 - b : b;
        failed = run_block(stacks, backwards);
    }
    munmap(shared_memory, SHARED_BYTES + 4096);
    free(threads);
    free(stacks);
    return failed;
}
