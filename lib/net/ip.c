/* Address values. */
#include "lib/net/ip.h"

#include <arpa/inet.h>
#include <string.h>

bool
ip_parse(const char *text, struct ip *ret_ip, struct err *err)
{
    struct ip ip = {0};

    if (inet_pton(AF_INET, text, ip.bytes) == 1) {
        ip.family = 4;
    } else if (inet_pton(AF_INET6, text, ip.bytes) == 1) {
        ip.family = 6;
    } else {
        return err_set(err, "'%.64s' is not an IP address", text);
    }
    *ret_ip = ip;
    return true;
}

const char *
ip_format(const struct ip *ip, char ret_text[IP_TEXT_MAX])
{
    if (ip->family == 0 || !inet_ntop(ip_af(ip), ip->bytes, ret_text, IP_TEXT_MAX)) {
        memcpy(ret_text, "none", sizeof "none");
    }
    return ret_text;
}

struct ip
ip_from_bytes(uint8_t family, const void *bytes)
{
    struct ip ip = {.family = family};

    memcpy(ip.bytes, bytes, family == 4 ? 4 : 16);
    return ip;
}

int
ip_compare(const struct ip *a, const struct ip *b)
{
    if (a->family != b->family) {
        return a->family < b->family ? -1 : 1;
    }
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

bool
ip_equal(const struct ip *a, const struct ip *b)
{
    return ip_compare(a, b) == 0;
}

uint8_t
ip_bits(const struct ip *ip)
{
    return ip->family == 4 ? 32 : ip->family == 6 ? 128 : 0;
}

int
ip_af(const struct ip *ip)
{
    return ip->family == 4 ? AF_INET : ip->family == 6 ? AF_INET6 : AF_UNSPEC;
}

bool
ip_is_link_local(const struct ip *ip)
{
    if (ip->family == 4) {
        return ip->bytes[0] == 169 && ip->bytes[1] == 254;
    }
    return ip->family == 6 && ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

bool
ip_is_global_unicast(const struct ip *ip)
{
    static const struct ip none6 = {.family = 6};
    static const struct ip loopback6 = {.family = 6, .bytes = {[15] = 1}};

    if (ip->family == 0 || ip_is_link_local(ip)) {
        return false;
    }
    if (ip->family == 4) {
        return ip->bytes[0] != 0 && ip->bytes[0] != 127 && ip->bytes[0] < 224;
    }
    return ip->bytes[0] != 0xff && !ip_equal(ip, &none6) && !ip_equal(ip, &loopback6);
}

bool
ip_add(const struct ip *ip, uint64_t count, struct ip *ret_ip)
{
    struct ip sum = *ip;

    for (int i = ip_bits(ip) / 8 - 1; i >= 0 && count > 0; i--) {
        count += sum.bytes[i];
        sum.bytes[i] = (uint8_t)count;
        count >>= 8;
    }
    if (count > 0) {
        return false;
    }
    *ret_ip = sum;
    return true;
}
