/* The pool of shared values: an open-addressing table of pointers. Used by lib/model/pod.c. */
#include "lib/model/share.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/hash.h"

#define SLOTS_MIN 64

struct share_entry {
    uint32_t n_refs;
    uint32_t hash;
    uint32_t room;
    uint32_t len;
    char value[]; /* room, then the bytes; aligned for pointers, because the header is 16 bytes */
};

static size_t
slot_of(const struct share *share, uint32_t hash, size_t room, const void *bytes, size_t len)
{
    size_t slot = hash & (share->n_slots - 1);

    for (const struct share_entry *entry; (entry = share->slots[slot]) != NULL;
         slot = (slot + 1) & (share->n_slots - 1)) {
        if (entry->hash == hash && entry->room == room && entry->len == len &&
            memcmp(entry->value + room, bytes, len) == 0) {
            break;
        }
    }
    return slot;
}

static void
resize(struct share *share, size_t n_slots)
{
    struct share_entry **old = share->slots;
    size_t n_old = share->n_slots;

    share->slots = xcalloc(n_slots, sizeof(struct share_entry *));
    share->n_slots = n_slots;
    for (size_t i = 0; i < n_old; i++) {
        struct share_entry *entry = old[i];
        if (entry != NULL) {
            share->slots[slot_of(share, entry->hash, entry->room, entry->value + entry->room,
                                 entry->len)] = entry;
        }
    }
    free(old);
}

void *
share_take(struct share *share, size_t room, const void *bytes, size_t len, bool *ret_is_new)
{
    uint32_t hash = (uint32_t)hash_bytes(bytes, len);

    if (share->n * 2 >= share->n_slots) {
        resize(share, share->n_slots > 0 ? share->n_slots * 2 : SLOTS_MIN);
    }
    size_t slot = slot_of(share, hash, room, bytes, len);
    struct share_entry *entry = share->slots[slot];
    *ret_is_new = entry == NULL;
    if (entry == NULL) {
        entry = xmalloc(sizeof *entry + room + len);
        *entry = (struct share_entry){.hash = hash, .room = (uint32_t)room, .len = (uint32_t)len};
        memset(entry->value, 0, room);
        memcpy(entry->value + room, bytes, len);
        share->slots[slot] = entry;
        share->n++;
    }
    entry->n_refs++;
    return entry->value;
}

/* Empties a slot and moves up what was put behind it for want of room. */
static void
remove_at(struct share *share, size_t hole)
{
    size_t mask = share->n_slots - 1;

    share->slots[hole] = NULL;
    for (size_t slot = (hole + 1) & mask; share->slots[slot] != NULL; slot = (slot + 1) & mask) {
        size_t home = share->slots[slot]->hash & mask;
        if (((slot - home) & mask) >= ((slot - hole) & mask)) {
            share->slots[hole] = share->slots[slot];
            share->slots[slot] = NULL;
            hole = slot;
        }
    }
}

void
share_drop(struct share *share, const void *value)
{
    if (value == NULL) {
        return;
    }
    struct share_entry *entry = (struct share_entry *)((uintptr_t)value - sizeof *entry);
    if (--entry->n_refs > 0) {
        return;
    }
    remove_at(share,
              slot_of(share, entry->hash, entry->room, entry->value + entry->room, entry->len));
    free(entry);
    if (--share->n == 0) {
        free(share->slots);
        *share = (struct share){0};
    }
}

const char *
share_text(struct share *share, const char *text)
{
    bool is_new;

    return share_take(share, 0, text, strlen(text) + 1, &is_new);
}
