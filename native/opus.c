#include "opus.h"

#include <stdalign.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "opus_check.h"
#include "shared_library.h"

#define RATE_HZ 16000
#define FRAMES_MOST 48 /* RFC 6716 section 3.2.5: 120 ms of 2.5 ms frames */
#define PATH_MOST 4096

/* opus_defines.h, as fixed as the format: their numbers are libopus's binary interface. */
#define APPLICATION_AUDIO 2049
#define SET_BITRATE 4002
#define SET_COMPLEXITY 4010
#define SET_INBAND_FEC 4012
#define SET_PACKET_LOSS_PERC 4014
#define SET_DTX 4016
#define SET_SIGNAL 4024
#define SET_PREDICTION_DISABLED 4042
#define SIGNAL_VOICE 3001

static const char *const NAMES[] = {
    "opus_get_version_string", "opus_packet_parse",   "opus_decoder_get_size",
    "opus_decoder_init",       "opus_decode",         "opus_encoder_get_size",
    "opus_encoder_init",       "opus_encoder_ctl",    "opus_encode",
};
#define SYMBOLS (sizeof NAMES / sizeof *NAMES)

typedef struct api {
    const char *(*version)(void);
    int (*packet_parse)(const uint8_t *data, int32_t size, uint8_t *toc,
                        const uint8_t *frames[FRAMES_MOST], int16_t sizes[FRAMES_MOST],
                        int *offset);
    int (*decoder_get_size)(int channels);
    int (*decoder_init)(void *decoder, int32_t rate_hz, int channels);
    int (*decode)(void *decoder, const uint8_t *data, int32_t size, int16_t *pcm, int room,
                  int fec);
    int (*encoder_get_size)(int channels);
    int (*encoder_init)(void *encoder, int32_t rate_hz, int channels, int application);
    int (*encoder_ctl)(void *encoder, int request, ...);
    int32_t (*encode)(void *encoder, const int16_t *pcm, int samples, uint8_t *out, int32_t room);
} api;

_Static_assert(sizeof(api) == SYMBOLS * sizeof(void *), "one function a name, in the same order");

/* The one state of a process here: which library it has. Written once, before any engine runs, and
 * only read from then on; a pointer to it in every coder would say the same thing many times. */
static struct {
    int bound;
    size_t decoder_bytes, encoder_bytes;
    api call;
    char path[PATH_MOST];
} opus;

/* After half a second of nothing at all its packets say the same thing, each at the price of speech: the last
 * one is told again, and the first frame that is something leans on none before it. */
#define REST_AFTER 25u
#define REST_BYTES 128u /* many times what a frame of nothing takes */

typedef struct encoder {
    uint8_t dtx, detach_next;
    uint8_t empty_frames; /* in a row, up to REST_AFTER */
    uint8_t rest_bytes;   /* 0: not resting */
    uint16_t rest_samples;
    uint8_t rest[REST_BYTES];
    alignas(16) unsigned char state[];
} encoder;

const char *mm_opus_version(void) { return opus.bound ? opus.call.version() : NULL; }
const char *mm_opus_path(void) { return opus.bound ? opus.path : NULL; }

static int take(void *const *symbols, char *error, size_t error_room) {
    memcpy(&opus.call, symbols, sizeof opus.call);
    const int decoder_bytes = opus.call.decoder_get_size(1);
    const int encoder_bytes = opus.call.encoder_get_size(1);
    if (decoder_bytes <= 0 || encoder_bytes <= 0) {
        snprintf(error, error_room, "libopus tells no size of its coders");
        return MM_OPUS_NOT_OPENED;
    }
    opus.decoder_bytes = (size_t)decoder_bytes;
    opus.encoder_bytes = (size_t)encoder_bytes;
    opus.bound = 1; /* for the self-test, which goes through the functions below */
    return mm_opus_check(error, error_room);
}

int mm_opus_bind(const char *path, char *error, size_t error_room) {
    if (opus.bound) {
        if (strcmp(path, opus.path) == 0) return MM_OPUS_BOUND;
        snprintf(error, error_room, "%s is bound already", opus.path);
        return MM_OPUS_OTHER_BOUND;
    }
    if (strlen(path) >= PATH_MOST) {
        snprintf(error, error_room, "path of %zu bytes", strlen(path));
        return MM_OPUS_NOT_OPENED;
    }
    void *symbols[SYMBOLS];
    void *handle = mm_shared_library_open(path, NAMES, symbols, SYMBOLS, error, error_room);
    if (!handle) return MM_OPUS_NOT_OPENED;
    const int result = take(symbols, error, error_room);
    if (result != MM_OPUS_BOUND) {
        memset(&opus, 0, sizeof opus);
        mm_shared_library_close(handle);
        return result;
    }
    strcpy(opus.path, path);
    return MM_OPUS_BOUND; /* the handle stays open: its functions run until the process ends */
}

/* RFC 6716 section 3.1: samples of 16 kHz in one frame, by the upper five bits of the first byte. */
static int frame_samples(uint8_t toc) {
    const int configuration = toc >> 3;
    if (configuration >= 16) return 40 << (configuration & 3);          /* CELT: 2.5 to 20 ms */
    if (configuration >= 12) return 160 << (configuration & 1);         /* hybrid: 10, 20 */
    return (configuration & 3) == 3 ? 960 : 160 << (configuration & 3); /* SILK: 10 to 60 */
}

int mm_opus_packet_samples(const uint8_t *payload, size_t size) {
    if (size == 0) return -1;
    const int code = payload[0] & 3;
    if (code == 3 && size < 2) return -1;
    const int frames = code == 0 ? 1 : code < 3 ? 2 : payload[1] & 63;
    const int samples = frames * frame_samples(payload[0]);
    return samples == 0 || samples > MM_PACKET_SAMPLES_MAX ? -1 : samples;
}

size_t mm_opus_decoder_bytes(void) { return opus.decoder_bytes; }

int mm_opus_decoder_init(void *decoder) {
    return opus.bound && opus.call.decoder_init(decoder, RATE_HZ, 1) == 0 ? 0 : -1;
}

int mm_opus_decode(void *decoder, const uint8_t *payload, size_t size, int16_t *pcm, int room) {
    /* No payload would mean: conceal. */
    const int samples = mm_opus_packet_samples(payload, size);
    if (samples < 0 || samples > room || size > INT16_MAX) return -1;
    const int done = opus.call.decode(decoder, payload, (int32_t)size, pcm, samples, 0);
    return done > 0 ? done : -1;
}

/* RFC 6716 section 4.2.3: behind the VAD bits of a SILK frame stands whether it has redundancy. */
static int has_redundancy(const uint8_t *payload, size_t size) {
    const uint8_t *frames[FRAMES_MOST];
    int16_t sizes[FRAMES_MOST];
    uint8_t toc;
    if (payload[0] & 0x80) return 0; /* CELT has none */
    if (opus.call.packet_parse(payload, (int32_t)size, &toc, frames, sizes, NULL) <= 0) return 0;
    if (sizes[0] < 2) return 0; /* DTX */
    const int samples = frame_samples(toc);
    const int voiced_bits = samples > 320 ? samples / 320 : 1;
    const int mid = frames[0][0] >> (7 - voiced_bits) & 1;
    const int side = toc & 4 ? frames[0][0] >> (6 - 2 * voiced_bits) & 1 : 0;
    return mid || side;
}

int mm_opus_decode_fec(void *decoder, const uint8_t *next, size_t size, int16_t *pcm, int samples) {
    if (mm_opus_packet_samples(next, size) < 0 || size > INT16_MAX) return -1;
    if (samples < frame_samples(next[0]) || samples > MM_PACKET_SAMPLES_MAX || samples % 40)
        return -1;
    if (!has_redundancy(next, size)) return -1;
    const int done = opus.call.decode(decoder, next, (int32_t)size, pcm, samples, 1);
    return done == samples ? samples : -1;
}

int mm_opus_conceal(void *decoder, int16_t *pcm, int samples) {
    return opus.call.decode(decoder, NULL, 0, pcm, samples, 0) == samples ? samples : -1;
}

size_t mm_opus_encoder_bytes(void) {
    return opus.bound ? sizeof(encoder) + opus.encoder_bytes : 0;
}

int mm_opus_encoder_init(void *memory, const mm_encoder_settings *settings) {
    encoder *e = memory;
    if (!opus.bound || settings->bit_rate < 6000 || settings->bit_rate > 510000 ||
        settings->complexity > 10 || settings->loss_percent > 100)
        return -1;
    *e = (encoder){.dtx = settings->dtx != 0};
    /* Told that it is voice, "audio" codes as "voip" does (SILK, redundancy, the same PESQ) without that one's
     * high-pass: coded twice, speech correlates with its source at 0.98 or more instead of 0.83. */
    if (opus.call.encoder_init(e->state, RATE_HZ, 1, APPLICATION_AUDIO)) return -1;
    const struct {
        int request;
        int32_t value;
    } set[] = {{SET_BITRATE, (int32_t)settings->bit_rate},
               {SET_COMPLEXITY, settings->complexity},
               {SET_DTX, e->dtx},
               {SET_SIGNAL, SIGNAL_VOICE},
               {SET_INBAND_FEC, settings->fec != 0},
               {SET_PACKET_LOSS_PERC, settings->loss_percent},
               {SET_PREDICTION_DISABLED, 0}};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        if (opus.call.encoder_ctl(e->state, set[i].request, set[i].value)) return -1;
    return 0;
}

static int is_empty(const int16_t *pcm, int samples) {
    for (int i = 0; i < samples; i++)
        if (pcm[i]) return 0;
    return 1;
}

/* 1 when what was told last is to be told again. */
static int rests(encoder *e, const int16_t *pcm, int samples) {
    if (!is_empty(pcm, samples)) {
        if (e->rest_bytes) e->detach_next = 1;
        e->empty_frames = e->rest_bytes = 0;
        return 0;
    }
    if (e->empty_frames < REST_AFTER) e->empty_frames++;
    return e->rest_bytes && e->rest_samples == samples;
}

static void may_rest(encoder *e, const uint8_t *payload, int size, int samples) {
    if (e->dtx || e->empty_frames < REST_AFTER || size > (int)REST_BYTES) return;
    memcpy(e->rest, payload, (size_t)size);
    e->rest_bytes = (uint8_t)size;
    e->rest_samples = (uint16_t)samples;
}

int mm_opus_encode(void *memory, const int16_t *pcm, int samples, uint8_t *out, int room) {
    encoder *e = memory;
    if (samples != 160 && samples != 320 && samples != 640 && samples != 960) return -1;
    if (rests(e, pcm, samples) && e->rest_bytes <= room) {
        memcpy(out, e->rest, e->rest_bytes);
        return e->rest_bytes;
    }
    if (e->detach_next) opus.call.encoder_ctl(e->state, SET_PREDICTION_DISABLED, (int32_t)1);
    const int size = opus.call.encode(e->state, pcm, samples, out, room);
    if (e->detach_next) opus.call.encoder_ctl(e->state, SET_PREDICTION_DISABLED, (int32_t)0);
    const int unsent = e->dtx && size > 0 && size <= 2; /* opus.h: need not be transmitted */
    e->detach_next = e->detach_next && unsent; /* nobody can join at what does not go out */
    if (size <= 0) return -1;
    if (!unsent) may_rest(e, out, size, samples);
    return unsent ? 0 : size;
}

void mm_opus_encoder_set_fec(void *memory, int fec, int loss_percent) {
    encoder *e = memory;
    opus.call.encoder_ctl(e->state, SET_INBAND_FEC, (int32_t)(fec != 0));
    opus.call.encoder_ctl(e->state, SET_PACKET_LOSS_PERC, (int32_t)loss_percent);
}

int mm_opus_encoder_detach_next(void *memory) {
    ((encoder *)memory)->detach_next = 1;
    return 0;
}
