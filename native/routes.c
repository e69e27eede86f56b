#include "routes.h"

#include <errno.h>

#include "memory.h"

/* Open addressing, at most half full: every search ends at an empty slot, the mean one at once. */
struct mm_routes {
    size_t mask;
    mm_route slot[];
};

/* Where the address is, or the empty slot where it would be. */
static size_t place(const mm_routes *routes, const mm_address *address) {
    size_t at = mm_address_hash(address) & routes->mask;
    while (routes->slot[at].peer && !mm_address_equal(&routes->slot[at].address, address))
        at = (at + 1) & routes->mask;
    return at;
}

mm_routes *mm_routes_create(const mm_route *route, size_t count) {
    size_t slots = 4;
    while (slots / 2 < count && slots <= SIZE_MAX / 4 / sizeof *route) slots *= 2;
    if (slots / 2 < count) {
        errno = ENOMEM;
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (route[i].peer) continue;
        errno = EINVAL;
        return NULL;
    }
    /* Pages, as the packet thread must not fault in them. */
    mm_routes *routes = mm_pages_alloc(sizeof *routes + slots * sizeof *route);
    if (!routes) return NULL;
    routes->mask = slots - 1;
    for (size_t i = 0; i < count; i++) routes->slot[place(routes, &route[i].address)] = route[i];
    return routes;
}

void mm_routes_destroy(void *routes) { mm_pages_free(routes); }

struct mm_peer *mm_routes_find(const mm_routes *routes, const mm_address *from) {
    return routes ? routes->slot[place(routes, from)].peer : NULL;
}
