#include "plan.h"

#include <string.h>

#include "memory.h"

static size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* Hand out pieces of one block; with no block yet, count what they come to. */
typedef struct pieces {
    char *at;
    size_t bytes;
} pieces;

static void *piece(pieces *p, size_t bytes) {
    char *start = p->at ? p->at + p->bytes : NULL;
    p->bytes += aligned(bytes);
    return start;
}

static mm_plan *lay_out(pieces *p, size_t count, int has_masks, size_t groups) {
    const size_t words = (count + 63) / 64, rows = count + 1, row_words = (rows + 63) / 64;
    mm_plan plan = {.legs = count, .encodings = groups};
    mm_plan *self = piece(p, sizeof *self);
    plan.leg = piece(p, count * sizeof *plan.leg);
    plan.open_leg = piece(p, rows * sizeof *plan.open_leg);
    plan.open_mask = piece(p, words * 8 + 8);
    if (has_masks) {
        plan.masks = piece(p, count * sizeof *plan.masks + count * words * 8);
        plan.row_masks = piece(p, rows * sizeof *plan.row_masks);
        plan.row_mask_words = piece(p, rows * row_words * 8);
    }
    plan.block = piece(p, rows * MM_FRAME_BYTES);
    plan.out = piece(p, rows * MM_FRAME_BYTES);
    plan.energy = piece(p, rows * sizeof *plan.energy);
    plan.wide = piece(p, 2 * MM_FRAME_SAMPLES * sizeof *plan.wide);
    for (size_t g = 0; g < groups; g++) {
        plan.encoding[g].leg = piece(p, count * sizeof(mm_leg *));
        plan.encoding[g].due = piece(p, count * sizeof(mm_encode_leg *));
    }
    if (self) *self = plan;
    return self;
}

static size_t find_groups(const mm_plan_leg *legs, size_t count, mm_encode_group **groups) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        if (!legs[i].group) continue;
        size_t g = 0;
        while (g < found && groups[g] != legs[i].group) g++;
        if (g == MM_PLAN_GROUPS) return g + 1;
        groups[g] = legs[i].group;
        if (g == found) found++;
    }
    return found;
}

static void copy_masks(mm_plan *plan, const mm_plan_leg *legs) {
    const size_t words = (plan->legs + 63) / 64;
    uint64_t *copy = (uint64_t *)(plan->masks + plan->legs);
    for (size_t i = 0; i < plan->legs; i++)
        if (legs[i].mask) plan->masks[i] = memcpy(copy + i * words, legs[i].mask, words * 8);
}

mm_plan *mm_plan_create(const mm_plan_leg *legs, size_t count) {
    mm_encode_group *groups[MM_PLAN_GROUPS + 1];
    const size_t group_count = find_groups(legs, count, groups);
    if (group_count > MM_PLAN_GROUPS) return NULL;
    int has_masks = 0;
    for (size_t i = 0; i < count; i++) has_masks |= legs[i].mask != NULL;
    pieces size = {0};
    lay_out(&size, count, has_masks, group_count);
    pieces block = {.at = mm_pages_alloc(size.bytes)};
    if (!block.at) return NULL;
    mm_plan *plan = lay_out(&block, count, has_masks, group_count);
    for (size_t i = 0; i < count; i++) plan->leg[i] = legs[i].leg;
    if (has_masks) copy_masks(plan, legs);
    plan->gated = group_count > 0;
    for (size_t g = 0; g < group_count; g++) {
        mm_encoding *encoding = &plan->encoding[g];
        encoding->group = groups[g];
        for (size_t i = 0; i < count; i++)
            if (legs[i].group == groups[g]) encoding->leg[encoding->legs++] = legs[i].leg;
    }
    return plan;
}

void mm_plan_destroy(void *plan) { mm_pages_free(plan); }

mm_encode_group *mm_plan_group_create(enum mm_codec codec, const mm_encoder_settings *settings) {
    const size_t head = aligned(sizeof(mm_encode_group));
    char *memory = mm_pages_alloc(head + 2 * mm_encode_room(codec));
    if (!memory) return NULL;
    mm_encode_group *group = (mm_encode_group *)memory;
    if (mm_encode_group_init(group, codec, settings, memory + head) == 0) return group;
    mm_pages_free(memory);
    return NULL;
}

void mm_plan_group_destroy(void *group) { mm_pages_free(group); }
