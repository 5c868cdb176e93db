/* The nodes are the store's; whether one matches is worked out again from its labels as they were,
 * so nothing is kept for a pair. Used by set_pool.c. */
#include "felix/calc/node_sets.h"

#include <stdlib.h>

#include "lib/base/alloc.h"
#include "lib/base/table.h"
#include "lib/model/node.h"
#include "lib/selector/selector.h"

struct selected {
    struct selector *selector; /* NULL: cannot be read; nothing matches */
    void *set;
};

struct node_sets {
    struct node_sets_spec spec;
    struct table *nodes;    /* name -> const struct node */
    struct table *selected; /* selector's text -> struct selected */
    uint64_t n_evaluated;
};

struct node_sets *
node_sets_new(const struct node_sets_spec *spec)
{
    struct node_sets *sets = NEW(struct node_sets);

    sets->spec = *spec;
    sets->nodes = table_new();
    sets->selected = table_new();
    return sets;
}

static void
selected_free(void *value)
{
    struct selected *selected = value;

    selector_free(selected->selector);
    free(selected);
}

void
node_sets_free(struct node_sets *sets)
{
    if (sets != NULL) {
        table_free(sets->nodes, NULL);
        table_free(sets->selected, selected_free);
        free(sets);
    }
}

/* ---- members ----------------------------------------------------------------------------------
 */

static bool
matches(struct node_sets *sets, const struct selected *selected, const struct node *node)
{
    if (selected->selector == NULL) {
        return false;
    }
    sets->n_evaluated++;
    return selector_matches(selected->selector, labels_lookup, &node->labels);
}

static void
tell(const struct node_sets *sets, const struct selected *selected, const struct ip *ip,
     bool is_added)
{
    const struct policy_set_member member = {.prefix = prefix_of_ip(ip)};

    sets->spec.on_member(sets->spec.owner, selected->set, &member, is_added);
}

static void
tell_all(const struct node_sets *sets, const struct selected *selected, const struct node *node,
         bool is_added)
{
    for (size_t i = 0; i < node->n_ips; i++) {
        tell(sets, selected, &node->ips[i], is_added);
    }
}

/* What differs. Both are sorted. */
static void
exchange_ips(const struct node_sets *sets, const struct selected *selected, const struct node *was,
             const struct node *now)
{
    size_t i = 0, k = 0;

    while (i < was->n_ips || k < now->n_ips) {
        int order = i == was->n_ips   ? 1
                    : k == now->n_ips ? -1
                                      : ip_compare(&was->ips[i], &now->ips[k]);
        if (order > 0) {
            tell(sets, selected, &now->ips[k++], true);
        } else if (order < 0) {
            tell(sets, selected, &was->ips[i++], false);
        } else {
            i++, k++;
        }
    }
}

/* 'was' or 'now' NULL: there is none. */
static void
exchange(struct node_sets *sets, const struct selected *selected, const struct node *was,
         const struct node *now)
{
    bool is_in = now != NULL && matches(sets, selected, now);
    bool was_in = was != NULL && matches(sets, selected, was);

    if (is_in && was_in) {
        exchange_ips(sets, selected, was, now);
    } else if (is_in) {
        tell_all(sets, selected, now, true);
    } else if (was_in) {
        tell_all(sets, selected, was, false);
    }
}

void
node_sets_note(struct node_sets *sets, const struct change *change)
{
    const struct node *now = change->now, *was = table_take(sets->nodes, change->key);

    if (now != NULL) {
        table_put(sets->nodes, change->key, (void *)(uintptr_t)now);
    }
    if (was != NULL && now != NULL && labels_equal(&was->labels, &now->labels) &&
        node_ips_equal(was, now)) {
        return;
    }
    TABLE_FOREACH (sets->selected, it) {
        exchange(sets, table_value(it), was, now);
    }
}

/* ---- sets -------------------------------------------------------------------------------------
 */

void
node_sets_attach(struct node_sets *sets, const char *canonical, void *set)
{
    struct selected *selected = NEW(struct selected);

    selected->set = set;
    /* Decoders refuse what cannot be read. */
    if (!selector_parse(canonical, &selected->selector, NULL)) {
        selected->selector = NULL;
    }
    table_put(sets->selected, canonical, selected);
    TABLE_FOREACH (sets->nodes, it) {
        exchange(sets, selected, NULL, table_value(it));
    }
}

void
node_sets_detach(struct node_sets *sets, const char *canonical)
{
    selected_free(table_take(sets->selected, canonical));
}

struct node_sets_stats
node_sets_stats(const struct node_sets *sets)
{
    return (struct node_sets_stats){.n_nodes = table_count(sets->nodes),
                                    .n_selectors = table_count(sets->selected),
                                    .n_evaluated = sets->n_evaluated};
}
