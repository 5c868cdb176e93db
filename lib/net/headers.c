/* IPv4 and IPv6 headers. Called by lib/netlink/nflog for every packet that was denied. */
#include "lib/net/headers.h"

#define EXTENSION_HOPS 0
#define EXTENSION_ROUTING 43
#define EXTENSION_FRAGMENT 44
#define EXTENSION_AUTHENTICATION 51
#define EXTENSION_DESTINATION 60

#define PROTOCOL_ICMP 1
#define PROTOCOL_ICMP6 58

static uint16_t
be16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static bool
has_ports(uint8_t protocol)
{
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP ||
           protocol == IPPROTO_UDPLITE || protocol == IPPROTO_DCCP;
}

static void
parse_transport(const uint8_t *data, size_t len, struct packet_headers *headers)
{
    uint8_t icmp = headers->source.family == 6 ? PROTOCOL_ICMP6 : PROTOCOL_ICMP;

    if (has_ports(headers->protocol) && len >= 4) {
        headers->has_ports = true;
        headers->source_port = be16(data);
        headers->destination_port = be16(data + 2);
    } else if (headers->protocol == icmp && len >= 2) {
        headers->has_icmp = true;
        headers->icmp_type = data[0];
        headers->icmp_code = data[1];
    }
}

static bool
parse_four(const uint8_t *data, size_t len, struct packet_headers *headers)
{
    size_t header_len = (size_t)(data[0] & 0xf) * 4;

    if (len < 20 || header_len < 20) {
        return false;
    }
    headers->source = ip_from_bytes(4, data + 12);
    headers->destination = ip_from_bytes(4, data + 16);
    headers->protocol = data[9];
    headers->length = be16(data + 2);
    if ((be16(data + 6) & 0x1fff) == 0 && len > header_len) {
        parse_transport(data + header_len, len - header_len, headers);
    }
    return true;
}

/* Steps over one extension header at 'at'. False: 'protocol' is no extension, or it is cut. */
static bool
step_over(const uint8_t *data, size_t len, size_t *at, uint8_t *protocol, bool *is_rest)
{
    size_t size = 0;

    if (len - *at < 8) {
        return false;
    }
    switch (*protocol) {
    case EXTENSION_HOPS:
    case EXTENSION_ROUTING:
    case EXTENSION_DESTINATION:
        size = (size_t)data[*at + 1] * 8 + 8;
        break;
    case EXTENSION_AUTHENTICATION:
        size = (size_t)data[*at + 1] * 4 + 8;
        break;
    case EXTENSION_FRAGMENT:
        size = 8;
        *is_rest |= (be16(data + *at + 2) & 0xfff8) != 0;
        break;
    default:
        return false;
    }
    *protocol = data[*at];
    *at = size < len - *at ? *at + size : len;
    return true;
}

static bool
parse_six(const uint8_t *data, size_t len, struct packet_headers *headers)
{
    size_t at = 40;
    bool is_rest = false; /* a fragment without the transport header */

    if (len < at) {
        return false;
    }
    headers->source = ip_from_bytes(6, data + 8);
    headers->destination = ip_from_bytes(6, data + 24);
    headers->protocol = data[6];
    headers->length = 40U + be16(data + 4);
    while (!is_rest && step_over(data, len, &at, &headers->protocol, &is_rest)) {
    }
    if (!is_rest) {
        parse_transport(data + at, len - at, headers);
    }
    return true;
}

bool
packet_headers_parse(const void *data, size_t len, struct packet_headers *ret_headers)
{
    const uint8_t *bytes = data;
    struct packet_headers headers = {0};
    unsigned version = len > 0 ? bytes[0] >> 4 : 0;

    if ((version == 4 && parse_four(bytes, len, &headers)) ||
        (version == 6 && parse_six(bytes, len, &headers))) {
        *ret_headers = headers;
        return true;
    }
    return false;
}
