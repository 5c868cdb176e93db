/* Kernel notifications on the loop: links, addresses, routes, per-interface settings, and commits
 * to nftables (by iptables-nft, too). Nothing is kept here; an overrun is reported so that the
 * owner reads all anew. */
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
    MONITOR_RULE,       /* a part of a commit to nftables: nft is set */
    MONITOR_RULES,      /* the end of such a commit, perhaps our own */
    MONITOR_RULES_LOST, /* notifications of commits were lost */
    MONITOR_OVERRUN,    /* others were */
};

/* A table, chain or rule that came, changed or went. Borrowed for the call. */
struct monitor_nft {
    uint8_t family;    /* 4, 6; 0 neither */
    const char *table; /* never NULL */
    const char *chain; /* NULL: the table itself */
};

struct monitor_note {
    enum monitor_event event;
    struct link link;
    struct route route;
    struct monitor_nft nft;
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
