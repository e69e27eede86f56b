/* Calls that allocate and calls that do not, for the probe. */
#include <stdlib.h>
#include <string.h>

static void *volatile kept;
static _Thread_local void *once;

void nothing(void *argument);
void give_back(void *bytes);
void keep_it(void *bytes);
void once_a_thread(void *argument);

void nothing(void *argument) { (void)argument; }

void give_back(void *bytes) {
    kept = malloc((size_t)bytes);
    free(kept);
}

void keep_it(void *bytes) { kept = malloc((size_t)bytes); }

void once_a_thread(void *argument) {
    (void)argument;
    if (!once) once = malloc(100);
}
