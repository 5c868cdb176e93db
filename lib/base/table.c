/* The hash table over uthash; uthash's macros stay in this file because they do not pass the
 * analyzers, and its default hash function does not pass clang's fall-through check. */
#include "lib/base/table.h"

#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/hash.h"

#define HASH_FUNCTION(keyptr, keylen, hashv)                \
    do {                                                    \
        (hashv) = (unsigned)hash_bytes((keyptr), (keylen)); \
    } while (0)
#define uthash_malloc(size) xmalloc(size)
#define uthash_free(pointer, size) free(pointer)
#include <uthash.h>

struct table_entry {
    UT_hash_handle hh;
    void *value;
    char key[];
};

struct table {
    struct table_entry *head;
};

/* NOLINTBEGIN(readability-function-size): uthash's macros nest */

struct table *
table_new(void)
{
    return NEW(struct table);
}

void
table_free(struct table *table, void (*free_value)(void *value))
{
    if (!table) {
        return;
    }
    struct table_entry *entry = table->head;
    HASH_CLEAR(hh, table->head);
    while (entry) {
        struct table_entry *next = entry->hh.next;
        if (free_value) {
            free_value(entry->value);
        }
        free(entry);
        entry = next;
    }
    free(table);
}

static struct table_entry *
find(const struct table *table, const void *key, size_t len)
{
    struct table_entry *entry = NULL;

    HASH_FIND(hh, table->head, key, (unsigned)len, entry);
    return entry;
}

void *
table_get_bytes(const struct table *table, const void *key, size_t len)
{
    const struct table_entry *entry = find(table, key, len);

    return entry ? entry->value : NULL;
}

void *
table_get(const struct table *table, const char *key)
{
    return table_get_bytes(table, key, strlen(key));
}

void *
table_put_bytes(struct table *table, const void *key, size_t len, void *value)
{
    struct table_entry *entry = find(table, key, len);

    if (entry) {
        void *old = entry->value;
        entry->value = value;
        return old;
    }
    entry = xcalloc(1, sizeof *entry + len + 1);
    memcpy(entry->key, key, len);
    entry->value = value;
    HASH_ADD(hh, table->head, key, (unsigned)len, entry);
    return NULL;
}

void *
table_put(struct table *table, const char *key, void *value)
{
    return table_put_bytes(table, key, strlen(key), value);
}

void *
table_take_bytes(struct table *table, const void *key, size_t len)
{
    struct table_entry *entry = find(table, key, len);

    if (!entry) {
        return NULL;
    }
    void *value = entry->value;
    HASH_DEL(table->head, entry);
    free(entry);
    return value;
}

void *
table_take(struct table *table, const char *key)
{
    return table_take_bytes(table, key, strlen(key));
}

size_t
table_count(const struct table *table)
{
    return HASH_COUNT(table->head);
}

struct table_entry *
table_first(const struct table *table)
{
    return table->head;
}

struct table_entry *
table_next(const struct table_entry *entry)
{
    return entry->hh.next;
}

const char *
table_key(const struct table_entry *entry)
{
    return entry->key;
}

size_t
table_key_len(const struct table_entry *entry)
{
    return entry->hh.keylen;
}

void *
table_value(const struct table_entry *entry)
{
    return entry->value;
}

/* NOLINTEND(readability-function-size) */
