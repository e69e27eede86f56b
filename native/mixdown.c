#include "mixdown.h"

#include <string.h>

static const uint64_t *mask_of(const mm_plan *plan, size_t leg) {
    return plan->masks ? plan->masks[leg] : NULL;
}

/* Everything that is heard now, and not itself: what everybody hears who says nothing. */
static int hears_all(const mm_plan *plan, size_t listener) {
    const uint64_t *mask = mask_of(plan, listener);
    if (!mask) return !plan->leg[listener]->is_open;
    for (size_t w = 0; w < (plan->legs + 63) / 64; w++)
        if (plan->open_mask[w] & ~mask[w]) return 0;
    return 1;
}

static void add_silent_row(mm_plan *plan) {
    memset(plan->block + plan->rows++ * MM_FRAME_SAMPLES, 0, MM_FRAME_BYTES);
}

/* A row for each mix that is neither everybody's nor that of an open leg. */
static void place_listeners(mm_plan *plan) {
    plan->rows = plan->open;
    if (plan->gated) add_silent_row(plan);
    for (size_t i = 0; i < plan->legs; i++) {
        mm_leg *leg = plan->leg[i];
        if (plan->gated && hears_all(plan, i)) {
            leg->row = plan->open;
        } else if (!leg->is_open) {
            leg->row = plan->rows;
            add_silent_row(plan);
        }
    }
}

/* Masks by leg, told by row. */
static const uint64_t *const *row_masks(mm_plan *plan) {
    if (!plan->masks) return NULL;
    const size_t words = (plan->rows + 63) / 64;
    memset(plan->row_masks, 0, plan->rows * sizeof *plan->row_masks);
    for (size_t i = 0; i < plan->legs; i++) {
        const uint64_t *mask = plan->masks[i];
        const size_t row = plan->leg[i]->row;
        if (!mask || (plan->gated && row == plan->open)) continue;
        uint64_t *bits = plan->row_mask_words + row * words;
        memset(bits, 0, words * 8);
        for (size_t r = 0; r < plan->open; r++)
            if (mm_mask_has(mask, plan->open_leg[r])) bits[r / 64] |= UINT64_C(1) << (r % 64);
        plan->row_masks[row] = bits;
    }
    return plan->row_masks;
}

static int32_t peak_of(const int16_t *row) {
    int32_t most = 0, least = 0;
    for (size_t s = 0; s < MM_FRAME_SAMPLES; s++) {
        most = row[s] > most ? row[s] : most;
        least = row[s] < least ? row[s] : least;
    }
    return most > -least ? most : -least;
}

/* No sum of these rows leaves 16 bits, and no gain has to come back from one that did. */
static int fits(const mm_plan *plan, const mm_limiter *shared_limiter) {
    int64_t bound = 0;
    for (size_t r = 0; r < plan->open; r++) bound += peak_of(plan->block + r * MM_FRAME_SAMPLES);
    if (bound > INT16_MAX || !mm_limiter_idle(shared_limiter)) return 0;
    for (size_t i = 0; i < plan->legs; i++)
        if (!mm_limiter_idle(&plan->leg[i]->limiter)) return 0;
    return 1;
}

static void limit_all(mm_plan *plan, const mm_kernels *kernels, const uint64_t *const *masks,
                      mm_limiter *shared_limiter) {
    int32_t *wide = plan->wide, *total = plan->wide + MM_FRAME_SAMPLES;
    mm_mix_total(kernels, total, plan->block, plan->open, MM_FRAME_SAMPLES);
    if (plan->gated)
        mm_limit(shared_limiter, plan->out + plan->open * MM_FRAME_SAMPLES, total, MM_FRAME_SAMPLES);
    for (size_t i = 0; i < plan->legs; i++) {
        mm_leg *leg = plan->leg[i];
        if (plan->gated && leg->row == plan->open) {
            leg->limiter = *shared_limiter; /* should it leave, its gain goes on */
            continue;
        }
        mm_mix_wide(kernels, wide, total, plan->block, masks ? masks[leg->row] : NULL, leg->row,
                    plan->rows, MM_FRAME_SAMPLES);
        mm_limit(&leg->limiter, plan->out + leg->row * MM_FRAME_SAMPLES, wide, MM_FRAME_SAMPLES);
    }
}

const int16_t *mm_mixdown(mm_plan *plan, const mm_kernels *kernels, mm_limiter *shared_limiter) {
    place_listeners(plan);
    const uint64_t *const *masks = row_masks(plan);
    mm_mix(kernels, plan->out, plan->block, plan->energy, masks, plan->wide, plan->rows,
           MM_FRAME_SAMPLES);
    if (!fits(plan, shared_limiter)) limit_all(plan, kernels, masks, shared_limiter);
    for (size_t i = 0; i < plan->legs; i++)
        plan->leg[i]->mix = plan->out + plan->leg[i]->row * MM_FRAME_SAMPLES;
    return plan->gated ? plan->out + plan->open * MM_FRAME_SAMPLES : NULL;
}
