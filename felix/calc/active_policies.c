/* Policies and tiers. Policies with the same selector text share one entry of the index; a policy
 * is active when its selector matches an endpoint of this node, or when it says that it always is.
 *
 *   note      the index and the tiers are up to date at once; policies that may have become active
 *             or not, or whose rules are others, are dirty
 *   resolve   dirty policies take the sets their rules need, and drop what they needed before
 *   tell      what is active and new or changed; after everything else, what no longer is
 *
 * Used by policy_state.c; local_endpoints.c asks what applies. */
#include "felix/calc/active_policies.h"

#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/calc/item_labels.h"
#include "lib/base/str.h"
#include "lib/base/table.h"
#include "lib/selector/selector.h"

struct tier_entry {
    struct ranked_tier ranked;
    VEC(struct policy_entry *) policies;
};

/* A selector's text that policies apply by. */
struct applies_to {
    char *text;
    struct selector *selector;     /* NULL: cannot be read; matches nothing */
    struct index_selector *handle; /* NULL likewise */
    VEC(struct policy_entry *) policies;
    size_t n_endpoints; /* that match */
};

struct policy_entry {
    struct active_policy active;
    char *key;
    bool is_there; /* the object is; else 'gone' is what active.policy points to */
    struct policy gone;
    struct applies_to *applies_to; /* these NULL when it is not there */
    struct tier_entry *tier;
    size_t at_in_applies_to, at_in_tier;
    VEC(struct pool_set *) sets; /* taken */
    bool is_active;              /* since the last resolve */
    bool is_told;
    bool is_changed; /* the object is another one than was told */
    bool is_dirty;   /* among the dirty */
};

struct active_policies {
    struct active_policies_spec spec;
    struct label_index *index;
    struct table *entries;    /* kind and key -> struct policy_entry */
    struct table *active;     /* id -> struct policy_entry, those told */
    struct table *tiers;      /* name -> struct tier_entry */
    struct table *applies_to; /* text -> struct applies_to */
    VEC(struct policy_entry *) dirty;
    VEC(struct pool_set *) old_sets; /* scratch */
    uint64_t n_resolved;
};

/* ---- what is touched --------------------------------------------------------------------------
 */

static void
mark_dirty(struct active_policies *policies, struct policy_entry *entry)
{
    if (!entry->is_dirty) {
        entry->is_dirty = true;
        VEC_PUSH(&policies->dirty, entry);
    }
}

static void
touch_endpoint(void *owner, void *item)
{
    const struct active_policies *policies = owner;

    policies->spec.on_endpoint(policies->spec.endpoint_owner, item);
}

static void
touch_endpoints(struct active_policies *policies, const struct applies_to *applies_to)
{
    if (applies_to->handle != NULL) {
        label_index_each_item(applies_to->handle, touch_endpoint, policies);
    }
}

static void
on_match(void *owner, void *selector, void *item, bool is_match)
{
    struct active_policies *policies = owner;
    struct applies_to *applies_to = selector;
    size_t n_was = applies_to->n_endpoints;

    applies_to->n_endpoints = is_match ? n_was + 1 : n_was - 1;
    if (n_was == 0 || applies_to->n_endpoints == 0) {
        VEC_FOREACH (&applies_to->policies, it) {
            mark_dirty(policies, *it);
        }
    }
    policies->spec.on_endpoint(policies->spec.endpoint_owner, item);
}

/* ---- tiers ------------------------------------------------------------------------------------
 */

static struct tier_entry *
tier_get(struct active_policies *policies, const char *name)
{
    struct tier_entry *entry = table_get(policies->tiers, name);

    if (entry == NULL) {
        entry = NEW(struct tier_entry);
        entry->ranked.name = xstrdup(name);
        entry->ranked.tier = tier_builtin(name);
        table_put(policies->tiers, name, entry);
    }
    return entry;
}

static void
tier_entry_free(void *value)
{
    struct tier_entry *entry = value;

    free(entry->ranked.name);
    VEC_DONE(&entry->policies);
    free(entry);
}

static void
tier_put_away(struct active_policies *policies, struct tier_entry *entry)
{
    bool is_known = entry->ranked.tier != NULL && tier_builtin(entry->ranked.name) == NULL;

    if (entry->policies.n == 0 && !is_known) {
        table_take(policies->tiers, entry->ranked.name);
        tier_entry_free(entry);
    }
}

static void
note_tier(struct active_policies *policies, const struct change *change)
{
    const struct tier *known = change->now != NULL ? change->now : change->was;

    if (tier_builtin(known->name) != NULL) {
        return; /* they are as they are, whatever an object says */
    }
    struct tier_entry *entry = tier_get(policies, known->name);
    entry->ranked.tier = change->now;
    VEC_FOREACH (&entry->policies, it) {
        touch_endpoints(policies, (*it)->applies_to);
    }
    tier_put_away(policies, entry);
}

/* ---- selectors --------------------------------------------------------------------------------
 */

static struct applies_to *
applies_to_get(struct active_policies *policies, const char *text)
{
    struct applies_to *applies_to = table_get(policies->applies_to, text);

    if (applies_to == NULL) {
        applies_to = NEW(struct applies_to);
        applies_to->text = xstrdup(text);
        /* Decoders refuse what cannot be read. */
        if (selector_parse(text, &applies_to->selector, NULL)) {
            applies_to->handle =
                label_index_add_selector(policies->index, applies_to->selector, applies_to);
        }
        table_put(policies->applies_to, text, applies_to);
    }
    return applies_to;
}

static void
applies_to_free(void *value)
{
    struct applies_to *applies_to = value;

    selector_free(applies_to->selector);
    VEC_DONE(&applies_to->policies);
    free(applies_to->text);
    free(applies_to);
}

static void
applies_to_put_away(struct active_policies *policies, struct applies_to *applies_to)
{
    if (applies_to->policies.n > 0) {
        return;
    }
    if (applies_to->handle != NULL) {
        label_index_remove_selector(policies->index, applies_to->handle);
    }
    table_take(policies->applies_to, applies_to->text);
    applies_to_free(applies_to);
}

/* ---- policies ---------------------------------------------------------------------------------
 */

/* What one is, not what it says: chains keep their names when it changes. */
static void
identify(const struct policy *policy, char ret_id[33])
{
    const uint8_t kind[2] = {(uint8_t)policy->origin, policy->is_staged};
    const char *ns = policy->ns != NULL ? policy->ns : "";
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA2_CTX context;

    SHA256Init(&context);
    SHA256Update(&context, kind, sizeof kind);
    SHA256Update(&context, (const uint8_t *)ns, strlen(ns) + 1);
    SHA256Update(&context, (const uint8_t *)policy->name, strlen(policy->name));
    SHA256Final(digest, &context);
    for (size_t i = 0; i < 16; i++) {
        snprintf(ret_id + 2 * i, 3, "%02x", digest[i]);
    }
}

static void
gone_done(struct policy *gone)
{
    free(gone->ns);
    free(gone->name);
    free(gone->tier);
    free(gone->selector);
    *gone = (struct policy){0};
}

/* Until its end is told, a policy whose object is gone has its names and no rules. */
static void
outlive(struct policy_entry *entry, const struct policy *was)
{
    entry->gone = *was;
    entry->gone.ns = was->ns != NULL ? xstrdup(was->ns) : NULL;
    entry->gone.name = xstrdup(was->name);
    entry->gone.tier = xstrdup(was->tier);
    entry->gone.selector = xstrdup(was->selector);
    entry->gone.ingress = entry->gone.egress = NULL;
    entry->gone.n_ingress = entry->gone.n_egress = 0;
    entry->active.policy = &entry->gone;
    entry->is_there = false;
}

static void
attach(struct active_policies *policies, struct policy_entry *entry)
{
    const struct policy *policy = entry->active.policy;

    entry->applies_to = applies_to_get(policies, policy->selector);
    entry->at_in_applies_to = entry->applies_to->policies.n;
    VEC_PUSH(&entry->applies_to->policies, entry);
    entry->tier = tier_get(policies, policy->tier);
    entry->at_in_tier = entry->tier->policies.n;
    VEC_PUSH(&entry->tier->policies, entry);
    touch_endpoints(policies, entry->applies_to);
}

static void
detach(struct active_policies *policies, struct policy_entry *entry)
{
    struct applies_to *applies_to = entry->applies_to;
    struct tier_entry *tier = entry->tier;

    touch_endpoints(policies, applies_to);
    VEC_REMOVE_SWAP(&applies_to->policies, entry->at_in_applies_to);
    if (entry->at_in_applies_to < applies_to->policies.n) {
        applies_to->policies.items[entry->at_in_applies_to]->at_in_applies_to =
            entry->at_in_applies_to;
    }
    VEC_REMOVE_SWAP(&tier->policies, entry->at_in_tier);
    if (entry->at_in_tier < tier->policies.n) {
        tier->policies.items[entry->at_in_tier]->at_in_tier = entry->at_in_tier;
    }
    applies_to_put_away(policies, applies_to);
    tier_put_away(policies, tier);
    entry->applies_to = NULL;
    entry->tier = NULL;
}

/* Whether lists are the same with both: only rules differ. */
static bool
is_placed_alike(const struct policy *a, const struct policy *b)
{
    return policy_compare(a, b) == 0 && strcmp(a->tier, b->tier) == 0 &&
           strcmp(a->selector, b->selector) == 0 && a->applies_ingress == b->applies_ingress &&
           a->applies_egress == b->applies_egress && a->is_untracked == b->is_untracked &&
           a->is_pre_dnat == b->is_pre_dnat && a->applies_on_forward == b->applies_on_forward;
}

static struct policy_entry *
entry_get(struct active_policies *policies, const struct change *change)
{
    AUTO(str) struct str key = STR_INIT;

    str_addf(&key, "%d %s", (int)change->kind, change->key);
    struct policy_entry *entry = table_get(policies->entries, key.text);
    if (entry == NULL) {
        entry = NEW(struct policy_entry);
        entry->key = str_steal(&key);
        identify(change->now, entry->active.id);
        table_put(policies->entries, entry->key, entry);
    }
    return entry;
}

static void
note_policy(struct active_policies *policies, const struct change *change)
{
    struct policy_entry *entry = entry_get(policies, change);
    const struct policy *now = change->now;

    entry->is_changed = true;
    mark_dirty(policies, entry);
    if (now == NULL) {
        detach(policies, entry);
        outlive(entry, change->was);
        return;
    }
    if (entry->is_there && is_placed_alike(entry->active.policy, now)) {
        entry->active.policy = now;
        return;
    }
    if (entry->is_there) {
        detach(policies, entry);
    }
    gone_done(&entry->gone);
    entry->is_there = true;
    entry->active.policy = now;
    attach(policies, entry);
}

void
active_policies_note(struct active_policies *policies, const struct change *change)
{
    if (kind_is_policy(change->kind)) {
        note_policy(policies, change);
    } else if (change->kind == KIND_TIER) {
        note_tier(policies, change);
    } else {
        item_labels_put_parent(policies->index, change);
    }
}

/* ---- what applies -----------------------------------------------------------------------------
 */

static void
collect(void *owner, void *selector)
{
    applied_vec *applied = owner;
    const struct applies_to *applies_to = selector;

    VEC_FOREACH (&applies_to->policies, it) {
        VEC_PUSH(applied, (struct applied_policy){&(*it)->active, &(*it)->tier->ranked});
    }
}

static int
compare_tiers(const struct ranked_tier *a, const struct ranked_tier *b)
{
    if (a == b) {
        return 0;
    }
    if (a->tier == NULL || b->tier == NULL) {
        bool is_same = a->tier == b->tier;
        return is_same ? strcmp(a->name, b->name) : a->tier == NULL ? 1 : -1;
    }
    return tier_compare(a->tier, b->tier);
}

static int
compare_applied(const void *one, const void *other)
{
    const struct applied_policy *a = one, *b = other;
    int order = compare_tiers(a->tier, b->tier);

    return order != 0 ? order : policy_compare(a->active->policy, b->active->policy);
}

void
active_policies_of(const struct active_policies *policies, const struct index_item *item,
                   applied_vec *ret_applied)
{
    size_t first = ret_applied->n;

    label_index_each_selector(policies->index, item, collect, ret_applied);
    if (ret_applied->n > first) {
        qsort(ret_applied->items + first, ret_applied->n - first, sizeof *ret_applied->items,
              compare_applied);
    }
}

/* ---- resolving --------------------------------------------------------------------------------
 */

struct taking {
    struct active_policies *policies;
    struct policy_entry *entry;
};

static void
take_set(void *owner, const struct set_need *need)
{
    const struct taking *taking = owner;

    VEC_PUSH(&taking->entry->sets, set_pool_take(taking->policies->spec.sets, need));
}

static void
drop_sets(const struct active_policies *policies, struct pool_set **sets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        set_pool_drop(policies->spec.sets, sets[i]);
    }
}

/* New sets before old ones are dropped: those in both stay. */
static void
retake_sets(struct active_policies *policies, struct policy_entry *entry)
{
    struct taking taking = {policies, entry};

    policies->old_sets.n = 0;
    VEC_FOREACH (&entry->sets, set) {
        VEC_PUSH(&policies->old_sets, *set);
    }
    entry->sets.n = 0;
    policy_each_set(entry->active.policy, take_set, &taking);
    drop_sets(policies, policies->old_sets.items, policies->old_sets.n);
}

void
active_policies_resolve(struct active_policies *policies)
{
    VEC_FOREACH (&policies->dirty, it) {
        struct policy_entry *entry = *it;
        bool was_active = entry->is_active;
        policies->n_resolved++;
        entry->is_active = entry->is_there && (entry->applies_to->n_endpoints > 0 ||
                                               entry->active.policy->is_always_programmed);
        if (entry->is_active && (!was_active || entry->is_changed)) {
            retake_sets(policies, entry);
        } else if (!entry->is_active) {
            drop_sets(policies, entry->sets.items, entry->sets.n);
            VEC_DONE(&entry->sets);
        }
    }
}

void
active_policies_tell_added(struct active_policies *policies)
{
    VEC_FOREACH (&policies->dirty, it) {
        struct policy_entry *entry = *it;
        if (entry->is_active && (!entry->is_told || entry->is_changed)) {
            if (!entry->is_told) {
                table_put(policies->active, entry->active.id, entry);
            }
            entry->is_told = true;
            policies->spec.policy(policies->spec.policy_owner, &entry->active, true);
        }
    }
}

static void
entry_free(void *value)
{
    struct policy_entry *entry = value;

    gone_done(&entry->gone);
    VEC_DONE(&entry->sets);
    free(entry->key);
    free(entry);
}

void
active_policies_tell_removed(struct active_policies *policies)
{
    for (size_t i = policies->dirty.n; i > 0; i--) {
        struct policy_entry *entry = policies->dirty.items[i - 1];
        entry->is_dirty = entry->is_changed = false;
        if (entry->is_told && !entry->is_active) {
            entry->is_told = false;
            table_take(policies->active, entry->active.id);
            policies->spec.policy(policies->spec.policy_owner, &entry->active, false);
        }
        if (!entry->is_there) {
            table_take(policies->entries, entry->key);
            entry_free(entry);
        }
    }
    VEC_DONE(&policies->dirty);
}

/* ---- asking, making, freeing ------------------------------------------------------------------
 */

struct label_index *
active_policies_index(struct active_policies *policies)
{
    return policies->index;
}

const struct active_policy *
active_policies_by_id(const struct active_policies *policies, const char *id)
{
    const struct policy_entry *entry = table_get(policies->active, id);

    return entry != NULL ? &entry->active : NULL;
}

void
active_policies_each(const struct active_policies *policies,
                     void (*each)(void *owner, const struct active_policy *policy), void *owner)
{
    TABLE_FOREACH (policies->active, it) {
        each(owner, &((const struct policy_entry *)table_value(it))->active);
    }
}

struct active_policies_stats
active_policies_stats(const struct active_policies *policies)
{
    return (struct active_policies_stats){.n_policies = table_count(policies->entries),
                                          .n_active = table_count(policies->active),
                                          .n_selectors = table_count(policies->applies_to),
                                          .n_evaluated =
                                              label_index_stats(policies->index).n_evaluated,
                                          .n_resolved = policies->n_resolved};
}

struct active_policies *
active_policies_new(const struct active_policies_spec *spec)
{
    struct active_policies *policies = NEW(struct active_policies);

    policies->spec = *spec;
    policies->index =
        label_index_new(&(struct label_index_spec){.on_match = on_match, .owner = policies});
    policies->entries = table_new();
    policies->active = table_new();
    policies->tiers = table_new();
    policies->applies_to = table_new();
    return policies;
}

void
active_policies_free(struct active_policies *policies)
{
    if (policies == NULL) {
        return;
    }
    label_index_free(policies->index);
    table_free(policies->active, NULL);
    table_free(policies->entries, entry_free);
    table_free(policies->tiers, tier_entry_free);
    table_free(policies->applies_to, applies_to_free);
    VEC_DONE(&policies->dirty);
    VEC_DONE(&policies->old_sets);
    free(policies);
}
