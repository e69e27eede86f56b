/* Legs of a group that come, go, talk and report losses in any order.
 *
 * Byte 0: codec, byte 1: settings. Then a byte a tick and a byte for what happens in it. Each leg
 * has the decoder of its far end, in which every packet is 20 ms.
 */
#include "check.h"
#include "encode.h"
#include "opus.h"

#define LEGS 6
#define TICKS 48

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    char said[300];
    const char *path = getenv("MM_LIBOPUS");
    if (path) CHECK(mm_opus_bind(path, said, sizeof said) == MM_OPUS_BOUND);
    return 0;
}

typedef struct far_end {
    mm_encode_leg leg;
    void *encoder, *decoder;
    int here, talks;
} far_end;

static void *take(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    CHECK(memory);
    return memory;
}

static void arrive(far_end *f, enum mm_codec codec) {
    mm_encode_leg_init(&f->leg, f->encoder);
    CHECK(mm_decoder_init(f->decoder, codec) == 0);
    f->here = 1;
    f->talks = 0;
}

static void tick(mm_encode_group *g, far_end *ends, const int16_t *mix, const int16_t *own) {
    mm_encode_leg *legs[LEGS];
    far_end *whose[LEGS];
    size_t count = 0;
    for (int i = 0; i < LEGS; i++) {
        if (!ends[i].here) continue;
        ends[i].leg.own_mix = ends[i].talks ? own : NULL;
        whose[count] = &ends[i];
        legs[count++] = &ends[i].leg;
    }
    mm_encode_tick(g, legs, count, mix, 320);
    for (size_t i = 0; i < count; i++) {
        int16_t pcm[320];
        const size_t size = (size_t)legs[i]->size;
        CHECK(legs[i]->place != MM_ENCODE_NOWHERE);
        CHECK(legs[i]->size >= 0 && legs[i]->size <= MM_ENCODED_BYTES);
        CHECK(!legs[i]->own_mix || legs[i]->payload == legs[i]->own_payload);
        if (legs[i]->size > 0)
            CHECK(mm_decode(whose[i]->decoder, legs[i]->payload, size, pcm, 320) == 320);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    const enum mm_codec codec = (enum mm_codec)(data[0] % MM_CODECS);
    const mm_encoder_settings settings = {32000, 0, data[1] & 1, data[1] % 51, data[1] >> 1 & 1};
    mm_encode_group group;
    if (!mm_encoder_bytes(codec)) {
        CHECK(mm_encode_group_init(&group, codec, &settings, NULL) == -1);
        return 0;
    }
    void *memory = take(2 * mm_encode_room(codec));
    CHECK(mm_encode_group_init(&group, codec, &settings, memory) == 0);
    far_end ends[LEGS];
    memset(ends, 0, sizeof ends);
    for (int i = 0; i < LEGS; i++) {
        ends[i].encoder = take(mm_encode_room(codec));
        ends[i].decoder = take(mm_decoder_bytes(codec));
    }
    uint32_t seed = 1;
    for (size_t at = 2; at + 2 <= size && at < 2 + 2 * TICKS; at += 2) {
        far_end *f = &ends[data[at] % LEGS];
        const int action = data[at + 1] & 3, value = data[at + 1] >> 2;
        if (!f->here || action == 0)
            arrive(f, codec);
        else if (action == 1)
            f->here = 0;
        else if (action == 2)
            f->talks = !f->talks;
        else
            mm_encode_leg_report_loss(&f->leg, value - 1);
        int16_t mix[320], own[320];
        for (int i = 0; i < 320; i++) {
            seed = seed * 1664525u + 1013904223u;
            mix[i] = (int16_t)((int32_t)(seed >> 16) * (value & 15) / 16 - 32768 * (value & 15) / 32);
            own[i] = (int16_t)(seed >> 20);
        }
        tick(&group, ends, mix, own);
    }
    for (int i = 0; i < LEGS; i++) {
        free(ends[i].encoder);
        free(ends[i].decoder);
    }
    free(memory);
    return 0;
}
