/* The chains behind policy: remembers what is active, renders what changed, and tells the writers
 * of both families which chains they have to have. Used by policies.c. */
#pragma once

#include "felix/dataplane/iptables.h"
#include "felix/desired.h"
#include "felix/policy.h"
#include "felix/rules/limit_rules.h"
#include "felix/rules/static_rules.h"

struct wanted_chains;

/* The addresses of a local pod, for dispatch by them; NULL: none are known. */
typedef const struct prefix *wanted_chains_lookup(void *owner, const char *ifname, size_t *ret_n);

struct wanted_chains *wanted_chains_new(const char *workload_prefix, wanted_chains_lookup *lookup,
                                        void *owner);
void wanted_chains_free(struct wanted_chains *chains);

/* New, or its rules changed; borrowed until it is removed. */
void wanted_chains_policy(struct wanted_chains *chains, const struct active_policy *policy,
                          bool is_active);
void wanted_chains_list(struct wanted_chains *chains, const struct verdict_list *list,
                        bool is_active);
void wanted_chains_endpoint(struct wanted_chains *chains, const struct policy_endpoint *endpoint,
                            bool is_active);
/* What lookup() answers is another now. */
void wanted_chains_addresses_changed(struct wanted_chains *chains);
/* All of them; see source_rules(). */
void wanted_chains_sources(struct wanted_chains *chains, const struct pod_source *sources,
                           size_t n);
/* All different ones that pods ask for, in order; see limit_rules.h. */
void wanted_chains_limits(struct wanted_chains *chains, const struct limit_value *limits, size_t n);
/* All of them; see floating_rules(). A pod's own address is what lookup() answers first. */
void wanted_chains_floating(struct wanted_chains *chains, const floating_vec *addresses);
/* Everything is rendered again; 'config' is borrowed until the next call. */
void wanted_chains_configure(struct wanted_chains *chains,
                             const struct static_rules_config *config);
/* Hands over what changed since the last call. Nothing is lost by not calling it for a while. */
void wanted_chains_want(struct wanted_chains *chains, struct iptables *const tables[2]);
/* Appends what the rules for floating addresses are that were handed over last. */
void wanted_chains_floating_pairs(const struct wanted_chains *chains, floating_pair_vec *ret_pairs);
/* Of a local pod or host endpoint; calls each() for all that are active. */
void wanted_chains_each_endpoint(const struct wanted_chains *chains,
                                 void (*each)(void *owner, const struct policy_endpoint *endpoint),
                                 void *owner);
