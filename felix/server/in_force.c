/* Two tables by id. Called by felix/policies.c for every change, read by drops and counters. */
#include "felix/server/in_force.h"

#include "felix/server/describe.h"
#include "lib/base/alloc.h"
#include "lib/base/table.h"

struct entry {
    const struct active_policy *policy;
    uint64_t revision;
};

struct in_force {
    struct table *policies; /* id -> struct entry */
    struct table *lists;    /* id -> const struct verdict_list */
    uint64_t revision;
};

struct in_force *
in_force_new(void)
{
    struct in_force *in_force = NEW(struct in_force);

    in_force->policies = table_new();
    in_force->lists = table_new();
    return in_force;
}

void
in_force_free(struct in_force *in_force)
{
    if (in_force) {
        table_free(in_force->policies, free);
        table_free(in_force->lists, NULL);
        free(in_force);
    }
}

void
in_force_policy(struct in_force *in_force, const struct active_policy *policy, bool is_active)
{
    struct entry *entry = NULL;

    in_force->revision++;
    if (is_active) {
        entry = NEW(struct entry);
        *entry = (struct entry){policy, in_force->revision};
        free(table_put(in_force->policies, policy->id, entry));
    } else {
        free(table_take(in_force->policies, policy->id));
    }
}

void
in_force_list(struct in_force *in_force, const struct verdict_list *list, bool is_active)
{
    if (is_active) {
        table_put(in_force->lists, list->id, (void *)(uintptr_t)list);
    } else {
        table_take(in_force->lists, list->id);
    }
}

const struct active_policy *
in_force_get_policy(const struct in_force *in_force, const char *id)
{
    const struct entry *entry = table_get(in_force->policies, id);

    return entry ? entry->policy : NULL;
}

const struct verdict_list *
in_force_get_list(const struct in_force *in_force, const char *id)
{
    return table_get(in_force->lists, id);
}

size_t
in_force_n_policies(const struct in_force *in_force)
{
    return table_count(in_force->policies);
}

uint64_t
in_force_revision(const struct in_force *in_force)
{
    return in_force->revision;
}

void
in_force_each_policy(const struct in_force *in_force,
                     void (*each)(void *owner, const struct active_policy *policy,
                                  uint64_t revision),
                     void *owner)
{
    TABLE_FOREACH (in_force->policies, it) {
        const struct entry *entry = table_value(it);
        each(owner, entry->policy, entry->revision);
    }
}

void
in_force_describe(const struct in_force *in_force, const struct drop_tag *tag, struct str *out)
{
    static const char *const plain[N_DROP_REASONS] = {
        [DROP_BY_NO_PROFILE] = "no policy decides and the namespace is not known: closed",
        [DROP_REFUSED] = "policy took back what the open connection relied on",
        [DROP_UNKNOWN] = "felix knows no pod behind the interface",
        [DROP_TO_HOST] = "DefaultEndpointToHostAction",
        [DROP_SERVICE_LOOP] = "a service address without a service behind it",
        [DROP_INVALID] = "conntrack knows no connection it belongs to",
    };
    const struct active_policy *policy = in_force_get_policy(in_force, tag->id);
    const struct verdict_list *list = in_force_get_list(in_force, tag->id);

    if (tag->reason == DROP_BY_RULE && policy) {
        describe_policy(policy->policy, out);
        str_addf(out, ", rule %u", tag->index);
    } else if (tag->reason == DROP_BY_RULE) {
        str_addf(out, "a policy that is gone (%s), rule %u", tag->id, tag->index);
    } else if (tag->reason == DROP_BY_TIER && list && tag->index < list->n_tiers) {
        str_addf(out, "the end of tier %s: no rule of its policies decides",
                 list->tiers[tag->index].name);
    } else if (tag->reason == DROP_BY_TIER) {
        str_add(out, "the end of a tier: no rule of its policies decides");
    } else {
        str_add(out, plain[tag->reason]);
    }
}
