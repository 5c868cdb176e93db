/* Why a packet may pass or may not: the answer to PROTO_EXPLAIN, whose fields docs/canalctl.md has.
 * Pure. Agrees with felix/evaluate/flow.h where that has a verdict; what is decided on another node
 * is said to be. */
#pragma once

#include "felix/evaluate/evaluate.h"
#include "felix/rules/policy_rules.h"

struct json_object;

enum explain_where {
    EXPLAIN_HERE,       /* a pod of this node with an interface of its own */
    EXPLAIN_HOST,       /* this node itself, or a hostNetwork pod on it */
    EXPLAIN_OTHER_NODE, /* a pod elsewhere */
    EXPLAIN_OTHER_HOST, /* another node itself, or a hostNetwork pod there */
    EXPLAIN_SERVICE,    /* in a range of service addresses */
    EXPLAIN_OUTSIDE,
};

/* Borrowed values. */
struct explain_end {
    struct ip ip;
    const char *pod;  /* "namespace/name"; NULL */
    const char *node; /* of the two OTHERs; NULL: not known */
    enum explain_where where;
    /* HERE: NULL is a pod felix has no policy for yet, which is closed. HOST: the host endpoint its
     * traffic passes, NULL without one. */
    const struct policy_endpoint *endpoint;
};

struct explain_question {
    struct explain_end from, to;
    struct packet packet; /* the first of a connection, after DNAT; addresses are those of the ends
                           */
    enum rules_action to_host; /* DefaultEndpointToHostAction */
    const struct failsafe_port *failsafe_in, *failsafe_out;
    size_t n_failsafe_in, n_failsafe_out;
    bool has_host_endpoints;
    bool is_pending; /* the kernel does not hold all of it yet */
};

enum explain_verdict {
    EXPLAIN_ALLOWED, /* by all that is decided on this node */
    EXPLAIN_DENIED,
    EXPLAIN_ELSEWHERE, /* nothing is decided here */
};

/* Adds the fields of the answer to 'json'. sets->step is not used. */
enum explain_verdict explain_answer(const struct explain_question *question,
                                    const struct evaluate_sets *sets, struct json_object *json);
