/* Groups of items with equal labels, selectors anchored at a (key, value) that every match must
 * have, and for each pair that matches an entry on both sides. Used by set_pool.c and
 * active_policies.c.
 *
 * A new group looks at the selectors anchored at one of its labels and at those without an anchor
 * (a bare negation, say); a new selector looks at the groups with its rarest required label.
 * Nothing is ever evaluated per item. */
#include "felix/calc/label_index.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "felix/calc/hashed.h"
#include "lib/base/alloc.h"
#include "lib/base/hash.h"
#include "lib/base/str.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"

struct group;

typedef VEC(struct group *) group_vec;
typedef VEC(struct index_selector *) selector_vec;

/* A pair that matches, as the group keeps it. */
struct match {
    struct index_selector *selector;
    size_t at; /* of the group in selector->matches */
};
typedef VEC(struct match) match_vec;

/* A group among those with a label; the group knows where it is, so leaving costs nothing. */
struct post {
    struct group *group;
    uint32_t label; /* index in group->effective */
};

struct parent {
    char *name;
    struct labels labels;
    bool is_put;
    group_vec groups;
};

/* 150,000 pods are some 30,000 of them. */
struct group {
    struct hashed hashed; /* of own labels and names of parents */
    struct labels own;
    struct parent *parents[INDEX_PARENTS_MAX];
    struct labels effective; /* an array of its own; texts are of 'own' and of the parents */
    uint32_t *posts;         /* per effective label: where the group is in its posting */
    VEC(struct index_item *) items;
    match_vec matches; /* sorted by the selector's address */
};

struct index_item {
    struct group *group;
    size_t at; /* in group->items */
    void *user;
};

#define NO_ANCHOR SIZE_MAX

struct index_selector {
    const struct selector *selector;
    size_t anchor; /* which of the labels it requires; NO_ANCHOR: among the unanchored */
    void *user;
    group_vec matches;
};

/* One (key, value): who has it, who asks for it. */
struct posting {
    struct hashed hashed;
    VEC(struct post) groups;
    selector_vec anchored;
    const char *value; /* behind the key */
    char key[];
};

struct label_index {
    struct label_index_spec spec;
    struct hashed_table groups;
    struct hashed_table postings;
    struct table *parents; /* name -> parent */
    selector_vec unanchored;
    size_t n_items, n_selectors;
    uint64_t n_evaluated;
};

/* Most vectors here stay at one element; VEC_PUSH() starts with eight. */
#define START_SMALL(vec)                                                  \
    do {                                                                  \
        if ((vec)->room == 0) {                                           \
            (vec)->items = xreallocarray(NULL, 1, sizeof(*(vec)->items)); \
            (vec)->room = 1;                                              \
        }                                                                 \
    } while (0)

static uint64_t
mix(uint64_t hash, const char *text)
{
    hash = (hash << 7 | hash >> 57) ^ hash_bytes(text, strlen(text));
    return hash * 0x9e3779b97f4a7c15ULL;
}

static uint32_t
mixed(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

/* ---- postings ---------------------------------------------------------------------------------
 */

static bool
is_posting(const struct hashed *thing, const void *key)
{
    const struct posting *posting = (const struct posting *)thing;
    const struct label *label = key;

    return strcmp(posting->key, label->key) == 0 && strcmp(posting->value, label->value) == 0;
}

static struct posting *
posting_new(struct label_index *index, const struct label *label, uint32_t hash)
{
    size_t key_len = strlen(label->key) + 1, value_len = strlen(label->value) + 1;
    struct posting *posting = xcalloc(1, sizeof *posting + key_len + value_len);

    posting->hashed.hash = hash;
    memcpy(posting->key, label->key, key_len);
    memcpy(posting->key + key_len, label->value, value_len);
    posting->value = posting->key + key_len;
    hashed_add(&index->postings, &posting->hashed);
    return posting;
}

static struct posting *
posting_find(struct label_index *index, const char *key, const char *value, bool make)
{
    /* Cast away const: it is only read. */
    const struct label label = {(char *)(uintptr_t)key, (char *)(uintptr_t)value};
    uint32_t hash = mixed(mix(mix(0, key), value));
    struct posting *posting = hashed_find(&index->postings, hash, is_posting, &label);

    return posting != NULL || !make ? posting : posting_new(index, &label, hash);
}

static void
posting_free(void *value)
{
    struct posting *posting = value;

    VEC_DONE(&posting->groups);
    VEC_DONE(&posting->anchored);
    free(posting);
}

static void
posting_put_away(struct label_index *index, struct posting *posting)
{
    if (posting->groups.n == 0 && posting->anchored.n == 0) {
        hashed_remove(&index->postings, &posting->hashed);
        posting_free(posting);
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

static void
selectors_take_out(selector_vec *selectors, const struct index_selector *selector)
{
    for (size_t i = 0; i < selectors->n; i++) {
        if (selectors->items[i] == selector) {
            VEC_REMOVE_SWAP(selectors, i);
            return;
        }
    }
}

static void
group_post(struct label_index *index, struct group *group)
{
    group->posts = xcalloc(group->effective.n + 1, sizeof *group->posts);
    for (uint32_t i = 0; i < group->effective.n; i++) {
        const struct label *label = &group->effective.items[i];
        struct posting *posting = posting_find(index, label->key, label->value, true);
        group->posts[i] = (uint32_t)posting->groups.n;
        START_SMALL(&posting->groups);
        VEC_PUSH(&posting->groups, (struct post){.group = group, .label = i});
    }
}

static void
group_unpost(struct label_index *index, struct group *group)
{
    for (size_t i = 0; i < group->effective.n; i++) {
        const struct label *label = &group->effective.items[i];
        struct posting *posting = posting_find(index, label->key, label->value, true);
        uint32_t at = group->posts[i];
        VEC_REMOVE_SWAP(&posting->groups, at);
        if (at < posting->groups.n) {
            const struct post *moved = &posting->groups.items[at];
            moved->group->posts[moved->label] = at;
        }
        posting_put_away(index, posting);
    }
    free(group->posts);
    group->posts = NULL;
}

/* ---- matching ----------------------------------------------------------------------------------
 */

static int
compare_matches(const void *a, const void *b)
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
    qsort(ret_matches->items, ret_matches->n, sizeof *ret_matches->items, compare_matches);
    for (size_t i = 1; i < ret_matches->n; i++) {
        if (ret_matches->items[i].selector != ret_matches->items[n].selector) {
            ret_matches->items[++n] = ret_matches->items[i];
        }
    }
    ret_matches->n = n + 1;
}

static void
tell(const struct label_index *index, const struct index_selector *selector,
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
                                  : compare_matches(&was->items[i], &now->items[k]);
        if (order < 0) {
            tell(index, was->items[i++].selector, item, false);
        } else if (order > 0) {
            tell(index, now->items[k++].selector, item, true);
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
                                       sizeof *moved->matches.items, compare_matches);
        if (theirs != NULL) {
            theirs->at = match->at;
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
    labels.items = n > 0 ? xcalloc(n, sizeof *labels.items) : NULL;
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
        hash = mix(mix(hash, key->own->items[i].key), key->own->items[i].value);
    }
    for (size_t i = 0; i < INDEX_PARENTS_MAX && key->parents[i] != NULL; i++) {
        hash = mix(hash, key->parents[i]);
    }
    return mixed(hash);
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

/* Values are sorted; one may be written twice. */
static bool
is_repeated(const struct selector_required *required, size_t i)
{
    return i > 0 && strcmp(required->values[i], required->values[i - 1]) == 0;
}

/* ---- selectors ---------------------------------------------------------------------------------
 */

/* The required label with the fewest groups behind it; false: there is none. */
static bool
rarest_required(struct label_index *index, const struct selector *selector,
                struct selector_required *ret_required)
{
    struct selector_required required;
    size_t fewest = SIZE_MAX;

    for (size_t i = 0; selector_required(selector, i, &required); i++) {
        size_t n = 0;
        for (size_t k = 0; k < required.n_values; k++) {
            const struct posting *posting =
                posting_find(index, required.key, required.values[k], false);
            n += posting != NULL ? posting->groups.n : 0;
        }
        if (n < fewest) {
            fewest = n;
            *ret_required = required;
        }
    }
    return fewest != SIZE_MAX;
}

static size_t
n_anchored(struct label_index *index, const struct selector_required *required)
{
    size_t n = 0;

    for (size_t i = 0; i < required->n_values; i++) {
        const struct posting *posting =
            posting_find(index, required->key, required->values[i], false);
        n += posting != NULL ? posting->anchored.n : 0;
    }
    return n;
}

/* The required label with the fewest selectors behind it. Any is right, but every group with the
 * label looks at those who share it: where all namespaces have an app=web, the namespace is the
 * better anchor; where a namespace has many policies, the app is. */
static size_t
choose_anchor(struct label_index *index, const struct selector *selector)
{
    struct selector_required required;
    size_t chosen = NO_ANCHOR, fewest = SIZE_MAX;

    for (size_t i = 0; selector_required(selector, i, &required); i++) {
        size_t n = required.n_values > 0 ? n_anchored(index, &required) : 0;
        if (required.n_values == 0) {
            return NO_ANCHOR; /* nothing matches */
        }
        /* The orchestrator is required of nearly everything. */
        if (n < fewest && strcmp(required.key, "projectcalico.org/orchestrator") != 0) {
            fewest = n;
            chosen = i;
        }
    }
    return chosen;
}

static bool
anchor_of(const struct index_selector *selector, struct selector_required *ret_anchor)
{
    return selector->anchor != NO_ANCHOR &&
           selector_required(selector->selector, selector->anchor, ret_anchor);
}

static void
selector_try(struct label_index *index, struct index_selector *selector, struct group *group)
{
    index->n_evaluated++;
    if (!selector_matches(selector->selector, labels_lookup, &group->effective)) {
        return;
    }
    struct match match = {.selector = selector, .at = selector->matches.n};
    size_t at = group->matches.n;
    VEC_PUSH(&selector->matches, group);
    VEC_PUSH(&group->matches, match);
    for (; at > 0 && compare_matches(&group->matches.items[at - 1], &match) > 0; at--) {
        group->matches.items[at] = group->matches.items[at - 1];
    }
    group->matches.items[at] = match;
    VEC_FOREACH (&group->items, it) {
        tell(index, selector, *it, true);
    }
}

struct index_selector *
label_index_add_selector(struct label_index *index, const struct selector *selector, void *user)
{
    struct index_selector *added = NEW(struct index_selector);
    struct selector_required required;

    added->selector = selector;
    added->user = user;
    index->n_selectors++;
    added->anchor = choose_anchor(index, selector);
    if (!anchor_of(added, &required)) {
        VEC_PUSH(&index->unanchored, added);
        for (size_t i = 0; i < index->groups.n_slots; i++) {
            if (index->groups.slots[i] != NULL) {
                selector_try(index, added, (struct group *)index->groups.slots[i]);
            }
        }
        return added;
    }
    for (size_t i = 0; i < required.n_values; i++) {
        if (!is_repeated(&required, i)) {
            struct posting *posting = posting_find(index, required.key, required.values[i], true);
            VEC_PUSH(&posting->anchored, added);
        }
    }
    (void)rarest_required(index, selector, &required);
    for (size_t i = 0; i < required.n_values; i++) {
        struct posting *posting =
            is_repeated(&required, i)
                ? NULL
                : posting_find(index, required.key, required.values[i], false);
        for (size_t k = 0; posting != NULL && k < posting->groups.n; k++) {
            selector_try(index, added, posting->groups.items[k].group);
        }
    }
    return added;
}

void
label_index_remove_selector(struct label_index *index, struct index_selector *selector)
{
    struct selector_required anchor;

    VEC_FOREACH (&selector->matches, it) {
        struct group *group = *it;
        const struct match key = {.selector = selector};
        struct match *match =
            bsearch(&key, group->matches.items, group->matches.n, sizeof key, compare_matches);
        if (match != NULL) {
            size_t behind = (size_t)(group->matches.items + group->matches.n - match - 1);
            memmove(match, match + 1, behind * sizeof *match);
            group->matches.n--;
        }
        VEC_FOREACH (&group->items, item) {
            tell(index, selector, *item, false);
        }
    }
    if (!anchor_of(selector, &anchor)) {
        selectors_take_out(&index->unanchored, selector);
    } else {
        for (size_t i = 0; i < anchor.n_values; i++) {
            struct posting *posting = posting_find(index, anchor.key, anchor.values[i], true);
            selectors_take_out(&posting->anchored, selector);
            posting_put_away(index, posting);
        }
    }
    index->n_selectors--;
    VEC_DONE(&selector->matches);
    free(selector);
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

/* Frees every selector once: those that match, by their anchors, and the rest. */
static void
selectors_free(struct label_index *index)
{
    for (size_t i = 0; i < index->postings.n_slots; i++) {
        struct posting *posting = (struct posting *)index->postings.slots[i];
        for (size_t k = 0; posting != NULL && k < posting->anchored.n; k++) {
            struct index_selector *selector = posting->anchored.items[k];
            struct selector_required anchor = {0};
            bool is_first = anchor_of(selector, &anchor) &&
                            posting_find(index, anchor.key, anchor.values[0], false) == posting;
            if (is_first) {
                VEC_PUSH(&index->unanchored, selector);
            }
        }
    }
    VEC_FOREACH (&index->unanchored, it) {
        VEC_DONE(&(*it)->matches);
        free(*it);
    }
    VEC_DONE(&index->unanchored);
}

void
label_index_free(struct label_index *index)
{
    if (index == NULL) {
        return;
    }
    selectors_free(index);
    hashed_done(&index->groups, group_free);
    hashed_done(&index->postings, posting_free);
    table_free(index->parents, parent_free);
    free(index);
}
