/* Any samples, any lengths: a period is within its bounds, and what is cut or told twice fits exactly. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "stretch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) return 0;
    const size_t samples = (size - 3) / 2, most = data[0] * 2u;
    const int likeness = data[1] * 4;
    /* Of exactly the size that is promised: ASan sees one sample more. */
    int16_t *pcm = malloc((samples + 240) * sizeof *pcm + 1);
    if (!pcm) return 0;
    memcpy(pcm, data + 3, samples * sizeof *pcm);
    int16_t *exact = malloc(samples * sizeof *pcm + 1);
    if (!exact) abort();
    memcpy(exact, pcm, samples * sizeof *pcm);
    const size_t period = mm_stretch_period(exact, samples, most, likeness);
    if (period) {
        if (period < MM_STRETCH_LEAST || period > MM_STRETCH_MOST || period > most || 2 * period > samples)
            abort();
        if (data[2] & 1) {
            mm_stretch_lengthen(pcm, samples, period);
            if (memcmp(pcm, exact, period * sizeof *pcm)) abort();
            if (memcmp(pcm + 2 * period, exact + period, (samples - period) * sizeof *pcm)) abort();
        } else {
            mm_stretch_shorten(exact, samples, period);
            if (memcmp(exact + period, pcm + 2 * period, (samples - 2 * period) * sizeof *pcm)) abort();
        }
    }
    free(exact);
    free(pcm);
    return 0;
}
