/* Who is meant by a source address: a table built whole and never changed, so that it is read without a lock.
 *
 * A lookup costs the same whether the address is in the table or one of a flood.
 */
#ifndef MM_ROUTES_H
#define MM_ROUTES_H

#include "address.h"

struct mm_peer;

typedef struct mm_route {
    mm_address address;
    struct mm_peer *peer;
} mm_route;

typedef struct mm_routes mm_routes;

/* Control side. Of two routes with one address the later counts. NULL with errno: no memory, or a route
 * without a peer (EINVAL). The peers stay their owner's. */
mm_routes *mm_routes_create(const mm_route *route, size_t count);
void mm_routes_destroy(void *routes);

/* Any thread. NULL when there is none, also when *routes* is NULL. */
struct mm_peer *mm_routes_find(const mm_routes *routes, const mm_address *from);

#endif
