/* Addresses of both families in 17 bytes, compared as values. RFC 4291 and 5952 text forms. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/base/err.h"

#define IP_TEXT_MAX 46 /* with the NUL */

struct ip {
    uint8_t family;    /* 0 none, 4, 6 */
    uint8_t bytes[16]; /* network order; a family 4 address uses the first 4, the rest is 0 */
};

/* Plain addresses only: no prefix length, no zone, no leading zeros in IPv4. */
MUST_CHECK bool ip_parse(const char *text, struct ip *ret_ip, struct err *err);
const char *ip_format(const struct ip *ip, char ret_text[IP_TEXT_MAX]); /* returns ret_text */
struct ip ip_from_bytes(uint8_t family, const void *bytes);             /* 4 or 16 bytes */
bool ip_equal(const struct ip *a, const struct ip *b);
int ip_compare(const struct ip *a, const struct ip *b); /* IPv4 before IPv6, then by value */
uint8_t ip_bits(const struct ip *ip);                   /* 32, 128; 0 for none */
int ip_af(const struct ip *ip);                         /* AF_INET, AF_INET6, AF_UNSPEC */
/* Global unicast in the sense of "may identify a node or pod": not unspecified, loopback,
 * multicast, link-local or 255.255.255.255. */
bool ip_is_global_unicast(const struct ip *ip);
bool ip_is_link_local(const struct ip *ip);
/* Adds 'count' to the address; false when it would wrap. */
MUST_CHECK bool ip_add(const struct ip *ip, uint64_t count, struct ip *ret_ip);
