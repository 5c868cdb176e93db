/* Policy as it applies on this node: what felix/calc gives to felix/rules (chains), felix/dataplane
 * (sets) and felix/evaluate (verdicts). Values only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/model/policy.h"
#include "lib/net/prefix.h"

enum direction {
    INGRESS, /* into the endpoint */
    EGRESS,
};
#define N_DIRECTIONS 2

/* ---- sets ------------------------------------------------------------------------------------ */

enum policy_set_kind {
    SET_NETS,     /* hash:net: addresses and prefixes behind a selector or a service */
    SET_IP_PORTS, /* hash:ip,port: named ports, a service as destination */
};

#define POLICY_SET_ID_MAX 48

/* A set as rules and evaluator name it, for both families. The id is a pure function of what the
 * set means (felix/rules/set_names.h), so rules are rendered without asking who fills it. */
struct policy_set {
    char id[POLICY_SET_ID_MAX]; /* "s:<base64url>", "n:...", "svc:..."; see set_names.h */
    enum policy_set_kind kind;
};

struct policy_set_member {
    struct prefix prefix; /* a single address in SET_IP_PORTS */
    uint8_t protocol;     /* SET_IP_PORTS only */
    uint16_t port;
};

/* ---- policies that apply to a local endpoint ---------------------------------------------------
 */

/* Its address is stable while the policy is active; 'policy' is exchanged when the object changes.
 */
struct active_policy {
    const struct policy *policy; /* borrowed from the store */
    char id[33];                 /* hex, of kind, namespace and name: for names of chains */
};

struct verdict_tier {
    char *name;
    bool is_default_pass;
    const struct active_policy **policies; /* in order, at least one; staged ones are among them */
    size_t n_policies;
};

enum verdict_use {
    USE_NORMAL,    /* filter, after conntrack and DNAT: pods, and the host's own traffic */
    USE_FORWARD,   /* filter FORWARD of a host endpoint: applyOnForward; allows when no tier decides
                    */
    USE_PRE_DNAT,  /* mangle PREROUTING; never denies by default */
    USE_UNTRACKED, /* raw; never denies by default */
};
#define N_USES 4

/* Everything that applies to an endpoint in one direction. Endpoints with equal lists share one. */
struct verdict_list {
    enum verdict_use use;
    enum direction direction;
    struct verdict_tier *tiers;
    size_t n_tiers;
    bool is_profile_allow; /* behind the last tier; else deny (fail closed) */
    char id[33];           /* hex, of all the above: for the name of its chain */
};

#define POLICY_KEY_MAX 324 /* "pod ", 63 and 253 characters, "/" and NUL, rounded */

/* A local endpoint. lists[use][direction] NULL: nothing is looked at (for USE_NORMAL never NULL).
 */
struct policy_endpoint {
    char key[POLICY_KEY_MAX]; /* "pod namespace/name", "host name", or "container <ifname>": no pod
                               */
    char ifname[16];          /* "*": every interface of the host that has no endpoint of its own */
    bool is_host;
    uint8_t dscp; /* of a host, + 1; 0: none */
    const struct verdict_list *lists[N_USES][N_DIRECTIONS];
};
