/* Names of the sets behind rules: pure functions of their meaning, Calico's where it has the same
 * set, so that a node which ran Calico keeps its sets. */
#pragma once

#include "felix/policy.h"

/* The set of the addresses of endpoints and network sets that match a selector's canonical text:
 * "s:" + base64url(SHA-224("s:" + text)), as Calico. */
void set_of_selector(const char *canonical, struct policy_set *ret_set);
/* The set of the addresses of Nodes whose labels match: "node:", likewise. */
void set_of_nodes(const char *canonical, struct policy_set *ret_set);
/* Address and port of every endpoint that matches (canonical NULL or "": every endpoint) and has
 * the port by that name. */
void set_of_named_port(const char *canonical, uint8_t protocol, const char *name,
                       struct policy_set *ret_set);
void set_of_service(const char *ns, const char *name, bool with_ports, struct policy_set *ret_set);
/* "cali40s:abc...": family digit, cut to the 31 characters the kernel takes. */
void set_kernel_name(const struct policy_set *set, uint8_t family, char ret_name[32]);

/* Calls each() for every set the rules of 'policy' name, one that is named twice twice. The one
 * place that says which sets a rule needs: felix/calc fills these, felix/rules refers to them.
 * 'canonical', 'port_name',
 * ... say what the set means, see struct set_need. */
struct set_need {
    struct policy_set set;
    const char *selector;      /* canonical; NULL: every endpoint (named ports), or one of these: */
    const char *node_selector; /* canonical, of Nodes */
    const char *port_name;     /* named ports only */
    uint8_t protocol;          /* named ports only */
    const char *service_ns, *service_name;
};
void policy_each_set(const struct policy *policy,
                     void (*each)(void *owner, const struct set_need *need), void *owner);
