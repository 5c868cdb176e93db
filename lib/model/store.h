/* What the cluster says: typed objects by kind and key. Keys are "name" or "namespace/name". The
 * store owns its objects; a change that leaves an object equal reports nothing.
 *
 * Iteration, in no particular order; the store may not change meanwhile:
 *
 *     for (size_t i = 0; i < store_count(store, KIND_NODE); i++) {
 *         const struct node *node = store_at(store, KIND_NODE, i);
 *     }
 *
 * resourceVersions and marks are for lib/feed: beside the object they cost 12 bytes, a second table
 * with the same keys would cost a hundred. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/model/kind.h"

struct store;

struct change {
    enum kind kind;
    const char *key;
    const void *was; /* NULL: created. Borrowed for the call, freed after it */
    const void *now; /* NULL: deleted. Borrowed, valid until the next change of this key */
};

struct store *store_new(void (*on_change)(void *owner, const struct change *change), void *owner);
void store_free(struct store *store); /* reports no change */
/* Takes ownership of 'object'; returns true when something changed (and on_change was called). */
bool store_put(struct store *store, enum kind kind, const char *key, void *object);
bool store_delete(struct store *store, enum kind kind, const char *key);
const void *store_get(const struct store *store, enum kind kind, const char *key);
size_t store_count(const struct store *store, enum kind kind);
const void *store_at(const struct store *store, enum kind kind, size_t index);
const char *store_key_at(const struct store *store, enum kind kind, size_t index);

/* The version given last for a key; 0 when absent or never set. */
uint64_t store_version(const struct store *store, enum kind kind, const char *key);
/* Notes version and mark of a key that is there; absent keys are ignored. */
void store_stamp(struct store *store, enum kind kind, const char *key, uint64_t version,
                 uint32_t mark);
/* Deletes every object of the kind whose mark differs, reporting each; returns how many. */
size_t store_sweep(struct store *store, enum kind kind, uint32_t mark);
