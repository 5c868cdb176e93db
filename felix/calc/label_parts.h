/* What the index of labels is made of: shared by label_index.c, label_postings.c and
 * label_selectors.c, and by nothing else. */
#pragma once

#include <stdint.h>

#include "felix/calc/hashed.h"
#include "felix/calc/label_index.h"
#include "lib/base/alloc.h"
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

/* ---- label_postings.c ------------------------------------------------------------------------ */

/* A hash over texts, one after the other; what comes out is cut by label_mixed(). */
uint64_t label_mix(uint64_t hash, const char *text);
uint32_t label_mixed(uint64_t hash);
struct posting *posting_find(struct label_index *index, const char *key, const char *value,
                             bool make);                                   /* NULL: not there */
void posting_put_away(struct label_index *index, struct posting *posting); /* unless it is used */
void posting_free(void *value);
/* Enters the group under its labels, and takes it out. */
void group_post(struct label_index *index, struct group *group);
void group_unpost(struct label_index *index, struct group *group);

/* ---- label_index.c --------------------------------------------------------------------------- */

int match_compare(const void *a, const void *b);
void label_index_tell(const struct label_index *index, const struct index_selector *selector,
                      const struct index_item *item, bool is_match);

/* ---- label_selectors.c ----------------------------------------------------------------------- */

/* Frees all of them, without calls. */
void label_selectors_free(struct label_index *index);
