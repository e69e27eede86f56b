/* What must hold in a fuzz target, whatever came in. */
#ifndef CHECK_H
#define CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            abort();                                                                      \
        }                                                                                 \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a list of records, each a length byte and so many bytes: 1 and the next, or 0 at the end. */
static inline int next_record(const uint8_t **data, size_t *size, const uint8_t **record, size_t *length) {
    if (!*size) return 0;
    *length = (*data)[0];
    *record = *data + 1;
    if (*length > *size - 1) *length = *size - 1;
    *data += 1 + *length;
    *size -= 1 + *length;
    return 1;
}

/* A copy in a block of exactly its size: the sanitizer sees a read one byte beyond. */
static inline uint8_t *exactly(const uint8_t *bytes, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) abort();
    if (size) memcpy(copy, bytes, size);
    return copy;
}

#endif
