/* Prefixes (CIDR blocks) of both families; RFC 4632 and 4291. */
#pragma once

#include "lib/net/ip.h"

#define PREFIX_TEXT_MAX (IP_TEXT_MAX + 4)

struct prefix {
    struct ip ip;
    uint8_t len;
};

/* "a.b.c.d/len" or "v6/len"; host bits must be zero (prefix_parse) or are kept (prefix_parse_host,
 * which also takes a bare address as /32 or /128). */
MUST_CHECK bool prefix_parse(const char *text, struct prefix *ret_prefix, struct err *err);
MUST_CHECK bool prefix_parse_host(const char *text, struct prefix *ret_prefix, struct err *err);
const char *prefix_format(const struct prefix *prefix, char ret_text[PREFIX_TEXT_MAX]);
struct prefix prefix_of_ip(const struct ip *ip); /* /32 or /128 */
/* The prefix with its host bits cleared. */
struct prefix prefix_network(const struct prefix *prefix);
bool prefix_equal(const struct prefix *a, const struct prefix *b);
/* As many, and each as the other in its place. */
bool prefixes_equal(const struct prefix *a, size_t n_a, const struct prefix *b, size_t n_b);
int prefix_compare(const struct prefix *a, const struct prefix *b); /* by address, then length */
bool prefix_contains_ip(const struct prefix *prefix, const struct ip *ip);
/* True when every address of 'inner' is in 'outer'. */
bool prefix_contains(const struct prefix *outer, const struct prefix *inner);
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);
