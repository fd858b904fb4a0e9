/* The way through a batch, on threads. Samples are turned into groups of LANES, row by row (workspace [group][row][lane]),
   computed group by group, and turned back.
   Batch-first arrays hold a sample's numbers side by side: a group is a small matrix to transpose. One at a time stays in
   the first-level cache, and the program itself asks for a later one, a line now and then, so that memory works while it
   computes. Rows of batch-last arrays lie far apart, often at distances the caches map onto itself, which makes asking
   far ahead vain: there a block of many groups is copied, some thousand bytes a row, and only the next rows asked for. */

#define SOON 3 /* rows from the one that is copied to the one asked for; 2 to 4 are alike, 1 and 8 slower */
#define LARGE 1000000 /* bytes of results, from which on they go past the cache */

typedef struct {
    const T *const *in;
    T *const *out;
    const ptrdiff_t *layout; /* per array: step between rows, step between samples */
    size_t batch;
    size_t block; /* samples turned at a time */
    size_t share; /* samples a thread takes at a time: one that begins late, or is slower, takes fewer shares */
    size_t *next; /* first sample nobody has taken yet */
    int large;    /* whether the results are larger than a cache */
} Job;

#if defined(__GNUC__) && !defined(__clang__)
/* LANES x LANES by perfect shuffles: halves interleaved log2(LANES) times. */
static inline void transpose(V *x) {
    M low, high;
#pragma GCC unroll 16
    for (size_t i = 0; i < LANES; i++) {
        low[i] = (I)(i / 2 + i % 2 * LANES);
        high[i] = (I)(LANES / 2 + i / 2 + i % 2 * LANES);
    }
#pragma GCC unroll 4
    for (size_t n = LANES; n > 1; n /= 2) {
        V y[LANES];
#pragma GCC unroll 8
        for (size_t i = 0; i < LANES / 2; i++) {
            y[2 * i] = __builtin_shuffle(x[i], x[i + LANES / 2], low);
            y[2 * i + 1] = __builtin_shuffle(x[i], x[i + LANES / 2], high);
        }
#pragma GCC unroll 16
        for (size_t i = 0; i < LANES; i++) x[i] = y[i];
    }
}
#else
static inline void transpose(V *x) {
    for (size_t i = 0; i < LANES; i++)
        for (size_t j = 0; j < i; j++) {
            T t = x[i][j];
            x[i][j] = x[j][i];
            x[j][i] = t;
        }
}
#endif

/* A vector to memory that is not read again soon: not through the cache, which would first read what is overwritten. */
static inline void stream(T *to, V x) {
#if defined(__AVX512F__) && !defined(__clang__)
    typedef double D __attribute__((vector_size(64)));
    __builtin_ia32_movntpd512((double *)to, (D)x);
#elif defined(__AVX__) && !defined(__clang__)
    typedef double D __attribute__((vector_size(32)));
    __builtin_ia32_movntpd256((double *)to, (D)x);
#else
    *(V *)to = x;
#endif
}
static inline int aligned(const T *x) { return (uintptr_t)x % BYTES == 0; }

/* Rows of one array for n samples into groups; `size` numbers lie between two groups; `room` numbers of the array follow
   its first sample here, so that a whole vector may be read where a sample is shorter. */
static void gather(T *to, size_t size, const T *from, ptrdiff_t row, ptrdiff_t sample, size_t rows, size_t n, size_t room) {
    size_t whole = n / LANES, done = 0;
    if (sample == 1) {
        for (size_t i = 0; i < rows; i++) {
            const T *line = from + (ptrdiff_t)i * row, *soon = i + SOON < rows ? line + SOON * row : line;
            for (size_t g = 0; g < whole; g++) {
                __builtin_prefetch(soon + g * LANES);
                *(V *)(to + g * size + i * LANES) = *(const V *)(line + g * LANES);
            }
        }
        done = whole;
    } else if (row == 1 && sample >= (ptrdiff_t)rows)
        for (; done < whole; done++) {
            const T *group = from + (ptrdiff_t)(done * LANES) * sample;
            if (rows < LANES && (size_t)((done * LANES + LANES - 1) * sample) + LANES > room) break;
            for (size_t i = 0; i < rows; i += LANES) { /* the last square overlaps the one before */
                const size_t first = rows >= LANES && i + LANES > rows ? rows - LANES : i;
                V square[LANES];
#pragma GCC unroll 16
                for (size_t j = 0; j < LANES; j++) square[j] = *(const V *)(group + (ptrdiff_t)j * sample + first);
                transpose(square);
                V *line = (V *)(to + done * size + first * LANES);
                if (rows < LANES)
                    for (size_t j = 0; j < rows; j++) line[j] = square[j];
                else {
#pragma GCC unroll 16
                    for (size_t j = 0; j < LANES; j++) line[j] = square[j];
                }
            }
        }
    for (size_t g = done; g * LANES < n; g++)
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < LANES; j++) { /* the last sample fills the last group: no lane computes on rubbish */
                const size_t b = g * LANES + j < n ? g * LANES + j : n - 1;
                to[g * size + i * LANES + j] = from[(ptrdiff_t)i * row + (ptrdiff_t)b * sample];
            }
}

/* Back from groups; `flat` holds one group sample by sample on its way. */
static void scatter(T *to, const T *from, size_t size, ptrdiff_t row, ptrdiff_t sample, size_t rows, size_t n, int large,
                    T *flat) {
    size_t whole = n / LANES, done = 0;
    if (sample == 1) {
        for (size_t i = 0; i < rows; i++) {
            T *line = to + (ptrdiff_t)i * row;
            if (large && aligned(line))
                for (size_t g = 0; g < whole; g++) stream(line + g * LANES, *(const V *)(from + g * size + i * LANES));
            else
                for (size_t g = 0; g < whole; g++) *(V *)(line + g * LANES) = *(const V *)(from + g * size + i * LANES);
        }
        done = whole;
    } else if (row == 1 && sample == (ptrdiff_t)rows) {
        for (; done < whole; done++) {
            for (size_t i = 0; i < rows; i += LANES) {
                const size_t first = rows >= LANES && i + LANES > rows ? rows - LANES : i;
                V square[LANES];
#pragma GCC unroll 16
                for (size_t j = 0; j < LANES; j++) /* past the last row: overwritten by the next sample */
                    square[j] = first + j < rows ? *(const V *)(from + done * size + (first + j) * LANES) : (V){0};
                transpose(square);
#pragma GCC unroll 16
                for (size_t j = 0; j < LANES; j++) *(V *)(flat + j * rows + first) = square[j];
            }
            T *line = to + (ptrdiff_t)(done * LANES) * sample;
            if (large && aligned(line))
                for (size_t k = 0; k < rows; k++) stream(line + k * LANES, *(const V *)(flat + k * LANES));
            else
                memcpy(line, flat, LANES * rows * sizeof(T));
        }
    }
    for (size_t b = done * LANES; b < n; b++)
        for (size_t i = 0; i < rows; i++)
            to[(ptrdiff_t)i * row + (ptrdiff_t)b * sample] = from[b / LANES * size + i * LANES + b % LANES];
}

static void *work(void *given) {
    const Job *job = given;
    const size_t groups = (job->block + LANES - 1) / LANES, size_in = ROWS_IN * LANES, size_out = ROWS_OUT * LANES;
    T *in;
    Ahead ahead[INPUTS];
    if (posix_memalign((void **)&in, 64, (groups * (size_in + size_out) + (SPILL + 2) * LANES + size_out + UNIFORM) * sizeof(T)))
        return NULL;
    T *out = in + groups * size_in;
    V *spill = (V *)(out + groups * size_out);
    T *flat = (T *)(spill + SPILL), *uniform = flat + size_out + LANES;
    for (int k = 0, u = 0; k < INPUTS; k++)
        if (IS_UNIFORM[k])
            for (int i = 0; i < SIZE[k]; i++) uniform[u++] = job->in[k][(ptrdiff_t)i * job->layout[2 * k]];
    size_t b = 0, stop = 0;
    for (;; b += job->block) {
        if (b >= stop) {
            b = __atomic_fetch_add(job->next, job->share, __ATOMIC_RELAXED);
            if (b >= job->batch) break;
            stop = job->batch - b < job->share ? job->batch : b + job->share;
        }
        const size_t n = stop - b < job->block ? stop - b : job->block;
        const size_t later = b + AHEAD * LANES;
        for (int k = 0; k < INPUTS; k++) {
            const ptrdiff_t s = job->layout[2 * k + 1];
            const int useful = job->block == LANES && later + LANES <= job->batch && !IS_UNIFORM[k];
            ahead[k].base = useful ? (const char *)(job->in[k] + (ptrdiff_t)later * s) : (const char *)in;
            ahead[k].step = useful ? 64 : 0;
        }
        T *row = in;
        for (int k = 0; k < INPUTS; k++)
            if (!IS_UNIFORM[k]) {
                const ptrdiff_t r = job->layout[2 * k], s = job->layout[2 * k + 1];
                const size_t room = (job->batch - 1 - b) * (s > 0 ? s : 0) + SIZE[k];
                gather(row, size_in, job->in[k] + (ptrdiff_t)b * s, r, s, SIZE[k], n, room);
                row += SIZE[k] * LANES;
            }
        for (size_t g = 0; g * LANES < n; g++) program(in + g * size_in, out + g * size_out, uniform, spill, ahead);
        row = out;
        for (int k = INPUTS; k < INPUTS + OUTPUTS; k++) {
            const ptrdiff_t r = job->layout[2 * k], s = job->layout[2 * k + 1];
            scatter(job->out[k - INPUTS] + (ptrdiff_t)b * s, row, size_out, r, s, SIZE[k], n, job->large, flat);
            row += SIZE[k] * LANES;
        }
    }
    free(in);
    return NULL;
}

/* 0 if all went well; 1 where memory ran out. */
int run(const T *const *in, T *const *out, const ptrdiff_t *layout, size_t batch, int threads) {
    enum { MOST = 256, SHARES = 16 };
    pthread_t thread[MOST];
    int begun[MOST];
    size_t block = LANES, next = 0;
    for (int k = 0; k < INPUTS + OUTPUTS; k++)
        if (!IS_UNIFORM[k] && layout[2 * k] != 1) block = BLOCK;
    const size_t blocks = (batch + block - 1) / block;
    if (threads > MOST) threads = MOST;
    if ((size_t)threads > blocks) threads = (int)blocks;
    if ((size_t)threads > 1 + batch / ENOUGH) threads = (int)(1 + batch / ENOUGH); /* fewer samples are done sooner alone */
    const size_t share = threads > 1 ? (blocks + (size_t)threads * SHARES - 1) / ((size_t)threads * SHARES) : blocks;
    Job job = {in, out, layout, batch, block, share * block, &next, batch * ROWS_OUT * sizeof(T) > LARGE};
    for (int t = 1; t < threads; t++) begun[t] = !pthread_create(&thread[t], NULL, work, &job);
    work(&job);
    for (int t = 1; t < threads; t++)
        if (begun[t]) pthread_join(thread[t], NULL);
    return next < batch; /* what a thread takes it finishes; one without memory takes nothing */
}
