/* A policy set is two sets of the kernel (one without IPv6). Called by policies.c with what
 * felix/calc tells. */
#include "felix/policy_sets.h"

#include "lib/base/alloc.h"
#include "lib/base/table.h"

struct pair {
    struct set *of_family[2]; /* IPv4, IPv6 (NULL without) */
};

struct policy_sets {
    struct sets *sets;
    bool ipv6;
    uint32_t max_members;
    struct table *pairs; /* by id */
};

struct policy_sets *
policy_sets_new(struct sets *sets, bool ipv6, uint32_t max_members)
{
    struct policy_sets *policy_sets = NEW(struct policy_sets);

    policy_sets->sets = sets;
    policy_sets->ipv6 = ipv6;
    policy_sets->max_members = max_members;
    policy_sets->pairs = table_new();
    return policy_sets;
}

void
policy_sets_free(struct policy_sets *policy_sets)
{
    if (policy_sets) {
        table_free(policy_sets->pairs, free);
        free(policy_sets);
    }
}

void
policy_sets_put(struct policy_sets *policy_sets, const struct policy_set *set)
{
    enum kset_type type = set->kind == SET_NETS ? KSET_HASH_NET : KSET_HASH_IP_PORT;

    if (table_get(policy_sets->pairs, set->id)) {
        return;
    }
    struct pair *pair = NEW(struct pair);
    for (size_t i = 0; i < (policy_sets->ipv6 ? 2 : 1); i++) {
        pair->of_family[i] =
            sets_define(policy_sets->sets, set->id, type, i == 0 ? 4 : 6, policy_sets->max_members);
    }
    table_put(policy_sets->pairs, set->id, pair);
}

void
policy_sets_remove(struct policy_sets *policy_sets, const struct policy_set *set)
{
    struct pair *pair = table_take(policy_sets->pairs, set->id);

    for (size_t i = 0; pair && i < ARRAY_LEN(pair->of_family); i++) {
        if (pair->of_family[i]) {
            sets_drop(policy_sets->sets, pair->of_family[i]);
        }
    }
    free(pair);
}

void
policy_sets_member(struct policy_sets *policy_sets, const struct policy_set *set,
                   const struct policy_set_member *member, bool is_added)
{
    const struct pair *pair = table_get(policy_sets->pairs, set->id);
    const struct kset_member in_kernel = {
        .prefix = member->prefix, .protocol = member->protocol, .port = member->port};
    struct set *of_family = pair ? pair->of_family[member->prefix.ip.family == 6] : NULL;

    if (of_family && is_added) {
        set_want(of_family, &in_kernel);
    } else if (of_family) {
        set_unwant(of_family, &in_kernel);
    }
}
