/* What this CPU can run. */
#ifndef MM_CPU_H
#define MM_CPU_H

typedef enum mm_isa { MM_ISA_SCALAR, MM_ISA_AVX2, MM_ISA_AVX512, MM_ISA_COUNT } mm_isa;

mm_isa mm_cpu_best_isa(void);
const char *mm_isa_name(mm_isa isa);
/* -1 when *name* is none of scalar, avx2, avx512. */
int mm_isa_by_name(const char *name);

#endif
