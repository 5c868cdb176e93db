/* Policies, verdict lists, endpoints and settings → chains of ours, one family at a time. Pure.
 *
 *   FORWARD ─ established ─► accept                    (ahead of it: refused connections → drop)
 *           └ new ─► dispatch by interface ─► cali-fw-<if> ─► cali-to-<list> ─► cali-po-<policy> …
 *                                            (and cali-tw-, cali-ti-, cali-pi- towards a pod)
 *
 * Chains talk by mark bits and by returning:
 *   accept   the endpoint and direction accept; whoever called the list's chain goes on with it
 *   pass     the rest of this tier is skipped
 *   matched  inside one policy rule that needs several kernel rules: all parts so far hold; clear
 *            between policy rules
 *   block    inside such a rule: one of a list of alternatives holds
 *   refused  a bit of the connection's mark (connmark), not of the packet's: felix took back what
 *            the connection relied on. Nothing here sets it; packets of such a connection are
 *            dropped ahead of the acceptance of established ones.
 * A policy rule's action is one jump: "-g cali-allow" sets the bit, and the end of a chain that was
 * gone to returns to the caller of the policy's chain. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "felix/policy.h"
#include "felix/rules/ruleset.h"
#include "lib/base/err.h"
#include "lib/base/vec.h"

#define POLICY_MARK_MASK_DEFAULT 0xffff0000

struct policy_marks {
    uint32_t accept, pass, refused, matched, block;
    uint32_t arrived, from_pod; /* of packets that IPVS may send on */
    /* Bits that meant the same under an earlier mask, and are taken for it until nothing has them
     * any more: tables are not committed all at once, and connections are older than that. 0: none.
     */
    uint32_t also_refused, also_arrived, also_from_pod;
};

/* For a config that follows one with the marks 'old'. 'is_over': nothing has the bits that 'old'
 * took for its own. */
void policy_marks_follow(struct policy_marks *marks, const struct policy_marks *old, bool is_over);
/* Single bits out of the mask, low to high in the order above; seven are needed. */
MUST_CHECK bool policy_marks_of_mask(uint32_t mask, struct policy_marks *ret_marks,
                                     struct err *err);

enum rules_action {
    RULES_ACCEPT,
    RULES_DROP,
    RULES_REJECT,
    RULES_RETURN, /* others' rules behind ours decide; service loops: nothing is done */
};

/* "10/minute"; n 0: no limit. */
struct rate_limit {
    uint32_t n;
    const char *unit; /* "second" "minute" "hour" "day" */
    uint32_t burst;   /* 0: the kernel's 5 */
};

/* LogActionRateLimit's text. The burst is left as it is. */
MUST_CHECK bool rate_limit_parse(const char *text, struct rate_limit *ret_limit, struct err *err);

/* A port of the host that no policy of a host endpoint closes. */
struct failsafe_port {
    uint8_t protocol; /* 6, 17, 132 */
    uint16_t port;
    bool has_net; /* only for peers in 'net' */
    struct prefix net;
};

struct limit_value;

/* Borrowed values: they live as long as the config is in use. */
struct policy_rules_config {
    const char *workload_prefix; /* "cali" */
    /* Of interfaces that are pods' as well, none of which is felix's: closed. */
    const char *const *other_prefixes;
    size_t n_other_prefixes;
    bool is_append_mode; /* ChainInsertMode=append */
    struct policy_marks marks;
    enum rules_action filter_allow;    /* ACCEPT or RETURN: IptablesFilterAllowAction */
    enum rules_action mangle_allow;    /* ACCEPT or RETURN: IptablesMangleAllowAction */
    enum rules_action deny;            /* DROP or REJECT: IptablesFilterDenyAction */
    enum rules_action to_host;         /* DefaultEndpointToHostAction: any */
    enum rules_action service_loop;    /* DROP, REJECT or RETURN: ServiceLoopPrevention */
    const struct prefix *service_nets; /* of both families: cluster, external, load balancer */
    size_t n_service_nets;
    bool allows_sources;           /* WorkloadSourceSpoofing: pods' own lists count */
    bool keeps_invalid;            /* DisableConntrackInvalidCheck */
    bool allows_ipip_from_pods;    /* AllowIPIPPacketsFromWorkloads */
    bool allows_vxlan_from_pods;   /* AllowVXLANPacketsFromWorkloads */
    const char *log_prefix;        /* LogPrefix, with %t %k %n %p; NULL: "calico-packet" */
    struct rate_limit log_limit;   /* of each Log rule */
    unsigned nflog_group;          /* denied packets are told there; 0: nowhere */
    struct rate_limit nflog_limit; /* of each rule that denies */
    bool has_ipvs;                 /* kube-proxy in IPVS mode is on the node */
    const char *node_ports;        /* "30000:32767,…": where IPVS may have some; NULL: nowhere */
    bool has_host_endpoints;       /* else nothing looks at the host's own traffic */
    const struct limit_value *limits; /* that pods ask for, see felix/rules/limit_rules.h */
    size_t n_limits;
    const struct failsafe_port *failsafe_in, *failsafe_out;
    size_t n_failsafe_in, n_failsafe_out;
};

/* What everything below leads from and to: chains that set marks and drop, hooks into the built-in
 * chains (with felix/rules/static_rules.h, which calls this). */
void policy_rules_static(const struct policy_rules_config *config, uint8_t family,
                         struct ruleset *set);

/* The chains of a policy: per direction it applies to, in each table it is used in. Pods ignore
 * doNotTrack and preDNAT: without host endpoints such a policy has no chains, whoever it selects.
 */
void policy_chains(const struct policy_rules_config *config, uint8_t family,
                   const struct active_policy *policy, struct ruleset *set);
/* Which of a policy chain's kernel rules counts what: (*ret_counts).items[i] is the index of the
 * policy rule whose packets the kernel's counter of the chain's rule i counts, -1 none. A policy
 * rule may be counted by several (add them up), or by none (left out of this family). */
typedef VEC(int) count_vec; /* a name for a container, as route_vec */
void policy_chain_counts(const struct policy_rules_config *config, uint8_t family,
                         const struct active_policy *policy, enum direction direction,
                         count_vec *ret_counts);

/* The chain endpoints with this list go to; in mangle, too, where the host's egress needs it. */
void verdict_list_chains(const struct policy_rules_config *config, uint8_t family,
                         const struct verdict_list *list, struct ruleset *set);
/* The chains dispatch goes to; they name the endpoint's lists. Both families are equal but for
 * failsafe ports. */
void endpoint_chains(const struct policy_rules_config *config, uint8_t family,
                     const struct policy_endpoint *endpoint, struct ruleset *set);
/* Dispatch of the host's own interfaces, written whole. Pods are dispatched by
 * felix/rules/dispatch.h. */
void host_dispatch_chains(const struct policy_rules_config *config, uint8_t family,
                          const struct policy_endpoint *const *endpoints, size_t n,
                          struct ruleset *set);

/* Names of chains, at most CHAIN_NAME_MAX - 1 characters; ret_name is returned. */
const char *policy_chain_name(const struct active_policy *policy, enum direction direction,
                              char ret_name[CHAIN_NAME_MAX]);
const char *verdict_list_chain_name(const struct verdict_list *list, char ret_name[CHAIN_NAME_MAX]);
/* 'use' NORMAL for pods. The same name stands in several tables for the host. */
const char *endpoint_chain_name(const char *ifname, bool is_host, enum verdict_use use,
                                enum direction direction, char ret_name[CHAIN_NAME_MAX]);
/* Names of interfaces that may stand in rules and in names of chains. Others get no rules (which
 * for pods means closed). */
bool rules_ifname_is_usable(const char *ifname);
