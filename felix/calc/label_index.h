/* Which items (pods, network sets, host endpoints) match which selectors, kept up change by change.
 * Pure.
 *
 * Items with the same own labels and the same parents are one group; a selector is evaluated per
 * group, and only when it is new or when a label key it mentions changed. Selectors are set algebra
 * over posting lists of groups, so !=, not in, !has and all() cost no more than ==. Parents (a
 * namespace, a service account) hand down labels; an item's own labels win over inherited ones.
 *
 * Two indexes are used: all endpoints and network sets of the cluster against the selectors of
 * active rules, and this node's endpoints against the selectors of all policies. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/model/labels.h"
#include "lib/selector/selector.h"

#define INDEX_PARENTS_MAX 2

struct label_index;
struct index_item;
struct index_selector;

struct label_index_spec {
    /* 'selector' and 'item' are the users given below. Called for each change from within the
     * functions below; must not call back into the index. */
    void (*on_match)(void *owner, void *selector, void *item, bool is_match);
    void *owner;
};

struct label_index *label_index_new(const struct label_index_spec *spec);
void label_index_free(struct label_index *index); /* without calls */

/* 'own' is copied (interned). 'parents' are names, with or without a parent put; NULL ends or
 * absent. 'user' not NULL. */
struct index_item *label_index_add(struct label_index *index, const struct labels *own,
                                   const char *const parents[INDEX_PARENTS_MAX], void *user);
/* Tells only what differs. */
void label_index_change(struct label_index *index, struct index_item *item,
                        const struct labels *own, const char *const parents[INDEX_PARENTS_MAX]);
/* Tells the end of its matches. */
void label_index_remove(struct label_index *index, struct index_item *item);

/* Labels under 'name', as items inherit them (prefixes such as pcns. included); NULL: gone. */
void label_index_put_parent(struct label_index *index, const char *name,
                            const struct labels *labels);

/* Borrows 'selector' until it is removed. Tells all matches. */
struct index_selector *label_index_add_selector(struct label_index *index,
                                                const struct selector *selector, void *user);
/* Tells the end of its matches. */
void label_index_remove_selector(struct label_index *index, struct index_selector *selector);

/* Those that match now. */
void label_index_each_item(const struct index_selector *selector,
                           void (*each)(void *owner, void *item), void *owner);
void label_index_each_selector(const struct label_index *index, const struct index_item *item,
                               void (*each)(void *owner, void *selector), void *owner);

/* Items with the same value match the same selectors; valid until the index changes. */
const void *label_index_group(const struct index_item *item);

struct label_index_stats {
    size_t n_items, n_groups, n_selectors;
    uint64_t n_evaluated; /* pairs of selector and group, ever */
};
struct label_index_stats label_index_stats(const struct label_index *index);
