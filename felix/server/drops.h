/* Denied packets, as NFLOG tells of them: a JSON line each in the log, to those who follow, and in
 * the ring of the last ones; and metrics by policy and pod. The fields of a line are in
 * docs/canalctl.md.
 *
 * What is told is bounded everywhere: rules tell at a limited rate (DropLogLimit), the kernel's
 * buffer loses what we do not take, and here at most 100 a second are told on, of which 10 are
 * logged. What is held back is counted. canal_denied_packets_total (felix/server/counters.h) counts
 * every packet. */
#pragma once

#include <uv.h>

#include "felix/server/in_force.h"
#include "lib/base/err.h"
#include "lib/metrics/metrics.h"
#include "lib/netlink/nflog.h"

struct drops;

struct drops_spec {
    uv_loop_t *loop;
    struct metrics *metrics;
    const struct in_force *in_force;
    /* "namespace/name" of the pod with the address, NULL when there is none; borrowed for a moment.
     * *ret_is_local: on this node. */
    const char *(*pod_of)(void *owner, const struct ip *ip, bool *ret_is_local);
    /* To a client that follows: one line without its newline. */
    void (*send)(void *owner, uint64_t client, const char *line, size_t len);
    void *owner;
};

struct drops *drops_new(const struct drops_spec *spec);
void drops_stop(struct drops *drops); /* NULL is fine; the loop must turn once more */
void drops_free(struct drops *drops);

/* Listens to this group from now on; 0: to none. An error is for the log: everything else works. */
MUST_CHECK bool drops_listen(struct drops *drops, unsigned group, struct err *err);
/* False: there are too many already. */
MUST_CHECK bool drops_follow(struct drops *drops, uint64_t client);
void drops_unfollow(struct drops *drops, uint64_t client);
/* "[{...},...]", the oldest first. */
void drops_write_recent(const struct drops *drops, struct str *out);
uint64_t drops_n_seen(const struct drops *drops);

/* Called by what listens, and by tests. */
void drops_take(struct drops *drops, const struct nflog_packet *packet);
