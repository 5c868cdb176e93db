/* The rules that do not depend on any pod or policy: anti-spoofing, IPIP, forwarding, NAT.
 * Membership lives in ipsets, so these rules change only with settings. */
#pragma once

#include <stdint.h>

#include "felix/rules/policy_rules.h"
#include "felix/rules/ruleset.h"

/* How pods leave the cluster. Borrowed texts that were checked: they stand in rules as they are. */
struct nat_rules_config {
    const char *address;            /* IPv4; NULL: that of the interface */
    uint16_t first_port, last_port; /* 0: any */
    const char *interface;          /* "eth+"; NULL: any */
    bool excludes_hosts;            /* nodes see pods' own addresses (IPv4) */
};

/* What iptables and the kernel here can do. */
struct features {
    bool masquerade_random_fully; /* MASQUERADE --random-fully */
    bool snat_random_fully;       /* SNAT --random-fully */
};

struct static_rules_config {
    const char *workload_prefix; /* "cali" */
    bool is_append_mode;         /* ChainInsertMode=append */
    bool has_random_fully;       /* MASQUERADE --random-fully */
    bool has_snat_random_fully;  /* SNAT --random-fully */
    bool has_tunnel;             /* some pool uses IPIP */
    bool has_floating;           /* some pod of this node has a floating address */
    struct nat_rules_config nat;
    /* NULL: no policy; pods may do everything that is not spoofed. Else policy_rules_static() is
     * part of what is added. */
    const struct policy_rules_config *policy;
};

/* The end of anti-spoofing where config->policy->allows_sources: sources that pods have besides
 * their own addresses, written whole. */
struct pod_source {
    char ifname[16];
    struct prefix net;
};
void source_rules(const struct policy_rules_config *config, uint8_t family,
                  const struct pod_source *sources, size_t n, struct ruleset *set);
/* A floating address and what it is replaced by, of one family. */
struct floating_pair {
    struct ip external, internal;
};
typedef VEC(struct floating_pair) floating_pair_vec;
/* The chains that static_rules() leads to where config->has_floating, written whole. */
void floating_rules(uint8_t family, const struct floating_pair *pairs, size_t n,
                    struct ruleset *set);
/* Adds to 'set' what family 4 or 6 needs. */
void static_rules(const struct static_rules_config *config, uint8_t family, struct ruleset *set);
