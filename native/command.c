#include "command.h"

#include <stdalign.h>
#include <stdatomic.h>

#include "memory.h"

#define SLOTS 1024u /* a tick drains them all; a thousand joins inside 20 ms wait for the next */

typedef struct command {
    mm_apply apply;
    void *target, *value;
} command;

struct mm_commands {
    alignas(64) _Atomic uint64_t submitted;
    alignas(64) _Atomic uint64_t done;
    command ring[SLOTS];
};

mm_commands *mm_commands_create(void) { return mm_pages_alloc(sizeof(mm_commands)); }
void mm_commands_destroy(mm_commands *c) { mm_pages_free(c); }

uint64_t mm_command_submitted(const mm_commands *c) {
    return atomic_load_explicit(&c->submitted, memory_order_relaxed);
}

uint64_t mm_command_done(const mm_commands *c) {
    return atomic_load_explicit(&c->done, memory_order_acquire);
}

uint64_t mm_command_passed(mm_commands *c) {
    return atomic_fetch_add_explicit(&c->done, 0, memory_order_acq_rel);
}

uint64_t mm_command_room(const mm_commands *c) {
    return SLOTS - (mm_command_submitted(c) - mm_command_done(c));
}

int mm_command_submit(mm_commands *c, mm_apply apply, void *target, void *value) {
    if (mm_command_room(c) == 0) return 0;
    const uint64_t n = mm_command_submitted(c);
    c->ring[n % SLOTS] = (command){apply, target, value};
    atomic_store_explicit(&c->submitted, n + 1, memory_order_release);
    return 1;
}

void mm_command_execute(mm_commands *c) {
    uint64_t n = atomic_load_explicit(&c->done, memory_order_relaxed);
    const uint64_t submitted = atomic_load_explicit(&c->submitted, memory_order_acquire);
    while (n < submitted) {
        const command *next = &c->ring[n++ % SLOTS];
        next->apply(next->target, next->value);
    }
    /* An exchange, so that nothing the thread looks up next is older than what mm_command_passed orders. */
    (void)atomic_exchange_explicit(&c->done, n, memory_order_acq_rel);
}

void mm_apply_store(void *target, void *value) { *(void **)target = value; }
