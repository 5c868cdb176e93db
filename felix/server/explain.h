/* Why a packet may pass or may not: the answer to PROTO_EXPLAIN, whose fields docs/canalctl.md has.
 * Pure. What is asked of the packet here, and in which order, is felix/evaluate/flow.h; what is
 * decided on another node is said to be. */
#pragma once

#include "felix/evaluate/flow.h"

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
    const struct policy_endpoint *endpoint; /* HERE; NULL: no policy for the pod yet, so closed */
};

struct explain_question {
    struct explain_end from, to;
    struct packet packet; /* the first of a connection, without DNAT; from one end to the other */
    /* The floating address of 'to' that it was sent to; family 0: none. On the pod's node the
     * packet above goes to the pod's own address, elsewhere to this. */
    struct ip floating;
    enum rules_action to_host; /* DefaultEndpointToHostAction */
    /* Of these the host endpoints that are passed and the failsafe ports; the rest follows from the
     * ends above. */
    struct flow_ends ends;
    bool has_host_endpoints;
    bool is_by_route; /* another interface would have another host endpoint, or none */
    bool is_pending;  /* the kernel does not hold all of it yet */
};

enum explain_verdict {
    EXPLAIN_ALLOWED, /* by all that is decided on this node */
    EXPLAIN_DENIED,
    EXPLAIN_ELSEWHERE, /* nothing is decided here */
};

/* Adds the fields of the answer to 'json'. sets->step is not used. */
enum explain_verdict explain_answer(const struct explain_question *question,
                                    const struct evaluate_sets *sets, struct json_object *json);
