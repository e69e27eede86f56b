/* Who is in a bridge and who hears whom: built whole by the control side, immutable, swapped in between two
 * ticks. The tick has no joins, leaves or look-ups in it.
 */
#ifndef MM_PLAN_H
#define MM_PLAN_H

#include "leg.h"

/* Codecs and settings of one bridge that legs are coded in. Far ends choose among nine bit rates, with and without
 * FEC and DTX, and three telephone codecs: 39. */
#define MM_PLAN_GROUPS 64u

typedef struct mm_encoding {
    mm_encode_group *group; /* lives as long as its bridge */
    size_t legs;
    mm_leg **leg;           /* room for all of the plan's */
    mm_encode_leg **due;    /* of those, whose peers are theirs in this tick */
} mm_encoding;

typedef struct mm_plan {
    size_t legs;
    mm_leg **leg;
    const uint64_t **masks; /* NULL, or one a leg as mm_mix takes them */
    /* Somebody in it is coded for: gates keep the silent apart, so that listeners can share a mix. */
    int gated;
    size_t encodings;
    mm_encoding encoding[MM_PLAN_GROUPS];
    /* Room for one tick. Rows: the open legs, all zeros (its mix is everybody's), then closed legs that
     * hear something else. */
    size_t rows, open, tapped, metered;
    int16_t *block, *out;        /* (legs + 1, 320) */
    uint64_t *energy;            /* of a row */
    size_t *open_leg;            /* whose an open row is */
    uint64_t *open_mask;         /* by leg */
    const uint64_t **row_masks;  /* NULL or by row */
    uint64_t *row_mask_words;
    int32_t *wide;               /* 2 * 320 */
} mm_plan;

typedef struct mm_plan_leg {
    mm_leg *leg;
    const uint64_t *mask;   /* NULL, or ceil(legs / 64) words; copied */
    mm_encode_group *group; /* NULL: no peer, or one that is never sent to */
} mm_plan_leg;

/* What legs of one codec and setting are coded in. NULL when out of memory, or when they are not to be had. */
mm_encode_group *mm_plan_group_create(enum mm_codec codec, const mm_encoder_settings *settings);
void mm_plan_group_destroy(void *group);

/* NULL when out of memory, or with more than MM_PLAN_GROUPS groups. */
mm_plan *mm_plan_create(const mm_plan_leg *legs, size_t count);
void mm_plan_destroy(void *plan);

#endif
