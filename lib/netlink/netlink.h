/* A synchronous rtnetlink socket on libnl-3, for requests that answer in microseconds, and the
 * shapes of what is read through it. One socket belongs to one thread. RFC 3549; linux/rtnetlink.h.
 *
 * Errors carry the kernel's errno in err.code, so a caller can tell "is already there" (EEXIST) and
 * "was not there" (ENOENT, ESRCH, ENODEV, EADDRNOTAVAIL) from trouble. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/vec.h"
#include "lib/net/prefix.h"

struct netlink;
struct nl_msg;
struct nlmsghdr;

MUST_CHECK bool netlink_new(struct netlink **ret_netlink, struct err *err);
void netlink_free(struct netlink *netlink);
/* Sends 'msg' (taken, also on failure) and waits for the kernel's answer. */
MUST_CHECK bool netlink_request(struct netlink *netlink, struct nl_msg *msg, struct err *err);
/* The same for a request that is answered with an object: each() is called with it. */
MUST_CHECK bool netlink_get(struct netlink *netlink, struct nl_msg *msg,
                            void (*each)(void *owner, const struct nlmsghdr *header), void *owner,
                            struct err *err);
/* Sends a dump request (taken) and calls each() for every object of the answer. */
MUST_CHECK bool netlink_dump(struct netlink *netlink, struct nl_msg *msg,
                             void (*each)(void *owner, const struct nlmsghdr *header), void *owner,
                             struct err *err);

#define LINK_NAME_MAX 16

struct link {
    int index;
    char name[LINK_NAME_MAX];
    uint32_t mtu;
    bool is_up;      /* administratively */
    bool is_running; /* has carrier */
    bool is_loopback;
    char kind[16];  /* "veth", "ipip", "bridge"; "" for hardware */
    char alias[64]; /* IFLA_IFALIAS, cut */
};
typedef VEC(struct link) link_vec;

MUST_CHECK bool link_list(struct netlink *netlink, link_vec *ret_links, struct err *err);
/* false with ENODEV when there is none. */
MUST_CHECK bool link_get(struct netlink *netlink, const char *name, struct link *ret_link,
                         struct err *err);
bool link_parse(const struct nlmsghdr *header,
                struct link *ret_link); /* RTM_NEWLINK, RTM_DELLINK */
/* mtu 0 leaves it. */
MUST_CHECK bool link_set(struct netlink *netlink, int index, bool up, uint32_t mtu,
                         struct err *err);
MUST_CHECK bool link_delete(struct netlink *netlink, int index, struct err *err);
MUST_CHECK bool link_add_ipip(struct netlink *netlink, const char *name, struct err *err);

struct address {
    int index;
    struct prefix prefix; /* the address with its prefix length */
    uint8_t scope;        /* RT_SCOPE_* */
    bool is_usable;       /* not tentative, deprecated or failed */
};
typedef VEC(struct address) address_vec;

MUST_CHECK bool address_list(struct netlink *netlink, address_vec *ret_addresses, struct err *err);
MUST_CHECK bool address_add(struct netlink *netlink, int index, const struct prefix *prefix,
                            struct err *err);
MUST_CHECK bool address_delete(struct netlink *netlink, int index, const struct prefix *prefix,
                               struct err *err);

struct route {
    struct prefix dst;
    int index;        /* output interface */
    uint8_t protocol; /* RTPROT_* */
    uint8_t scope;
    uint8_t type; /* RTN_UNICAST */
    uint32_t table;
    uint32_t metric;
    struct ip source; /* what this node sends from; family 0: the kernel chooses */
};
typedef VEC(struct route) route_vec;

/* Main-table routes of one family and protocol: the kernel filters (strict checking), so the cost
 * for us does not grow with BIRD's routes. protocol 0: all. */
MUST_CHECK bool route_list(struct netlink *netlink, uint8_t family, uint8_t protocol,
                           route_vec *ret_routes, struct err *err);
/* The interface what this node sends to 'ip' leaves by; lo: the address is one of its own. */
MUST_CHECK bool route_interface(struct netlink *netlink, const struct ip *ip, int *ret_index,
                                struct err *err);
bool route_parse(const struct nlmsghdr *header, struct route *ret_route);
/* Adds or replaces a unicast route straight to an interface, scope link. */
MUST_CHECK bool route_replace(struct netlink *netlink, const struct route *route, struct err *err);
MUST_CHECK bool route_delete(struct netlink *netlink, const struct route *route, struct err *err);
