/* The sets behind active rules: which ones there are, counted by who needs them, and their members,
 * kept up as pods, network sets, host endpoints, slices and nodes of the whole cluster change. */
#pragma once

#include "felix/calc/members.h"
#include "felix/rules/set_names.h"
#include "lib/model/store.h"

struct pod;
struct set_pool;
struct pool_set;

struct set_pool_spec {
    void (*set)(void *owner, const struct policy_set *set, bool is_active);
    void (*member)(void *owner, const struct policy_set *set,
                   const struct policy_set_member *member, bool is_added);
    void *owner;
};

struct set_pool *set_pool_new(const struct set_pool_spec *spec);
void set_pool_free(struct set_pool *pool);
/* Pod, NetworkSet, GlobalNetworkSet, HostEndpoint, EndpointSlice, Node, Namespace, ServiceAccount;
 * others are ignored. */
void set_pool_note(struct set_pool *pool, const struct change *change);

/* One more user of a set. */
struct pool_set *set_pool_take(struct set_pool *pool, const struct set_need *need);
void set_pool_drop(struct set_pool *pool, struct pool_set *set);

/* An address of the pod "namespace/name" that need not be in the API yet. Given twice it has to be
 * taken twice. */
void set_pool_add_address(struct set_pool *pool, const char *pod, const struct prefix *address);
void set_pool_remove_address(struct set_pool *pool, const char *pod, const struct prefix *address);
/* The object, NULL when it is not there or on the host's network. */
const struct pod *set_pool_pod(const struct set_pool *pool, const char *pod);

/* What changed since, in two halves: new sets and members; gone ones. */
void set_pool_tell_added(struct set_pool *pool);
void set_pool_tell_removed(struct set_pool *pool);

/* NULL: nobody needs the set. */
const struct members *set_pool_members(const struct set_pool *pool, const char *id);

void set_pool_each(const struct set_pool *pool,
                   void (*each)(void *owner, const struct policy_set *set, size_t n_members),
                   void *owner);

struct set_pool_stats {
    size_t n_sets, n_selectors, n_sources;
    size_t n_items; /* pods, host endpoints and network sets, for selectors to find */
    uint64_t n_evaluated, n_contributions; /* work done, ever */
};
struct set_pool_stats set_pool_stats(const struct set_pool *pool);
