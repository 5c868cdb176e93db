/* Policies, tiers, profiles, endpoints, network sets and services of the cluster → what this node
 * has to enforce, kept up change by change. Pure: no I/O, no clock.
 *
 * Changes are gathered by policy_state_note(); policy_state_flush() tells the outputs in an order
 * that never opens: sets and additions to them, policies, lists, endpoints, then what is gone in
 * reverse. */
#pragma once

#include "felix/policy.h"
#include "lib/model/store.h"

struct policy_state;

struct policy_state_spec {
    const char *node_name;
    const char *interface_prefix; /* "cali" */
    void (*set)(void *owner, const struct policy_set *set, bool is_active);
    void (*member)(void *owner, const struct policy_set *set,
                   const struct policy_set_member *member, bool is_added);
    /* is_active true: new, or its rules changed. */
    void (*policy)(void *owner, const struct active_policy *policy, bool is_active);
    void (*list)(void *owner, const struct verdict_list *list, bool is_active);
    void (*endpoint)(void *owner, const struct policy_endpoint *endpoint, bool is_active);
    void *owner;
};

struct policy_state *policy_state_new(const struct policy_state_spec *spec);
void policy_state_free(struct policy_state *state);
/* Takes one change of any kind; those it does not know are ignored. */
void policy_state_note(struct policy_state *state, const struct change *change);
/* A workload interface of this node and whose it is; its addresses count at once, before the API
 * has them. 'ns' and 'pod' NULL: a container that is no pod of Kubernetes; no policy can select it
 * and it is open. A pod whose object or namespace is not known (yet) is closed. Both change by
 * being put again. */
void policy_state_put_local(struct policy_state *state, const char *ifname, const char *ns,
                            const char *pod, const struct prefix *ips, size_t n);
void policy_state_remove_local(struct policy_state *state, const char *ifname);
/* Whether the Pod object behind a workload interface is known: its labels are in force. */
bool policy_state_knows_pod(const struct policy_state *state, const char *ifname);
/* The addresses of this node's other interfaces, for host endpoints that go by expectedIPs. */
struct policy_interface {
    char ifname[16];
    struct ip ip;
};
void policy_state_interfaces(struct policy_state *state, const struct policy_interface *interfaces,
                             size_t n);
void policy_state_flush(struct policy_state *state);

/* For evaluating: whether the set holds it; sets that are not active hold nothing. */
bool policy_state_holds(const struct policy_state *state, const struct policy_set *set,
                        const struct policy_set_member *member);
/* The local endpoint by interface, or with the address; NULL. */
const struct policy_endpoint *policy_state_endpoint(const struct policy_state *state,
                                                    const char *ifname);
const struct policy_endpoint *policy_state_endpoint_by_ip(const struct policy_state *state,
                                                          const struct ip *ip);
/* The same by its key, "pod namespace/name" or "host name". */
const struct policy_endpoint *policy_state_endpoint_by_key(const struct policy_state *state,
                                                           const char *key);
/* What ids in chains and drop tags stand for; NULL when it is not (or no longer) in force. */
const struct active_policy *policy_state_policy_by_id(const struct policy_state *state,
                                                      const char *id);
const struct verdict_list *policy_state_list_by_id(const struct policy_state *state,
                                                   const char *id);

/* All that is in force, for rendering it anew and for showing it; NULL calls are left out. */
struct policy_state_visitor {
    void (*set)(void *owner, const struct policy_set *set, size_t n_members);
    void (*policy)(void *owner, const struct active_policy *policy);
    void (*list)(void *owner, const struct verdict_list *list);
    void (*endpoint)(void *owner, const struct policy_endpoint *endpoint);
    void *owner;
};
void policy_state_visit(const struct policy_state *state,
                        const struct policy_state_visitor *visitor);

struct policy_state_stats {
    size_t n_policies; /* of the cluster */
    size_t n_active_policies, n_lists, n_endpoints, n_sets;
    size_t n_selectors; /* distinct texts, of rules and of policies */
    size_t n_rule_selectors;
    size_t n_items; /* that rules' selectors may find, of the cluster */
    /* Work done since the beginning: what an event costs. */
    uint64_t n_selectors_evaluated; /* against groups of equal items */
    uint64_t n_members_counted;     /* references to members of sets, more or less */
    uint64_t n_policies_resolved;   /* looked at by a flush */
    uint64_t n_endpoints_resolved;  /* groups of equal endpoints whose policies were sorted */
    uint64_t n_lists_built;
};
struct policy_state_stats policy_state_stats(const struct policy_state *state);
