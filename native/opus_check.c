#include "opus_check.h"

#include <stdio.h>
#include <string.h>

#include "memory.h"
#include "opus.h"
#include "shared_library.h"

#define FRAME 320
#define CALLS 100
#define ROOM 400

/* Three frames of a chirp from 300 Hz at 12 kb/s, SILK at 16 kHz: that decoder is defined to the
 * bit (RFC 6716 section 6), and at this rate nothing comes after it. libopus 1.3.1 and 1.6.1 agree.
 */
static const struct {
    uint8_t size, bytes[64];
} KNOWN[] = {
    {56, {
         0x48, 0x82, 0xb5, 0x5d, 0x6c, 0x47, 0x24, 0xea, 0x01, 0xb9, 0xa7, 0x0a, 0xb6, 0xdf,
         0xa3, 0x9f, 0x4c, 0xce, 0xfe, 0x1e, 0xf9, 0x60, 0x12, 0x07, 0xda, 0x18, 0xf9, 0x71,
         0xf6, 0xfe, 0x6d, 0x44, 0x8a, 0x72, 0xe1, 0x4e, 0x3b, 0xb8, 0x0b, 0xd9, 0xa9, 0x71,
         0xdf, 0x43, 0x46, 0x01, 0x78, 0xe4, 0xd6, 0xea, 0x40, 0xac, 0xd5, 0x75, 0x25, 0x90}},
    {49, {
         0x48, 0xa7, 0x1a, 0x82, 0x35, 0x0f, 0x2d, 0x58, 0x36, 0x1a, 0x13, 0xcc, 0x8c, 0x73,
         0xcd, 0xc1, 0xd2, 0x32, 0xd1, 0xef, 0xaa, 0x0f, 0x1d, 0x15, 0xfe, 0xed, 0x70, 0x3c,
         0x4d, 0x4b, 0xbc, 0x91, 0x42, 0x28, 0x9b, 0xc5, 0x4a, 0xeb, 0xa0, 0xd2, 0x76, 0xb5,
         0x8c, 0x6c, 0x1c, 0x07, 0xc7, 0x6f, 0x40}},
    {59, {
         0x48, 0xa1, 0x58, 0x2c, 0x10, 0xa9, 0x89, 0x10, 0xd3, 0x4c, 0xab, 0x56, 0x78, 0x27,
         0x12, 0x42, 0x60, 0x0c, 0x4b, 0xd9, 0xd2, 0x7f, 0x03, 0x09, 0xb9, 0xa5, 0xce, 0x45,
         0x95, 0xdd, 0x2e, 0x5a, 0x9e, 0x50, 0x55, 0xc7, 0xf8, 0xf3, 0x11, 0x22, 0xae, 0xde,
         0x6f, 0x6d, 0x28, 0xac, 0xf8, 0x4f, 0xbc, 0xa7, 0xee, 0xf7, 0x99, 0xf4, 0x63, 0x11,
         0x82, 0x08, 0x80}},
};
#define KNOWN_COUNT (sizeof KNOWN / sizeof *KNOWN)
#define KNOWN_HASH 0xf4f961a0u

typedef struct bench {
    void *decoder, *encoder, *copy;
    uint32_t seed;
    int16_t pcm[FRAME];
    uint8_t packet[ROOM];
    int size, failed;
} bench;

/* FNV-1a over samples. */
static uint32_t hash_of(uint32_t hash, const int16_t *pcm, size_t count) {
    for (size_t i = 0; i < count; i++) hash = (hash ^ (uint16_t)pcm[i]) * 16777619u;
    return hash;
}

static int known_answer(bench *b) {
    uint32_t hash = 2166136261u;
    if (mm_opus_decoder_init(b->decoder)) return 0;
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (mm_opus_decode(b->decoder, KNOWN[i].bytes, KNOWN[i].size, b->pcm, FRAME) != FRAME)
            return 0;
        hash = hash_of(hash, b->pcm, FRAME);
    }
    return hash == KNOWN_HASH;
}

/* A tone that changes with every frame, in noise: work for every part of an encoder. */
static void next_frame(bench *b) {
    static const int16_t WAVE[16] = {0,     2296,  4243,  5543,  6000,  5543,  4243,  2296,
                                     0,     -2296, -4243, -5543, -6000, -5543, -4243, -2296};
    for (unsigned i = 0; i < FRAME; i++) {
        b->seed = b->seed * 1664525u + 1013904223u;
        const unsigned phase = i * (1 + (b->seed & 1) + b->packet[0] % 3u);
        b->pcm[i] = (int16_t)(WAVE[phase % 16u] + (int16_t)(b->seed >> 16) / 16);
    }
}

static void code(void *argument) {
    bench *b = argument;
    next_frame(b);
    b->size = mm_opus_encode(b->encoder, b->pcm, FRAME, b->packet, ROOM);
    if (b->size <= 0) {
        b->failed = 1;
        return;
    }
    if (mm_opus_conceal(b->decoder, b->pcm, FRAME) != FRAME) b->failed = 1;
    (void)mm_opus_decode_fec(b->decoder, b->packet, (size_t)b->size, b->pcm, FRAME);
    if (mm_opus_decode(b->decoder, b->packet, (size_t)b->size, b->pcm, FRAME) != FRAME)
        b->failed = 1;
}

/* The shared encode rests on it that a copied encoder goes on as the first would have. */
static int copies_alike(bench *b) {
    uint8_t again[ROOM];
    memcpy(b->copy, b->encoder, mm_opus_encoder_bytes());
    for (int i = 0; i < 5; i++) {
        next_frame(b);
        const int size = mm_opus_encode(b->encoder, b->pcm, FRAME, b->packet, ROOM);
        if (mm_opus_encode(b->copy, b->pcm, FRAME, again, ROOM) != size || size <= 0) return 0;
        if (memcmp(again, b->packet, (size_t)size)) return 0;
    }
    return 1;
}

static int check(bench *b, char *error, size_t error_room) {
    const mm_encoder_settings settings = {32000, 5, 1, 10, 0};
    if (!known_answer(b)) {
        snprintf(error, error_room, "libopus decodes a known packet to something else");
        return MM_OPUS_WRONG_ANSWER;
    }
    const int encoder = mm_opus_encoder_init(b->encoder, &settings);
    const int allocates = encoder ? 0 : mm_shared_library_allocates(code, b, CALLS);
    if (encoder || b->failed) {
        snprintf(error, error_room, "libopus does not encode with our settings");
        return MM_OPUS_WRONG_ANSWER;
    }
    if (allocates) {
        snprintf(error, error_room, "libopus %s",
                 allocates > 0 ? "allocates while it codes" : "cannot be watched with this libc");
        return MM_OPUS_ALLOCATES;
    }
    if (!copies_alike(b)) {
        snprintf(error, error_room, "a copied libopus encoder does not go on like the first");
        return MM_OPUS_WRONG_ANSWER;
    }
    return MM_OPUS_BOUND;
}

static size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

int mm_opus_check(char *error, size_t error_room) {
    const size_t decoder = aligned(mm_opus_decoder_bytes());
    const size_t encoder = aligned(mm_opus_encoder_bytes());
    char *memory = mm_pages_alloc(aligned(sizeof(bench)) + decoder + 2 * encoder);
    if (!memory) {
        snprintf(error, error_room, "no memory for the self-test");
        return MM_OPUS_NOT_OPENED;
    }
    bench *b = (bench *)memory;
    b->decoder = memory + aligned(sizeof(bench));
    b->encoder = memory + aligned(sizeof(bench)) + decoder;
    b->copy = memory + aligned(sizeof(bench)) + decoder + encoder;
    const int result = check(b, error, error_room);
    mm_pages_free(memory);
    return result;
}
