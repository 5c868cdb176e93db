/* Groups of items with equal labels, selectors anchored at a (key, value) that every match must
 * have, and for each pair that matches an entry on both sides. Used by set_pool.c and
 * verdict_lists.c.
 *
 * A new group looks at the selectors anchored at one of its labels and at those without an anchor
 * (a bare negation, say); a new selector looks at the groups with its rarest required label.
 * Nothing is ever evaluated per item. */
#include "felix/calc/label_index.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
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
    size_t label; /* index in group->effective */
};

struct parent {
    char *name;
    struct labels labels;
    bool is_put;
    group_vec groups;
};

struct group {
    char *key; /* own labels and parents, see group_key() */
    size_t key_len;
    struct labels own;
    struct parent *parents[INDEX_PARENTS_MAX];
    struct labels effective;
    size_t *posts; /* per effective label: where the group is in its posting */
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
    VEC(struct post) groups;
    selector_vec anchored;
};

struct label_index {
    struct label_index_spec spec;
    struct table *groups;   /* key -> group */
    struct table *parents;  /* name -> parent */
    struct table *postings; /* key NUL value -> posting */
    selector_vec unanchored;
    size_t n_items, n_selectors;
    uint64_t n_evaluated;
};

/* ---- postings ----------------------------------------------------------------------------------
 */

static struct posting *
posting_find(struct label_index *index, const char *key, const char *value, bool make)
{
    AUTO(str) struct str text = STR_INIT;

    str_add(&text, key);
    str_add_bytes(&text, "", 1);
    str_add(&text, value);
    struct posting *posting = table_get_bytes(index->postings, text.text, text.len);
    if (posting == NULL && make) {
        posting = NEW(struct posting);
        table_put_bytes(index->postings, text.text, text.len, posting);
    }
    return posting;
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
posting_put_away(struct label_index *index, const char *key, const char *value,
                 struct posting *posting)
{
    AUTO(str) struct str text = STR_INIT;

    if (posting->groups.n > 0 || posting->anchored.n > 0) {
        return;
    }
    str_add(&text, key);
    str_add_bytes(&text, "", 1);
    str_add(&text, value);
    table_take_bytes(index->postings, text.text, text.len);
    posting_free(posting);
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
    for (size_t i = 0; i < group->effective.n; i++) {
        const struct label *label = &group->effective.items[i];
        struct posting *posting = posting_find(index, label->key, label->value, true);
        group->posts[i] = posting->groups.n;
        VEC_PUSH(&posting->groups, (struct post){.group = group, .label = i});
    }
}

static void
group_unpost(struct label_index *index, struct group *group)
{
    for (size_t i = 0; i < group->effective.n; i++) {
        const struct label *label = &group->effective.items[i];
        struct posting *posting = posting_find(index, label->key, label->value, true);
        size_t at = group->posts[i];
        VEC_REMOVE_SWAP(&posting->groups, at);
        if (at < posting->groups.n) {
            const struct post *moved = &posting->groups.items[at];
            moved->group->posts[moved->label] = at;
        }
        posting_put_away(index, label->key, label->value, posting);
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

/* Own labels, and what parents have beyond; the first parent wins over the second. */
static struct labels
effective_labels(const struct group *group)
{
    VEC(struct label) pairs = VEC_INIT;

    for (size_t i = 0; i < group->own.n; i++) {
        VEC_PUSH(&pairs, group->own.items[i]);
    }
    for (size_t p = 0; p < INDEX_PARENTS_MAX; p++) {
        const struct parent *parent = group->parents[p];
        for (size_t i = 0; parent != NULL && i < parent->labels.n; i++) {
            const struct label *label = &parent->labels.items[i];
            bool is_there = labels_get(&group->own, label->key) != NULL;
            if (!is_there && p > 0 && group->parents[0] != NULL) {
                is_there = labels_get(&group->parents[0]->labels, label->key) != NULL;
            }
            if (!is_there) {
                VEC_PUSH(&pairs, *label);
            }
        }
    }
    struct labels labels = labels_from(pairs.items, pairs.n);
    VEC_DONE(&pairs);
    return labels;
}

/* Texts with the NULs that end them: no label can be mistaken for another's end, and no label has
 * an empty key, so parents are not mistaken for labels. */
static void
group_key(const struct labels *own, const char *const parents[], struct str *out)
{
    for (size_t i = 0; i < own->n; i++) {
        str_add_bytes(out, own->items[i].key, strlen(own->items[i].key) + 1);
        str_add_bytes(out, own->items[i].value, strlen(own->items[i].value) + 1);
    }
    str_add_bytes(out, "", 1);
    for (size_t i = 0; i < INDEX_PARENTS_MAX && parents[i] != NULL; i++) {
        str_add_bytes(out, parents[i], strlen(parents[i]) + 1);
    }
}

static struct group *
group_new(struct label_index *index, const struct str *key, const struct labels *own,
          const char *const parents[])
{
    struct group *group = NEW(struct group);

    group->key = xmemdup(key->text, key->len);
    group->key_len = key->len;
    group->own = labels_from(own->items, own->n);
    for (size_t i = 0; i < INDEX_PARENTS_MAX && parents[i] != NULL; i++) {
        group->parents[i] = parent_get(index, parents[i]);
        VEC_PUSH(&group->parents[i]->groups, group);
    }
    group->effective = effective_labels(group);
    table_put_bytes(index->groups, key->text, key->len, group);
    group_post(index, group);
    group_evaluate(index, group, &group->matches);
    matches_enter(group);
    return group;
}

static struct group *
group_get(struct label_index *index, const struct labels *own, const char *const parents[])
{
    AUTO(str) struct str key = STR_INIT;

    group_key(own, parents, &key);
    struct group *group = table_get_bytes(index->groups, key.text, key.len);
    return group != NULL ? group : group_new(index, &key, own, parents);
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
    free(group->key);
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
    table_take_bytes(index->groups, group->key, group->key_len);
    group_free(group);
}

static void
group_join(struct group *group, struct index_item *item)
{
    item->group = group;
    item->at = group->items.n;
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
        labels_done(&effective);
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

    labels_done(&parent->labels);
    parent->labels = (struct labels){0};
    parent->is_put = labels != NULL;
    if (labels != NULL) {
        parent->labels = labels_from(labels->items, labels->n);
    }
    VEC_FOREACH (&parent->groups, it) {
        group_refresh(index, *it);
    }
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
        TABLE_FOREACH (index->groups, it) {
            selector_try(index, added, table_value(it));
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
            posting_put_away(index, anchor.key, anchor.values[i], posting);
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
                                      .n_groups = table_count(index->groups),
                                      .n_selectors = index->n_selectors,
                                      .n_evaluated = index->n_evaluated};
}

struct label_index *
label_index_new(const struct label_index_spec *spec)
{
    struct label_index *index = NEW(struct label_index);

    index->spec = *spec;
    index->groups = table_new();
    index->parents = table_new();
    index->postings = table_new();
    return index;
}

/* Frees every selector once: those that match, by their anchors, and the rest. */
static void
selectors_free(struct label_index *index)
{
    TABLE_FOREACH (index->postings, it) {
        struct posting *posting = table_value(it);
        VEC_FOREACH (&posting->anchored, selector) {
            struct selector_required anchor = {0};
            bool is_first = anchor_of(*selector, &anchor) &&
                            posting_find(index, anchor.key, anchor.values[0], false) == posting;
            if (is_first) {
                VEC_PUSH(&index->unanchored, *selector);
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
    table_free(index->groups, group_free);
    table_free(index->parents, parent_free);
    table_free(index->postings, posting_free);
    free(index);
}
