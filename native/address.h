/* Where a datagram comes from or goes to: one form for IPv4 and IPv6, equal when all its bytes are.
 *
 * IPv4 is kept as ::ffff:a.b.c.d, and an IPv6 address of that form is IPv4. The scope is that of a link-local
 * address and 0 for any other.
 */
#ifndef MM_ADDRESS_H
#define MM_ADDRESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define MM_ADDRESS_TEXT 64u /* the longest host: 45 characters, %, a scope of 10 digits */

typedef struct mm_address {
    uint8_t ip[16];
    uint16_t port; /* in the machine's byte order */
    uint16_t is_ipv6;
    uint32_t scope_id;
} mm_address;

int mm_address_equal(const mm_address *a, const mm_address *b);
uint64_t mm_address_hash(const mm_address *a);

/* How much of *to* is used. */
socklen_t mm_address_to_socket(const mm_address *a, struct sockaddr_storage *to);
/* 0, or -1 when it is neither IPv4 nor IPv6 or is too short. */
int mm_address_from_socket(mm_address *a, const struct sockaddr *from, socklen_t from_bytes);

/* A dotted quad or IPv6, which may end in %scope (a number or an interface's name): no names of hosts.
 * 0, or -1 and *a* as it was. */
int mm_address_parse(mm_address *a, const char *host, unsigned port);
/* The host without its port; parse reads it back. 0, or -1 when there is too little room (MM_ADDRESS_TEXT
 * is enough). */
int mm_address_format(const mm_address *a, char *host, size_t room);

#endif
