/* What is asked of a connection on its way through this node, in the kernel's order: pods' policies
 * and those of host endpoints, untracked ones first, then those before DNAT, then the rest. Pure.
 *
 *   from the network ─► in: UNTRACKED ─► PRE_DNAT ─┬─► NORMAL                      to the node
 *                                                  └─► FORWARD ─► pod's ingress    to its pods
 *   from a pod ───────► pod's egress ─────────────────────────┬─► pod's ingress    (not to the
 * node) └─► out: FORWARD     to the network from the node ────► out: UNTRACKED ─► NORMAL   to the
 * network; own pods are open to the node
 *
 * An untracked policy that allows ends what the host asks; one before DNAT stands for NORMAL and
 * FORWARD of its direction. */
#pragma once

#include "felix/evaluate/evaluate.h"
#include "felix/rules/policy_rules.h"

/* The first packet of a connection; without DNAT both are equal. */
struct flow {
    struct packet packet;  /* after DNAT */
    struct packet arrived; /* before */
    bool is_by_ipvs;       /* IPVS gave it its destination, behind INPUT; not the rules of nat */
};

struct flow_ends {
    const struct policy_endpoint *source, *destination; /* pods; NULL: not on this node */
    bool is_from_node, is_to_node; /* an address of this node; its own pods are open to it */
    /* Host endpoints at the interfaces it comes in and goes out by; NULL: none there, or a pod's
     * interface. What the node sends to itself goes out and comes in. */
    const struct policy_endpoint *in, *out;
    const struct policy_endpoint *out_arrived; /* before DNAT; asked when the node sends */
    /* Borrowed. What no policy closes to and from the node. */
    const struct failsafe_port *failsafe_in, *failsafe_out;
    size_t n_failsafe_in, n_failsafe_out;
    /* Connections that are older than their entry may stand there the wrong way round: the port is
     * a failsafe one whichever side it is on. */
    bool is_open;
};

/* One thing that is asked. */
struct flow_check {
    const struct policy_endpoint *endpoint;
    enum verdict_use use;
    enum direction direction;
    const struct packet *packet;
    bool is_failsafe; /* the list is not asked: nothing of it stops the packet */
};

/* Whether one that is not failsafe lets the packet on: *ret_is_by_rule when a rule says so, which
 * counts for what follows. */
typedef bool flow_judge(void *owner, const struct flow_check *check, bool *ret_is_by_rule);

/* Calls judge() for everything that is asked, failsafe ports too. What a host endpoint denied is
 * not asked of it again; the other end is. */
void flow_walk(const struct flow_ends *ends, const struct flow *flow, flow_judge *judge,
               void *owner);

/* Whether all of it allows the connection. */
bool flow_is_allowed(const struct flow_ends *ends, const struct flow *flow,
                     const struct evaluate_sets *sets);
