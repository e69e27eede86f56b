#define _GNU_SOURCE
#include "address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(mm_address) == 24, "no padding: addresses are compared and hashed as bytes");

static const uint8_t MAPPED[12] = {[10] = 0xff, [11] = 0xff};

int mm_address_equal(const mm_address *a, const mm_address *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

/* The finaliser of splitmix64. */
static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t mm_address_hash(const mm_address *a) {
    uint64_t word[3];
    memcpy(word, a, sizeof word);
    return mix(mix(mix(word[0]) + word[1]) + word[2]);
}

static void set_ipv4(mm_address *a, const void *ip, uint16_t port) {
    memset(a, 0, sizeof *a);
    memcpy(a->ip, MAPPED, sizeof MAPPED);
    memcpy(a->ip + 12, ip, 4);
    a->port = port;
}

static int has_scope(const uint8_t *ip) { /* link-local, of one machine or of many (RFC 4007) */
    return (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) || (ip[0] == 0xff && (ip[1] & 0x0f) == 2);
}

static void set_ipv6(mm_address *a, const void *ip, uint16_t port, uint32_t scope_id) {
    if (memcmp(ip, MAPPED, sizeof MAPPED) == 0) {
        set_ipv4(a, (const uint8_t *)ip + 12, port);
        return;
    }
    memset(a, 0, sizeof *a);
    memcpy(a->ip, ip, 16);
    a->port = port;
    a->is_ipv6 = 1;
    a->scope_id = has_scope(a->ip) ? scope_id : 0;
}

socklen_t mm_address_to_socket(const mm_address *a, struct sockaddr_storage *to) {
    memset(to, 0, sizeof *to);
    if (a->is_ipv6) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
        memcpy(&in6.sin6_addr, a->ip, 16);
        in6.sin6_scope_id = a->scope_id;
        memcpy(to, &in6, sizeof in6);
        return sizeof in6;
    }
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(a->port)};
    memcpy(&in.sin_addr, a->ip + 12, 4);
    memcpy(to, &in, sizeof in);
    return sizeof in;
}

int mm_address_from_socket(mm_address *a, const struct sockaddr *from, socklen_t from_bytes) {
    if (from_bytes < sizeof(sa_family_t)) return -1;
    sa_family_t family;
    memcpy(&family, (const char *)from + offsetof(struct sockaddr, sa_family), sizeof family);
    if (family == AF_INET && from_bytes >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof in);
        set_ipv4(a, &in.sin_addr, ntohs(in.sin_port));
        return 0;
    }
    if (family == AF_INET6 && from_bytes >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in6;
        memcpy(&in6, from, sizeof in6);
        set_ipv6(a, &in6.sin6_addr, ntohs(in6.sin6_port), in6.sin6_scope_id);
        return 0;
    }
    return -1;
}

/* A number in decimal or the name of an interface. 0 or -1. */
static int parse_scope(const char *text, uint32_t *scope_id) {
    uint64_t number = 0;
    size_t digits = 0;
    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 11; digits++)
        number = number * 10 + (uint64_t)(text[digits] - '0');
    if (digits && !text[digits]) {
        *scope_id = (uint32_t)number;
        return number <= UINT32_MAX ? 0 : -1;
    }
    *scope_id = if_nametoindex(text);
    return *scope_id ? 0 : -1;
}

int mm_address_parse(mm_address *a, const char *host, unsigned port) {
    char text[MM_ADDRESS_TEXT];
    uint8_t ip[16];
    uint32_t scope_id = 0;
    const size_t length = host ? strlen(host) : 0;
    if (length == 0 || length >= sizeof text || port > UINT16_MAX) return -1;
    memcpy(text, host, length + 1);
    char *scope = strchr(text, '%');
    if (scope) *scope++ = 0;
    if (!scope && inet_pton(AF_INET, text, ip) == 1) {
        set_ipv4(a, ip, (uint16_t)port);
        return 0;
    }
    if (inet_pton(AF_INET6, text, ip) != 1) return -1;
    if (scope && parse_scope(scope, &scope_id)) return -1;
    set_ipv6(a, ip, (uint16_t)port, scope_id);
    return 0;
}

int mm_address_format(const mm_address *a, char *host, size_t room) {
    char text[INET6_ADDRSTRLEN];
    const int family = a->is_ipv6 ? AF_INET6 : AF_INET;
    if (!inet_ntop(family, a->is_ipv6 ? a->ip : a->ip + 12, text, sizeof text)) return -1;
    const int written = a->scope_id ? snprintf(host, room, "%s%%%u", text, a->scope_id)
                                    : snprintf(host, room, "%s", text);
    return written >= 0 && (size_t)written < room ? 0 : -1;
}
