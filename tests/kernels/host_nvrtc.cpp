/* A stand-in for libnvrtc that compiles for the host: an "image" is the length of a shared library, then the library. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <unistd.h>

struct Program {
    std::string source, log, image;
};

static std::string read_file(const std::string &path) {
    std::string text;
    if (FILE *file = fopen(path.c_str(), "rb")) {
        char part[65536];
        for (size_t n; (n = fread(part, 1, sizeof part, file));) text.append(part, n);
        fclose(file);
    }
    return text;
}

extern "C" {
int nvrtcVersion(int *major, int *minor) { return *major = 0, *minor = 1, 0; }
int nvrtcGetNumSupportedArchs(int *n) { return *n = 2, 0; }
int nvrtcGetSupportedArchs(int *found) { return found[0] = 80, found[1] = 90, 0; }
int nvrtcCreateProgram(Program **made, const char *source, const char *, int headers, const char *const *, const char *const *) {
    *made = new Program{source, "", ""};
    return headers;
}
int nvrtcCompileProgram(Program *program, int count, const char *const *options) {
    if (count < 1 || strncmp(options[0], "--gpu-architecture=", 19)) return 5;
    char folder[] = "/tmp/host_gpu_XXXXXX";
    if (!mkdtemp(folder)) return 1;
    const std::string base = folder, code = base + "/kernel.cpp", made = base + "/kernel.so", log = base + "/log";
    FILE *file = fopen(code.c_str(), "w");
    fprintf(file, "#include \"%s\"\n%s\n", HOST_GPU_H, program->source.c_str());
    fputs("T stage[65536];\n"
          "static void host_kernel(void **p) { call(run, p); }\n"
          "extern \"C\" void host_launch(unsigned grid, unsigned threads, size_t shared, void **p) {\n"
          "  if (shared > sizeof stage) abort();\n"
          "  run_blocks(grid, threads, p, host_kernel, (char *)stage, sizeof stage);\n"
          "}\n", file);
    fclose(file);
    const std::string command = "g++ -O0 -std=c++17 -shared -fPIC -w " + code + " -o " + made + " 2>" + log;
    const int failed = system(command.c_str());
    program->log = read_file(log);
    const std::string library = read_file(made);
    const size_t size = library.size();
    program->image = std::string((const char *)&size, sizeof size) + library;
    if (system(("rm -r " + base).c_str())) return 1;
    return failed ? 6 : 0;
}
int nvrtcGetProgramLogSize(Program *p, size_t *n) { return *n = p->log.size() + 1, 0; }
int nvrtcGetProgramLog(Program *p, char *to) { return memcpy(to, p->log.c_str(), p->log.size() + 1), 0; }
int nvrtcGetCUBINSize(Program *p, size_t *n) { return *n = p->image.size(), 0; }
int nvrtcGetCUBIN(Program *p, char *to) { return memcpy(to, p->image.data(), p->image.size()), 0; }
int nvrtcGetPTXSize(Program *p, size_t *n) { return *n = p->image.size(), 0; }
int nvrtcGetPTX(Program *p, char *to) { return memcpy(to, p->image.data(), p->image.size()), 0; }
int nvrtcDestroyProgram(Program **p) { return delete *p, *p = nullptr, 0; }
}
