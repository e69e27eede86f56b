/* Samples on their way from decoder to tick, and what each stretch of them is: a queue of its own kind. */
#ifndef MM_SOUND_H
#define MM_SOUND_H

#include <stddef.h>
#include <stdint.h>

#include "frame.h"

#define MM_SOUND_ROOM 5120u /* two packets of 120 ms, what is left of a tick, and a stretch */
#define MM_SOUND_RUNS 16u

enum mm_sound_kind {
    MM_SOUND_VOICE,
    MM_SOUND_FEC,
    MM_SOUND_CONCEALED,
    MM_SOUND_COMFORT,
    MM_SOUND_SILENCE,
    MM_SOUND_KINDS
};

typedef struct mm_sound {
    uint32_t begin, samples;
    uint32_t first_run, runs;
    mm_meta label; /* what the source says of what is written now: flags and speakers; the rest is 0 */
    mm_meta taken; /* the label of most of the last frame out */
    struct {
        uint32_t samples;
        uint32_t kind;
        mm_meta label;
    } run[MM_SOUND_RUNS];
    int16_t pcm[MM_SOUND_ROOM];
} mm_sound;

/* Zeroed memory is an empty queue. */
/* Where the next samples may be written, and how many (NULL: does not matter). */
int16_t *mm_sound_room(mm_sound *s, uint32_t *room);
/* So many were written there, with the present label. */
void mm_sound_wrote(mm_sound *s, uint32_t samples, enum mm_sound_kind kind);
/* Leave out up to *most* samples of what is beyond one frame, or tell some twice: a pitch period where the
 * sound is alike enough (stretch.h), any number of silence, nothing of what was made up. How many; *heard
 * when it was no silence and not too quiet to matter. */
uint32_t mm_sound_leave_out(mm_sound *s, uint32_t most, int likeness, int *heard);
uint32_t mm_sound_tell_twice(mm_sound *s, int likeness, int *heard);
/* Drop the oldest. */
void mm_sound_drop(mm_sound *s, uint32_t samples);
/* Keep the oldest, so many: how many went. Where the oldest stand. */
uint32_t mm_sound_keep(mm_sound *s, uint32_t samples);
int16_t *mm_sound_oldest(mm_sound *s);
/* One frame out. Its kind is that of most of its samples, of the earlier where two are equal. */
enum mm_sound_kind mm_sound_take(mm_sound *s, int16_t pcm[MM_FRAME_SAMPLES]);

#endif
