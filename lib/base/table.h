/* A hash table from byte keys to pointers. Keys are copied in; values are borrowed pointers that
 * the table never frees by itself. Seeded, so keys from outside cannot force collisions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct table;

struct table_entry; /* opaque, for iteration */

struct table *table_new(void);
/* Frees the table; calls free_value (may be NULL) for every value. NULL is fine. */
void table_free(struct table *table, void (*free_value)(void *value));

void *table_get(const struct table *table, const char *key); /* NULL when absent */
void *table_get_bytes(const struct table *table, const void *key, size_t len);
/* Stores value (not NULL) under key; returns the value that was there before, or NULL. */
void *table_put(struct table *table, const char *key, void *value);
void *table_put_bytes(struct table *table, const void *key, size_t len, void *value);
/* Removes key; returns its value, or NULL. */
void *table_take(struct table *table, const char *key);
void *table_take_bytes(struct table *table, const void *key, size_t len);
size_t table_count(const struct table *table);

/* Iteration in insertion order. The current entry may be taken out while iterating, no other. */
struct table_entry *table_first(const struct table *table);
struct table_entry *table_next(const struct table_entry *entry);
const char *table_key(const struct table_entry *entry); /* NUL-terminated, borrowed */
size_t table_key_len(const struct table_entry *entry);
void *table_value(const struct table_entry *entry);

#define TABLE_FOREACH(table, entry)                                           \
    for (struct table_entry *entry = table_first(table),                      \
                            *entry##_next = entry ? table_next(entry) : NULL; \
         entry; entry = entry##_next, entry##_next = entry ? table_next(entry) : NULL)
