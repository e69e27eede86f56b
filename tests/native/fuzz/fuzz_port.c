/* Datagrams of any bytes from any of eight places, into a port whose routes change between them.
 *
 * Input: records. The first byte of each says what it is: its low 3 bits the place, the others the move. What is
 * handed on is what came, the oldest of each ring first; each datagram is counted once.
 */
#include "check.h"
#include "port.h"

#define PLACES 8
#define RECORDS 4096

static mm_port *port;
static mm_address places[PLACES];
static const uint8_t *sent[RECORDS]; /* by arrival time */
static size_t sizes[RECORDS], came_from[RECORDS];
static uint64_t handed_on;
static unsigned routed; /* a bit for each place */
static size_t now;

void mm_peer_receive(struct mm_peer *peer, uint8_t *bytes, size_t size, enum mm_datagram_kind kind,
                     int64_t arrival_ns) {
    const size_t place = came_from[now];
    CHECK(routed >> place & 1 && (uintptr_t)peer == place + 1);
    CHECK(kind == MM_DATAGRAM_RTP || kind == MM_DATAGRAM_RTCP);
    CHECK((size_t)arrival_ns == now && size == sizes[now] && (uintptr_t)bytes % 8 == 0);
    CHECK(memcmp(bytes, sent[now], size) == 0);
    memset(bytes, 0xee, size);
    handed_on++;
}

static void open_once(void) {
    static const char *const HOSTS[PLACES] = {"127.0.0.1", "127.0.0.1", "192.0.2.1",  "::1",
                                              "fe80::1%1", "fe80::1%2", "2001:db8::1", "::"};
    if (port) return;
    for (unsigned i = 0; i < PLACES; i++) CHECK(mm_address_parse(&places[i], HOSTS[i], 1000 + i) == 0);
    mm_address any;
    CHECK(mm_address_parse(&any, "127.0.0.1", 0) == 0);
    CHECK((port = mm_port_open(&any)));
}

static void set_routes(unsigned bits) {
    mm_route route[PLACES];
    size_t count = 0;
    for (unsigned i = 0; i < PLACES; i++)
        if (bits >> i & 1) route[count++] = (mm_route){places[i], (struct mm_peer *)(uintptr_t)(i + 1)};
    mm_routes *routes = mm_routes_create(route, count);
    CHECK(routes);
    mm_routes_destroy(mm_port_set_routes(port, routes));
    routed = bits;
}

static void take(size_t place, const uint8_t *bytes, size_t size) {
    uint8_t *copy = exactly(bytes, size);
    sent[now] = bytes;
    sizes[now] = size;
    came_from[now] = place;
    const uint64_t before = handed_on;
    const enum mm_datagram_kind kind = mm_datagram_kind(bytes, size);
    const int told = mm_port_take(port, &places[place], copy, size, (int64_t)now);
    CHECK(!told || handed_on == before);
    if (kind == MM_DATAGRAM_JUNK) CHECK(!told && handed_on == before);
    if (kind == MM_DATAGRAM_STUN) CHECK(told);
    if (kind == MM_DATAGRAM_DTLS) CHECK(told == (int)(routed >> place & 1));
    if (kind == MM_DATAGRAM_RTP || kind == MM_DATAGRAM_RTCP)
        CHECK(handed_on - before == (routed >> place & 1));
    free(copy);
}

static int read_one(int64_t *last) {
    enum mm_datagram_kind kind;
    mm_address from;
    size_t size;
    int64_t arrival;
    uint8_t *bytes = malloc(MM_PORT_BYTES);
    CHECK(bytes);
    const int got = mm_port_read(port, &kind, &from, bytes, &size, &arrival);
    if (got && last) {
        CHECK(arrival >= 0 && (size_t)arrival <= now && size == sizes[arrival]);
        CHECK(memcmp(bytes, sent[arrival], size) == 0 && kind == mm_datagram_kind(bytes, size));
        CHECK(mm_address_equal(&from, &places[came_from[arrival]]));
        CHECK(arrival != *last);
        *last = arrival;
    }
    free(bytes);
    return got;
}

/* Any bytes as a socket's address: refused, or the same again through text and through a socket. */
static void check_address(const uint8_t *bytes, size_t size) {
    mm_address a, b;
    char text[MM_ADDRESS_TEXT];
    struct sockaddr_storage at;
    uint8_t *copy = exactly(bytes, size);
    const int refused = mm_address_from_socket(&a, (struct sockaddr *)copy, (socklen_t)size);
    free(copy);
    if (refused) return;
    CHECK(mm_address_format(&a, text, sizeof text) == 0 && mm_address_parse(&b, text, a.port) == 0);
    CHECK(mm_address_equal(&a, &b) && mm_address_hash(&a) == mm_address_hash(&b));
    const socklen_t used = mm_address_to_socket(&a, &at);
    CHECK(mm_address_from_socket(&b, (struct sockaddr *)&at, used) == 0 && mm_address_equal(&a, &b));
}

static void check_counts(const uint64_t *before) {
    uint64_t sum = 0;
    for (int i = MM_PORT_ROUTED; i <= MM_PORT_UNREADABLE; i++) sum += mm_port_count(port, i) - before[i];
    CHECK(sum == mm_port_count(port, MM_PORT_RECEIVED) - before[MM_PORT_RECEIVED]);
    CHECK(mm_port_count(port, MM_PORT_ROUTED) - before[MM_PORT_ROUTED] == handed_on);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint64_t before[MM_PORT_COUNTERS];
    const uint8_t *record;
    size_t length;
    int64_t last = -1;
    open_once();
    while (read_one(NULL)) continue;
    set_routes(0);
    mm_port_tell_strangers(port, 0);
    for (int i = 0; i < MM_PORT_COUNTERS; i++) before[i] = mm_port_count(port, i);
    handed_on = 0;
    for (now = 0; now < RECORDS && next_record(&data, &size, &record, &length); now++) {
        sent[now] = NULL;
        if (!length) continue;
        const uint8_t move = record[0] >> 3, place = record[0] & 7;
        record++;
        length--;
        if (move == 0)
            set_routes(length ? record[0] : 0);
        else if (move == 1)
            mm_port_tell_strangers(port, place & 1);
        else if (move == 2)
            read_one(&last);
        else if (move == 3)
            check_address(record, length);
        else
            take(place, record, length);
        check_counts(before);
    }
    while (read_one(&last)) continue;
    return 0;
}
