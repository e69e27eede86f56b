#include "graveyard.h"

#include <stdlib.h>

typedef struct grave {
    struct grave *next;
    void *memory;
    void (*release)(void *);
    uint64_t after[]; /* commands done, by thread */
} grave;

struct mm_graveyard {
    size_t threads;
    mm_commands *commands[MM_GRAVEYARD_THREADS];
    grave *oldest, *newest;
};

mm_graveyard *mm_graveyard_create(mm_commands *const *threads, size_t count) {
    if (count > MM_GRAVEYARD_THREADS) return NULL;
    mm_graveyard *g = calloc(1, sizeof *g);
    if (!g) return NULL;
    g->threads = count;
    for (size_t i = 0; i < count; i++) g->commands[i] = threads[i];
    return g;
}

static void bury_oldest(mm_graveyard *g) {
    grave *first = g->oldest;
    g->oldest = first->next;
    first->release(first->memory);
    free(first);
}

void mm_graveyard_destroy(mm_graveyard *g) {
    if (!g) return;
    while (g->oldest) bury_oldest(g);
    free(g);
}

static void pass_by(void *target, void *value) {
    (void)target;
    (void)value;
}

int mm_graveyard_retire(mm_graveyard *g, void *memory, void (*release)(void *)) {
    if (!memory) return 0;
    grave *new = malloc(sizeof *new + g->threads * sizeof *new->after);
    if (!new) return -1;
    new->next = NULL;
    new->memory = memory;
    new->release = release;
    for (size_t i = 0; i < g->threads; i++) {
        mm_commands *c = g->commands[i];
        /* What is not yet done will be, after this; where all is done, there must be something to do. The ring
           is then empty and has room. */
        if (mm_command_passed(c) == mm_command_submitted(c)) mm_command_submit(c, pass_by, NULL, NULL);
        new->after[i] = mm_command_submitted(c);
    }
    if (g->oldest)
        g->newest->next = new;
    else
        g->oldest = new;
    g->newest = new;
    return 0;
}

static int has_passed(const mm_graveyard *g, const grave *first) {
    for (size_t i = 0; i < g->threads; i++)
        if (mm_command_done(g->commands[i]) < first->after[i]) return 0;
    return 1;
}

uint64_t mm_graveyard_reclaim(mm_graveyard *g) {
    while (g->oldest && has_passed(g, g->oldest)) bury_oldest(g);
    uint64_t waiting = 0;
    for (const grave *at = g->oldest; at; at = at->next) waiting++;
    return waiting;
}
