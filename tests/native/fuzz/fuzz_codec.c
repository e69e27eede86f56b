/* Payloads and concealment in any order through every codec.
 *
 * Byte 0: codec. Then operations: kind, length, payload. libopus comes from MM_LIBOPUS, if set;
 * without it Opus is looked at by its headers only. What is checked beside the sanitizers' own:
 * lengths are what was promised, a failed call leaves no sound, and the encoder's packets decode.
 */
#include "check.h"
#include "codec.h"
#include "memory.h"
#include "opus.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    char said[300];
    const char *path = getenv("MM_LIBOPUS");
    if (!path) return 0;
    const int bound = mm_opus_bind(path, said, sizeof said);
    if (bound != MM_OPUS_BOUND) fprintf(stderr, "%s\n", said);
    CHECK(bound == MM_OPUS_BOUND);
    return 0;
}

enum { DECODE, DECODE_SMALL_ROOM, FEC, CONCEAL, ENCODE, KINDS };

static void decode(void *decoder, enum mm_codec codec, const uint8_t *payload, size_t size,
                   int room) {
    /* ASan sees one sample more. */
    int16_t *pcm = malloc((size_t)(room > 0 ? room : 1) * sizeof *pcm);
    CHECK(pcm);
    const int promised = mm_codec_packet_samples(codec, payload, size);
    const int done = mm_decode(decoder, payload, size, pcm, room);
    CHECK(promised == -1 || (promised > 0 && promised <= MM_PACKET_SAMPLES_MAX));
    CHECK(done == -1 || done == promised);
    CHECK(done <= room);
    free(pcm);
}

static void make_up(void *decoder, const uint8_t *next, size_t size, int samples, int fec) {
    int16_t *pcm = malloc((size_t)(samples > 0 ? samples : 1) * sizeof *pcm);
    CHECK(pcm);
    const int done =
        fec ? mm_decode_fec(decoder, next, size, pcm, samples) : mm_conceal(decoder, pcm, samples);
    CHECK(done == -1 || done == samples);
    CHECK(fec || done == samples || samples % 40 || samples < 40 || samples > MM_PACKET_SAMPLES_MAX);
    free(pcm);
}

static void encode(void *encoder, void *decoder, enum mm_codec codec, const uint8_t *data,
                   size_t size, int room) {
    int16_t pcm[320] = {0};
    uint8_t *out = malloc((size_t)(room > 0 ? room : 1));
    CHECK(out);
    memcpy(pcm, data, size < sizeof pcm ? size : sizeof pcm);
    const int done = mm_encode(encoder, pcm, 320, out, room);
    CHECK(done >= -1 && done <= room);
    if (done > 0) {
        CHECK(mm_codec_packet_samples(codec, out, (size_t)done) == 320);
        CHECK(mm_decode(decoder, out, (size_t)done, pcm, 320) == 320);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    const enum mm_codec codec = (enum mm_codec)(data[0] % MM_CODECS);
    const mm_encoder_settings settings = {6000 + data[1] * 250u, data[1] % 11, data[1] & 1,
                                          data[1] % 51, data[1] >> 1 & 1};
    if (!mm_decoder_bytes(codec)) {
        const int samples = mm_codec_packet_samples(codec, data + 2, size - 2);
        CHECK(samples >= -1 && samples <= MM_PACKET_SAMPLES_MAX);
        return 0;
    }
    void *decoder = aligned_alloc(64, (mm_decoder_bytes(codec) + 63) / 64 * 64);
    const int encodes = mm_encoder_bytes(codec) > 0;
    void *encoder = aligned_alloc(64, (mm_encoder_bytes(codec) + 63 + !encodes) / 64 * 64);
    CHECK(decoder && encoder);
    CHECK(mm_decoder_init(decoder, codec) == 0);
    CHECK(mm_encoder_init(encoder, codec, &settings) == (encodes ? 0 : -1));
    size_t at = 2;
    for (int n = 0; n < 64 && at + 2 <= size; n++) {
        const int kind = data[at] % KINDS, argument = data[at] / KINDS;
        size_t length = data[at + 1] * (codec == MM_PCM16K ? 4u : 1u); /* a frame of it is 644 bytes or more */
        at += 2;
        if (length > size - at) length = size - at;
        const uint8_t *payload = data + at;
        at += length;
        if (kind == DECODE) decode(decoder, codec, payload, length, MM_PACKET_SAMPLES_MAX);
        if (kind == DECODE_SMALL_ROOM) decode(decoder, codec, payload, length, argument * 16);
        if (kind == FEC) make_up(decoder, payload, length, argument * 40, 1);
        if (kind == CONCEAL) make_up(decoder, payload, length, argument * 40 + (length == 1), 0);
        if (kind == ENCODE && encodes) encode(encoder, decoder, codec, payload, length, argument * 16);
    }
    free(decoder);
    free(encoder);
    return 0;
}
