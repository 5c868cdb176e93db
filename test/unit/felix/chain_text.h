/* For the tests of felix/rules: chains of a ruleset as text, a rule a line. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "felix/rules/ruleset.h"
#include "lib/base/str.h"
#include "test/unit/cmocka.h"

/* The caller frees. */
static char *
text_of(const struct chain *chain)
{
    struct str out = STR_INIT;

    VEC_FOREACH (&chain->rules, rule) {
        str_addf(&out, "%s\n", *rule);
    }
    return out.text ? str_steal(&out) : strdup("");
}

static const struct chain *
find_chain(const struct ruleset *set, const char *table, const char *name)
{
    VEC_FOREACH (&set->chains, chain) {
        if (strcmp(chain->table, table) == 0 && strcmp(chain->name, name) == 0) {
            return chain;
        }
    }
    return NULL;
}

static void
assert_chain(const struct ruleset *set, const char *table, const char *name, const char *want)
{
    const struct chain *chain = find_chain(set, table, name);

    if (!chain) {
        fail_msg("no chain %s in %s", name, table);
        return;
    }
    char *text = text_of(chain);
    assert_string_equal(text, want);
    free(text);
}
