/* Selectors of the index: where they are anchored, which groups a new one is held against. The
 * other direction, which selectors a new group is held against, is in label_index.c. */
#include "felix/calc/label_parts.h"

#include <stdlib.h>
#include <string.h>

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

/* Values are sorted; one may be written twice. */
static bool
is_repeated(const struct selector_required *required, size_t i)
{
    return i > 0 && strcmp(required->values[i], required->values[i - 1]) == 0;
}

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
    for (; at > 0 && match_compare(&group->matches.items[at - 1], &match) > 0; at--) {
        group->matches.items[at] = group->matches.items[at - 1];
    }
    group->matches.items[at] = match;
    VEC_FOREACH (&group->items, it) {
        label_index_tell(index, selector, *it, true);
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
            bsearch(&key, group->matches.items, group->matches.n, sizeof key, match_compare);
        if (match != NULL) {
            size_t behind = (size_t)(group->matches.items + group->matches.n - match - 1);
            memmove(match, match + 1, behind * sizeof *match);
            group->matches.n--;
        }
        VEC_FOREACH (&group->items, item) {
            label_index_tell(index, selector, *item, false);
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

/* Those anchored here first of all: one with several values is anchored at several postings. */
static void
gather_anchored(struct label_index *index, const struct posting *posting)
{
    for (size_t i = 0; i < posting->anchored.n; i++) {
        struct index_selector *selector = posting->anchored.items[i];
        struct selector_required anchor = {0};
        if (anchor_of(selector, &anchor) &&
            posting_find(index, anchor.key, anchor.values[0], false) == posting) {
            VEC_PUSH(&index->unanchored, selector);
        }
    }
}

void
label_selectors_free(struct label_index *index)
{
    for (size_t i = 0; i < index->postings.n_slots; i++) {
        if (index->postings.slots[i] != NULL) {
            gather_anchored(index, (const struct posting *)index->postings.slots[i]);
        }
    }
    VEC_FOREACH (&index->unanchored, it) {
        VEC_DONE(&(*it)->matches);
        free(*it);
    }
    VEC_DONE(&index->unanchored);
}
