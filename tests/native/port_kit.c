/* mm_peer_receive that writes down what came, for the tests of a port. */
#include <string.h>

#include "port.h"

#define SEEN 4096

typedef struct seen {
    uint64_t peer;
    int64_t arrival_ns;
    uint32_t kind, size, misaligned;
    uint8_t bytes[MM_PORT_BYTES];
} seen;

static seen all[SEEN];
static size_t count;

size_t port_kit_count(void);
const seen *port_kit_seen(size_t index);
void port_kit_forget(void);

size_t port_kit_count(void) { return count; }
const seen *port_kit_seen(size_t index) { return &all[index]; }
void port_kit_forget(void) { count = 0; }

void mm_peer_receive(struct mm_peer *peer, uint8_t *bytes, size_t size, enum mm_datagram_kind kind,
                     int64_t arrival_ns) {
    if (count == SEEN) return;
    seen *s = &all[count++];
    *s = (seen){.peer = (uintptr_t)peer, .arrival_ns = arrival_ns, .kind = kind, .size = (uint32_t)size};
    s->misaligned = (uintptr_t)bytes % 8 != 0;
    memcpy(s->bytes, bytes, size);
    memset(bytes, 0xee, size); /* as decrypting in place may */
}
