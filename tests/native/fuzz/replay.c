/* A fuzz target without libFuzzer: replay SEED RUNS CORPUS_FILE...
 *
 * Each kept input once as it is, then RUNS inputs made from them by a seeded generator, so that a run
 * that fails fails again. An input is handed over in a block of exactly its size: ASan sees one byte more.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INPUTS 4096
#define MAX_BYTES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* As libFuzzer has it: what a target sets up once, when it has something to. */
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

typedef struct input {
    uint8_t *bytes;
    size_t size;
} input;

static input kept[MAX_INPUTS];
static size_t kept_count;
static uint64_t state;

static uint64_t draw(uint64_t below) { /* splitmix64 */
    uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

static void keep(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || kept_count == MAX_INPUTS) {
        fprintf(stderr, "%s: cannot be kept\n", path);
        exit(1);
    }
    input *in = &kept[kept_count++];
    in->bytes = malloc(MAX_BYTES);
    in->size = in->bytes ? fread(in->bytes, 1, MAX_BYTES, file) : 0;
    fclose(file);
}

static void run(const uint8_t *bytes, size_t size) {
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) exit(1);
    memcpy(exact, bytes, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static size_t mutate(uint8_t *bytes, size_t size) {
    static const uint8_t EDGES[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x0f, 0x10, 0xbe, 0xde};
    const size_t at = size ? draw(size) : 0;
    switch (draw(8)) {
    case 0: /* one bit */
        if (size) bytes[at] ^= (uint8_t)(1u << draw(8));
        return size;
    case 1: /* one byte */
        if (size) bytes[at] = (uint8_t)draw(256);
        return size;
    case 2:
        if (size) bytes[at] = EDGES[draw(sizeof EDGES)];
        return size;
    case 3: /* cut off */
        return at;
    case 4: /* take out */
        if (!size) return 0;
        memmove(bytes + at, bytes + at + 1, size - at - 1);
        return size - 1;
    case 5: { /* put in */
        const size_t more = 1 + draw(8);
        if (size + more > MAX_BYTES) return size;
        memmove(bytes + at + more, bytes + at, size - at);
        for (size_t i = 0; i < more; i++) bytes[at + i] = (uint8_t)draw(256);
        return size + more;
    }
    case 6: { /* repeat a part */
        size_t span = size ? 1 + draw(size - at) : 0;
        if (size + span > MAX_BYTES) span = MAX_BYTES - size;
        memcpy(bytes + size, bytes + at, span < size - at ? span : size - at);
        return size + (span < size - at ? span : size - at);
    }
    default: { /* the end of another input */
        if (!kept_count) return size;
        const input *other = &kept[draw(kept_count)];
        if (!other->size) return size;
        const size_t from = draw(other->size);
        size_t span = other->size - from;
        if (at + span > MAX_BYTES) span = MAX_BYTES - at;
        memcpy(bytes + at, other->bytes + from, span);
        return at + span;
    }
    }
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    if (LLVMFuzzerInitialize) LLVMFuzzerInitialize(&argc, &argv);
    state = strtoull(argv[1], NULL, 10);
    const unsigned long runs = strtoul(argv[2], NULL, 10);
    for (int i = 3; i < argc; i++) keep(argv[i]);
    for (size_t i = 0; i < kept_count; i++) run(kept[i].bytes, kept[i].size);
    static uint8_t bytes[MAX_BYTES];
    for (unsigned long n = 0; n < runs; n++) {
        size_t size = 0;
        if (kept_count && draw(16)) {
            const input *base = &kept[draw(kept_count)];
            memcpy(bytes, base->bytes, size = base->size);
        } else { /* noise, with a version 2 header in half of it */
            size = draw(200);
            for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)draw(256);
            if (size && draw(2)) bytes[0] = (uint8_t)(0x80 | (bytes[0] & 0x3f));
        }
        for (uint64_t k = 1 + draw(6); k; k--) size = mutate(bytes, size);
        run(bytes, size);
    }
    for (size_t i = 0; i < kept_count; i++) free(kept[i].bytes);
    printf("%zu kept inputs and %lu made ones, seed %s\n", kept_count, runs, argv[1]);
    return 0;
}
