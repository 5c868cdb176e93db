/* The model: one dense array of items a kind, found through an open-addressing table of indexes.
 * 150,000 pods live here, so an item is one allocation of 24 bytes and its key, and a slot is four
 * bytes. Filled by lib/feed, read by confd and felix. */
#include "lib/model/store.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/hash.h"
#include "lib/base/vec.h"

struct item {
    void *object;
    uint64_t version;
    uint32_t hash;
    uint32_t mark;
    char key[];
};

/* slots: 0 = free, else index into items + 1. At most half full, probed linearly. */
struct shelf {
    VEC(struct item *) items;
    uint32_t *slots;
    size_t n_slots; /* power of two, or 0 */
};

struct store {
    struct shelf shelves[N_KINDS];
    void (*on_change)(void *owner, const struct change *change);
    void *owner;
};

struct store *
store_new(void (*on_change)(void *owner, const struct change *change), void *owner)
{
    struct store *store = NEW(struct store);

    store->on_change = on_change;
    store->owner = owner;
    return store;
}

void
store_free(struct store *store)
{
    if (!store) {
        return;
    }
    for (int kind = 0; kind < N_KINDS; kind++) {
        struct shelf *shelf = &store->shelves[kind];
        VEC_FOREACH (&shelf->items, item) {
            kind_ops(kind)->free((*item)->object);
            free(*item);
        }
        VEC_DONE(&shelf->items);
        free(shelf->slots);
    }
    free(store);
}

static uint32_t
key_hash(const char *key)
{
    return (uint32_t)hash_bytes(key, strlen(key));
}

/* The slot that holds the key, or the free one where it would go; needs n_slots > 0. */
static size_t
slot_of(const struct shelf *shelf, const char *key, uint32_t hash)
{
    size_t mask = shelf->n_slots - 1;
    size_t slot = hash & mask;

    while (shelf->slots[slot] != 0) {
        const struct item *item = shelf->items.items[shelf->slots[slot] - 1];
        if (item->hash == hash && strcmp(item->key, key) == 0) {
            break;
        }
        slot = (slot + 1) & mask;
    }
    return slot;
}

static struct item *
find(const struct shelf *shelf, const char *key)
{
    if (shelf->n_slots == 0) {
        return NULL;
    }
    uint32_t index = shelf->slots[slot_of(shelf, key, key_hash(key))];
    return index ? shelf->items.items[index - 1] : NULL;
}

static void
grow(struct shelf *shelf)
{
    size_t n_slots = shelf->n_slots ? shelf->n_slots * 2 : 16;

    free(shelf->slots);
    shelf->slots = xcalloc(n_slots, sizeof *shelf->slots);
    shelf->n_slots = n_slots;
    for (size_t i = 0; i < shelf->items.n; i++) {
        const struct item *item = shelf->items.items[i];
        shelf->slots[slot_of(shelf, item->key, item->hash)] = (uint32_t)i + 1;
    }
}

static void
insert(struct shelf *shelf, const char *key, void *object)
{
    size_t len = strlen(key);
    struct item *item = xcalloc(1, sizeof *item + len + 1);

    item->object = object;
    item->hash = key_hash(key);
    memcpy(item->key, key, len + 1);
    if ((shelf->items.n + 1) * 2 > shelf->n_slots) {
        grow(shelf);
    }
    size_t slot = slot_of(shelf, key, item->hash);
    VEC_PUSH(&shelf->items, item);
    shelf->slots[slot] = (uint32_t)shelf->items.n;
}

/* Frees a slot without leaving a hole that would cut a probe chain: later members of the chain
 * move up. */
static void
free_slot(struct shelf *shelf, size_t slot)
{
    size_t mask = shelf->n_slots - 1;
    size_t next = slot;

    for (;;) {
        shelf->slots[slot] = 0;
        do {
            next = (next + 1) & mask;
            if (shelf->slots[next] == 0) {
                return;
            }
            /* An entry may move to 'slot' unless its home lies behind 'slot' on the way here. */
        } while (((next - shelf->items.items[shelf->slots[next] - 1]->hash) & mask) <
                 ((next - slot) & mask));
        shelf->slots[slot] = shelf->slots[next];
        slot = next;
    }
}

/* Takes the item out of the shelf; the last item takes its place. */
static void
take_out(struct shelf *shelf, struct item *item)
{
    size_t slot = slot_of(shelf, item->key, item->hash);
    size_t index = shelf->slots[slot] - 1;
    struct item *last = shelf->items.items[shelf->items.n - 1];

    if (last != item) {
        shelf->slots[slot_of(shelf, last->key, last->hash)] = (uint32_t)index + 1;
        /* free_slot() below looks items up by their slots: both must agree first. */
        shelf->items.items[index] = last;
    }
    free_slot(shelf, slot);
    shelf->items.n--;
}

static void
report(struct store *store, enum kind kind, const char *key, const void *was, const void *now)
{
    struct change change = {.kind = kind, .key = key, .was = was, .now = now};

    if (store->on_change) {
        store->on_change(store->owner, &change);
    }
}

bool
store_put(struct store *store, enum kind kind, const char *key, void *object)
{
    struct item *item = find(&store->shelves[kind], key);
    const struct kind_ops *ops = kind_ops(kind);

    if (!item) {
        insert(&store->shelves[kind], key, object);
        report(store, kind, key, NULL, object);
        return true;
    }
    if (ops->equal(item->object, object)) {
        ops->free(object);
        return false;
    }
    void *was = item->object;
    item->object = object;
    report(store, kind, item->key, was, object);
    ops->free(was);
    return true;
}

static void
delete_item(struct store *store, enum kind kind, struct item *item)
{
    take_out(&store->shelves[kind], item);
    report(store, kind, item->key, item->object, NULL);
    kind_ops(kind)->free(item->object);
    free(item);
}

bool
store_delete(struct store *store, enum kind kind, const char *key)
{
    struct item *item = find(&store->shelves[kind], key);

    if (!item) {
        return false;
    }
    delete_item(store, kind, item);
    return true;
}

const void *
store_get(const struct store *store, enum kind kind, const char *key)
{
    const struct item *item = find(&store->shelves[kind], key);

    return item ? item->object : NULL;
}

size_t
store_count(const struct store *store, enum kind kind)
{
    return store->shelves[kind].items.n;
}

const void *
store_at(const struct store *store, enum kind kind, size_t index)
{
    return store->shelves[kind].items.items[index]->object;
}

const char *
store_key_at(const struct store *store, enum kind kind, size_t index)
{
    return store->shelves[kind].items.items[index]->key;
}

uint64_t
store_version(const struct store *store, enum kind kind, const char *key)
{
    const struct item *item = find(&store->shelves[kind], key);

    return item ? item->version : 0;
}

void
store_stamp(struct store *store, enum kind kind, const char *key, uint64_t version, uint32_t mark)
{
    struct item *item = find(&store->shelves[kind], key);

    if (item) {
        item->version = version;
        item->mark = mark;
    }
}

size_t
store_sweep(struct store *store, enum kind kind, uint32_t mark)
{
    struct shelf *shelf = &store->shelves[kind];
    size_t n = 0;

    /* From the end, because the last item takes the place of a deleted one. */
    for (size_t i = shelf->items.n; i > 0; i--) {
        struct item *item = shelf->items.items[i - 1];
        if (item->mark != mark) {
            delete_item(store, kind, item);
            n++;
        }
    }
    return n;
}
