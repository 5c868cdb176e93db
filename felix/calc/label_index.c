/* Groups of items with equal labels, selectors anchored at a (key, value) that every match must
 * have, and for each pair that matches an entry on both sides. Used by set_pool.c and
 * active_policies.c.
 *
 * A new group looks at the selectors anchored at one of its labels and at those without an anchor
 * (a bare negation, say); a new selector looks at the groups with its rarest required label.
 * Nothing is ever evaluated per item. */
#include "felix/calc/label_index.h"

#include <stdlib.h>
#include <string.h>

#include "felix/calc/label_parts.h"

/* ---- matching ----------------------------------------------------------------------------------
 */

int
match_compare(const void *a, const void *b)
{
    uintptr_t one = (uintptr_t)((const struct match *)a)->selector;
    uintptr_t other = (uintptr_t)((const struct match *)b)->selector;

    return one < other ? -1 : one > other;
}

static void
consider(struct label_index *index, const struct group *group, const selector_vec *candidates,
         match_vec *ret_matches)
{
    index->n_evaluated += candidates->n;
    VEC_FOREACH (candidates, it) {
        if (selector_matches((*it)->selector, labels_lookup, &group->effective)) {
            VEC_PUSH(ret_matches, (struct match){.selector = *it});
        }
    }
}

/* What matches the group's labels as they are now, sorted, none twice. */
static void
group_evaluate(struct label_index *index, const struct group *group, match_vec *ret_matches)
{
    size_t n = 0;

    consider(index, group, &index->unanchored, ret_matches);
    for (size_t i = 0; i < group->effective.n; i++) {
        const struct label *label = &group->effective.items[i];
        const struct posting *posting = posting_find(index, label->key, label->value, false);
        if (posting != NULL) {
            consider(index, group, &posting->anchored, ret_matches);
        }
    }
    if (ret_matches->n == 0) {
        return;
    }
    qsort(ret_matches->items, ret_matches->n, sizeof *ret_matches->items, match_compare);
    for (size_t i = 1; i < ret_matches->n; i++) {
        if (ret_matches->items[i].selector != ret_matches->items[n].selector) {
            ret_matches->items[++n] = ret_matches->items[i];
        }
    }
    ret_matches->n = n + 1;
}

void
label_index_tell(const struct label_index *index, const struct index_selector *selector,
                 const struct index_item *item, bool is_match)
{
    index->spec.on_match(index->spec.owner, selector->user, item->user, is_match);
}

/* Tells 'item' the difference between two sorted lists. */
static void
tell_difference(const struct label_index *index, const struct index_item *item,
                const match_vec *was, const match_vec *now)
{
    size_t i = 0, k = 0;

    while (i < was->n || k < now->n) {
        int order = i == was->n   ? 1
                    : k == now->n ? -1
                                  : match_compare(&was->items[i], &now->items[k]);
        if (order < 0) {
            label_index_tell(index, was->items[i++].selector, item, false);
        } else if (order > 0) {
            label_index_tell(index, now->items[k++].selector, item, true);
        } else {
            i++, k++;
        }
    }
}

/* Enters the group with all its selectors. */
static void
matches_enter(struct group *group)
{
    VEC_FOREACH (&group->matches, match) {
        match->at = match->selector->matches.n;
        VEC_PUSH(&match->selector->matches, group);
    }
}

static void
match_leave(const struct match *match)
{
    group_vec *groups = &match->selector->matches;

    VEC_REMOVE_SWAP(groups, match->at);
    if (match->at < groups->n) {
        const struct group *moved = groups->items[match->at];
        struct match *theirs = bsearch(match, moved->matches.items, moved->matches.n,
                                       sizeof *moved->matches.items, match_compare);
        if (theirs != NULL) {
            theirs->at = match->at;
        }
    }
}

static void
groups_take_out(group_vec *groups, const struct group *group)
{
    for (size_t i = 0; i < groups->n; i++) {
        if (groups->items[i] == group) {
            VEC_REMOVE_SWAP(groups, i);
            return;
        }
    }
}

/* ---- groups ------------------------------------------------------------------------------------
 */

static struct parent *
parent_get(struct label_index *index, const char *name)
{
    struct parent *parent = table_get(index->parents, name);

    if (parent == NULL) {
        parent = NEW(struct parent);
        parent->name = xstrdup(name);
        table_put(index->parents, name, parent);
    }
    return parent;
}

static void
parent_free(void *value)
{
    struct parent *parent = value;

    free(parent->name);
    labels_done(&parent->labels);
    VEC_DONE(&parent->groups);
    free(parent);
}

static void
parent_put_away(struct label_index *index, struct parent *parent)
{
    if (parent->groups.n == 0 && !parent->is_put) {
        table_take(index->parents, parent->name);
        parent_free(parent);
    }
}

/* Keeps the order by key. */
static void
insert_label(struct labels *labels, const struct label *label)
{
    size_t at = labels->n++;

    for (; at > 0 && strcmp(labels->items[at - 1].key, label->key) > 0; at--) {
        labels->items[at] = labels->items[at - 1];
    }
    labels->items[at] = *label;
}

/* Own labels, and what parents have beyond; the first parent wins over the second. */
static struct labels
effective_labels(const struct group *group)
{
    struct labels labels = {.n = 0};
    size_t n = group->own.n;

    for (size_t p = 0; p < INDEX_PARENTS_MAX; p++) {
        n += group->parents[p] != NULL ? group->parents[p]->labels.n : 0;
    }
    if (n == 0) {
        return labels;
    }
    labels.items = xcalloc(n, sizeof *labels.items);
    for (size_t i = 0; i < group->own.n; i++) {
        labels.items[labels.n++] = group->own.items[i];
    }
    for (size_t p = 0; p < INDEX_PARENTS_MAX; p++) {
        const struct parent *parent = group->parents[p];
        for (size_t i = 0; parent != NULL && i < parent->labels.n; i++) {
            if (labels_get(&labels, parent->labels.items[i].key) == NULL) {
                insert_label(&labels, &parent->labels.items[i]);
            }
        }
    }
    return labels;
}

/* What a group is found by. */
struct group_key {
    const struct labels *own;
    const char *const *parents;
};

static uint32_t
group_hash(const struct group_key *key)
{
    uint64_t hash = key->own->n;

    for (size_t i = 0; i < key->own->n; i++) {
        hash = label_mix(label_mix(hash, key->own->items[i].key), key->own->items[i].value);
    }
    for (size_t i = 0; i < INDEX_PARENTS_MAX && key->parents[i] != NULL; i++) {
        hash = label_mix(hash, key->parents[i]);
    }
    return label_mixed(hash);
}

static bool
is_group(const struct hashed *thing, const void *wanted)
{
    const struct group *group = (const struct group *)thing;
    const struct group_key *key = wanted;
    bool is_over = false;

    for (size_t i = 0; i < INDEX_PARENTS_MAX; i++) {
        const char *name = is_over ? NULL : key->parents[i];
        is_over = name == NULL; /* behind the first NULL nothing is looked at */
        if ((name == NULL) != (group->parents[i] == NULL) ||
            (name != NULL && strcmp(name, group->parents[i]->name) != 0)) {
            return false;
        }
    }
    return labels_equal(&group->own, key->own);
}

static struct group *
group_new(struct label_index *index, const struct group_key *key, uint32_t hash)
{
    struct group *group = NEW(struct group);

    group->hashed.hash = hash;
    group->own = labels_from(key->own->items, key->own->n);
    for (size_t i = 0; i < INDEX_PARENTS_MAX && key->parents[i] != NULL; i++) {
        group->parents[i] = parent_get(index, key->parents[i]);
        VEC_PUSH(&group->parents[i]->groups, group);
    }
    group->effective = effective_labels(group);
    hashed_add(&index->groups, &group->hashed);
    group_post(index, group);
    group_evaluate(index, group, &group->matches);
    matches_enter(group);
    return group;
}

static struct group *
group_get(struct label_index *index, const struct labels *own, const char *const parents[])
{
    const struct group_key key = {own, parents};
    uint32_t hash = group_hash(&key);
    struct group *group = hashed_find(&index->groups, hash, is_group, &key);

    return group != NULL ? group : group_new(index, &key, hash);
}

static void
group_free(void *value)
{
    struct group *group = value;

    VEC_FOREACH (&group->items, it) {
        free(*it);
    }
    VEC_DONE(&group->items);
    VEC_DONE(&group->matches);
    labels_done(&group->own);
    labels_done(&group->effective);
    free(group->posts);
    free(group);
}

static void
group_put_away(struct label_index *index, struct group *group)
{
    if (group->items.n > 0) {
        return;
    }
    VEC_FOREACH (&group->matches, it) {
        match_leave(it);
    }
    group_unpost(index, group);
    for (size_t i = 0; i < INDEX_PARENTS_MAX && group->parents[i] != NULL; i++) {
        groups_take_out(&group->parents[i]->groups, group);
        parent_put_away(index, group->parents[i]);
    }
    hashed_remove(&index->groups, &group->hashed);
    group_free(group);
}

static void
group_join(struct group *group, struct index_item *item)
{
    item->group = group;
    item->at = group->items.n;
    START_SMALL(&group->items);
    VEC_PUSH(&group->items, item);
}

static void
group_leave(struct index_item *item)
{
    struct group *group = item->group;

    VEC_REMOVE_SWAP(&group->items, item->at);
    if (item->at < group->items.n) {
        group->items.items[item->at]->at = item->at;
    }
}

/* ---- items -------------------------------------------------------------------------------------
 */

struct index_item *
label_index_add(struct label_index *index, const struct labels *own,
                const char *const parents[INDEX_PARENTS_MAX], void *user)
{
    static const match_vec none;
    struct index_item *item = NEW(struct index_item);

    item->user = user;
    group_join(group_get(index, own, parents), item);
    index->n_items++;
    tell_difference(index, item, &none, &item->group->matches);
    return item;
}

void
label_index_change(struct label_index *index, struct index_item *item, const struct labels *own,
                   const char *const parents[INDEX_PARENTS_MAX])
{
    struct group *was = item->group, *now = group_get(index, own, parents);

    if (now == was) {
        return;
    }
    group_leave(item);
    group_join(now, item);
    tell_difference(index, item, &was->matches, &now->matches);
    group_put_away(index, was);
}

void
label_index_remove(struct label_index *index, struct index_item *item)
{
    static const match_vec none;
    struct group *group = item->group;

    tell_difference(index, item, &group->matches, &none);
    group_leave(item);
    group_put_away(index, group);
    index->n_items--;
    free(item);
}

/* ---- parents -----------------------------------------------------------------------------------
 */

static void
group_refresh(struct label_index *index, struct group *group)
{
    match_vec now = VEC_INIT, was = group->matches;
    struct labels effective = effective_labels(group);

    if (labels_equal(&effective, &group->effective)) {
        labels_done(&group->effective);
        group->effective = effective; /* equal texts, but those of the parent as it is now */
        return;
    }
    group_unpost(index, group);
    labels_done(&group->effective);
    group->effective = effective;
    group_post(index, group);
    group_evaluate(index, group, &now);
    VEC_FOREACH (&was, it) {
        match_leave(it);
    }
    group->matches = now;
    matches_enter(group);
    VEC_FOREACH (&group->items, it) {
        tell_difference(index, *it, &was, &now);
    }
    VEC_DONE(&was);
}

void
label_index_put_parent(struct label_index *index, const char *name, const struct labels *labels)
{
    struct parent *parent = parent_get(index, name);
    struct labels was = parent->labels; /* groups have its texts until they are refreshed */

    parent->labels = (struct labels){0};
    parent->is_put = labels != NULL;
    if (labels != NULL) {
        parent->labels = labels_from(labels->items, labels->n);
    }
    VEC_FOREACH (&parent->groups, it) {
        group_refresh(index, *it);
    }
    labels_done(&was);
    parent_put_away(index, parent);
}

/* ---- asking ------------------------------------------------------------------------------------
 */

void
label_index_each_item(const struct index_selector *selector, void (*each)(void *owner, void *item),
                      void *owner)
{
    VEC_FOREACH (&selector->matches, it) {
        VEC_FOREACH (&(*it)->items, item) {
            each(owner, (*item)->user);
        }
    }
}

void
label_index_each_selector(const struct label_index *index, const struct index_item *item,
                          void (*each)(void *owner, void *selector), void *owner)
{
    (void)index;
    VEC_FOREACH (&item->group->matches, it) {
        each(owner, it->selector->user);
    }
}

const void *
label_index_group(const struct index_item *item)
{
    return item->group;
}

struct label_index_stats
label_index_stats(const struct label_index *index)
{
    return (struct label_index_stats){.n_items = index->n_items,
                                      .n_groups = index->groups.n,
                                      .n_selectors = index->n_selectors,
                                      .n_evaluated = index->n_evaluated};
}

struct label_index *
label_index_new(const struct label_index_spec *spec)
{
    struct label_index *index = NEW(struct label_index);

    index->spec = *spec;
    index->parents = table_new();
    return index;
}

void
label_index_free(struct label_index *index)
{
    if (index == NULL) {
        return;
    }
    label_selectors_free(index);
    hashed_done(&index->groups, group_free);
    hashed_done(&index->postings, posting_free);
    table_free(index->parents, parent_free);
    free(index);
}
