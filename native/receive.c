#include <string.h>

#include "fade.h"
#include "memory.h"
#include "pcm16k.h"
#include "receive_parts.h"

#define CONCEAL_SAMPLES 3200u /* 200 ms: by then every concealment has faded out */
#define REST_TICKS 25u    /* half a second of nothing: beyond the gate's hangover nobody hears it */
#define GRAIN 40u         /* concealment comes in steps of 2.5 ms (libopus) */
#define FRAME MM_FRAME_SAMPLES
#define STUCK_PACKETS 5u  /* so many late in a row: it is the timeline that is wrong */
#define LEAST_CAP_MS 40u
#define RUNAWAY_NS INT64_C(500000000)
/* Before the network is known: 40 ms beside the frame (NetEq: 60 to 80 in all). A media link's other end is a
 * neighbour, and its frames tell at once what it takes. */
#define START_NS INT64_C(40000000)
#define SHED_TO_NS INT64_C(60000000) /* then as at the start of a call */

size_t mm_receiver_bytes(void) {
    size_t most = 0;
    for (int codec = 0; codec < MM_CODECS; codec++) {
        const size_t bytes = mm_decoder_bytes((enum mm_codec)codec);
        if (bytes > most) most = bytes;
    }
    return (sizeof(mm_receiver) + most + 63) / 64 * 64;
}

void mm_receiver_init(void *memory, const mm_receiver_settings *settings) {
    mm_receiver *r = memory;
    memset(r, 0, sizeof *r);
    r->settings = *settings;
    if (settings->cap_ms < LEAST_CAP_MS) r->settings.cap_ms = LEAST_CAP_MS;
    r->start_ns = START_NS;
    for (size_t type = 0; type < sizeof settings->types; type++)
        if (settings->types[type] == 1 + MM_PCM16K) r->start_ns = 0;
    mm_pace_init(&r->pace);
    mm_jitter_init(&r->jitter, &r->ledger);
}

mm_receiver *mm_receiver_create(const mm_receiver_settings *settings) {
    mm_receiver *r = mm_pages_alloc(mm_receiver_bytes());
    if (r) mm_receiver_init(r, settings);
    return r;
}

void mm_receiver_destroy(void *receiver) { mm_pages_free(receiver); }

const mm_ledger *mm_receiver_ledger(const mm_receiver *r) { return &r->ledger; }

int mm_receiver_follows(const mm_receiver *r, uint32_t ssrc) {
    return r->jitter.top_sequence && r->jitter.ssrc == ssrc;
}

/* ---- what is written to the queue ------------------------------------------------------------ */

static void wrote(mm_receiver *r, uint32_t samples, enum mm_sound_kind kind) {
    if (kind == MM_SOUND_SILENCE) memset(&r->sound.label, 0, sizeof r->sound.label);
    mm_sound_wrote(&r->sound, samples, kind);
    if (kind == MM_SOUND_VOICE) {
        mm_receive_count(r, MM_RX_DECODED_SAMPLES, samples);
        return;
    }
    mm_receive_count(r, MM_RX_MADE_UP_SAMPLES, samples);
    if (kind == MM_SOUND_CONCEALED) mm_receive_count(r, MM_RX_CONCEALED_SAMPLES, samples);
}

static void write_zeros(mm_receiver *r, uint32_t samples) {
    int16_t *pcm = mm_sound_room(&r->sound, NULL);
    memset(pcm, 0, samples * sizeof *pcm);
    wrote(r, samples, MM_SOUND_SILENCE);
}

static int resting(const mm_receiver *r) { return r->quiet_ticks >= REST_TICKS; }

/* A multiple of GRAIN, at most one frame: made up by the decoder. */
static void conceal(mm_receiver *r, uint32_t samples, enum mm_sound_kind kind) {
    int16_t *pcm = mm_sound_room(&r->sound, NULL);
    if (kind == MM_SOUND_CONCEALED && resting(r)) {
        write_zeros(r, samples); /* what was silent goes on to be */
        return;
    }
    if (kind == MM_SOUND_CONCEALED && !r->after_silent) r->loud = 1;
    r->sound.label.flags &= ~(uint32_t)MM_FRAME_SKIPPED; /* its speakers go on, what it stood for does not */
    if (!r->decoding || mm_conceal(r->decoder, pcm, (int)samples) < 0)
        memset(pcm, 0, samples * sizeof *pcm);
    wrote(r, samples, kind);
}

static void write_noise(mm_receiver *r, uint32_t samples) {
    if (r->noise.peak == 0 && r->codec == MM_OPUS) {
        conceal(r, samples, MM_SOUND_COMFORT); /* after a pause it is noise that libopus makes up */
        return;
    }
    int16_t *pcm = mm_sound_room(&r->sound, NULL);
    mm_noise_write(&r->noise, pcm, samples);
    wrote(r, samples, MM_SOUND_COMFORT);
}

/* Decode behind the queue; samples, or -1. Not yet counted as written. */
static int decode(mm_receiver *r, const mm_packet *packet) {
    uint32_t room;
    int16_t *pcm = mm_sound_room(&r->sound, &room);
    if (!r->decoding || r->codec != packet->codec || r->stream != packet->stream) {
        r->codec = packet->codec;
        r->stream = packet->stream;
        r->decoding = mm_decoder_init(r->decoder, (enum mm_codec)packet->codec) == 0;
        memset(&r->sound.label, 0, sizeof r->sound.label);
    }
    if (!r->decoding) return -1;
    if (room > MM_PACKET_SAMPLES_MAX) room = MM_PACKET_SAMPLES_MAX;
    return mm_decode(r->decoder, mm_jitter_payload(&r->jitter, packet), packet->size, pcm, (int)room);
}

/* ---- packets that need no decoding ----------------------------------------------------------- */

static void keep(mm_receiver *r, const mm_packet *packet) {
    if (r->kept_count == MM_RECEIVE_KEPT) {
        mm_receive_count(r, MM_RX_SILENT, 1);
        mm_jitter_release(&r->jitter, &r->kept[0]);
        memmove(r->kept, r->kept + 1, (MM_RECEIVE_KEPT - 1) * sizeof *r->kept);
        r->kept_count--;
    }
    r->kept[r->kept_count++] = *packet;
}

/* Speech resumes: the decoder hears what came just before, so that it is in the right state. */
static void warm_up(mm_receiver *r) {
    for (uint32_t i = 0; i < r->kept_count; i++) {
        mm_receive_count(r, decode(r, &r->kept[i]) < 0 ? MM_RX_UNDECODABLE : MM_RX_DECODED, 1);
        mm_jitter_release(&r->jitter, &r->kept[i]);
    }
    r->kept_count = 0;
}

/* ---- one packet ------------------------------------------------------------------------------ */

static int64_t needed_ns(const mm_receiver *r) {
    const int64_t extra = r->redundancy.worth_waiting ? (int64_t)r->packet_samples * MM_JITTER_SAMPLE_NS : 0;
    const int64_t cap = (int64_t)r->settings.cap_ms * 1000000 - MM_FRAME_NS;
    return mm_delay_needed(&r->delay, r->start_ns, extra, cap);
}

/* By how much *packet*, needed now, came before its time; of a kind with all that come. */
static int64_t margin_ns(const mm_receiver *r, const mm_packet *packet, int64_t now_ns) {
    return now_ns - packet->media_samples * MM_JITTER_SAMPLE_NS - needed_ns(r);
}

/* Take the first packet and write it out. *skip* samples of it were made up before. */
static void play_packet(mm_receiver *r, uint32_t skip) {
    const int64_t before = r->jitter.next_sequence;
    const mm_packet packet = mm_jitter_take(&r->jitter);
    const int carries = mm_redundancy_in((enum mm_codec)packet.codec,
                                         mm_jitter_payload(&r->jitter, &packet), packet.size);
    mm_redundancy_put(&r->redundancy, carries, r->state == PLAYING ? packet.sequence - before : 0);
    r->after_event = 0;
    r->after_silent = packet.silent;
    r->packet_samples = packet.samples;
    r->next_samples = packet.media_samples + packet.samples;
    r->ahead_samples = r->run_samples = r->late_in_row = 0;
    const int opus_pause = packet.codec == MM_OPUS && packet.size <= MM_RECEIVE_OPUS_PAUSE_BYTES;
    r->state = opus_pause ? PAUSED : PLAYING;
    if (packet.silent && resting(r)) {
        write_zeros(r, packet.samples - skip);
        keep(r, &packet);
        return;
    }
    warm_up(r);
    if (!packet.silent) r->loud = 1;
    const int samples = decode(r, &packet);
    if (samples < 0) {
        mm_receive_count(r, MM_RX_UNDECODABLE, 1);
        for (uint32_t left = packet.samples - skip, part; left; left -= part) {
            part = left < FRAME ? left : FRAME;
            if (part % GRAIN)
                write_zeros(r, part);
            else
                conceal(r, part, MM_SOUND_CONCEALED);
        }
    } else {
        int16_t *pcm = mm_sound_room(&r->sound, NULL);
        mm_receive_count(r, MM_RX_DECODED, 1);
        if (skip > (uint32_t)samples) skip = (uint32_t)samples;
        memmove(pcm, pcm + skip, ((uint32_t)samples - skip) * sizeof *pcm);
        if (packet.codec == MM_PCM16K)
            mm_pcm16k_meta(&r->sound.label, mm_jitter_payload(&r->jitter, &packet), packet.size);
        /* A tick that a link's far end left out is made up by the decoder, too. */
        wrote(r, (uint32_t)samples - skip, opus_pause ? MM_SOUND_COMFORT
                 : r->sound.label.flags & MM_FRAME_SKIPPED ? MM_SOUND_CONCEALED : MM_SOUND_VOICE);
    }
    mm_jitter_release(&r->jitter, &packet);
}

static void drop_packet(mm_receiver *r, enum mm_receive_counter reason) {
    const mm_packet packet = mm_jitter_take(&r->jitter);
    mm_receive_count(r, reason, 1);
    mm_jitter_release(&r->jitter, &packet);
}

static void take_noise(mm_receiver *r) {
    const mm_packet packet = mm_jitter_take(&r->jitter);
    mm_noise_level(&r->noise, packet.size ? mm_jitter_payload(&r->jitter, &packet)[0] : 127);
    mm_receive_count(r, MM_RX_DECODED, 1);
    mm_jitter_release(&r->jitter, &packet);
    if (r->state == PLAYING) r->state = PAUSED;
}

/* ---- what is to be heard next ---------------------------------------------------------------- */

/* Some samples for a tick in which no packet is to be played. */
static void fill_pause(mm_receiver *r, uint32_t samples) {
    if (r->state == PAUSED && !resting(r))
        write_noise(r, samples);
    else
        write_zeros(r, samples);
}

/* A whole packet: libopus goes on by 10 ms even for less, and the next packet has only whole ones again. */
static void fill_underrun(mm_receiver *r, uint32_t samples) {
    const uint32_t whole = (r->packet_samples + GRAIN - 1) / GRAIN * GRAIN;
    if (samples < whole) samples = whole < FRAME ? whole : FRAME;
    if (!r->run_samples && !resting(r)) mm_receive_count(r, MM_RX_UNDERRUNS, 1);
    conceal(r, samples, MM_SOUND_CONCEALED);
    r->ahead_samples += samples;
    r->run_samples += samples;
    if (r->run_samples >= CONCEAL_SAMPLES) r->state = IDLE;
}

/* The first packet waits, *gap* samples after what was last heard, *lost* packets between. */
static void fill_hole(mm_receiver *r, const mm_packet *packet, int64_t gap, int64_t lost) {
    if (gap == (int64_t)packet->samples && packet->codec == MM_OPUS && r->decoding &&
        r->codec == MM_OPUS && r->stream == packet->stream && !resting(r)) {
        int16_t *pcm = mm_sound_room(&r->sound, NULL);
        const int samples = mm_decode_fec(r->decoder, mm_jitter_payload(&r->jitter, packet),
                                          packet->size, pcm, (int)gap);
        if (samples > 0) {
            if (!r->after_silent) r->loud = 1;
            wrote(r, (uint32_t)samples, MM_SOUND_FEC);
            r->next_samples += samples;
            return;
        }
    }
    /* The last lost one of several may be in this packet again: up to it, and not beyond. */
    int64_t part = lost > 1 && gap > (int64_t)packet->samples ? gap - packet->samples : gap;
    if (part > (int64_t)FRAME) part = FRAME;
    part = part < (int64_t)GRAIN ? GRAIN : part / GRAIN * GRAIN;
    conceal(r, (uint32_t)part, MM_SOUND_CONCEALED);
    r->next_samples += part;
}

static void begin_pause(mm_receiver *r) {
    r->state = PAUSED;
    r->ahead_samples = r->run_samples = 0;
}

/* More waits than anybody wants to hear so late: a queue somewhere was let go at once. */
void mm_receiver_catch_up(mm_receiver *r, int64_t now_ns) {
    const int64_t due_ns = now_ns - r->delay.least_ns - SHED_TO_NS;
    while (r->jitter.waiting > 1 &&
           mm_jitter_first(&r->jitter)->media_samples * MM_JITTER_SAMPLE_NS < due_ns)
        drop_packet(r, MM_RX_OVERFLOW);
    r->state = IDLE;
}

/* Write at least one sample, or take at least one packet. missing: in whole grains. */
static void step(mm_receiver *r, int64_t now_ns, uint32_t missing) {
    const mm_packet *packet = mm_jitter_first(&r->jitter);
    if (packet && packet->kind == MM_PACKET_EVENT) {
        drop_packet(r, MM_RX_EVENT);
        r->after_event = 1;
        return;
    }
    if (packet && packet->kind == MM_PACKET_NOISE) {
        take_noise(r);
        return;
    }
    if (r->state != PLAYING) {
        const int due = packet && (margin_ns(r, packet, now_ns) >= 0 ||
                                   now_ns - packet->arrival_ns >= RUNAWAY_NS);
        if (due) {
            mm_pace_init(&r->pace);
            play_packet(r, 0);
        } else {
            fill_pause(r, missing);
        }
        return;
    }
    if (!packet) {
        if (r->after_event)
            begin_pause(r); /* the tone is sent instead of audio */
        else
            fill_underrun(r, missing);
        return;
    }
    const int64_t early = r->next_samples - packet->media_samples;
    if (early >= (int64_t)packet->samples) {
        if (++r->late_in_row > STUCK_PACKETS)
            r->state = IDLE;
        else
            drop_packet(r, MM_RX_LATE);
        return;
    }
    const int64_t margin = margin_ns(r, packet, now_ns);
    if (margin > RUNAWAY_NS) {
        mm_receiver_catch_up(r, now_ns);
        return;
    }
    const int64_t gap = -early - (int64_t)r->ahead_samples;
    if (gap < (int64_t)GRAIN) {
        mm_pace_needed(&r->pace, margin);
        play_packet(r, early > 0 ? (uint32_t)early : 0);
        return;
    }
    r->next_samples += r->ahead_samples; /* those were lost, and have been made up already */
    r->ahead_samples = 0;
    const int64_t lost = packet->sequence - r->jitter.next_sequence;
    const uint32_t longest = r->packet_samples > packet->samples ? r->packet_samples : packet->samples;
    if (gap - lost * (int64_t)longest >= (int64_t)FRAME)
        begin_pause(r); /* the source left time out without a packet to say so */
    else
        fill_hole(r, packet, gap, lost);
}

static int next_is_ready(const mm_receiver *r) {
    const mm_packet *packet = mm_jitter_first(&r->jitter);
    return packet && packet->kind == MM_PACKET_AUDIO && r->state == PLAYING && !r->ahead_samples &&
           packet->media_samples == r->next_samples && packet->sequence == r->jitter.next_sequence;
}

static void adjust(mm_receiver *r, int64_t now_ns) {
    const int32_t want = mm_pace_tick(&r->pace, (int32_t)(r->sound.samples - FRAME));
    if (!want || r->state != PLAYING) return;
    const int likeness = mm_pace_likeness(&r->pace);
    int heard = 0;
    if (want > 0) {
        /* Another packet's worth in hand, so that a whole period can go and a frame is left. */
        if (r->sound.samples < 2 * FRAME && next_is_ready(r)) {
            mm_pace_needed(&r->pace, margin_ns(r, mm_jitter_first(&r->jitter), now_ns) + MM_FRAME_NS);
            play_packet(r, 0);
        }
        const uint32_t done = mm_sound_leave_out(&r->sound, (uint32_t)want, likeness, &heard);
        mm_receive_count(r, MM_RX_REMOVED_SAMPLES, done);
        mm_pace_done(&r->pace, (int32_t)done, heard);
    } else {
        const uint32_t done = mm_sound_tell_twice(&r->sound, likeness, &heard);
        mm_receive_count(r, MM_RX_INSERTED_SAMPLES, done);
        mm_pace_done(&r->pace, -(int32_t)done, heard);
    }
}

/* The 5 ms that follow what was heard, fading; then silence. What is due now is what the decoder has in hand. */
void mm_receiver_flush(mm_receiver *r, int64_t now_ns) {
    while (r->state == PLAYING && r->sound.samples < MM_FADE_SAMPLES) step(r, now_ns, MM_FADE_SAMPLES);
    mm_receive_count(r, MM_RX_REMOVED_SAMPLES, mm_sound_keep(&r->sound, MM_FADE_SAMPLES));
    if (r->sound.samples == MM_FADE_SAMPLES) mm_fade_out(mm_sound_oldest(&r->sound));
    write_zeros(r, FRAME - r->sound.samples);
    while (r->jitter.waiting) drop_packet(r, MM_RX_FLUSHED);
    mm_ledger_set(&r->ledger, MM_RX_QUEUED_SAMPLES, r->sound.samples);
    r->ahead_samples = r->run_samples = r->late_in_row = 0;
    r->state = IDLE;
}

/* ---- out ------------------------------------------------------------------------------------- */

static void tell_delay(mm_receiver *r, int64_t now_ns) {
    if (!r->delay.count) return;
    const int64_t target = needed_ns(r) - r->delay.least_ns + MM_FRAME_NS;
    mm_ledger_set(&r->ledger, MM_RX_TARGET_MS, (uint64_t)(target / 1000000));
    if (r->state != PLAYING) return;
    const int64_t at = r->next_samples + r->ahead_samples - (int64_t)r->sound.samples - (int64_t)FRAME;
    const int64_t delay = now_ns + MM_FRAME_NS - at * MM_JITTER_SAMPLE_NS - r->delay.least_ns;
    mm_ledger_set(&r->ledger, MM_RX_DELAY_MS, delay > 0 ? (uint64_t)(delay / 1000000) : 0);
}

void mm_receiver_pull(mm_receiver *r, int64_t now_ns, mm_meta *meta, int16_t pcm[FRAME]) {
    static const struct {
        uint32_t flags;
        enum mm_receive_counter counter;
    } KINDS[MM_SOUND_KINDS] = {
        [MM_SOUND_VOICE] = {0, MM_RX_VOICE},
        [MM_SOUND_FEC] = {MM_FRAME_FEC, MM_RX_FEC},
        [MM_SOUND_CONCEALED] = {MM_FRAME_CONCEALED, MM_RX_CONCEALED},
        [MM_SOUND_COMFORT] = {MM_FRAME_COMFORT, MM_RX_COMFORT},
        [MM_SOUND_SILENCE] = {MM_FRAME_SILENCE, MM_RX_SILENCE},
    };
    r->loud = 0;
    while (r->sound.samples < FRAME)
        step(r, now_ns, (FRAME - r->sound.samples + GRAIN - 1) / GRAIN * GRAIN);
    adjust(r, now_ns);
    const enum mm_sound_kind kind = mm_sound_take(&r->sound, pcm);
    r->quiet_ticks = r->loud ? 0 : r->quiet_ticks + (r->quiet_ticks < REST_TICKS);
    *meta = r->sound.taken;
    meta->timestamp = now_ns / 100;
    meta->flags |= KINDS[kind].flags;
    mm_receive_count(r, MM_RX_TICKS, 1);
    mm_receive_count(r, KINDS[kind].counter, 1);
    mm_ledger_set(&r->ledger, MM_RX_QUEUED_SAMPLES, r->sound.samples);
    tell_delay(r, now_ns);
}

void mm_receiver_skip(mm_receiver *r, uint64_t ticks) {
    mm_receive_count(r, MM_RX_TICKS, ticks);
    mm_receive_count(r, MM_RX_SKIPPED, ticks);
    const uint64_t due = ticks < 1u << 20 ? ticks * FRAME : (uint64_t)FRAME << 20;
    const uint32_t queued = due < r->sound.samples ? (uint32_t)due : r->sound.samples;
    mm_sound_drop(&r->sound, queued);
    mm_receive_count(r, MM_RX_REMOVED_SAMPLES, queued);
    mm_ledger_set(&r->ledger, MM_RX_QUEUED_SAMPLES, r->sound.samples);
    if (r->state == PLAYING) r->next_samples += (int64_t)(due - queued);
}
