/* What shapes the packets of one interface: a token bucket (tc-tbf(8)) on what it sends, and a
 * redirection of what it receives to an ifb interface, whose own bucket shapes that.
 * linux/pkt_sched.h, linux/pkt_cls.h. Ours are told from others' by QDISC_HANDLE and by the
 * filter's priority; others' are not deleted. */
#pragma once

#include "lib/netlink/netlink.h"

#define QDISC_HANDLE 0xca110000 /* "ca11:" */

struct shape {
    uint64_t rate;      /* bytes per second */
    uint32_t burst;     /* bytes at once; at least a packet of the interface */
    uint64_t peak_rate; /* bytes per second while there is burst; 0: as fast as it can */
    uint32_t min_burst; /* bytes at once at that rate; at least a packet */
    uint32_t queue;     /* bytes that wait at most */
};

/* As the kernel tells it. */
struct qdisc {
    int index;
    char kind[16];
    uint32_t handle;
    uint64_t rate, peak_rate; /* of a tbf */
};
typedef VEC(struct qdisc) qdisc_vec;

/* Of all interfaces. */
MUST_CHECK bool qdisc_list(struct netlink *netlink, qdisc_vec *ret_qdiscs, struct err *err);
/* Makes or changes it; a change fills the bucket. Takes the place of whatever is there. */
MUST_CHECK bool qdisc_shape(struct netlink *netlink, int index, const struct shape *shape,
                            struct err *err);
/* None of ours is fine. */
MUST_CHECK bool qdisc_unshape(struct netlink *netlink, int index, struct err *err);

/* What 'index' receives goes through 'ifb' and comes back. */
MUST_CHECK bool qdisc_redirect(struct netlink *netlink, int index, int ifb, struct err *err);
MUST_CHECK bool qdisc_is_redirected(struct netlink *netlink, int index, bool *ret_is,
                                    struct err *err);
/* None of ours is fine. */
MUST_CHECK bool qdisc_unredirect(struct netlink *netlink, int index, struct err *err);
/* Up, with the alias that names the interface it belongs to. EEXIST when it is there. */
MUST_CHECK bool link_add_ifb(struct netlink *netlink, const char *name, const char *alias,
                             struct err *err);
