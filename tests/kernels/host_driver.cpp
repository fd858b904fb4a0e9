/* A stand-in for libcuda that runs the images of host_nvrtc.cpp, and refuses what the real one would refuse. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef void (*Launch)(unsigned, unsigned, size_t, void **);
static int depth, context;
static size_t most_shared = 48 * 1024;

extern "C" {
int cuDeviceGet(int *device, int number) { return *device = number, number ? 101 : 0; }
int cuDevicePrimaryCtxRetain(void **made, int) { return *made = &context, 0; }
int cuCtxPushCurrent_v2(void *given) { return given == &context ? depth++, 0 : 201; }
int cuCtxPopCurrent_v2(void **left) { return *left = &context, depth-- > 0 ? 0 : 201; }
int cuModuleLoadData(void **module, const char *image) {
    char path[] = "/tmp/host_image_XXXXXX";
    const int file = mkstemp(path);
    const size_t size = *(const size_t *)image;
    if (!depth) return 201;
    if (write(file, image + sizeof size, size) != (ssize_t)size) return 2;
    close(file);
    *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    unlink(path);
    return *module ? 0 : 200;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
    if (!dlsym(module, name)) return 500;
    *function = dlsym(module, "host_launch");
    return 0;
}
int cuFuncSetAttribute(void *, int what, int value) {
    if (what != 8) return 1;
    most_shared = value;
    return 0;
}
int cuFuncGetAttribute(int *value, int what, void *) { return *value = what, 0; }
int cuLaunchKernel(Launch function, unsigned gx, unsigned gy, unsigned gz, unsigned tx, unsigned ty, unsigned tz,
                   unsigned shared, void *stream, void **arguments, void **extra) {
    if (!depth) return 201;
    if (!gx || gy != 1 || gz != 1 || !tx || tx > 1024 || ty != 1 || tz != 1 || shared > most_shared || stream || extra) return 1;
    function(gx, tx, shared, arguments);
    return 0;
}
int cuGetErrorString(int code, const char **text) {
    return *text = code == 101 ? "invalid device ordinal" : code == 201 ? "invalid device context" : "invalid argument", 0;
}
}
