/* What the nfnetlink protocols of this room (conntrack, ipset, NFLOG) share over libmnl: the
 * socket, the head of a message, and attributes by type with their lengths checked.
 *
 *     const struct nlattr *attrs[NETFILTER_ATTRS] = {0};
 *     if (netfilter_attrs(header, attrs) && attrs[CTA_MARK]) { … netfilter_u32(attrs[CTA_MARK]) … }
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct mnl_socket;
struct nlattr;
struct nlmsghdr;

/* More than the highest type that is looked at; attributes of higher types are left out. */
#define NETFILTER_ATTRS 32

/* Bound, close-on-exec, reads end with EAGAIN after netlink_timeout_s(). 'what' names the socket in
 * the error; err->code is the errno. The caller closes it with mnl_socket_close(). */
MUST_CHECK bool netfilter_open(const char *what, struct mnl_socket **ret_sock, struct err *err);

/* Begins a message in 'room', which the caller has zeroed: libmnl leaves padding as it is.
 * 'subsystem' is NFNL_SUBSYS_*, 'family' AF_*, 'resource' the group of NFLOG, 0 elsewhere. */
struct nlmsghdr *netfilter_message(void *room, uint8_t subsystem, uint8_t type, uint16_t flags,
                                   uint8_t family, uint16_t resource);

/* Attributes of a message, or inside one (NULL: false). Of a type that comes twice the last
 * counts. */
MUST_CHECK bool netfilter_attrs(const struct nlmsghdr *header,
                                const struct nlattr *ret_attrs[NETFILTER_ATTRS]);
MUST_CHECK bool netfilter_nested(const struct nlattr *nest,
                                 const struct nlattr *ret_attrs[NETFILTER_ATTRS]);

/* False, and nothing written, when the attribute is missing or too short. */
bool netfilter_get_u8(const struct nlattr *attr, uint8_t *ret_value);
/* From network order; 0 when the attribute is missing or too short. */
uint16_t netfilter_u16(const struct nlattr *attr);
uint32_t netfilter_u32(const struct nlattr *attr);
/* With or without its NUL, cut to 'size'; "" when it is missing. */
void netfilter_text(const struct nlattr *attr, char *ret_text, size_t size);
