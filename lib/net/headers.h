/* The first bytes of an IP packet, as the kernel shows them to who listens: who it is from and to.
 * Whatever the bytes are, only what is inside of them is read. RFC 791, 8200, 9293, 768, 9260, 792,
 * 4443. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/net/ip.h"

struct packet_headers {
    struct ip source, destination;
    uint8_t protocol;                       /* behind IPv6's extension headers */
    bool has_ports, has_icmp;               /* false for fragments that are not the first */
    uint16_t source_port, destination_port; /* TCP, UDP, UDP-Lite, SCTP, DCCP */
    uint8_t icmp_type, icmp_code;
    uint32_t length; /* of the packet as its header says; 'len' may be less */
};

/* False when not even the addresses are there. */
bool packet_headers_parse(const void *data, size_t len, struct packet_headers *ret_headers);
