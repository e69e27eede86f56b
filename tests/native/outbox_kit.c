/* An outbox for ctypes, which does not know its size. */
#include "memory.h"
#include "outbox.h"

mm_outbox *outbox_create(void);

mm_outbox *outbox_create(void) {
    mm_outbox *o = mm_pages_alloc(sizeof *o);
    if (o) mm_outbox_init(o);
    return o;
}
