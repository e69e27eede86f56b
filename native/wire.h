/* Numbers in network order, at any alignment. The caller has checked the bounds. */
#ifndef MM_WIRE_H
#define MM_WIRE_H

#include <stdint.h>

static inline uint16_t mm_get16_unchecked(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}
static inline uint32_t mm_get32_unchecked(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}
static inline void mm_put16_unchecked(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}
static inline void mm_put32_unchecked(uint8_t *at, uint32_t value) {
    mm_put16_unchecked(at, value >> 16);
    mm_put16_unchecked(at + 2, value);
}

#endif
