/* A hash table of pointers to things that know their own key: lib/base/table.h costs more than a
 * hundred bytes an entry, where a cluster has a hundred thousand of them; this costs about twelve.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a thing begins with. */
struct hashed {
    uint32_t hash;
};

struct hashed_table {
    struct hashed **slots; /* open addressing, at most 3/4 full */
    size_t n_slots;        /* power of two, or 0 */
    size_t n;
};

typedef bool (*hashed_is)(const struct hashed *thing, const void *key);

/* The thing with this hash of which is() says that it has the key; NULL. */
void *hashed_find(const struct hashed_table *table, uint32_t hash, hashed_is is, const void *key);
/* One whose key is not there yet. */
void hashed_add(struct hashed_table *table, struct hashed *thing);
/* One that is there. */
void hashed_remove(struct hashed_table *table, const struct hashed *thing);
/* Frees the table; calls free_thing (may be NULL) for everything in it. */
void hashed_done(struct hashed_table *table, void (*free_thing)(void *thing));
