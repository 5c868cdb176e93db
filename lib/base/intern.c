/* String interning: one open-addressing index of ids over a vector of counted strings. No uthash
 * here: its handle would cost more than most of the strings. */
#include "lib/base/intern.h"

#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/hash.h"
#include "lib/base/vec.h"

struct interned {
    char *text; /* NULL: the id is free */
    uint32_t len;
    uint32_t refs;
};

struct intern {
    VEC(struct interned) strings; /* by id - 1 */
    VEC(uint32_t) free_ids;
    uint32_t *slots; /* id, 0 empty, UINT32_MAX removed */
    size_t n_slots;  /* a power of two, or 0 */
    size_t n_used;   /* slots that are not empty */
    size_t n_live;
};

#define REMOVED UINT32_MAX

struct intern *
intern_new(void)
{
    return NEW(struct intern);
}

void
intern_free(struct intern *intern)
{
    if (!intern) {
        return;
    }
    VEC_FOREACH (&intern->strings, it) {
        free(it->text);
    }
    VEC_DONE(&intern->strings);
    VEC_DONE(&intern->free_ids);
    free(intern->slots);
    free(intern);
}

static size_t
find_slot(const struct intern *intern, const char *text, size_t len)
{
    size_t mask = intern->n_slots - 1;

    for (size_t i = hash_bytes(text, len) & mask;; i = (i + 1) & mask) {
        uint32_t id = intern->slots[i];
        if (id == 0) {
            return i;
        }
        if (id == REMOVED) {
            continue;
        }
        const struct interned *it = &intern->strings.items[id - 1];
        if (it->len == len && memcmp(it->text, text, len) == 0) {
            return i;
        }
    }
}

static void
rebuild(struct intern *intern)
{
    size_t n_slots = 64;

    while (n_slots < intern->n_live * 3) {
        n_slots *= 2;
    }
    free(intern->slots);
    intern->slots = xcalloc(n_slots, sizeof *intern->slots);
    intern->n_slots = n_slots;
    intern->n_used = intern->n_live;
    for (size_t i = 0; i < intern->strings.n; i++) {
        const struct interned *it = &intern->strings.items[i];
        if (it->text) {
            intern->slots[find_slot(intern, it->text, it->len)] = (uint32_t)i + 1;
        }
    }
}

uint32_t
intern_find(const struct intern *intern, const char *text, size_t len)
{
    return intern->n_slots ? intern->slots[find_slot(intern, text, len)] : 0;
}

static uint32_t
new_id(struct intern *intern)
{
    if (intern->free_ids.n > 0) {
        return intern->free_ids.items[--intern->free_ids.n];
    }
    VEC_PUSH(&intern->strings, (struct interned){0});
    return (uint32_t)intern->strings.n;
}

uint32_t
intern_take(struct intern *intern, const char *text, size_t len)
{
    uint32_t id = intern_find(intern, text, len);

    if (id != 0) {
        intern->strings.items[id - 1].refs++;
        return id;
    }
    if ((intern->n_used + 1) * 4 > intern->n_slots * 3) {
        rebuild(intern);
    }
    id = new_id(intern);
    size_t slot = find_slot(intern, text, len);
    intern->strings.items[id - 1] =
        (struct interned){.text = xstrndup(text, len), .len = (uint32_t)len, .refs = 1};
    intern->slots[slot] = id;
    intern->n_used++;
    intern->n_live++;
    return id;
}

void
intern_ref(struct intern *intern, uint32_t id)
{
    if (id != 0) {
        intern->strings.items[id - 1].refs++;
    }
}

void
intern_drop(struct intern *intern, uint32_t id)
{
    if (id == 0) {
        return;
    }
    struct interned *it = &intern->strings.items[id - 1];
    if (--it->refs > 0) {
        return;
    }
    intern->slots[find_slot(intern, it->text, it->len)] = REMOVED;
    free(it->text);
    *it = (struct interned){0};
    intern->n_live--;
    VEC_PUSH(&intern->free_ids, id);
}

const char *
intern_text(const struct intern *intern, uint32_t id)
{
    return id == 0 ? "" : intern->strings.items[id - 1].text;
}

size_t
intern_count(const struct intern *intern)
{
    return intern->n_live;
}
