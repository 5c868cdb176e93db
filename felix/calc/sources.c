/* Pods, network sets and host endpoints as sources of members, and the table they are found in. The
 * objects are the store's, so a source costs a few words. Used by set_pool.c. */
#include "felix/calc/sources.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/hash.h"
#include "lib/model/host_endpoint.h"
#include "lib/model/network_set.h"
#include "lib/model/pod.h"

/* ---- what one stands for ----------------------------------------------------------------------
 */

bool
source_counts(enum kind kind, const void *object)
{
    return kind != KIND_POD || !((const struct pod *)object)->is_finished;
}

/* The i-th address or prefix; false past the last. */
static bool
net_at(enum kind kind, const void *object, size_t i, struct prefix *ret_net)
{
    if (kind == KIND_POD) {
        const struct pod *pod = object;
        if (i > 1) {
            return false;
        }
        *ret_net = prefix_of_ip(i == 0 ? &pod->ip4 : &pod->ip6);
        return true;
    }
    if (kind == KIND_HOSTENDPOINT) {
        const struct host_endpoint *host = object;
        if (i >= host->n_expected_ips) {
            return false;
        }
        *ret_net = prefix_of_ip(&host->expected_ips[i]);
        return true;
    }
    const struct network_set *set = object;
    if (i >= set->n_nets) {
        return false;
    }
    *ret_net = set->nets[i];
    return true;
}

static const struct named_port *
ports_of(enum kind kind, const void *object, size_t *ret_n)
{
    if (kind == KIND_POD) {
        const struct pod *pod = object;
        *ret_n = pod->n_ports;
        return pod->ports;
    }
    if (kind == KIND_HOSTENDPOINT) {
        const struct host_endpoint *host = object;
        *ret_n = host->n_ports;
        return host->ports;
    }
    *ret_n = 0;
    return NULL;
}

bool
source_same_addresses(enum kind kind, const void *a, const void *b)
{
    struct prefix one, other;
    size_t n_one, n_other;
    const struct named_port *ports = ports_of(kind, a, &n_one);
    const struct named_port *others = ports_of(kind, b, &n_other);

    for (size_t i = 0;; i++) {
        bool is_there = net_at(kind, a, i, &one);
        if (net_at(kind, b, i, &other) != is_there) {
            return false;
        }
        if (!is_there) {
            break;
        }
        if (!prefix_equal(&one, &other)) {
            return false;
        }
    }
    if (n_one != n_other) {
        return false;
    }
    for (size_t i = 0; i < n_one; i++) {
        if (strcmp(ports[i].name, others[i].name) != 0 || ports[i].port != others[i].port ||
            ports[i].protocol != others[i].protocol) {
            return false;
        }
    }
    return true;
}

/* A set of nets cannot hold all addresses as one; it can as two halves. */
static void
tell_net(const struct prefix *net, const struct source_query *query)
{
    struct policy_set_member member = {.prefix = *net};

    if (net->len > 0) {
        query->each(query->owner, &member);
        return;
    }
    member.prefix.len = 1;
    query->each(query->owner, &member);
    member.prefix.ip.bytes[0] = 0x80;
    query->each(query->owner, &member);
}

void
source_each_member_of(const struct source *source, const struct prefix *address,
                      const struct source_query *query)
{
    size_t n;
    const struct named_port *ports = ports_of(source->kind, source->object, &n);

    if (address->ip.family == 0) {
        return; /* not known yet */
    }
    if (query->filter == SOURCE_NETS) {
        tell_net(address, query);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (ports[i].protocol == query->protocol && strcmp(ports[i].name, query->port_name) == 0) {
            const struct policy_set_member member = {
                .prefix = *address, .protocol = ports[i].protocol, .port = ports[i].port};
            query->each(query->owner, &member);
        }
    }
}

void
source_each_member(const struct source *source, const struct source_query *query)
{
    struct prefix net;

    for (size_t i = 0; net_at(source->kind, source->object, i, &net); i++) {
        source_each_member_of(source, &net, query);
    }
    for (size_t i = 0; source->early != NULL && i < source->early->nets.n; i++) {
        source_each_member_of(source, &source->early->nets.items[i], query);
    }
}

/* ---- finding one ------------------------------------------------------------------------------
 */

static uint32_t
hash_of(enum kind kind, const char *key)
{
    return (uint32_t)hash_bytes(key, strlen(key)) ^ (uint32_t)kind << 24;
}

static bool
is_named(const struct source *source, enum kind kind, const char *key)
{
    const char *ns = NULL, *name = NULL;

    if (source->kind != kind) {
        return false;
    }
    if (kind == KIND_POD) {
        ns = ((const struct pod *)source->object)->ns;
        name = ((const struct pod *)source->object)->name;
    } else if (kind == KIND_HOSTENDPOINT) {
        name = ((const struct host_endpoint *)source->object)->name;
    } else {
        ns = ((const struct network_set *)source->object)->ns;
        name = ((const struct network_set *)source->object)->name;
    }
    if (ns != NULL) {
        size_t len = strlen(ns);
        if (strncmp(key, ns, len) != 0 || key[len] != '/') {
            return false;
        }
        key += len + 1;
    }
    return strcmp(key, name) == 0;
}

struct source *
sources_find(const struct sources *sources, enum kind kind, const char *key)
{
    uint32_t hash = hash_of(kind, key);
    size_t mask = sources->n_slots - 1;

    for (size_t at = hash & mask; sources->n_slots > 0 && sources->slots[at] != NULL;
         at = (at + 1) & mask) {
        struct source *source = sources->slots[at];
        if (source->hash == hash && is_named(source, kind, key)) {
            return source;
        }
    }
    return NULL;
}

static void
place(struct sources *sources, struct source *source)
{
    size_t mask = sources->n_slots - 1;
    size_t at = source->hash & mask;

    while (sources->slots[at] != NULL) {
        at = (at + 1) & mask;
    }
    sources->slots[at] = source;
}

static void
grow(struct sources *sources)
{
    struct source **old = sources->slots;
    size_t n_old = sources->n_slots;

    sources->n_slots = n_old > 0 ? n_old * 2 : 64;
    sources->slots = xcalloc(sources->n_slots, sizeof(struct source *));
    for (size_t i = 0; i < n_old; i++) {
        if (old[i] != NULL) {
            place(sources, old[i]);
        }
    }
    free(old);
}

struct source *
sources_add(struct sources *sources, enum kind kind, const char *key)
{
    struct source *source = NEW(struct source);

    source->kind = (uint8_t)kind;
    source->hash = hash_of(kind, key);
    if ((sources->n + 1) * 2 > sources->n_slots) {
        grow(sources);
    }
    place(sources, source);
    sources->n++;
    return source;
}

/* Later ones of the probe chain move up, so that no hole cuts it. */
void
sources_remove(struct sources *sources, struct source *source)
{
    size_t mask = sources->n_slots - 1;
    size_t hole = source->hash & mask;

    while (sources->slots[hole] != source) {
        hole = (hole + 1) & mask;
    }
    for (size_t at = hole;;) {
        sources->slots[hole] = NULL;
        do {
            at = (at + 1) & mask;
            if (sources->slots[at] == NULL) {
                sources->n--;
                free(source);
                return;
            }
            /* One may move to the hole unless its home lies behind the hole on the way here. */
        } while (((at - sources->slots[at]->hash) & mask) < ((at - hole) & mask));
        sources->slots[hole] = sources->slots[at];
        hole = at;
    }
}

void
sources_done(struct sources *sources)
{
    for (size_t i = 0; i < sources->n_slots; i++) {
        free(sources->slots[i]);
    }
    free(sources->slots);
    *sources = (struct sources){0};
}
