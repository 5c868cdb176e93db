/* Where members of sets come from: pods (without those on the host's network), network sets and
 * host endpoints of the whole cluster, with the addresses and ports they stand for. */
#pragma once

#include "felix/calc/hashed.h"
#include "felix/calc/label_index.h"
#include "felix/policy.h"
#include "lib/base/vec.h"
#include "lib/model/store.h"

/* Addresses of a pod the node knows before the API does; an address may be there twice. */
struct early_addresses {
    VEC(struct prefix) nets;
    size_t n_users; /* the source, and each address */
};

/* 150,000 of them: small. */
struct source {
    struct hashed hashed;
    uint8_t kind;                  /* enum kind */
    const void *object;            /* borrowed from the store */
    struct index_item *item;       /* NULL: its addresses are not its own (a finished pod) */
    struct early_addresses *early; /* NULL: none */
};

/* ---- what one stands for ----------------------------------------------------------------------
 */

/* Whether its labels and addresses count. */
bool source_counts(enum kind kind, const void *object);
/* Whether both have the same addresses and named ports. Not for network sets. */
bool source_same_addresses(enum kind kind, const void *a, const void *b);

enum source_filter {
    SOURCE_NETS,  /* its addresses or prefixes; none of length 0 */
    SOURCE_PORTS, /* its addresses with each port by that name; none of network sets */
};
struct source_query {
    enum source_filter filter;
    const char *port_name;
    uint8_t protocol;
    void (*each)(void *owner, const struct policy_set_member *member);
    void *owner;
};
/* One that is there twice is told twice. */
void source_each_member(const struct source *source, const struct source_query *query);
/* Of a single address, as if it were the only one. */
void source_each_member_of(const struct source *source, const struct prefix *address,
                           const struct source_query *query);

/* ---- finding one ------------------------------------------------------------------------------
 */

struct source *sources_find(const struct hashed_table *sources, enum kind kind, const char *key);
/* A new one without object; the caller sets it before the next call. */
struct source *sources_add(struct hashed_table *sources, enum kind kind, const char *key);
/* Its object must still be there. */
void sources_remove(struct hashed_table *sources, struct source *source);
