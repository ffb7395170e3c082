"""Device code that the selections share: reductions over a block of threads, and the cut of a histogram of weights.

DEPTH and BINS are those of kernels/selection.py.
"""

THREADS = 512  # of the blocks that use this code

SOURCE = r"""
#define THREADS 512
#define WARPS (THREADS / 32)
#define BINS 1024
#define DEPTH 25.0f
#define PER_BIN (BINS / DEPTH)

__device__ float block_max(float value, float* scratch) {
    for (int h = 16; h > 0; h >>= 1) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, h));
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
    __syncthreads();
    for (int w = 0; w < WARPS; w++) value = fmaxf(value, scratch[w]);
    return value;
}

__device__ double block_sum(double value, double* scratch) {
    for (int h = 16; h > 0; h >>= 1) value += __shfl_xor_sync(0xffffffffu, value, h);
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
    __syncthreads();
    value = 0.0;
    for (int w = 0; w < WARPS; w++) value += scratch[w];
    return value;
}

// Distance from the maximum within which `fraction` of the histogram's mass lies; all threads call it.
__device__ float cut_of(const float* histogram, double fraction, float* result) {
    __syncthreads();
    if (threadIdx.x < 32) {
        const int lane = threadIdx.x;
        double own = 0.0;
        for (int b = 0; b < BINS / 32; b++) own += histogram[lane * (BINS / 32) + (b + lane) % (BINS / 32)];
        double upto = own;
        for (int h = 1; h < 32; h <<= 1) {
            const double before = __shfl_up_sync(0xffffffffu, upto, h);
            if (lane >= h) upto += before;
        }
        const double target = fraction * __shfl_sync(0xffffffffu, upto, 31);
        const unsigned reached = __ballot_sync(0xffffffffu, upto >= target);
        if (reached == 0 ? lane == 31 : lane == __ffs(reached) - 1) {
            double mass = upto - own;
            int b = lane * (BINS / 32);
            const int last = b + BINS / 32 - 1;
            for (; b < last; b++) {
                mass += histogram[b];
                if (mass >= target) break;
            }
            *result = (b + 1) * DEPTH / BINS;
        }
    }
    __syncthreads();
    return *result;
}
"""
