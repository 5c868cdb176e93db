/* Open addressing, linear probing. Used by sources.c and label_index.c. */
#include "felix/calc/hashed.h"

#include <stdlib.h>

#include "lib/base/alloc.h"

void *
hashed_find(const struct hashed_table *table, uint32_t hash, hashed_is is, const void *key)
{
    size_t mask = table->n_slots - 1;

    for (size_t at = hash & mask; table->n_slots > 0 && table->slots[at] != NULL;
         at = (at + 1) & mask) {
        struct hashed *thing = table->slots[at];
        if (thing->hash == hash && is(thing, key)) {
            return thing;
        }
    }
    return NULL;
}

static void
place(struct hashed_table *table, struct hashed *thing)
{
    size_t mask = table->n_slots - 1;
    size_t at = thing->hash & mask;

    while (table->slots[at] != NULL) {
        at = (at + 1) & mask;
    }
    table->slots[at] = thing;
}

static void
grow(struct hashed_table *table)
{
    struct hashed **old = table->slots;
    size_t n_old = table->n_slots;

    table->n_slots = n_old > 0 ? n_old * 2 : 16;
    table->slots = xcalloc(table->n_slots, sizeof(struct hashed *));
    for (size_t i = 0; i < n_old; i++) {
        if (old[i] != NULL) {
            place(table, old[i]);
        }
    }
    free(old);
}

void
hashed_add(struct hashed_table *table, struct hashed *thing)
{
    if ((table->n + 1) * 4 > table->n_slots * 3) {
        grow(table);
    }
    place(table, thing);
    table->n++;
}

/* Later ones of the probe chain move up, so that no hole cuts it. */
void
hashed_remove(struct hashed_table *table, const struct hashed *thing)
{
    size_t mask = table->n_slots - 1;
    size_t hole = thing->hash & mask;

    while (table->slots[hole] != thing) {
        hole = (hole + 1) & mask;
    }
    table->n--;
    for (size_t at = hole;;) {
        table->slots[hole] = NULL;
        do {
            at = (at + 1) & mask;
            if (table->slots[at] == NULL) {
                return;
            }
            /* One may move to the hole unless its home lies behind the hole on the way here. */
        } while (((at - table->slots[at]->hash) & mask) < ((at - hole) & mask));
        table->slots[hole] = table->slots[at];
        hole = at;
    }
}

void
hashed_done(struct hashed_table *table, void (*free_thing)(void *thing))
{
    for (size_t i = 0; free_thing != NULL && i < table->n_slots; i++) {
        if (table->slots[i] != NULL) {
            free_thing(table->slots[i]);
        }
    }
    free(table->slots);
    *table = (struct hashed_table){0};
}
