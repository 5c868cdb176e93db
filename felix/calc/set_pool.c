/* Sets and their members. Every set is either behind a selector, with which the index says what
 * matches (all sets of one selector share one entry of the index), or behind a selector of nodes,
 * or behind a service. Used by active_policies.c, which needs sets, and by policy_state.c. */
#include "felix/calc/set_pool.h"

#include <stdlib.h>
#include <string.h>

#include "felix/calc/item_labels.h"
#include "felix/calc/node_sets.h"
#include "felix/calc/services.h"
#include "felix/calc/sources.h"
#include "lib/base/table.h"
#include "lib/model/network_set.h"
#include "lib/model/pod.h"

#define EVERY_ENDPOINT "all()"

/* A selector's text that sets go by. */
struct behind {
    char *text;
    struct selector *selector;     /* NULL: cannot be read; nothing matches */
    struct index_selector *handle; /* NULL likewise */
    VEC(struct pool_set *) sets;
};

struct pool_set {
    struct policy_set set;
    size_t n_users;
    struct members members;
    struct behind *behind; /* NULL: one of those below */
    char *port_name;       /* NULL: nets */
    uint8_t protocol;
    char *node_selector;             /* NULL: not of nodes */
    char *service_ns, *service_name; /* NULL: not of a service */
    bool is_told;                    /* the owner knows it */
    bool is_dirty;                   /* among the dirty: new, gone, or with changed members */
};

struct set_pool {
    struct set_pool_spec spec;
    struct label_index *index;
    struct services *services;
    struct node_sets *nodes;
    struct hashed_table sources;
    struct table *early;   /* "namespace/name" -> struct early_addresses */
    struct table *sets;    /* id -> struct pool_set */
    struct table *behinds; /* selector's text -> struct behind */
    VEC(struct pool_set *) dirty;
    struct item_labels labels; /* scratch */
    uint64_t n_contributions;
};

/* ---- members ----------------------------------------------------------------------------------
 */

struct contribution {
    struct set_pool *pool;
    struct pool_set *set;
    bool is_added;
};

static void
mark_dirty(struct set_pool *pool, struct pool_set *set)
{
    if (!set->is_dirty) {
        set->is_dirty = true;
        VEC_PUSH(&pool->dirty, set);
    }
}

static void
contribute(void *owner, const struct policy_set_member *member)
{
    const struct contribution *to = owner;

    to->pool->n_contributions++;
    mark_dirty(to->pool, to->set);
    if (to->is_added) {
        members_add(&to->set->members, member);
    } else {
        members_remove(&to->set->members, member);
    }
}

/* All of the source, or of one address of it. */
static void
contribute_source(struct set_pool *pool, struct pool_set *set, const struct source *source,
                  const struct prefix *address, bool is_added)
{
    struct contribution to = {pool, set, is_added};
    const struct source_query query = {.filter = set->port_name ? SOURCE_PORTS : SOURCE_NETS,
                                       .port_name = set->port_name,
                                       .protocol = set->protocol,
                                       .each = contribute,
                                       .owner = &to};

    if (address != NULL) {
        source_each_member_of(source, address, &query);
    } else {
        source_each_member(source, &query);
    }
}

static void
on_match(void *owner, void *selector, void *item, bool is_match)
{
    const struct behind *behind = selector;

    VEC_FOREACH (&behind->sets, set) {
        contribute_source(owner, *set, item, NULL, is_match);
    }
}

static void
on_member_of(void *owner, void *set, const struct policy_set_member *member, bool is_added)
{
    struct contribution to = {owner, set, is_added};

    contribute(&to, member);
}

/* ---- sources ----------------------------------------------------------------------------------
 */

struct spread {
    struct set_pool *pool;
    const struct source *source;
    const struct prefix *address; /* NULL: all */
    bool is_added;
};

static void
spread_to(void *owner, void *selector)
{
    const struct spread *spread = owner;
    const struct behind *behind = selector;

    VEC_FOREACH (&behind->sets, set) {
        contribute_source(spread->pool, *set, spread->source, spread->address, spread->is_added);
    }
}

/* To every set the source is behind now. */
static void
spread(struct set_pool *pool, const struct source *source, const struct prefix *address,
       bool is_added)
{
    struct spread to = {pool, source, address, is_added};

    if (source->item != NULL) {
        label_index_each_selector(pool->index, source->item, spread_to, &to);
    }
}

static void
index_source(struct set_pool *pool, struct source *source)
{
    item_labels_fill(&pool->labels, source->kind, source->object);
    if (source->item == NULL) {
        source->item =
            label_index_add(pool->index, &pool->labels.labels, pool->labels.parents, source);
    } else {
        label_index_change(pool->index, source->item, &pool->labels.labels, pool->labels.parents);
    }
}

static void
unindex_source(struct set_pool *pool, struct source *source)
{
    if (source->item != NULL) {
        label_index_remove(pool->index, source->item);
        source->item = NULL;
    }
}

static void
early_drop(struct set_pool *pool, const char *pod, struct early_addresses *early)
{
    if (--early->n_users == 0) {
        table_take(pool->early, pod);
        VEC_DONE(&early->nets);
        free(early);
    }
}

static void
source_new(struct set_pool *pool, const struct change *change)
{
    struct source *source = sources_add(&pool->sources, change->kind, change->key);

    source->object = change->now;
    if (change->kind == KIND_POD) {
        source->early = table_get(pool->early, change->key);
        if (source->early != NULL) {
            source->early->n_users++;
        }
    }
    if (source_counts(change->kind, change->now)) {
        index_source(pool, source);
    }
}

static void
source_gone(struct set_pool *pool, const struct change *change, struct source *source)
{
    unindex_source(pool, source);
    if (source->early != NULL) {
        early_drop(pool, change->key, source->early);
    }
    sources_remove(&pool->sources, source);
}

/* One of 100,000 networks changed: that one is told. Both are sorted. */
static void
exchange_nets(struct set_pool *pool, const struct source *source, const struct network_set *was,
              const struct network_set *now)
{
    size_t i = 0, k = 0;

    while (i < was->n_nets || k < now->n_nets) {
        int order = i == was->n_nets   ? 1
                    : k == now->n_nets ? -1
                                       : prefix_compare(&was->nets[i], &now->nets[k]);
        if (order > 0) {
            spread(pool, source, &now->nets[k++], true);
        } else if (order < 0) {
            spread(pool, source, &was->nets[i++], false);
        } else {
            i++, k++;
        }
    }
}

static void
exchange_addresses(struct set_pool *pool, struct source *source, const void *now)
{
    const void *was = source->object;

    if (source->kind == KIND_NETWORKSET || source->kind == KIND_GLOBALNETWORKSET) {
        exchange_nets(pool, source, was, now);
    } else if (!source_same_addresses(source->kind, was, now)) {
        source->object = now;
        spread(pool, source, NULL, true);
        source->object = was;
        spread(pool, source, NULL, false);
    }
}

/* Addresses first, under the labels that were, then labels: sets that both touch see each once. */
static void
source_changed(struct set_pool *pool, struct source *source, const void *now)
{
    const void *was = source->object;

    if (!source_counts(source->kind, now)) {
        unindex_source(pool, source);
        source->object = now;
        return;
    }
    if (source->item != NULL) {
        exchange_addresses(pool, source, now);
    }
    source->object = now;
    if (source->item == NULL || !item_labels_same(source->kind, was, now)) {
        index_source(pool, source);
    }
}

/* Pods in the node's own network, and those not scheduled yet, have no address of their own. */
static bool
is_source(enum kind kind, const void *object)
{
    const struct pod *pod = object;

    return object != NULL &&
           (kind != KIND_POD || (!pod->is_host_network && pod->node_name != NULL));
}

static void
note_source(struct set_pool *pool, const struct change *change)
{
    struct source *source = sources_find(&pool->sources, change->kind, change->key);

    if (is_source(change->kind, change->now)) {
        if (source == NULL) {
            source_new(pool, change);
        } else {
            source_changed(pool, source, change->now);
        }
    } else if (source != NULL) {
        source_gone(pool, change, source);
    }
}

void
set_pool_note(struct set_pool *pool, const struct change *change)
{
    if (change->kind == KIND_POD || change->kind == KIND_NETWORKSET ||
        change->kind == KIND_GLOBALNETWORKSET || change->kind == KIND_HOSTENDPOINT) {
        note_source(pool, change);
    } else if (change->kind == KIND_ENDPOINTSLICE) {
        services_note(pool->services, change);
    } else if (change->kind == KIND_NODE) {
        node_sets_note(pool->nodes, change);
    } else {
        item_labels_put_parent(pool->index, change);
    }
}

/* ---- addresses the API need not know yet ------------------------------------------------------
 */

void
set_pool_add_address(struct set_pool *pool, const char *pod, const struct prefix *address)
{
    struct source *source = sources_find(&pool->sources, KIND_POD, pod);
    struct early_addresses *early = table_get(pool->early, pod);

    if (early == NULL) {
        early = NEW(struct early_addresses);
        table_put(pool->early, pod, early);
        if (source != NULL) {
            source->early = early;
            early->n_users++;
        }
    }
    early->n_users++;
    VEC_PUSH(&early->nets, *address);
    if (source != NULL) {
        spread(pool, source, address, true);
    }
}

void
set_pool_remove_address(struct set_pool *pool, const char *pod, const struct prefix *address)
{
    struct source *source = sources_find(&pool->sources, KIND_POD, pod);
    struct early_addresses *early = table_get(pool->early, pod);

    for (size_t i = 0; early != NULL && i < early->nets.n; i++) {
        if (!prefix_equal(&early->nets.items[i], address)) {
            continue;
        }
        VEC_REMOVE_SWAP(&early->nets, i);
        if (source != NULL) {
            spread(pool, source, address, false);
        }
        if (source != NULL && early->nets.n == 0) {
            source->early = NULL;
            early->n_users--;
        }
        early_drop(pool, pod, early);
        return;
    }
}

const struct pod *
set_pool_pod(const struct set_pool *pool, const char *pod)
{
    const struct source *source = sources_find(&pool->sources, KIND_POD, pod);

    return source != NULL ? source->object : NULL;
}

/* ---- sets -------------------------------------------------------------------------------------
 */

static struct behind *
behind_get(struct set_pool *pool, const char *text)
{
    struct behind *behind = table_get(pool->behinds, text);

    if (behind == NULL) {
        behind = NEW(struct behind);
        behind->text = xstrdup(text);
        /* Decoders refuse what cannot be read. */
        if (selector_parse(text, &behind->selector, NULL)) {
            behind->handle = label_index_add_selector(pool->index, behind->selector, behind);
        }
        table_put(pool->behinds, text, behind);
    }
    return behind;
}

static void
behind_free(void *value)
{
    struct behind *behind = value;

    selector_free(behind->selector);
    VEC_DONE(&behind->sets);
    free(behind->text);
    free(behind);
}

static void
behind_leave(struct set_pool *pool, const struct pool_set *set)
{
    struct behind *behind = set->behind;

    for (size_t i = 0; i < behind->sets.n; i++) {
        if (behind->sets.items[i] == set) {
            VEC_REMOVE_SWAP(&behind->sets, i);
            break;
        }
    }
    if (behind->sets.n == 0) {
        if (behind->handle != NULL) {
            label_index_remove_selector(pool->index, behind->handle);
        }
        table_take(pool->behinds, behind->text);
        behind_free(behind);
    }
}

static void
fill_from(void *owner, void *item)
{
    const struct contribution *to = owner;

    contribute_source(to->pool, to->set, item, NULL, true);
}

static void
fill(struct set_pool *pool, struct pool_set *set, const struct set_need *need)
{
    struct contribution to = {pool, set, true};

    if (need->node_selector != NULL) {
        set->node_selector = xstrdup(need->node_selector);
        node_sets_attach(pool->nodes, set->node_selector, set);
        return;
    }
    if (need->service_name != NULL) {
        set->service_ns = xstrdup(need->service_ns);
        set->service_name = xstrdup(need->service_name);
        services_attach(pool->services, set->service_ns, set->service_name,
                        set->set.kind == SET_IP_PORTS, set);
        return;
    }
    if (need->port_name != NULL) {
        set->port_name = xstrdup(need->port_name);
        set->protocol = need->protocol;
    }
    /* The selector may be new, then its matches are told to no set yet. */
    set->behind = behind_get(pool, need->selector != NULL ? need->selector : EVERY_ENDPOINT);
    VEC_PUSH(&set->behind->sets, set);
    if (set->behind->handle != NULL) {
        label_index_each_item(set->behind->handle, fill_from, &to);
    }
}

struct pool_set *
set_pool_take(struct set_pool *pool, const struct set_need *need)
{
    struct pool_set *set = table_get(pool->sets, need->set.id);

    if (set == NULL) {
        set = NEW(struct pool_set);
        set->set = need->set;
        members_init(&set->members);
        table_put(pool->sets, set->set.id, set);
        mark_dirty(pool, set);
        fill(pool, set, need);
    }
    set->n_users++;
    return set;
}

void
set_pool_drop(struct set_pool *pool, struct pool_set *set)
{
    if (--set->n_users == 0) {
        mark_dirty(pool, set); /* it may be wanted again before the next telling */
    }
}

static void
set_free(void *value)
{
    struct pool_set *set = value;

    members_done(&set->members);
    free(set->port_name);
    free(set->node_selector);
    free(set->service_ns);
    free(set->service_name);
    free(set);
}

static void
set_gone(struct set_pool *pool, struct pool_set *set)
{
    if (set->behind != NULL) {
        behind_leave(pool, set);
    } else if (set->node_selector != NULL) {
        node_sets_detach(pool->nodes, set->node_selector);
    } else {
        services_detach(pool->services, set->service_ns, set->service_name,
                        set->set.kind == SET_IP_PORTS);
    }
    table_take(pool->sets, set->set.id);
    if (set->is_told) {
        pool->spec.set(pool->spec.owner, &set->set, false);
    }
    set_free(set);
}

/* ---- telling ----------------------------------------------------------------------------------
 */

struct teller {
    const struct set_pool_spec *spec;
    const struct policy_set *set;
};

static void
tell_member(void *owner, const struct policy_set_member *member, bool is_added)
{
    const struct teller *teller = owner;

    teller->spec->member(teller->spec->owner, teller->set, member, is_added);
}

void
set_pool_tell_added(struct set_pool *pool)
{
    VEC_FOREACH (&pool->dirty, it) {
        struct pool_set *set = *it;
        struct teller teller = {&pool->spec, &set->set};
        if (set->n_users == 0) {
            continue;
        }
        if (!set->is_told) {
            set->is_told = true;
            pool->spec.set(pool->spec.owner, &set->set, true);
        }
        members_tell_added(&set->members, tell_member, &teller);
    }
}

void
set_pool_tell_removed(struct set_pool *pool)
{
    /* Backwards: the reverse of how they came. */
    for (size_t i = pool->dirty.n; i > 0; i--) {
        struct pool_set *set = pool->dirty.items[i - 1];
        struct teller teller = {&pool->spec, &set->set};
        set->is_dirty = false;
        if (set->n_users == 0) {
            set_gone(pool, set);
        } else {
            members_tell_removed(&set->members, tell_member, &teller);
        }
    }
    VEC_DONE(&pool->dirty);
}

/* ---- asking, making, freeing ------------------------------------------------------------------
 */

const struct members *
set_pool_members(const struct set_pool *pool, const char *id)
{
    const struct pool_set *set = table_get(pool->sets, id);

    return set != NULL ? &set->members : NULL;
}

void
set_pool_each(const struct set_pool *pool,
              void (*each)(void *owner, const struct policy_set *set, size_t n_members),
              void *owner)
{
    TABLE_FOREACH (pool->sets, it) {
        const struct pool_set *set = table_value(it);
        if (set->is_told) {
            each(owner, &set->set, set->members.n);
        }
    }
}

struct set_pool_stats
set_pool_stats(const struct set_pool *pool)
{
    const struct label_index_stats index = label_index_stats(pool->index);
    const struct node_sets_stats nodes = node_sets_stats(pool->nodes);

    return (struct set_pool_stats){.n_sets = table_count(pool->sets),
                                   .n_selectors = table_count(pool->behinds) + nodes.n_selectors,
                                   .n_sources = pool->sources.n + nodes.n_nodes,
                                   .n_items = index.n_items,
                                   .n_evaluated = index.n_evaluated + nodes.n_evaluated,
                                   .n_contributions = pool->n_contributions};
}

struct set_pool *
set_pool_new(const struct set_pool_spec *spec)
{
    struct set_pool *pool = NEW(struct set_pool);

    pool->spec = *spec;
    pool->index = label_index_new(&(struct label_index_spec){.on_match = on_match, .owner = pool});
    pool->services =
        services_new(&(struct services_spec){.on_member = on_member_of, .owner = pool});
    pool->nodes = node_sets_new(&(struct node_sets_spec){.on_member = on_member_of, .owner = pool});
    pool->early = table_new();
    pool->sets = table_new();
    pool->behinds = table_new();
    return pool;
}

static void
early_free(void *value)
{
    struct early_addresses *early = value;

    VEC_DONE(&early->nets);
    free(early);
}

void
set_pool_free(struct set_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    label_index_free(pool->index);
    services_free(pool->services);
    node_sets_free(pool->nodes);
    hashed_done(&pool->sources, free);
    table_free(pool->early, early_free);
    table_free(pool->sets, set_free);
    table_free(pool->behinds, behind_free);
    VEC_DONE(&pool->dirty);
    item_labels_done(&pool->labels);
    free(pool);
}
