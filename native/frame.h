/* One Pcm16K frame and what is known about it: the unit of every ring, leg and tick. */
#ifndef MM_FRAME_H
#define MM_FRAME_H

#include <stddef.h>
#include <stdint.h>

#if !defined(__linux__) || !(defined(__x86_64__) || defined(__aarch64__))
#error "mixminus runs on Linux on x86-64 (AVX-512, AVX2 or scalar kernels) and aarch64 (scalar kernels)"
#endif

#define MM_FRAME_SAMPLES 320u /* 20 ms at 16 kHz */
#define MM_FRAME_BYTES (MM_FRAME_SAMPLES * 2u)
#define MM_FRAME_NS 20000000
#define MM_SPEAKERS 8u /* of the sources now audible, the first this many travel with a frame */

enum mm_frame_flag {
    MM_FRAME_SILENCE = 1,   /* nobody audible */
    MM_FRAME_CONCEALED = 2, /* made up, because the source's frame had not come */
    MM_FRAME_SKIPPED = 4,   /* stands for a tick that the engine had to leave out */
    MM_FRAME_FEC = 8,       /* lost, and read from the redundancy of the packet after it */
    MM_FRAME_COMFORT = 16,  /* the source said that it pauses: its noise goes on */
};

typedef struct mm_meta {
    int64_t timestamp; /* 100 ns ticks of the engine's timeline */
    uint32_t flags;
    uint32_t speaker_count;
    uint32_t speakers[MM_SPEAKERS];
} mm_meta;

#endif
