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
    bool is_there = true;

    for (size_t i = 0; is_there; i++) {
        is_there = net_at(kind, a, i, &one);
        if (net_at(kind, b, i, &other) != is_there || (is_there && !prefix_equal(&one, &other))) {
            return false;
        }
    }
    return named_ports_equal(ports, n_one, others, n_other);
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

struct source_key {
    enum kind kind;
    const char *text;
};

static bool
is_named(const struct hashed *thing, const void *wanted)
{
    const struct source *source = (const struct source *)thing;
    const struct source_key *key = wanted;
    const char *ns = NULL, *name = NULL, *text = key->text;

    if (source->kind != key->kind) {
        return false;
    }
    if (key->kind == KIND_POD) {
        ns = ((const struct pod *)source->object)->ns;
        name = ((const struct pod *)source->object)->name;
    } else if (key->kind == KIND_HOSTENDPOINT) {
        name = ((const struct host_endpoint *)source->object)->name;
    } else {
        ns = ((const struct network_set *)source->object)->ns;
        name = ((const struct network_set *)source->object)->name;
    }
    if (ns != NULL) {
        size_t len = strlen(ns);
        if (strncmp(text, ns, len) != 0 || text[len] != '/') {
            return false;
        }
        text += len + 1;
    }
    return strcmp(text, name) == 0;
}

struct source *
sources_find(const struct hashed_table *sources, enum kind kind, const char *key)
{
    const struct source_key wanted = {kind, key};

    return hashed_find(sources, hash_of(kind, key), is_named, &wanted);
}

struct source *
sources_add(struct hashed_table *sources, enum kind kind, const char *key)
{
    struct source *source = NEW(struct source);

    source->kind = (uint8_t)kind;
    source->hashed.hash = hash_of(kind, key);
    hashed_add(sources, &source->hashed);
    return source;
}

void
sources_remove(struct hashed_table *sources, struct source *source)
{
    hashed_remove(sources, &source->hashed);
    free(source);
}
