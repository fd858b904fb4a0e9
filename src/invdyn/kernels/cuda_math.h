/* Elementary functions of one thread, for the programs emitted by emit_cuda.py; the counterpart of vector_math.h.
   sin and cos: Cody-Waite reduction by pi/2 with fused products, then the minimax polynomials of fdlibm on [-pi/4, pi/4]
   (float: of Cephes). Arguments beyond LIMIT, infinite or missing take the library's way, in a function of its own:
   written out at every angle it would cost registers that are never used. */
#ifdef SINGLE
typedef float T;
#define LIMIT 8192.0f
#define CALL(name) name##f
#else
typedef double T;
#define LIMIT 1e6
#define CALL(name) name
#endif

struct Pair {
    T sine, cosine;
};

static __device__ __forceinline__ T smaller(T a, T b) { return a != a || a < b ? a : b; }
static __device__ __forceinline__ T larger(T a, T b) { return a != a || b < a ? a : b; }
static __device__ __forceinline__ T sign_of(T x) { return x > 0 ? (T)1 : x < 0 ? (T)-1 : x * 0; }
static __device__ __forceinline__ T abs_of(T x) { return CALL(fabs)(x); }
static __device__ __forceinline__ T pick(bool which, T yes, T no) { return which ? yes : no; }
static __device__ __forceinline__ T sqrt_of(T x) { return CALL(sqrt)(x); }
static __device__ __forceinline__ T exp_of(T x) { return CALL(exp)(x); }
static __device__ __forceinline__ T log_of(T x) { return CALL(log)(x); }
static __device__ __forceinline__ T tanh_of(T x) { return CALL(tanh)(x); }
static __device__ __forceinline__ T atan2_of(T y, T x) { return CALL(atan2)(y, x); }

#if defined(FAST_SINE) && defined(SINGLE)
static __device__ __forceinline__ bool is_far(T) { return false; }
static __device__ __forceinline__ Pair far_sincos(T) { return Pair(); }
static __device__ __forceinline__ Pair near_sincos(T x) {
    Pair w;
    __sincosf(x, &w.sine, &w.cosine);
    return w;
}
#else
static __device__ __forceinline__ bool is_far(T x) { return !(CALL(fabs)(x) < LIMIT); }
static __device__ __noinline__ Pair far_sincos(T x) {
    Pair w;
    CALL(sincos)(x, &w.sine, &w.cosine);
    return w;
}
static __device__ __forceinline__ Pair near_sincos(T x) {
    const T n = CALL(rint)(x * (T)0.63661977236758134308); /* 2/pi */
    const int quarter = (int)n;
#ifdef SINGLE
    T r = fmaf(n, -1.5703125f, x);
    r = fmaf(n, -4.837512969970703125e-4f, r);
    r = fmaf(n, -7.54978995489188216e-8f, r);
    const T z = r * r;
    const T sine = r + r * z * (-1.6666654611e-1f + z * (8.3321608736e-3f + z * -1.9515295891e-4f));
    const T cosine = 1.0f - 0.5f * z + z * z * (4.166664568298827e-2f + z * (-1.388731625493765e-3f + z * 2.443315711809948e-5f));
#else
    T r = fma(n, -1.57079632679489655800e+00, x); /* a fused product is exact, so that two parts of 53 bits do */
    r = fma(n, -6.12323399573676603587e-17, r);
    const T z = r * r;
    const T sine = r + r * z * (-1.66666666666666324348e-01 + z * (8.33333333332248946124e-03 + z * (-1.98412698298579493134e-04
                 + z * (2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))));
    const T cosine = 1.0 - 0.5 * z + z * z * (4.16666666666666019037e-02 + z * (-1.38888888888741095749e-03 + z * (2.48015872894767294178e-05
                   + z * (-2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
#endif
    Pair w;
    w.sine = quarter & 1 ? cosine : sine;
    w.cosine = quarter & 1 ? sine : cosine;
    if (quarter & 2) w.sine = -w.sine;
    if ((quarter + 1) & 2) w.cosine = -w.cosine;
    return w;
}
#endif

static __device__ __forceinline__ Pair sincos_of(T x) {
    Pair w = near_sincos(x);
    if (is_far(x)) w = far_sincos(x);
    return w;
}
