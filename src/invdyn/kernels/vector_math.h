/* Elementary functions on vectors of LANES numbers of type T, for the programs emitted by emit_c.py.
   sin and cos: Cody-Waite reduction by pi/2 in three parts (float: of 8, 11 and 24 bits, so that the products with up to
   13 bits are exact), then the minimax polynomials of fdlibm on [-pi/4, pi/4] (float: of Cephes). Arguments beyond LIMIT,
   infinite or missing take the C library's way, lane by lane. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <pthread.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif

#ifdef SINGLE
typedef float T;
typedef int32_t I;
#define LIMIT 8192.0f
#define ROUND 12582912.0f /* 1.5 * 2^23: adding it rounds to the nearest integer */
#define SQRT sqrtf
#define CALL(name) name##f
#else
typedef double T;
typedef int64_t I;
#define LIMIT 1e6
#define ROUND 6755399441055744.0 /* 1.5 * 2^52 */
#define SQRT sqrt
#define CALL(name) name
#endif
#define LANES ((size_t)(BYTES / sizeof(T)))

typedef T V __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
typedef I M __attribute__((vector_size(BYTES)));

typedef struct { /* lines of memory a program may ask for while it computes */
    const char *base;
    ptrdiff_t step;
} Ahead;

static inline V all(T x) { return x - (V){0}; }
static inline V pick(M mask, V yes, V no) { return (V)(((M)yes & mask) | ((M)no & ~mask)); }
static inline V abs_of(V x) { return (V)((M)x & ~((M)all(-0.0))); }
static inline V sign_of(V x) { return pick(x > 0, all(1), pick(x < 0, all(-1), x * 0)); }
static inline V smaller(V a, V b) { return pick((a < b) | (a != a), a, b); } /* missing numbers go on */
static inline V larger(V a, V b) { return pick((b < a) | (a != a), a, b); }
static inline int any(M mask) {
    I found = 0;
    for (size_t i = 0; i < LANES; i++) found |= mask[i];
    return found != 0;
}
static inline V sqrt_of(V x) {
    V r;
    for (size_t i = 0; i < LANES; i++) r[i] = SQRT(x[i]);
    return r;
}
#define LANEWISE(name, call) \
    static __attribute__((noinline)) V name(V x) { \
        V r; \
        for (size_t i = 0; i < LANES; i++) r[i] = call(x[i]); \
        return r; \
    }
LANEWISE(exp_of, CALL(exp))
LANEWISE(log_of, CALL(log))
LANEWISE(tanh_of, CALL(tanh))
static __attribute__((noinline)) V atan2_of(V y, V x) {
    V r;
    for (size_t i = 0; i < LANES; i++) r[i] = CALL(atan2)(y[i], x[i]);
    return r;
}
/* Lanes beyond LIMIT by the C library; the others stay. */
static __attribute__((noinline)) void far_sincos(V x, V *s, V *c) {
    for (size_t i = 0; i < LANES; i++)
        if (!(CALL(fabs)(x[i]) < LIMIT)) {
            (*s)[i] = CALL(sin)(x[i]);
            (*c)[i] = CALL(cos)(x[i]);
        }
}

static inline void near_sincos(V x, V *s, V *c) {
    V turns = x * (T)0.63661977236758134308 + ROUND; /* 2/pi */
    M quarter = (M)turns;
    V n = turns - ROUND;
#ifdef SINGLE
    V r = x - n * 1.5703125f;
    r = r - n * 4.837512969970703125e-4f;
    r = r - n * 7.54978995489188216e-8f;
    V z = r * r;
    V sine = r + r * z * (-1.6666654611e-1f + z * (8.3321608736e-3f + z * -1.9515295891e-4f));
    V cosine = 1.0f - 0.5f * z + z * z * (4.166664568298827e-2f + z * (-1.388731625493765e-3f + z * 2.443315711809948e-5f));
#else
#ifdef __FMA__ /* a fused product is exact, so that two parts of 53 bits do */
    V r = x - n * 1.57079632679489655800e+00;
    r = r - n * 6.12323399573676603587e-17;
#else
    V r = x - n * 1.57079632673412561417e+00; /* 33 bits of pi/2, exact times n */
    V tail = n * 6.07710050630396597660e-11, low = r;
    r = r - tail;
    low = (low - r) - tail - n * 2.02226624879595063154e-21;
    r = r + low;
#endif
    V z = r * r;
    V sine = r + r * z * (-1.66666666666666324348e-01 + z * (8.33333333332248946124e-03 + z * (-1.98412698298579493134e-04
           + z * (2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))));
    V cosine = 1.0 - 0.5 * z + z * z * (4.16666666666666019037e-02 + z * (-1.38888888888741095749e-03 + z * (2.48015872894767294178e-05
             + z * (-2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
#endif
    M odd = -(quarter & 1);
    V first = pick(odd, cosine, sine), second = pick(odd, sine, cosine);
    /* the sign bit is bit 1 of the quarter (for the cosine: of the quarter plus one) */
    const int up = 8 * sizeof(T) - 2;
    *s = (V)((M)first ^ ((quarter & 2) << up));
    *c = (V)((M)second ^ (((quarter + 1) & 2) << up));
}

static inline M is_far(V x) { return ~(abs_of(x) < LIMIT); }

static inline void vsincos(V x, V *s, V *c) {
    near_sincos(x, s, c);
    if (__builtin_expect(any(is_far(x)), 0)) far_sincos(x, s, c);
}

/* Sines and cosines of many rows: (sine, cosine) of row k to w[2k], w[2k + 1]. One test serves all rows. */
static inline void sincos_rows(const T *x, const int *row, size_t n, V *w) {
    M far = {0};
    for (size_t k = 0; k < n; k++) {
        V a = *(const V *)(x + row[k] * LANES);
        near_sincos(a, &w[2 * k], &w[2 * k + 1]);
        far |= is_far(a);
    }
    if (__builtin_expect(any(far), 0))
        for (size_t k = 0; k < n; k++) far_sincos(*(const V *)(x + row[k] * LANES), &w[2 * k], &w[2 * k + 1]);
}
