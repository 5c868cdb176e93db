/* Ordered lists by use and direction, shared by the hash of their content. Used by
 * local_endpoints.c.
 *
 *   pods     everything but doNotTrack and preDNAT policies is NORMAL
 *   hosts    doNotTrack → UNTRACKED; preDNAT → PRE_DNAT, ingress only; applyOnForward → FORWARD and
 *            NORMAL; the rest → NORMAL */
#include "felix/calc/verdict_lists.h"

#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/table.h"

struct shared_list {
    struct verdict_list list;
    size_t n_users;
    bool is_told;
    bool is_dirty; /* among the dirty: new, or without users */
};

struct verdict_lists {
    struct verdict_lists_spec spec;
    struct table *by_id;
    VEC(struct shared_list *) dirty;
    applied_vec chosen; /* scratch */
    uint64_t n_built;
};

/* ---- one list ---------------------------------------------------------------------------------
 */

static bool
is_used(const struct policy *policy, enum verdict_use use, bool is_host)
{
    bool is_special = policy->is_untracked || policy->is_pre_dnat;

    switch (use) {
    case USE_NORMAL:
        return !is_special;
    case USE_FORWARD:
        return is_host && !is_special && policy->applies_on_forward;
    case USE_PRE_DNAT:
        return is_host && policy->is_pre_dnat && !policy->is_untracked;
    case USE_UNTRACKED:
        return is_host && policy->is_untracked;
    }
    return false;
}

static void
choose(struct verdict_lists *lists, const struct verdict_question *question, enum verdict_use use,
       enum direction direction)
{
    lists->chosen.n = 0;
    if ((use == USE_PRE_DNAT && direction == EGRESS) ||
        (use == USE_UNTRACKED && question->is_any_interface)) {
        return;
    }
    for (size_t i = 0; i < question->n_applied; i++) {
        const struct policy *policy = question->applied[i].active->policy;
        bool is_directed = direction == INGRESS ? policy->applies_ingress : policy->applies_egress;
        if (is_directed && is_used(policy, use, question->is_host)) {
            VEC_PUSH(&lists->chosen, question->applied[i]);
        }
    }
}

static bool
is_default_pass(const struct ranked_tier *tier)
{
    return tier->tier != NULL && tier->tier->is_default_pass;
}

static void
identify(const applied_vec *chosen, const struct verdict_list *list, char ret_id[33])
{
    const uint8_t head[] = {(uint8_t)list->use, (uint8_t)list->direction, list->is_profile_allow};
    const struct ranked_tier *last = NULL;
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA2_CTX context;

    SHA256Init(&context);
    SHA256Update(&context, head, sizeof head);
    VEC_FOREACH (chosen, it) {
        if (it->tier != last) {
            last = it->tier;
            SHA256Update(&context, (const uint8_t *)(is_default_pass(last) ? "P" : "D"), 1);
            SHA256Update(&context, (const uint8_t *)last->name, strlen(last->name) + 1);
        }
        SHA256Update(&context, (const uint8_t *)it->active->id, sizeof it->active->id);
    }
    SHA256Final(digest, &context);
    for (size_t i = 0; i < 16; i++) {
        snprintf(ret_id + 2 * i, 3, "%02x", digest[i]);
    }
}

static void
fill_tiers(struct verdict_list *list, const applied_vec *chosen)
{
    size_t first = 0;

    list->tiers =
        xcalloc(chosen->n + 1, sizeof *list->tiers); /* as many tiers as policies, at most */
    for (size_t i = 1; i <= chosen->n; i++) {
        const struct ranked_tier *ranked = chosen->items[first].tier;
        if (i < chosen->n && chosen->items[i].tier == ranked) {
            continue;
        }
        struct verdict_tier *tier = &list->tiers[list->n_tiers++];
        tier->name = xstrdup(ranked->name);
        tier->is_default_pass = is_default_pass(ranked);
        tier->policies = xcalloc(i - first, sizeof(const struct active_policy *));
        for (; first < i; first++) {
            tier->policies[tier->n_policies++] = chosen->items[first].active;
        }
    }
}

static void
list_free(void *value)
{
    struct shared_list *shared = value;

    for (size_t i = 0; i < shared->list.n_tiers; i++) {
        free(shared->list.tiers[i].name);
        free(shared->list.tiers[i].policies);
    }
    free(shared->list.tiers);
    free(shared);
}

/* ---- sharing ----------------------------------------------------------------------------------
 */

static void
mark_dirty(struct verdict_lists *lists, struct shared_list *shared)
{
    if (!shared->is_dirty) {
        shared->is_dirty = true;
        VEC_PUSH(&lists->dirty, shared);
    }
}

static const struct verdict_list *
take(struct verdict_lists *lists, const struct verdict_list *wanted)
{
    struct shared_list *shared = table_get(lists->by_id, wanted->id);

    if (shared == NULL) {
        shared = NEW(struct shared_list);
        shared->list = *wanted;
        fill_tiers(&shared->list, &lists->chosen);
        table_put(lists->by_id, shared->list.id, shared);
        mark_dirty(lists, shared);
    }
    shared->n_users++;
    return &shared->list;
}

void
verdict_lists_take(struct verdict_lists *lists, const struct verdict_question *question,
                   struct verdict_answer *ret_answer)
{
    *ret_answer = (struct verdict_answer){0};
    for (enum verdict_use use = USE_NORMAL; use < N_USES; use++) {
        for (enum direction direction = INGRESS; direction <= EGRESS; direction++) {
            struct verdict_list wanted = {.use = use, .direction = direction};
            choose(lists, question, use, direction);
            if (use != USE_NORMAL && lists->chosen.n == 0) {
                continue;
            }
            wanted.is_profile_allow = use == USE_NORMAL && question->is_profile_allow;
            identify(&lists->chosen, &wanted, wanted.id);
            ret_answer->lists[use][direction] = take(lists, &wanted);
            lists->n_built++;
        }
    }
}

static struct shared_list *
shared_of(const struct verdict_lists *lists, const struct verdict_list *list)
{
    return table_get(lists->by_id, list->id);
}

void
verdict_lists_take_again(struct verdict_lists *lists, const struct verdict_answer *answer)
{
    for (size_t i = 0; i < (size_t)N_USES * N_DIRECTIONS; i++) {
        const struct verdict_list *list = answer->lists[i / N_DIRECTIONS][i % N_DIRECTIONS];
        if (list != NULL) {
            shared_of(lists, list)->n_users++;
        }
    }
}

void
verdict_lists_drop(struct verdict_lists *lists, const struct verdict_answer *answer)
{
    for (size_t i = 0; i < (size_t)N_USES * N_DIRECTIONS; i++) {
        const struct verdict_list *list = answer->lists[i / N_DIRECTIONS][i % N_DIRECTIONS];
        struct shared_list *shared = list != NULL ? shared_of(lists, list) : NULL;
        if (shared != NULL && --shared->n_users == 0) {
            mark_dirty(lists, shared);
        }
    }
}

void
verdict_lists_tell_added(struct verdict_lists *lists)
{
    VEC_FOREACH (&lists->dirty, it) {
        struct shared_list *shared = *it;
        if (shared->n_users > 0 && !shared->is_told) {
            shared->is_told = true;
            lists->spec.list(lists->spec.owner, &shared->list, true);
        }
    }
}

void
verdict_lists_tell_removed(struct verdict_lists *lists)
{
    for (size_t i = lists->dirty.n; i > 0; i--) {
        struct shared_list *shared = lists->dirty.items[i - 1];
        shared->is_dirty = false;
        if (shared->n_users == 0) {
            table_take(lists->by_id, shared->list.id);
            if (shared->is_told) {
                lists->spec.list(lists->spec.owner, &shared->list, false);
            }
            list_free(shared);
        }
    }
    VEC_DONE(&lists->dirty);
}

/* ---- asking, making, freeing ------------------------------------------------------------------
 */

const struct verdict_list *
verdict_lists_by_id(const struct verdict_lists *lists, const char *id)
{
    const struct shared_list *shared = table_get(lists->by_id, id);

    return shared != NULL && shared->is_told ? &shared->list : NULL;
}

void
verdict_lists_each(const struct verdict_lists *lists,
                   void (*each)(void *owner, const struct verdict_list *list), void *owner)
{
    TABLE_FOREACH (lists->by_id, it) {
        const struct shared_list *shared = table_value(it);
        if (shared->is_told) {
            each(owner, &shared->list);
        }
    }
}

struct verdict_lists_stats
verdict_lists_stats(const struct verdict_lists *lists)
{
    return (struct verdict_lists_stats){.n_lists = table_count(lists->by_id),
                                        .n_built = lists->n_built};
}

struct verdict_lists *
verdict_lists_new(const struct verdict_lists_spec *spec)
{
    struct verdict_lists *lists = NEW(struct verdict_lists);

    lists->spec = *spec;
    lists->by_id = table_new();
    return lists;
}

void
verdict_lists_free(struct verdict_lists *lists)
{
    if (lists != NULL) {
        table_free(lists->by_id, list_free);
        VEC_DONE(&lists->dirty);
        VEC_DONE(&lists->chosen);
        free(lists);
    }
}
