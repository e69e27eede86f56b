/* Level meters of one leg, for whoever looks: what it says and what it hears.
 *
 * Nobody looks most of the time, and then a tick reads one flag. Who reads a meter keeps it going for two
 * seconds; any number may, from any thread, and none takes anything from another: the window is a shift register
 * of the last eight ticks' levels, one word a direction, loaded and stored whole.
 */
#ifndef MM_METER_H
#define MM_METER_H

#include <stdatomic.h>
#include <stdint.h>

#include "frame.h"

#define MM_SILENCE_DBOV (-127) /* the least that RFC 6464 can say */
#define MM_METER_TICKS 100u    /* that a reading keeps a meter going */

/* Zeroed memory is a meter that nobody reads. */
typedef struct mm_meter {
    _Atomic uint32_t watched_ticks;
    /* A byte a tick, the last one lowest: the level above MM_SILENCE_DBOV. */
    _Atomic uint64_t inbound, outbound;
} mm_meter;

/* RFC 6464: the power of a frame against that of a square wave at full scale, 0 to -127. */
int8_t mm_level_dbov(const int16_t pcm[MM_FRAME_SAMPLES]);

/* Any thread. The loudest frame of the last 160 ms each way; silence when nobody has read in the last two seconds. */
void mm_meter_read(mm_meter *meter, int8_t *inbound_dbov, int8_t *outbound_dbov);

/* Tick thread. */
static inline int mm_meter_watched(const mm_meter *meter) {
    return atomic_load_explicit(&meter->watched_ticks, memory_order_relaxed) > 0;
}
void mm_meter_note(_Atomic uint64_t *window, int8_t dbov);
/* A tick of a watched one is over. */
void mm_meter_age(mm_meter *meter);

#endif
