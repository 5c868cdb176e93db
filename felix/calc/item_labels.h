/* Labels as selectors see them: what an object says of itself, what the cluster says of it, and
 * under which names it inherits from its namespace and its service account. */
#pragma once

#include "felix/calc/label_index.h"
#include "lib/base/str.h"
#include "lib/base/vec.h"
#include "lib/model/store.h"

/* Scratch, used again and again. All but 'pairs' is for reading. */
struct item_labels {
    struct labels labels; /* a view of 'pairs': until the next fill */
    const char *parents[INDEX_PARENTS_MAX];
    VEC(struct label) pairs;
    struct str names[INDEX_PARENTS_MAX];
};

void item_labels_done(struct item_labels *labels);
/* 'kind' is Pod, NetworkSet, GlobalNetworkSet or HostEndpoint. */
void item_labels_fill(struct item_labels *labels, enum kind kind, const void *object);
/* Whether both would be filled alike: the cheap answer for objects that changed elsewhere. */
bool item_labels_same(enum kind kind, const void *a, const void *b);
/* Puts the labels a Namespace or ServiceAccount hands down into an index, or takes them away;
 * 'object' is NULL when it is gone, 'key' as in struct change. Other kinds are ignored. */
void item_labels_put_parent(struct label_index *index, const struct change *change);
