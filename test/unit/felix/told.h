/* For test_policy_state_random.c: the world of a test, and what felix/calc/policy_state has told of
 * it; every output is held against the order that never opens. */
#pragma once

#include "lib/model/endpoint_slice.h"
#include "lib/model/host_endpoint.h"
#include "lib/model/namespace.h"
#include "lib/model/network_set.h"
#include "lib/model/node.h"
#include "lib/model/pod.h"
#include "lib/model/tier.h"
#include "test/unit/felix/cluster.h"
#include "lib/base/table.h"
#include "lib/selector/selector.h"

#define N_LOCALS 6
#define N_INTERFACES 3

/* ---- what was told ----------------------------------------------------------------------------
 */

struct told_set {
    struct policy_set set;
    struct table *members; /* packed -> the number of the flush that told it, as a pointer */
    uintptr_t flush;       /* that told it */
};

struct told_endpoint {
    const struct policy_endpoint *endpoint;
    char *text; /* as it was when told */
    uintptr_t flush;
};

struct told {
    struct table *sets;      /* id -> struct told_set */
    struct table *policies;  /* id -> const struct active_policy */
    struct table *lists;     /* id -> const struct verdict_list */
    struct table *endpoints; /* ifname -> struct told_endpoint */
    struct table *changed;   /* "kind key" of policies that changed since the last flush */
    struct table *new_ones;  /* policies and lists told first by this flush */
    uintptr_t flush;
    bool is_flushing, has_removed;
};

struct local_model {
    char ifname[16];
    bool is_there;
    char *ns, *pod; /* NULL: no pod's */
    struct prefix ips[2];
    size_t n_ips;
};

struct world {
    struct cluster cluster;
    struct told told;
    struct local_model locals[N_LOCALS];
    struct policy_interface interfaces[N_INTERFACES];
    size_t n_interfaces;
    struct table *selectors; /* text -> struct selector */
};

static char in_use; /* a value for tables that are sets */

static unsigned
pick(unsigned n)
{
    return (unsigned)rand() % n;
}

struct packed {
    uint8_t bytes[24];
};

static struct packed
pack(const struct policy_set_member *member)
{
    struct packed packed = {0};

    memcpy(packed.bytes, &member->prefix.ip, 17);
    packed.bytes[17] = member->prefix.len;
    packed.bytes[18] = member->protocol;
    memcpy(packed.bytes + 19, &member->port, 2);
    return packed;
}

/* What all outputs have in common: only while flushing; what is added comes before what goes. */
static struct told *
step(void *owner, bool is_added)
{
    struct told *told = owner;

    assert_true(told->is_flushing);
    assert_false(is_added && told->has_removed);
    told->has_removed |= !is_added;
    return told;
}

static void
set_needed(void *owner, const struct set_need *need)
{
    const struct told *told = owner;

    assert_non_null(table_get(told->sets, need->set.id));
}

static void
set_not_needed(void *owner, const struct set_need *need)
{
    assert_string_not_equal(owner, need->set.id);
}

static void
told_set_free(void *value)
{
    struct told_set *set = value;

    table_free(set->members, NULL);
    free(set);
}

static void
on_set(void *owner, const struct policy_set *set, bool is_active)
{
    struct told *told = step(owner, is_active);
    char id[POLICY_SET_ID_MAX];

    snprintf(id, sizeof id, "%s", set->id);
    if (is_active) {
        struct told_set *it = NEW(struct told_set);
        it->set = *set;
        it->members = table_new();
        it->flush = told->flush;
        assert_null(table_put(told->sets, set->id, it));
        return;
    }
    struct told_set *it = table_take(told->sets, set->id);
    assert_non_null(it);
    assert_true(it->flush < told->flush);
    told_set_free(it);
    TABLE_FOREACH (told->policies, entry) {
        const struct active_policy *active = table_value(entry);
        policy_each_set(active->policy, set_not_needed, id);
    }
}

static void
on_member(void *owner, const struct policy_set *set, const struct policy_set_member *member,
          bool is_added)
{
    struct told *told = step(owner, is_added);
    struct told_set *it = table_get(told->sets, set->id);
    struct packed packed = pack(member);

    assert_non_null(it);
    assert_true(member->prefix.len > 0);
    if (is_added) {
        assert_null(table_put_bytes(it->members, &packed, sizeof packed, (void *)told->flush));
    } else {
        uintptr_t flush = (uintptr_t)table_take_bytes(it->members, &packed, sizeof packed);
        assert_true(flush > 0 && flush < told->flush);
    }
}

static bool
lists_policy(const struct verdict_list *list, const struct active_policy *policy)
{
    for (size_t i = 0; i < list->n_tiers; i++) {
        for (size_t k = 0; k < list->tiers[i].n_policies; k++) {
            if (list->tiers[i].policies[k] == policy) {
                return true;
            }
        }
    }
    return false;
}

static void
policy_key(const struct policy *policy, struct str *out)
{
    str_addf(out, "%d%d %s/%s", policy->origin, policy->is_staged,
             policy->ns != NULL ? policy->ns : "", policy->name);
}

static void
on_policy(void *owner, const struct active_policy *policy, bool is_active)
{
    struct told *told = step(owner, is_active);
    AUTO(str) struct str key = STR_INIT;

    if (!is_active) {
        assert_ptr_equal(table_take(told->policies, policy->id), policy);
        assert_null(table_get(told->new_ones, policy->id));
        TABLE_FOREACH (told->lists, it) {
            assert_false(lists_policy(table_value(it), policy));
        }
        return;
    }
    policy_each_set(policy->policy, set_needed, told);
    if (table_put(told->policies, policy->id, (void *)(uintptr_t)policy) != NULL) {
        policy_key(policy->policy, &key);
        assert_non_null(table_take(told->changed, key.text));
    } else {
        assert_null(table_put(told->new_ones, policy->id, &in_use));
    }
}

static void
on_list(void *owner, const struct verdict_list *list, bool is_active)
{
    struct told *told = step(owner, is_active);

    if (!is_active) {
        assert_ptr_equal(table_take(told->lists, list->id), list);
        assert_null(table_get(told->new_ones, list->id));
        TABLE_FOREACH (told->endpoints, it) {
            const struct told_endpoint *endpoint = table_value(it);
            for (size_t i = 0; i < (size_t)N_USES * N_DIRECTIONS; i++) {
                assert_ptr_not_equal(endpoint->endpoint->lists[i / 2][i % 2], list);
            }
        }
        return;
    }
    assert_null(table_put(told->lists, list->id, (void *)(uintptr_t)list));
    assert_null(table_put(told->new_ones, list->id, &in_use));
    for (size_t i = 0; i < list->n_tiers; i++) {
        assert_true(list->tiers[i].n_policies > 0);
        for (size_t k = 0; k < list->tiers[i].n_policies; k++) {
            const struct active_policy *policy = list->tiers[i].policies[k];
            assert_ptr_equal(table_get(told->policies, policy->id), policy);
        }
    }
}

static void
list_text(const struct verdict_list *list, struct str *out)
{
    for (size_t i = 0; i < list->n_tiers; i++) {
        const struct verdict_tier *tier = &list->tiers[i];
        str_addf(out, " %s(%d)", tier->name, tier->is_default_pass);
        for (size_t k = 0; k < tier->n_policies; k++) {
            str_add_char(out, ' ');
            policy_key(tier->policies[k]->policy, out);
        }
    }
    str_addf(out, " %d\n", list->is_profile_allow);
}

static void
endpoint_text(const struct policy_endpoint *endpoint, struct str *out)
{
    str_addf(out, "%s %s %d\n", endpoint->ifname, endpoint->key, endpoint->is_host);
    for (unsigned use = 0; use < N_USES; use++) {
        for (unsigned direction = 0; direction < N_DIRECTIONS; direction++) {
            const struct verdict_list *list = endpoint->lists[use][direction];
            if (list != NULL) {
                assert_true(list->use == use && list->direction == direction);
                str_addf(out, "%u%u", use, direction);
                list_text(list, out);
            }
        }
    }
}

static void
told_endpoint_free(void *value)
{
    struct told_endpoint *it = value;

    free(it->text);
    free(it);
}

static void
on_endpoint(void *owner, const struct policy_endpoint *endpoint, bool is_active)
{
    struct told *told = step(owner, is_active);
    struct told_endpoint *it = table_take(told->endpoints, endpoint->ifname);
    AUTO(str) struct str text = STR_INIT;

    if (!is_active) {
        assert_non_null(it);
        assert_true(it->flush < told->flush);
        told_endpoint_free(it);
        return;
    }
    endpoint_text(endpoint, &text);
    if (it != NULL) {
        assert_true(it->flush < told->flush);
        assert_string_not_equal(it->text, text.text);
        told_endpoint_free(it);
    }
    for (size_t i = 0; i < (size_t)N_USES * N_DIRECTIONS; i++) {
        const struct verdict_list *list = endpoint->lists[i / 2][i % 2];
        assert_true(list != NULL || i / 2 != USE_NORMAL);
        if (list != NULL) {
            assert_ptr_equal(table_get(told->lists, list->id), list);
        }
    }
    it = NEW(struct told_endpoint);
    it->endpoint = endpoint;
    it->flush = told->flush;
    it->text = str_steal(&text);
    table_put(told->endpoints, endpoint->ifname, it);
}

static void
told_init(struct told *told)
{
    *told = (struct told){.sets = table_new(),
                          .policies = table_new(),
                          .lists = table_new(),
                          .endpoints = table_new(),
                          .changed = table_new(),
                          .new_ones = table_new()};
}

static void
told_done(struct told *told)
{
    table_free(told->sets, told_set_free);
    table_free(told->policies, NULL);
    table_free(told->lists, NULL);
    table_free(told->endpoints, told_endpoint_free);
    table_free(told->changed, NULL);
    table_free(told->new_ones, NULL);
}

static struct policy_state *
state_new(struct told *told)
{
    told_init(told);
    return policy_state_new(&(struct policy_state_spec){.node_name = "n1",
                                                        .interface_prefix = "cali",
                                                        .set = on_set,
                                                        .member = on_member,
                                                        .policy = on_policy,
                                                        .list = on_list,
                                                        .endpoint = on_endpoint,
                                                        .owner = told});
}

static void
state_flush(struct policy_state *state, struct told *told)
{
    told->flush++;
    told->is_flushing = true;
    told->has_removed = false;
    policy_state_flush(state);
    told->is_flushing = false;
    table_free(told->changed, NULL);
    told->changed = table_new();
    table_free(told->new_ones, NULL);
    told->new_ones = table_new();
}
