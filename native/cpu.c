#include "cpu.h"

#include <string.h>

static const char *const NAMES[MM_ISA_COUNT] = {
    [MM_ISA_SCALAR] = "scalar", [MM_ISA_AVX2] = "avx2", [MM_ISA_AVX512] = "avx512"};

mm_isa mm_cpu_best_isa(void) {
#if defined(__x86_64__)
    /* __builtin_cpu_supports asks XGETBV too, so an OS that does not save zmm state says no. */
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
        return MM_ISA_AVX512;
    if (__builtin_cpu_supports("avx2")) return MM_ISA_AVX2;
#endif
    return MM_ISA_SCALAR;
}

const char *mm_isa_name(mm_isa isa) { return NAMES[isa]; }

int mm_isa_by_name(const char *name) {
    for (int i = 0; i < MM_ISA_COUNT; i++)
        if (strcmp(name, NAMES[i]) == 0) return i;
    return -1;
}
