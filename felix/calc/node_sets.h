/* Sets of the addresses of Nodes whose labels match a selector. Nodes' labels are apart from those
 * of pods, namespaces and host endpoints; nodes are few and so are selectors of them, so each
 * selector is held against a node when the node's labels change, without an index. */
#pragma once

#include "felix/policy.h"
#include "lib/model/store.h"

struct node_sets;

struct node_sets_spec {
    /* A member more or less of the set given to node_sets_attach(). */
    void (*on_member)(void *owner, void *set, const struct policy_set_member *member,
                      bool is_added);
    void *owner;
};

struct node_sets *node_sets_new(const struct node_sets_spec *spec);
void node_sets_free(struct node_sets *sets);                              /* without calls */
void node_sets_note(struct node_sets *sets, const struct change *change); /* Node */
/* Tells all members there are; 'set' is told about until it is detached. One set for each
 * selector, which is canonical. */
void node_sets_attach(struct node_sets *sets, const char *canonical, void *set);
void node_sets_detach(struct node_sets *sets, const char *canonical);

struct node_sets_stats {
    size_t n_nodes, n_selectors;
    uint64_t n_evaluated; /* pairs of selector and node, ever */
};
struct node_sets_stats node_sets_stats(const struct node_sets *sets);
