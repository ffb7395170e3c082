// What the CUDA sources need, on a CPU: every thread of a block is a fiber, blocks run one after the other. A barrier
// that not all threads of its block or warp reach ends the program with a message.
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>

#define __global__
#define __device__ static
#define __shared__ static
#define __launch_bounds__(...)

using std::max;
using std::min;

struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
static float2 make_float2(float x, float y) { return {x, y}; }

struct Index { long long x, y; };
static Index threadIdx, blockIdx, blockDim;

namespace emulation {

enum State { READY, AT_BLOCK, AT_WARP, DONE };
struct Fiber {
    ucontext_t context;  // to begin with; from then on the two jump buffers, which need no system call
    jmp_buf here;
    bool begun = false;
    std::unique_ptr<char[]> stack;
    State state;
    long long thread;
};
static std::deque<Fiber> fibers;
static Fiber* current;
static jmp_buf scheduler;
static std::function<void()> body;
static uint64_t exchange[1024];
constexpr size_t STACK = 1 << 16;

static void wait(State state) {
    current->state = state;
    if (_setjmp(current->here) == 0) _longjmp(scheduler, 1);
}

static void live() {
    for (;;) {
        body();
        wait(DONE);
    }
}

static void resume(Fiber& fiber) {
    current = &fiber;
    threadIdx = {fiber.thread, 0};
    if (_setjmp(scheduler)) return;
    if (fiber.begun) _longjmp(fiber.here, 1);
    fiber.begun = true;
    setcontext(&fiber.context);
}

static bool release(size_t begin, size_t end, State state) {
    bool any = false;
    for (size_t t = begin; t < end; t++) {
        if (fibers[t].state != DONE && fibers[t].state != state) return false;
        any |= fibers[t].state == state;
    }
    for (size_t t = begin; t < end; t++)
        if (fibers[t].state == state) fibers[t].state = READY;
    return any;
}

static void run_block() {
    for (auto& fiber : fibers) fiber.state = READY;
    for (bool moved = true; moved;) {
        moved = false;
        for (auto& fiber : fibers) {
            if (fiber.state != READY) continue;
            resume(fiber);
            moved = true;
        }
        for (size_t t = 0; t < fibers.size(); t += 32) moved |= release(t, min(t + 32, fibers.size()), AT_WARP);
        moved |= release(0, fibers.size(), AT_BLOCK);
    }
    for (auto& fiber : fibers)
        if (fiber.state != DONE) { std::fprintf(stderr, "barrier that not all threads reach\n"); std::abort(); }
}

static void launch(const long long* grid, long long threads, std::function<void()> kernel) {
    body = std::move(kernel);
    while ((long long)fibers.size() < threads) {
        fibers.emplace_back();
        Fiber& fiber = fibers.back();
        fiber.thread = (long long)fibers.size() - 1;
        fiber.stack.reset(new char[STACK]);
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, live, 0);
    }
    blockDim = {threads, 1};
    for (blockIdx.y = 0; blockIdx.y < grid[1]; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < grid[0]; blockIdx.x++) run_block();
}

template <class T> T from_lane(T value, long long lane) {
    const long long thread = current->thread;
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    exchange[thread] = bits;
    wait(AT_WARP);
    std::memcpy(&value, &exchange[thread / 32 * 32 + lane], sizeof(T));
    wait(AT_WARP);
    return value;
}

}  // namespace emulation

static void __syncthreads() {
    emulation::wait(emulation::AT_BLOCK);
}
template <class T> T __shfl_xor_sync(unsigned, T value, int other) {
    return emulation::from_lane(value, emulation::current->thread % 32 ^ other);
}
template <class T> T __shfl_up_sync(unsigned, T value, int by) {
    const long long lane = emulation::current->thread % 32;
    return emulation::from_lane(value, lane < by ? lane : lane - by);
}
template <class T> T __shfl_sync(unsigned, T value, int lane) { return emulation::from_lane(value, lane); }
static unsigned __ballot_sync(unsigned, bool mine) {
    unsigned all = 0;
    for (int lane = 0; lane < 32; lane++) all |= unsigned(emulation::from_lane(int(mine), lane)) << lane;
    return all;
}
static int __ffs(unsigned bits) { return __builtin_ffs(int(bits)); }
template <class T, class U> T atomicAdd(T* where, U value) { const T before = *where; *where += value; return before; }
template <class T, class U> T atomicMin(T* where, U value) {
    const T before = *where;
    *where = min(before, T(value));
    return before;
}
