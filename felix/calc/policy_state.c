/* The line of policy: what changed goes to the parts that keep it, and at a flush the parts decide
 * in this order and tell in this order. Called by felix/policies.c.
 *
 *              note ──► set_pool (members)   active_policies (what applies)   endpoints (who is
 * here)
 *
 *   flush    1. decide   endpoints: hosts' interfaces
 *                        active_policies: which are active; they take sets
 *                        endpoints: which lists; shared by verdict_lists
 *            2. tell     sets and members → policies → lists → endpoints
 *            3. tell     what is gone: endpoints → lists → policies → members and sets */
#include "felix/calc/policy_state.h"

#include <stdlib.h>

#include "felix/calc/local_endpoints.h"
#include "lib/base/str.h"

struct policy_state {
    struct set_pool *sets;
    struct active_policies *policies;
    struct verdict_lists *lists;
    struct local_endpoints *endpoints;
};

/* The index of policies speaks up from the first endpoint on. */
static void
on_endpoint(void *owner, void *endpoint)
{
    struct policy_state *state = owner;

    local_endpoints_touch(state->endpoints, endpoint);
}

struct policy_state *
policy_state_new(const struct policy_state_spec *spec)
{
    struct policy_state *state = NEW(struct policy_state);

    state->sets = set_pool_new(
        &(struct set_pool_spec){.set = spec->set, .member = spec->member, .owner = spec->owner});
    state->policies =
        active_policies_new(&(struct active_policies_spec){.policy = spec->policy,
                                                           .policy_owner = spec->owner,
                                                           .on_endpoint = on_endpoint,
                                                           .endpoint_owner = state,
                                                           .sets = state->sets});
    state->lists =
        verdict_lists_new(&(struct verdict_lists_spec){.list = spec->list, .owner = spec->owner});
    state->endpoints = local_endpoints_new(
        &(struct local_endpoints_spec){.node_name = spec->node_name,
                                       .interface_prefix = spec->interface_prefix,
                                       .endpoint = spec->endpoint,
                                       .owner = spec->owner,
                                       .sets = state->sets,
                                       .policies = state->policies,
                                       .lists = state->lists});
    return state;
}

void
policy_state_free(struct policy_state *state)
{
    if (state != NULL) {
        local_endpoints_free(state->endpoints);
        verdict_lists_free(state->lists);
        active_policies_free(state->policies);
        set_pool_free(state->sets);
        free(state);
    }
}

/* ---- changes ----------------------------------------------------------------------------------
 */

void
policy_state_note(struct policy_state *state, const struct change *change)
{
    set_pool_note(state->sets, change);
    active_policies_note(state->policies, change);
    local_endpoints_note(state->endpoints, change);
}

void
policy_state_put_local(struct policy_state *state, const char *ifname, const char *ns,
                       const char *pod, const struct prefix *ips, size_t n)
{
    AUTO(str) struct str key = STR_INIT;

    if (ns != NULL && pod != NULL) {
        str_addf(&key, "%s/%s", ns, pod);
    }
    local_endpoints_put(state->endpoints, ifname, key.text, ips, n);
}

void
policy_state_remove_local(struct policy_state *state, const char *ifname)
{
    local_endpoints_remove(state->endpoints, ifname);
}

void
policy_state_interfaces(struct policy_state *state, const struct policy_interface *interfaces,
                        size_t n)
{
    local_endpoints_interfaces(state->endpoints, interfaces, n);
}

void
policy_state_flush(struct policy_state *state)
{
    local_endpoints_bind_hosts(state->endpoints);
    active_policies_resolve(state->policies);
    local_endpoints_resolve(state->endpoints);

    set_pool_tell_added(state->sets);
    active_policies_tell_added(state->policies);
    verdict_lists_tell_added(state->lists);
    local_endpoints_tell_added(state->endpoints);

    local_endpoints_tell_removed(state->endpoints);
    verdict_lists_tell_removed(state->lists);
    active_policies_tell_removed(state->policies);
    set_pool_tell_removed(state->sets);
}

/* ---- asking -----------------------------------------------------------------------------------
 */

bool
policy_state_knows_pod(const struct policy_state *state, const char *ifname)
{
    return local_endpoints_knows_pod(state->endpoints, ifname);
}

bool
policy_state_holds(const struct policy_state *state, const struct policy_set *set,
                   const struct policy_set_member *member)
{
    const struct members *members = set_pool_members(state->sets, set->id);

    return members != NULL && members_hold(members, member);
}

const struct policy_endpoint *
policy_state_endpoint(const struct policy_state *state, const char *ifname)
{
    return local_endpoints_by_ifname(state->endpoints, ifname);
}

const struct policy_endpoint *
policy_state_endpoint_by_ip(const struct policy_state *state, const struct ip *ip)
{
    return local_endpoints_by_ip(state->endpoints, ip);
}

const struct policy_endpoint *
policy_state_endpoint_by_key(const struct policy_state *state, const char *key)
{
    return local_endpoints_by_key(state->endpoints, key);
}

const struct active_policy *
policy_state_policy_by_id(const struct policy_state *state, const char *id)
{
    return active_policies_by_id(state->policies, id);
}

const struct verdict_list *
policy_state_list_by_id(const struct policy_state *state, const char *id)
{
    return verdict_lists_by_id(state->lists, id);
}

void
policy_state_visit(const struct policy_state *state, const struct policy_state_visitor *visitor)
{
    if (visitor->set != NULL) {
        set_pool_each(state->sets, visitor->set, visitor->owner);
    }
    if (visitor->policy != NULL) {
        active_policies_each(state->policies, visitor->policy, visitor->owner);
    }
    if (visitor->list != NULL) {
        verdict_lists_each(state->lists, visitor->list, visitor->owner);
    }
    if (visitor->endpoint != NULL) {
        local_endpoints_each(state->endpoints, visitor->endpoint, visitor->owner);
    }
}

struct policy_state_stats
policy_state_stats(const struct policy_state *state)
{
    const struct set_pool_stats sets = set_pool_stats(state->sets);
    const struct active_policies_stats policies = active_policies_stats(state->policies);
    const struct verdict_lists_stats lists = verdict_lists_stats(state->lists);
    const struct local_endpoints_stats endpoints = local_endpoints_stats(state->endpoints);

    return (struct policy_state_stats){.n_policies = policies.n_policies,
                                       .n_active_policies = policies.n_active,
                                       .n_lists = lists.n_lists,
                                       .n_endpoints = endpoints.n_endpoints,
                                       .n_sets = sets.n_sets,
                                       .n_selectors = sets.n_selectors + policies.n_selectors,
                                       .n_rule_selectors = sets.n_selectors,
                                       .n_items = sets.n_items,
                                       .n_selectors_evaluated =
                                           sets.n_evaluated + policies.n_evaluated,
                                       .n_members_counted = sets.n_contributions,
                                       .n_policies_resolved = policies.n_resolved,
                                       .n_endpoints_resolved = endpoints.n_resolved,
                                       .n_lists_built = lists.n_built};
}
