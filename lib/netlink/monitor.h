/* Kernel notifications on the loop: links, addresses, routes, per-interface settings, and changes
 * of nftables' generation. Nothing is kept here; an overrun is reported so that the owner reads all
 * anew. */
#pragma once

#include <uv.h>

#include "lib/netlink/netlink.h"

struct monitor;

enum monitor_event {
    MONITOR_LINK, /* link is set */
    MONITOR_LINK_GONE,
    MONITOR_ADDRESS,    /* not link-local ones: every pod's interface gets one */
    MONITOR_ROUTE_GONE, /* route is set: it was deleted */
    MONITOR_CONF,       /* forwarding, rp_filter, proxy_arp: link.index, negative: all */
    MONITOR_RULES,      /* nftables: somebody, perhaps we, committed a ruleset */
    MONITOR_OVERRUN,    /* notifications were lost */
};

struct monitor_note {
    enum monitor_event event;
    struct link link;
    struct route route;
};

enum monitor_scope {
    MONITOR_EVERYTHING,
    MONITOR_ONLY_LINKS, /* BIRD's routes alone would wake a listener 100,000 times */
};

MUST_CHECK bool monitor_new(uv_loop_t *loop, enum monitor_scope scope,
                            void (*notify)(void *owner, const struct monitor_note *note),
                            void *owner, struct monitor **ret_monitor, struct err *err);
/* NULL is fine; the loop must turn once more. */
void monitor_free(struct monitor *monitor);
