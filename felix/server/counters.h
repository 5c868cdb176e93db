/* Reads the kernel's counters, when somebody wants to know them: `iptables-save -c` in a child, one
 * family after the other. People wait for a reading that begins after they asked; after one that
 * took t, the next begins 2 t later, a second at least. Scrapes have it read when the last reading
 * is five seconds and 20 t old, so that they take a twentieth of a core at most, however often they
 * come: a scrape shows what is known, and the next one what it has had read. */
#pragma once

#include <uv.h>

#include "felix/server/counts.h"
#include "felix/server/in_force.h"
#include "lib/base/err.h"
#include "lib/metrics/metrics.h"

struct counters;

/* Where to read; borrowed until the reading is over. */
struct counters_source {
    const struct policy_rules_config *config;
    const char *tools[2]; /* "iptables-nft-save", "ip6tables-nft-save"; NULL: not this family */
    bool is_all_tables;   /* policies are in raw and mangle, too */
};

struct counters_spec {
    uv_loop_t *loop;
    struct metrics *metrics;
    const struct in_force *in_force;
    /* False: the kernel does not hold what is in force, rules are being written. */
    bool (*source)(void *owner, struct counters_source *ret_source);
    void *owner;
};

struct counters *counters_new(const struct counters_spec *spec);
void counters_stop(struct counters *counters); /* NULL is fine; waiters are told that it ends */
/* After counters_stop(), and after the loop has turned until nothing was left. */
void counters_free(struct counters *counters);

/* A reading that begins now or later, and then done(): 'err' NULL when it went well. */
void counters_read(struct counters *counters, void (*done)(void *owner, const struct err *err),
                   void *owner);
const struct totals *counters_totals(const struct counters *counters);
