#include "sound.h"

#include <string.h>

#include "stretch.h"

int16_t *mm_sound_room(mm_sound *s, uint32_t *room) {
    if (s->begin) {
        memmove(s->pcm, s->pcm + s->begin, s->samples * sizeof *s->pcm);
        s->begin = 0;
    }
    if (room) *room = MM_SOUND_ROOM - s->samples;
    return s->pcm + s->samples;
}

void mm_sound_wrote(mm_sound *s, uint32_t samples, enum mm_sound_kind kind) {
    if (!samples) return;
    s->samples += samples;
    const uint32_t last = (s->first_run + s->runs + MM_SOUND_RUNS - 1) % MM_SOUND_RUNS;
    /* More changes than a tick can have (packets of 2.5 ms, each second one lost) go on as the last kind. */
    const int same = s->run[last].kind == (uint32_t)kind &&
                     memcmp(&s->run[last].label, &s->label, sizeof s->label) == 0;
    if (s->runs && (same || s->runs == MM_SOUND_RUNS)) {
        s->run[last].samples += samples;
        return;
    }
    const uint32_t at = (s->first_run + s->runs++) % MM_SOUND_RUNS;
    s->run[at].samples = samples;
    s->run[at].kind = (uint32_t)kind;
    s->run[at].label = s->label;
}

static int is_all(const mm_sound *s, enum mm_sound_kind kind) {
    for (uint32_t i = 0; i < s->runs; i++)
        if (s->run[(s->first_run + i) % MM_SOUND_RUNS].kind != (uint32_t)kind) return 0;
    return 1;
}

/* The oldest runs lose so many samples; the run that lost most. */
static uint32_t shorten_runs(mm_sound *s, uint32_t samples, uint32_t share[MM_SOUND_KINDS]) {
    uint32_t longest = 0, most = s->first_run;
    while (samples) {
        uint32_t *run = &s->run[s->first_run].samples;
        const uint32_t part = *run < samples ? *run : samples;
        if (part > longest) {
            longest = part;
            most = s->first_run;
        }
        share[s->run[s->first_run].kind] += part;
        *run -= part;
        samples -= part;
        if (*run) break;
        s->first_run = (s->first_run + 1) % MM_SOUND_RUNS;
        s->runs--;
    }
    return most;
}

static uint32_t shed(mm_sound *s, uint32_t samples, uint32_t share[MM_SOUND_KINDS]) {
    s->begin += samples;
    s->samples -= samples;
    return shorten_runs(s, samples, share);
}

void mm_sound_drop(mm_sound *s, uint32_t samples) {
    uint32_t share[MM_SOUND_KINDS] = {0};
    shed(s, samples < s->samples ? samples : s->samples, share);
}

uint32_t mm_sound_keep(mm_sound *s, uint32_t samples) {
    if (s->samples <= samples) return 0;
    const uint32_t dropped = s->samples - samples;
    for (uint32_t left = dropped, part; left; left -= part) {
        uint32_t *run = &s->run[(s->first_run + s->runs - 1) % MM_SOUND_RUNS].samples;
        part = *run < left ? *run : left;
        *run -= part;
        if (!*run) s->runs--;
    }
    s->samples = samples;
    return dropped;
}

int16_t *mm_sound_oldest(mm_sound *s) { return s->pcm + s->begin; }

/* All of it is of one kind and was stretched in place, at its beginning. */
static void stretched(mm_sound *s, uint32_t samples) {
    uint32_t share[MM_SOUND_KINDS] = {0};
    if (samples < s->samples)
        shorten_runs(s, s->samples - samples, share);
    else
        s->run[s->first_run].samples += samples - s->samples;
    s->samples = samples;
}

uint32_t mm_sound_leave_out(mm_sound *s, uint32_t most, int likeness, int *heard) {
    if (s->samples <= MM_FRAME_SAMPLES) return 0;
    if (most > s->samples - MM_FRAME_SAMPLES) most = s->samples - MM_FRAME_SAMPLES;
    if (is_all(s, MM_SOUND_SILENCE)) {
        mm_sound_drop(s, most);
        return most;
    }
    if (!is_all(s, MM_SOUND_VOICE)) return 0;
    int16_t *pcm = s->pcm + s->begin;
    const size_t period = mm_stretch_period(pcm, s->samples, most, likeness);
    if (!period) return 0;
    *heard = likeness < MM_STRETCH_QUIET;
    mm_stretch_shorten(pcm, s->samples, period);
    stretched(s, s->samples - (uint32_t)period);
    return (uint32_t)period;
}

uint32_t mm_sound_tell_twice(mm_sound *s, int likeness, int *heard) {
    uint32_t room;
    int16_t *end = mm_sound_room(s, &room);
    if (is_all(s, MM_SOUND_SILENCE)) {
        const uint32_t samples = room < MM_FRAME_SAMPLES ? room : MM_FRAME_SAMPLES;
        memset(end, 0, samples * sizeof *end);
        mm_sound_wrote(s, samples, MM_SOUND_SILENCE);
        return samples;
    }
    if (!is_all(s, MM_SOUND_VOICE)) return 0;
    const size_t period =
        mm_stretch_period(s->pcm, s->samples, room < MM_STRETCH_MOST ? room : MM_STRETCH_MOST, likeness);
    if (!period) return 0;
    *heard = likeness < MM_STRETCH_QUIET;
    mm_stretch_lengthen(s->pcm, s->samples, period);
    stretched(s, s->samples + (uint32_t)period);
    return (uint32_t)period;
}

enum mm_sound_kind mm_sound_take(mm_sound *s, int16_t pcm[MM_FRAME_SAMPLES]) {
    memcpy(pcm, s->pcm + s->begin, MM_FRAME_BYTES);
    uint32_t share[MM_SOUND_KINDS] = {0};
    uint32_t best = s->run[s->first_run].kind;
    s->taken = s->run[shed(s, MM_FRAME_SAMPLES, share)].label;
    for (uint32_t kind = 0; kind < MM_SOUND_KINDS; kind++)
        if (share[kind] > share[best]) best = kind;
    return (enum mm_sound_kind)best;
}
