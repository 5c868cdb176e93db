/* What the cluster says: typed objects by kind and key. Keys are "name" or "namespace/name". The
 * store owns its objects; a change that leaves an object equal reports nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/model/kind.h"

struct store;
struct table_entry;

struct change {
    enum kind kind;
    const char *key;
    const void *was; /* NULL: created. Borrowed for the call, freed after it */
    const void *now; /* NULL: deleted. Borrowed, valid until the next change of this key */
};

struct store *store_new(void (*on_change)(void *owner, const struct change *change), void *owner);
void store_free(struct store *store);
/* Takes ownership of 'object'; returns true when something changed (and on_change was called). */
bool store_put(struct store *store, enum kind kind, const char *key, void *object);
bool store_delete(struct store *store, enum kind kind, const char *key);
const void *store_get(const struct store *store, enum kind kind, const char *key);
size_t store_count(const struct store *store, enum kind kind);
/* Iteration in no particular order; table_value() is the object, table_key() its key. */
struct table_entry *store_first(const struct store *store, enum kind kind);
