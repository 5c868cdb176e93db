/* Ids by the address of the text, with a copy to see whether it still is the same text: policies
 * come and go, and so do their selectors. Called by evaluate.c. */
#include "felix/evaluate/set_ids.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/table.h"

/* Addresses of texts that are gone stay; then all of it starts anew. */
#define KNOWN_MAX 16384

struct set_ids {
    struct table *known; /* address → struct known */
};

struct known {
    char *text;
    set_of_text *set_of;
    struct policy_set set;
};

static void
known_free(void *value)
{
    struct known *known = value;

    free(known->text);
    free(known);
}

struct set_ids *
set_ids_new(void)
{
    struct set_ids *ids = NEW(struct set_ids);

    ids->known = table_new();
    return ids;
}

void
set_ids_free(struct set_ids *ids)
{
    if (ids) {
        table_free(ids->known, known_free);
        free(ids);
    }
}

static struct known *
add(struct set_ids *ids, const char *canonical)
{
    struct known *known = NEW(struct known);

    if (table_count(ids->known) >= KNOWN_MAX) {
        table_free(ids->known, known_free);
        ids->known = table_new();
    }
    table_put_bytes(ids->known, &canonical, sizeof canonical, known);
    return known;
}

const struct policy_set *
set_ids_get(struct set_ids *ids, set_of_text *set_of, const char *canonical)
{
    struct known *known = table_get_bytes(ids->known, &canonical, sizeof canonical);

    if (!known) {
        known = add(ids, canonical);
    }
    if (!known->text || known->set_of != set_of || strcmp(known->text, canonical) != 0) {
        free(known->text);
        known->text = xstrdup(canonical);
        known->set_of = set_of;
        set_of(canonical, &known->set);
    }
    return &known->set;
}
