/* Limits that pods ask for by annotations, and the DSCP of what they send out of the cluster. Which
 * pods share a value is in ipsets, one for each value: rules depend on how many different values
 * there are, not on pods, and a pod that comes changes no rule.
 *
 *   mangle FORWARD       packets above a rate → drop; a TCP connection too many → the refused bit
 *          INPUT         the same for what pods send to their node
 *          POSTROUTING   from a pod to outside all pools → DSCP
 *   filter FORWARD/INPUT a connection with the refused bit that is new → TCP reset
 *
 * All packets of a pod count, open connections' too, so rates stand ahead of their short path. The
 * node to its own pods is not limited. Connections are counted in mangle, which is seldom written:
 * iptables-legacy replaces a table whole, and with it what its rules have counted. */
#pragma once

#include <stdint.h>

#include "felix/rules/policy_rules.h"

enum limit_kind {
    LIMIT_PACKETS,     /* a: packets per second, b: burst */
    LIMIT_CONNECTIONS, /* a: TCP connections at once */
    LIMIT_DSCP,        /* a: 0-63; of egress */
};

struct limit_value {
    enum limit_kind kind;
    enum direction direction; /* INGRESS: to the pod */
    uint32_t a, b;
};

#define LIMIT_PACKET_RATE_MAX 1000000 /* what xt_hashlimit counts */

/* Of the set with the addresses of the pods that ask for it, without cali40. */
#define LIMIT_SET_NAME_MAX 32
const char *limit_set_name(const struct limit_value *value, char ret_name[LIMIT_SET_NAME_MAX]);
/* An order for a list of them. */
int limit_value_compare(const struct limit_value *one, const struct limit_value *other);

/* Chains and hooks in mangle; nothing without values. config->limits are in order. */
void limit_rules(const struct policy_rules_config *config, uint8_t family, struct ruleset *set);
/* Into a filter chain, ahead of what drops connections with the refused bit. */
void limit_rules_refuse(const struct policy_rules_config *config, struct chain *chain);
