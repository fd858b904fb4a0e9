/* The parts of CUDA that emitted kernels use, on the host: every thread of a block is a context of its own, and a barrier
   gives way to the next one. Put before the source of a kernel by host_nvrtc.cpp, which puts `call` and `stage` behind it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <utility>

#define __global__
#define __device__
#define __shared__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(n)
#define __sincosf sincosf

struct Index {
    unsigned x, y, z;
};
static Index threadIdx, blockIdx;
static ucontext_t scheduler, contexts[1024];
static int finished[1024];
static void (*body)(void **);
static void **arguments;

static inline void __syncthreads() { swapcontext(&contexts[threadIdx.x], &scheduler); }

static void thread_of_block() {
    body(arguments);
    finished[threadIdx.x] = 1;
    swapcontext(&contexts[threadIdx.x], &scheduler);
}

template <class... A, size_t... I>
static void spread(void (*kernel)(A...), void **p, std::index_sequence<I...>) {
    kernel(*(typename std::remove_const<A>::type *)p[I]...);
}
template <class... A> static void call(void (*kernel)(A...), void **p) {
    spread(kernel, p, std::index_sequence_for<A...>());
}

static void run_blocks(unsigned grid, unsigned threads, void **p, void (*kernel)(void **), char *shared, size_t bytes) {
    const size_t STACK = 1 << 19;
    char *stacks = (char *)malloc(STACK * threads);
    body = kernel;
    arguments = p;
    for (blockIdx.x = 0; blockIdx.x < grid; blockIdx.x++) {
        memset(shared, 0xff, bytes); /* not a number: what is read must have been written */
        for (unsigned t = 0; t < threads; t++) {
            finished[t] = 0;
            getcontext(&contexts[t]);
            contexts[t].uc_stack.ss_sp = stacks + t * STACK;
            contexts[t].uc_stack.ss_size = STACK;
            contexts[t].uc_link = &scheduler;
            makecontext(&contexts[t], thread_of_block, 0);
        }
        for (unsigned left = threads; left;)
            for (threadIdx.x = 0; threadIdx.x < threads; threadIdx.x++)
                if (!finished[threadIdx.x]) {
                    swapcontext(&scheduler, &contexts[threadIdx.x]);
                    left -= finished[threadIdx.x];
                }
    }
    free(stacks);
}
