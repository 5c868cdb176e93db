/* Active policies, verdict lists and endpoints, and which chains each has in the kernel's tables,
 * so that a change renders what it changes and nothing else. Called by policies.c. */
#include "felix/wanted_chains.h"

#include <stdio.h>
#include <string.h>

#include "felix/rules/dispatch.h"
#include "felix/rules/ipvs_rules.h"
#include "lib/base/alloc.h"
#include "lib/base/table.h"

#define KEY_MAX 48
#define N_FAMILIES 2
/* A commit takes a few milliseconds. One that hangs must not keep the other family from its own. */
#define OTHER_FAMILY_MS 100

enum piece_kind {
    PIECE_POLICY,
    PIECE_LIST,
    PIECE_ENDPOINT,
    PIECE_STATIC,        /* what depends on settings only */
    PIECE_HOST_DISPATCH, /* of the host's own interfaces, written whole */
    PIECE_SOURCES,       /* of pods besides their own addresses, written whole */
    PIECE_FLOATING,      /* addresses of pods, written whole */
    PIECE_IPVS_DISPATCH, /* of pods by their addresses, written whole */
};

struct chain_place {
    const char *table;
    char name[CHAIN_NAME_MAX];
};
typedef VEC(struct chain_place) place_vec;

struct piece {
    enum piece_kind kind;
    char key[KEY_MAX];
    const void *object; /* NULL: gone */
    bool is_dirty;
    place_vec written; /* handed over last, both families alike */
};

struct wanted_chains {
    const struct static_rules_config *config; /* NULL before wanted_chains_configure() */
    struct table *pieces;                     /* by key */
    VEC(struct piece *) dirty;
    struct dispatch *dispatch;
    size_t n_hosts; /* host endpoints */
    struct piece fixed, host_dispatch, ipvs_dispatch, sources, floating;
    VEC(struct pod_source) pod_sources;
    VEC(struct limit_value) limits;
    floating_vec floating_addresses;
    floating_pair_vec floating_pairs[N_FAMILIES]; /* as they were handed over last */
    wanted_chains_lookup *lookup;
    void *lookup_owner;
};

struct wanted_chains *
wanted_chains_new(const char *workload_prefix, wanted_chains_lookup *lookup, void *owner)
{
    struct wanted_chains *chains = NEW(struct wanted_chains);

    chains->pieces = table_new();
    chains->dispatch = dispatch_new(workload_prefix);
    chains->fixed.kind = PIECE_STATIC;
    chains->host_dispatch.kind = PIECE_HOST_DISPATCH;
    chains->ipvs_dispatch.kind = PIECE_IPVS_DISPATCH;
    chains->sources.kind = PIECE_SOURCES;
    chains->floating.kind = PIECE_FLOATING;
    chains->lookup = lookup;
    chains->lookup_owner = owner;
    return chains;
}

static void
piece_free(void *value)
{
    struct piece *piece = value;

    VEC_DONE(&piece->written);
    free(piece);
}

void
wanted_chains_free(struct wanted_chains *chains)
{
    if (chains) {
        table_free(chains->pieces, piece_free);
        dispatch_free(chains->dispatch);
        VEC_DONE(&chains->dirty);
        VEC_DONE(&chains->fixed.written);
        VEC_DONE(&chains->host_dispatch.written);
        VEC_DONE(&chains->ipvs_dispatch.written);
        VEC_DONE(&chains->sources.written);
        VEC_DONE(&chains->floating.written);
        VEC_DONE(&chains->pod_sources);
        VEC_DONE(&chains->limits);
        VEC_DONE(&chains->floating_addresses);
        VEC_DONE(&chains->floating_pairs[0]);
        VEC_DONE(&chains->floating_pairs[1]);
        free(chains);
    }
}

static void
make_dirty(struct wanted_chains *chains, struct piece *piece)
{
    if (!piece->is_dirty) {
        piece->is_dirty = true;
        VEC_PUSH(&chains->dirty, piece);
    }
}

static void
note(struct wanted_chains *chains, enum piece_kind kind, const char *id, const void *object)
{
    static const char letters[] = {
        [PIECE_POLICY] = 'p', [PIECE_LIST] = 'l', [PIECE_ENDPOINT] = 'e'};
    char key[KEY_MAX];

    snprintf(key, sizeof key, "%c:%s", letters[kind], id);
    struct piece *piece = table_get(chains->pieces, key);
    if (!piece && !object) {
        return;
    }
    if (!piece) {
        piece = NEW(struct piece);
        piece->kind = kind;
        memcpy(piece->key, key, sizeof key);
        table_put(chains->pieces, key, piece);
    }
    piece->object = object;
    make_dirty(chains, piece);
}

void
wanted_chains_policy(struct wanted_chains *chains, const struct active_policy *policy,
                     bool is_active)
{
    note(chains, PIECE_POLICY, policy->id, is_active ? policy : NULL);
}

void
wanted_chains_list(struct wanted_chains *chains, const struct verdict_list *list, bool is_active)
{
    note(chains, PIECE_LIST, list->id, is_active ? list : NULL);
}

/* The mangle table and the hooks of the host's own traffic are there only while a host endpoint is:
 * the first one that comes and the last one that goes change everything. */
static void
count_host(struct wanted_chains *chains, bool was, bool is)
{
    bool had_hosts = chains->n_hosts > 0;

    chains->n_hosts = chains->n_hosts + is - was;
    make_dirty(chains, &chains->host_dispatch);
    if (had_hosts != (chains->n_hosts > 0) && chains->config) {
        wanted_chains_configure(chains, chains->config);
    }
}

void
wanted_chains_endpoint(struct wanted_chains *chains, const struct policy_endpoint *endpoint,
                       bool is_active)
{
    char key[KEY_MAX];

    snprintf(key, sizeof key, "e:%s", endpoint->ifname);
    const struct piece *piece = table_get(chains->pieces, key);
    bool was_active = piece && piece->object;
    note(chains, PIECE_ENDPOINT, endpoint->ifname, is_active ? endpoint : NULL);
    if (endpoint->is_host) {
        count_host(chains, was_active, is_active);
        return;
    }
    if (was_active != is_active) {
        wanted_chains_addresses_changed(chains);
    }
    if (is_active) {
        dispatch_put(chains->dispatch, endpoint->ifname);
    } else {
        dispatch_remove(chains->dispatch, endpoint->ifname);
    }
}

void
wanted_chains_addresses_changed(struct wanted_chains *chains)
{
    if (chains->config && chains->config->policy->has_ipvs) {
        make_dirty(chains, &chains->ipvs_dispatch);
    }
    if (chains->floating_addresses.n > 0) {
        make_dirty(chains, &chains->floating);
    }
}

void
wanted_chains_configure(struct wanted_chains *chains, const struct static_rules_config *config)
{
    chains->config = config;
    TABLE_FOREACH (chains->pieces, entry) {
        make_dirty(chains, table_value(entry));
    }
    make_dirty(chains, &chains->fixed);
    make_dirty(chains, &chains->host_dispatch);
    make_dirty(chains, &chains->ipvs_dispatch);
    make_dirty(chains, &chains->sources);
    make_dirty(chains, &chains->floating);
}

void
wanted_chains_sources(struct wanted_chains *chains, const struct pod_source *sources, size_t n)
{
    chains->pod_sources.n = 0;
    for (size_t i = 0; i < n; i++) {
        VEC_PUSH(&chains->pod_sources, sources[i]);
    }
    make_dirty(chains, &chains->sources);
}

void
wanted_chains_limits(struct wanted_chains *chains, const struct limit_value *limits, size_t n)
{
    chains->limits.n = 0;
    for (size_t i = 0; i < n; i++) {
        VEC_PUSH(&chains->limits, limits[i]);
    }
    make_dirty(chains, &chains->fixed);
}

/* The hooks are there only while they lead somewhere. */
void
wanted_chains_floating(struct wanted_chains *chains, const floating_vec *addresses)
{
    if (addresses->n == 0 && chains->floating_addresses.n == 0) {
        return;
    }
    if ((addresses->n > 0) != (chains->floating_addresses.n > 0)) {
        make_dirty(chains, &chains->fixed);
    }
    chains->floating_addresses.n = 0;
    VEC_FOREACH (addresses, address) {
        VEC_PUSH(&chains->floating_addresses, *address);
    }
    make_dirty(chains, &chains->floating);
}

/* ---- rendering --------------------------------------------------------------------------------
 */

struct rendering {
    struct wanted_chains *chains;
    struct static_rules_config config;
    struct policy_rules_config policy; /* with has_host_endpoints as it is */
};

static const struct policy_endpoint *
host_of(const struct piece *piece)
{
    const struct policy_endpoint *endpoint = piece->kind == PIECE_ENDPOINT ? piece->object : NULL;

    return endpoint && endpoint->is_host ? endpoint : NULL;
}

static void
render_host_dispatch(const struct rendering *rendering, uint8_t family, struct ruleset *set)
{
    VEC(const struct policy_endpoint *) hosts = VEC_INIT;

    TABLE_FOREACH (rendering->chains->pieces, entry) {
        const struct policy_endpoint *host = host_of(table_value(entry));
        if (host) {
            VEC_PUSH(&hosts, host);
        }
    }
    host_dispatch_chains(&rendering->policy, family, hosts.items, hosts.n, set);
    VEC_DONE(&hosts);
}

/* The same order in every run: a restart that finds them in place writes nothing. */
static int
address_order(const void *a, const void *b)
{
    const struct pod_address *x = a, *y = b;
    int order = strcmp(x->ifname, y->ifname);

    return order != 0 ? order : prefix_compare(&x->prefix, &y->prefix);
}

static void
render_ipvs_dispatch(const struct rendering *rendering, uint8_t family, struct ruleset *set)
{
    const struct wanted_chains *chains = rendering->chains;
    VEC(struct pod_address) pods = VEC_INIT;

    TABLE_FOREACH (chains->pieces, entry) {
        const struct piece *piece = table_value(entry);
        const struct policy_endpoint *endpoint = piece->object;
        size_t n = 0;
        if (piece->kind != PIECE_ENDPOINT || !endpoint || endpoint->is_host) {
            continue;
        }
        const struct prefix *prefixes = chains->lookup(chains->lookup_owner, endpoint->ifname, &n);
        for (size_t i = 0; i < n; i++) {
            VEC_PUSH(&pods, (struct pod_address){endpoint->ifname, prefixes[i]});
        }
    }
    if (pods.n > 0) {
        qsort(pods.items, pods.n, sizeof *pods.items, address_order);
    }
    ipvs_dispatch_chain(&rendering->policy, family, pods.items, pods.n, set);
    VEC_DONE(&pods);
}

/* The pod's own address of the family; NULL: none is known. */
static const struct ip *
own_address(const struct wanted_chains *chains, const char *ifname, uint8_t family)
{
    size_t n = 0;
    const struct prefix *own = chains->lookup(chains->lookup_owner, ifname, &n);

    for (size_t i = 0; i < n; i++) {
        if (own[i].ip.family == family) {
            return &own[i].ip;
        }
    }
    return NULL;
}

/* Without an address of its own a pod has none that leads to it. */
static void
render_floating(struct wanted_chains *chains, uint8_t family, struct ruleset *set)
{
    floating_pair_vec *pairs = &chains->floating_pairs[family == 6];

    pairs->n = 0;
    VEC_FOREACH (&chains->floating_addresses, address) {
        const struct ip *own = own_address(chains, address->ifname, family);
        if (own && address->ip.family == family) {
            VEC_PUSH(pairs, (struct floating_pair){address->ip, *own});
        }
    }
    if (chains->floating_addresses.n > 0) {
        floating_rules(family, pairs->items, pairs->n, set);
    }
}

static void
render_piece(const struct rendering *rendering, uint8_t family, const struct piece *piece,
             struct ruleset *set)
{
    switch (piece->kind) {
    case PIECE_POLICY:
        if (piece->object) {
            policy_chains(&rendering->policy, family, piece->object, set);
        }
        break;
    case PIECE_LIST:
        if (piece->object) {
            verdict_list_chains(&rendering->policy, family, piece->object, set);
        }
        break;
    case PIECE_ENDPOINT:
        if (piece->object) {
            endpoint_chains(&rendering->policy, family, piece->object, set);
        }
        break;
    case PIECE_STATIC:
        static_rules(&rendering->config, family, set);
        break;
    case PIECE_SOURCES:
        source_rules(&rendering->policy, family, rendering->chains->pod_sources.items,
                     rendering->chains->pod_sources.n, set);
        break;
    case PIECE_FLOATING:
        render_floating(rendering->chains, family, set);
        break;
    case PIECE_HOST_DISPATCH:
        render_host_dispatch(rendering, family, set);
        break;
    case PIECE_IPVS_DISPATCH:
        render_ipvs_dispatch(rendering, family, set);
        break;
    }
}

static bool
has_chain(const struct ruleset *set, size_t from, const struct chain_place *place)
{
    for (size_t i = from; i < set->chains.n; i++) {
        if (strcmp(set->chains.items[i].name, place->name) == 0 &&
            strcmp(set->chains.items[i].table, place->table) == 0) {
            return true;
        }
    }
    return false;
}

/* Renders the piece behind what 'set' holds, and tells the chains it had before and has no more. */
static void
want_piece(const struct rendering *rendering, struct iptables *tables, uint8_t family,
           const struct piece *piece, struct ruleset *set)
{
    size_t from = set->chains.n;

    render_piece(rendering, family, piece, set);
    VEC_FOREACH (&piece->written, place) {
        if (!has_chain(set, from, place)) {
            iptables_unwant_chain(tables, place->table, place->name);
        }
    }
}

struct gone {
    struct iptables *const *tables;
};

static void
on_dispatch_gone(void *owner, const char *name)
{
    const struct gone *gone = owner;

    for (size_t i = 0; i < N_FAMILIES; i++) {
        if (gone->tables[i]) {
            iptables_unwant_chain(gone->tables[i], "filter", name);
        }
    }
}

static void
append(struct ruleset *set, const struct ruleset *other)
{
    VEC_FOREACH (&other->chains, chain) {
        struct chain *copy = ruleset_chain(set, chain->table, chain->name);
        VEC_FOREACH (&chain->rules, rule) {
            chain_add(copy, "%s", *rule);
        }
    }
}

/* What the piece has now, from its part of the IPv4 ruleset (the other's names are the same). */
static void
remember(struct piece *piece, const struct ruleset *set, size_t from, size_t to)
{
    piece->written.n = 0;
    for (size_t i = from; i < to; i++) {
        struct chain_place place = {.table = set->chains.items[i].table};
        memcpy(place.name, set->chains.items[i].name, sizeof place.name);
        VEC_PUSH(&piece->written, place);
    }
}

static void
want_family(const struct rendering *rendering, struct iptables *tables, uint8_t family,
            const struct ruleset *dispatch)
{
    struct wanted_chains *chains = rendering->chains;
    bool is_last = family == 4; /* IPv6 goes first, see wanted_chains_want() */
    struct ruleset set;

    ruleset_init(&set);
    VEC_FOREACH (&chains->dirty, it) {
        size_t from = set.chains.n;
        want_piece(rendering, tables, family, *it, &set);
        if (is_last) {
            remember(*it, &set, from, set.chains.n);
        }
    }
    append(&set, dispatch);
    if (set.hooks.n > 0) {
        iptables_want_hooks(tables, set.hooks.items, set.hooks.n);
    }
    iptables_want_chains(tables, &set);
    ruleset_done(&set);
}

/* IPv4 first; who wanted this applies IPv6 when it has settled. */
static void
apply(struct iptables *const tables[2])
{
    bool is_alone = tables[0] == NULL;

    if (!is_alone) {
        iptables_apply(tables[0]);
        is_alone = iptables_is_in_place(tables[0]);
    }
    if (tables[1] && is_alone) {
        iptables_apply(tables[1]);
    } else if (tables[1]) {
        iptables_apply_within(tables[1], OTHER_FAMILY_MS);
    }
}

static void
forget_dirty(struct wanted_chains *chains)
{
    VEC_FOREACH (&chains->dirty, it) {
        struct piece *piece = *it;
        piece->is_dirty = false;
        if (!piece->object && piece->key[0] != '\0') {
            table_take(chains->pieces, piece->key);
            piece_free(piece);
        }
    }
    chains->dirty.n = 0;
}

void
wanted_chains_want(struct wanted_chains *chains, struct iptables *const tables[2])
{
    struct gone gone = {tables};
    struct ruleset dispatch;

    if (!chains->config) {
        return;
    }
    struct rendering rendering = {chains, *chains->config, *chains->config->policy};
    rendering.policy.has_host_endpoints = chains->n_hosts > 0;
    rendering.policy.limits = chains->limits.items;
    rendering.policy.n_limits = chains->limits.n;
    rendering.config.policy = &rendering.policy;
    rendering.config.has_floating = chains->floating_addresses.n > 0;
    ruleset_init(&dispatch);
    dispatch_changes(chains->dispatch, &dispatch, on_dispatch_gone, &gone);
    for (size_t i = N_FAMILIES; i-- > 0;) {
        if (tables[i]) {
            want_family(&rendering, tables[i], i == 0 ? 4 : 6, &dispatch);
        }
    }
    ruleset_done(&dispatch);
    forget_dirty(chains);
    apply(tables);
}

void
wanted_chains_floating_pairs(const struct wanted_chains *chains, floating_pair_vec *ret_pairs)
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        VEC_FOREACH (&chains->floating_pairs[i], pair) {
            VEC_PUSH(ret_pairs, *pair);
        }
    }
}

void
wanted_chains_each_endpoint(const struct wanted_chains *chains,
                            void (*each)(void *owner, const struct policy_endpoint *endpoint),
                            void *owner)
{
    TABLE_FOREACH (chains->pieces, entry) {
        const struct piece *piece = table_value(entry);
        if (piece->kind == PIECE_ENDPOINT && piece->object) {
            each(owner, piece->object);
        }
    }
}
