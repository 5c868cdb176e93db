/* Bandwidth of local pods, by interface: a token bucket on the host's side for what the pod gets;
 * an ifb interface with one for what it sends. Nothing is read or written while nobody asks, but
 * once at start for what an earlier run left. A bucket that is in place is not touched: a change
 * fills it. */
#pragma once

#include "lib/netlink/qdisc.h"

struct shaping;

/* A rate of 0: not shaped. */
struct shaping_wish {
    char ifname[16];
    struct shape ingress, egress; /* to and from the pod; queue and packets are filled in here */
};

struct shaping *shaping_new(struct netlink *netlink); /* borrowed */
void shaping_free(struct shaping *shaping);           /* the kernel keeps all */

/* Wants exactly these. */
void shaping_want(struct shaping *shaping, const struct shaping_wish *wishes, size_t n);
void shaping_on_link(struct shaping *shaping, const char *ifname);
/* Reads everything back in the next apply. */
void shaping_recheck(struct shaping *shaping);
/* All are tried, the first error is told; an interface that is not there yet is none. */
MUST_CHECK bool shaping_apply(struct shaping *shaping, struct err *err);
