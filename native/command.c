#include "command.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "memory.h"

#define SLOTS 1024u /* a tick drains them all; a thousand joins inside 20 ms wait for the next */

typedef struct command {
    void **slot;
    void *value;
} command;

typedef struct grave {
    struct grave *next;
    void *memory;
    void (*release)(void *);
    uint64_t after; /* commands done */
} grave;

struct mm_commands {
    alignas(64) _Atomic uint64_t submitted;
    grave *oldest, *newest;
    alignas(64) _Atomic uint64_t done;
    command ring[SLOTS];
};

mm_commands *mm_commands_create(void) { return mm_pages_alloc(sizeof(mm_commands)); }

static void bury(grave *g) {
    g->release(g->memory);
    free(g);
}

void mm_commands_destroy(mm_commands *c) {
    while (c->oldest) {
        grave *g = c->oldest;
        c->oldest = g->next;
        bury(g);
    }
    mm_pages_free(c);
}

int mm_command_has_room(const mm_commands *c) {
    return atomic_load_explicit(&c->submitted, memory_order_relaxed) -
               atomic_load_explicit(&c->done, memory_order_acquire) <
           SLOTS;
}

int mm_command_submit(mm_commands *c, void **slot, void *value) {
    if (!mm_command_has_room(c)) return 0;
    const uint64_t n = atomic_load_explicit(&c->submitted, memory_order_relaxed);
    c->ring[n % SLOTS] = (command){slot, value};
    atomic_store_explicit(&c->submitted, n + 1, memory_order_release);
    return 1;
}

int mm_command_retire(mm_commands *c, void *memory, void (*release)(void *)) {
    if (!memory) return 0;
    grave *g = malloc(sizeof *g);
    if (!g) return -1;
    *g = (grave){NULL, memory, release, atomic_load_explicit(&c->submitted, memory_order_relaxed)};
    if (c->oldest)
        c->newest->next = g;
    else
        c->oldest = g;
    c->newest = g;
    return 0;
}

uint64_t mm_command_reclaim(mm_commands *c) {
    const uint64_t done = atomic_load_explicit(&c->done, memory_order_acquire);
    while (c->oldest && c->oldest->after <= done) {
        grave *g = c->oldest;
        c->oldest = g->next;
        bury(g);
    }
    uint64_t waiting = 0;
    for (const grave *g = c->oldest; g; g = g->next) waiting++;
    return waiting;
}

void mm_command_execute(mm_commands *c) {
    uint64_t n = atomic_load_explicit(&c->done, memory_order_relaxed);
    const uint64_t submitted = atomic_load_explicit(&c->submitted, memory_order_acquire);
    while (n < submitted) {
        const command *next = &c->ring[n++ % SLOTS];
        *next->slot = next->value;
    }
    atomic_store_explicit(&c->done, n, memory_order_release);
}
