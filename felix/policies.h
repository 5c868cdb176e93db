/* Policy on its way from calculation to kernel: what felix/calc/policy_state tells becomes wanted
 * ipsets and chains, and connections whose ground has changed are judged again. Used by felix.c,
 * which says when:
 *
 *   policies_note(), policies_put_local() … ─► policies_flush() ─► sets_apply() ─► policies_want()
 *                                                                       (rules in place) ─►
 * policies_settled()
 */
#pragma once

#include <uv.h>

#include "felix/calc/policy_state.h"
#include "felix/dataplane/iptables.h"
#include "felix/dataplane/revoke.h"
#include "felix/dataplane/sets.h"
#include "felix/desired.h"
#include "felix/evaluate/flow.h"
#include "felix/rules/static_rules.h"
#include "felix/server/in_force.h"

struct policies;

struct policies_spec {
    uv_loop_t *loop;
    struct netlink *netlink; /* borrowed: where routes go */
    struct sets *sets;       /* borrowed */
    const char *node_name;
    const char *interface_prefix; /* "cali" */
    bool ipv6;
    uint32_t max_ipset_size;
    struct in_force *in_force; /* borrowed: is told of policies and lists */
    /* Nothing in the kernel has the older bits of the marks any more (policy_marks_follow()): to be
     * configured anew without them. */
    void (*carried)(void *owner);
    void *owner;
};

struct policies *policies_new(const struct policies_spec *spec);
/* Nothing is judged any more; the loop must turn until it returns before policies_free(). */
void policies_stop(struct policies *policies);
void policies_free(struct policies *policies); /* NULL is fine */

/* For those who read: explain, endpoints, metrics. Changes go through the functions below. */
const struct policy_state *policies_state(const struct policies *policies);

void policies_note(struct policies *policies, const struct change *change);
void policies_put_local(struct policies *policies, const char *ifname, const char *ns,
                        const char *pod, const struct prefix *ips, size_t n);
void policies_remove_local(struct policies *policies, const char *ifname);
/* Of a local pod, as policies_put_local() was told; NULL: none are known. 'owner' is a struct
 * policies. */
const struct prefix *policies_addresses(void *owner, const char *ifname, size_t *ret_n);
/* All addresses of this node that are not on workload interfaces. */
void policies_interfaces(struct policies *policies, const struct policy_interface *interfaces,
                         size_t n);
/* Everything that is rendered depends on it; 'config' and its parts are borrowed until the next
 * call. config->policy is not NULL; its has_host_endpoints is filled in here. */
void policies_configure(struct policies *policies, const struct static_rules_config *config);
/* Sources of pods besides their own addresses, all of them. */
void policies_sources(struct policies *policies, const struct pod_source *sources, size_t n);
/* The different limits of pods, in order. */
void policies_limits(struct policies *policies, const struct limit_value *limits, size_t n);
/* Floating addresses of pods of this node, all of them. */
void policies_floating(struct policies *policies, const floating_vec *addresses);
/* Whether open connections that policy takes away are ended. */
void policies_set_revoking(struct policies *policies, bool is_on);

/* Calculates, and wants what follows of sets: to be written next. */
void policies_flush(struct policies *policies);
/* Wants the chains, in both families (tables[1] NULL: IPv4 only); sets have been written before. */
void policies_want(struct policies *policies, struct iptables *const tables[2]);
/* Appends floating addresses and what they are replaced by, as wanted last. */
void policies_floating_pairs(const struct policies *policies, floating_pair_vec *ret_pairs);
/* The rules wanted last are in the kernel. */
void policies_settled(struct policies *policies);

/* The revisions of the tables at which what applies to a workload interface was wanted last; false
 * when felix does not know the interface. */
bool policies_revisions(const struct policies *policies, const char *ifname,
                        uint64_t ret_wanted[2]);
/* The pod behind a workload interface is known with its labels, and so its policy is. */
bool policies_knows_pod(const struct policies *policies, const char *ifname);
/* As the sets in the kernel hold it (felix/evaluate). */
struct evaluate_sets policies_evaluate_sets(const struct policies *policies);
/* Both ends of a connection as this node knows them, and which host endpoints it passes. */
struct flow_ends policies_flow_ends(struct policies *policies, const struct flow *flow);
/* Routes are looked up anew from here on. */
void policies_forget_routes(struct policies *policies);
/* Which host endpoint sees a packet depends on its interface. */
bool policies_host_endpoints_differ(const struct policies *policies);
bool policies_is_own_address(const struct policies *policies, const struct ip *ip);
