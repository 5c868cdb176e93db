/* All policies of the cluster with their tiers, against the endpoints of this node: which policies
 * are active here, and which apply to an endpoint, in order. */
#pragma once

#include "felix/calc/label_index.h"
#include "felix/calc/set_pool.h"
#include "felix/policy.h"
#include "lib/base/vec.h"
#include "lib/model/store.h"
#include "lib/model/tier.h"

struct active_policies;

struct active_policies_spec {
    void (*policy)(void *policy_owner, const struct active_policy *policy, bool is_active);
    void *policy_owner;
    /* What applies to an endpoint, or its order, may have changed; 'endpoint' is the user given to
     * the index. Must not call back. */
    void (*on_endpoint)(void *endpoint_owner, void *endpoint);
    void *endpoint_owner;
    struct set_pool *sets; /* borrowed: where rules' sets are taken */
};

struct active_policies *active_policies_new(const struct active_policies_spec *spec);
void active_policies_free(struct active_policies *policies); /* before the pool of sets */
/* Policies, Tier, Namespace, ServiceAccount; others are ignored. */
void active_policies_note(struct active_policies *policies, const struct change *change);
/* Where this node's endpoints are items. */
struct label_index *active_policies_index(struct active_policies *policies);

/* A tier as policies name it. */
struct ranked_tier {
    char *name;
    const struct tier *tier; /* NULL: there is none by that name */
};
struct applied_policy {
    const struct active_policy *active;
    const struct ranked_tier *tier;
};
typedef VEC(struct applied_policy) applied_vec; /* a name for a container */

/* Appends what applies to the item in either direction, sorted: by tier (those that do not exist
 * last), then as policy_compare(). Those of one tier stand together. */
void active_policies_of(const struct active_policies *policies, const struct index_item *item,
                        applied_vec *ret_applied);

/* Decides what is active and takes the sets for it; then both halves of telling. */
void active_policies_resolve(struct active_policies *policies);
void active_policies_tell_added(struct active_policies *policies);
void active_policies_tell_removed(struct active_policies *policies);

/* Active ones, as told. */
const struct active_policy *active_policies_by_id(const struct active_policies *policies,
                                                  const char *id);
void active_policies_each(const struct active_policies *policies,
                          void (*each)(void *owner, const struct active_policy *policy),
                          void *owner);

struct active_policies_stats {
    size_t n_policies, n_active, n_selectors;
    uint64_t n_evaluated, n_resolved; /* work done, ever */
};
struct active_policies_stats active_policies_stats(const struct active_policies *policies);
