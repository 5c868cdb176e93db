/* Policies, tiers, profiles, endpoints, network sets and services of the cluster → what this node
 * has to enforce, kept up change by change. Pure: no I/O, no clock.
 *
 * Changes are gathered by policy_state_note(); policy_state_flush() tells the outputs in an order
 * that never opens: sets and additions to them, policies, lists, endpoints, then what is gone in
 * reverse. */
#pragma once

#include "felix/policy.h"
#include "felix/rules/set_names.h"
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
/* A pod the CNI plugin wired, before its addresses are in the API; n 0: forgotten. */
void policy_state_local_pod(struct policy_state *state, const char *ns, const char *name,
                            const struct prefix *ips, size_t n);
void policy_state_flush(struct policy_state *state);

/* For evaluating: whether the set holds it; sets that are not active hold nothing. */
bool policy_state_holds(const struct policy_state *state, const struct policy_set *set,
                        const struct policy_set_member *member);
/* The local endpoint by interface, or with the address; NULL. */
const struct policy_endpoint *policy_state_endpoint(const struct policy_state *state,
                                                    const char *ifname);
const struct policy_endpoint *policy_state_endpoint_by_ip(const struct policy_state *state,
                                                          const struct ip *ip);
