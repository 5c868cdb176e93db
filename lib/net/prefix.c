/* Prefix values. */
#include "lib/net/prefix.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/parse.h"

bool
prefix_parse_host(const char *text, struct prefix *ret_prefix, struct err *err)
{
    char address[IP_TEXT_MAX];
    struct prefix prefix = {0};
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);

    if (len >= sizeof address) {
        return err_set(err, "'%.64s' is not a prefix", text);
    }
    memcpy(address, text, len);
    address[len] = '\0';
    if (!ip_parse(address, &prefix.ip, NULL)) {
        return err_set(err, "'%.64s' is not a prefix", text);
    }
    uint32_t bits = ip_bits(&prefix.ip);
    if (slash && !parse_u32(slash + 1, 0, bits, &bits, NULL)) {
        return err_set(err, "'%.64s' is not a prefix: the length must be 0-%u", text, bits);
    }
    prefix.len = (uint8_t)bits;
    *ret_prefix = prefix;
    return true;
}

bool
prefix_parse(const char *text, struct prefix *ret_prefix, struct err *err)
{
    struct prefix prefix;
    char good[PREFIX_TEXT_MAX];

    if (!strchr(text, '/')) {
        return err_set(err, "'%.64s' is not a prefix: no length", text);
    }
    if (!prefix_parse_host(text, &prefix, err)) {
        return false;
    }
    struct prefix network = prefix_network(&prefix);
    if (!prefix_equal(&network, &prefix)) {
        return err_set(err, "'%.64s' is not a prefix: host bits are set (%s is)", text,
                       prefix_format(&network, good));
    }
    *ret_prefix = prefix;
    return true;
}

const char *
prefix_format(const struct prefix *prefix, char ret_text[PREFIX_TEXT_MAX])
{
    char address[IP_TEXT_MAX];

    snprintf(ret_text, PREFIX_TEXT_MAX, "%s/%u", ip_format(&prefix->ip, address), prefix->len);
    return ret_text;
}

struct prefix
prefix_of_ip(const struct ip *ip)
{
    return (struct prefix){.ip = *ip, .len = ip_bits(ip)};
}

struct prefix
prefix_network(const struct prefix *prefix)
{
    struct prefix network = *prefix;

    for (unsigned i = 0; i < sizeof network.ip.bytes; i++) {
        unsigned bits = prefix->len > i * 8 ? prefix->len - i * 8 : 0;
        if (bits < 8) {
            network.ip.bytes[i] &= (uint8_t)(0xff00 >> bits);
        }
    }
    return network;
}

int
prefix_compare(const struct prefix *a, const struct prefix *b)
{
    int order = ip_compare(&a->ip, &b->ip);

    return order != 0 ? order : (int)a->len - (int)b->len;
}

bool
prefix_equal(const struct prefix *a, const struct prefix *b)
{
    return prefix_compare(a, b) == 0;
}

bool
prefixes_equal(const struct prefix *a, size_t n_a, const struct prefix *b, size_t n_b)
{
    if (n_a != n_b) {
        return false;
    }
    for (size_t i = 0; i < n_a; i++) {
        if (!prefix_equal(&a[i], &b[i])) {
            return false;
        }
    }
    return true;
}

bool
prefix_contains_ip(const struct prefix *prefix, const struct ip *ip)
{
    if (prefix->ip.family != ip->family) {
        return false;
    }
    struct prefix host = {.ip = *ip, .len = prefix->len};
    struct prefix a = prefix_network(&host);
    struct prefix b = prefix_network(prefix);
    return prefix_equal(&a, &b);
}

bool
prefix_contains(const struct prefix *outer, const struct prefix *inner)
{
    return outer->len <= inner->len && prefix_contains_ip(outer, &inner->ip);
}

bool
prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
    return prefix_contains(a, b) || prefix_contains(b, a);
}
