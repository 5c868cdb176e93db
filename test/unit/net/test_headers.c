/* lib/net/headers: whole packets, cut ones, extension headers and fragments. */
#include <string.h>

#include "lib/net/headers.h"
#include "test/unit/cmocka.h"

#define FOUR(protocol, flags) \
    0x45, 0, 0, 60, 0, 0, (flags) >> 8, (flags)&0xff, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2
#define SIX(next)                                                                                  \
    0x60, 0, 0, 0, 0, 24, next, 64, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xfd, 0, 0, \
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2
#define PORTS 0x9c, 0x40, 0, 80 /* 40000, 80 */

struct packet_case {
    const char *name;
    uint8_t bytes[96];
    size_t len;
    uint8_t protocol;
    bool has_ports, has_icmp;
    uint8_t icmp_type, icmp_code;
};

static const struct packet_case cases[] = {
    {"TCP", {FOUR(6, 0), PORTS}, 24, 6, true, false, 0, 0},
    {"UDP", {FOUR(17, 0x4000), PORTS}, 24, 17, true, false, 0, 0},
    {"SCTP", {FOUR(132, 0), PORTS}, 24, 132, true, false, 0, 0},
    {"a first fragment", {FOUR(17, 0x2000), PORTS}, 24, 17, true, false, 0, 0},
    {"a later fragment", {FOUR(17, 0x2001), PORTS}, 24, 17, false, false, 0, 0},
    {"ICMP", {FOUR(1, 0), 3, 13}, 22, 1, false, true, 3, 13},
    {"ICMP's other family's number", {FOUR(58, 0), 3, 13}, 22, 58, false, false, 0, 0},
    {"GRE", {FOUR(47, 0), PORTS}, 24, 47, false, false, 0, 0},
    {"ports cut off", {FOUR(6, 0), 0x9c, 0x40, 0}, 23, 6, false, false, 0, 0},
    {"nothing behind the header", {FOUR(6, 0)}, 20, 6, false, false, 0, 0},
    {"IPv6 TCP", {SIX(6), PORTS}, 44, 6, true, false, 0, 0},
    {"ICMPv6", {SIX(58), 135, 0}, 42, 58, false, true, 135, 0},
    {"hop by hop, then UDP", {SIX(0), 17, 0, 0, 0, 0, 0, 0, 0, PORTS}, 52, 17, true, false, 0, 0},
    {"destination options of 16 bytes",
     {SIX(60), 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, PORTS},
     60,
     6,
     true,
     false,
     0,
     0},
    {"an extension longer than what is there",
     {SIX(43), 6, 255, 0, 0, 0, 0, 0, 0, PORTS},
     52,
     6,
     false,
     false,
     0,
     0},
    {"an extension that is cut", {SIX(0), 17, 0, 0}, 43, 0, false, false, 0, 0},
    {"IPv6's first fragment", {SIX(44), 17, 0, 0, 1, 0, 0, 0, 9, PORTS}, 52, 17, true, false, 0, 0},
    {"IPv6's later fragment",
     {SIX(44), 17, 0, 0, 8, 0, 0, 0, 9, PORTS},
     52,
     17,
     false,
     false,
     0,
     0},
    {"authentication, then TCP",
     {SIX(51), 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, PORTS},
     56,
     6,
     true,
     false,
     0,
     0},
    {"no next header", {SIX(59)}, 40, 59, false, false, 0, 0},
};

static void
headers_say_who_a_packet_is_from_and_to(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct packet_case *it = &cases[i];
        struct packet_headers headers;
        char from[IP_TEXT_MAX], to[IP_TEXT_MAX];
        bool is_four = it->bytes[0] >> 4 == 4;
        if (!packet_headers_parse(it->bytes, it->len, &headers)) {
            fail_msg("%s: not understood", it->name);
        }
        assert_string_equal(ip_format(&headers.source, from), is_four ? "10.0.0.1" : "fd00::1");
        assert_string_equal(ip_format(&headers.destination, to), is_four ? "10.0.0.2" : "fd00::2");
        if (headers.protocol != it->protocol || headers.has_ports != it->has_ports ||
            headers.has_icmp != it->has_icmp || headers.icmp_type != it->icmp_type ||
            headers.icmp_code != it->icmp_code) {
            fail_msg("%s: protocol %u, ports %d, ICMP %d %u/%u", it->name, headers.protocol,
                     headers.has_ports, headers.has_icmp, headers.icmp_type, headers.icmp_code);
        }
        assert_int_equal(headers.source_port, it->has_ports ? 40000 : 0);
        assert_int_equal(headers.destination_port, it->has_ports ? 80 : 0);
        assert_int_equal(headers.length, is_four ? 60 : 64);
    }
}

static void
what_has_no_addresses_is_no_packet(void **state)
{
    struct packet_headers headers;
    uint8_t bytes[40];

    (void)state;
    assert_false(packet_headers_parse(NULL, 0, &headers));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool is_four = cases[i].bytes[0] >> 4 == 4;
        for (size_t len = 0; len < (is_four ? 20 : 40); len++) {
            assert_false(packet_headers_parse(cases[i].bytes, len, &headers));
        }
        memcpy(bytes, cases[i].bytes, sizeof bytes);
        bytes[0] = 0x55;
        assert_false(packet_headers_parse(bytes, sizeof bytes, &headers));
    }
    memcpy(bytes, cases[0].bytes, sizeof bytes);
    bytes[0] = 0x44; /* a header of 16 bytes */
    assert_false(packet_headers_parse(bytes, sizeof bytes, &headers));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_say_who_a_packet_is_from_and_to),
        cmocka_unit_test(what_has_no_addresses_is_no_packet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
