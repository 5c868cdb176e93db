/* Rules as values: filled by the renderers of this room, emptied by felix/rules/rules_state.c. */
#include "felix/rules/ruleset.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/base/alloc.h"

void
ruleset_init(struct ruleset *set)
{
    *set = (struct ruleset){0};
}

void
ruleset_done(struct ruleset *set)
{
    VEC_FOREACH (&set->chains, chain) {
        VEC_FOREACH (&chain->rules, rule) {
            free(*rule);
        }
        VEC_DONE(&chain->rules);
    }
    VEC_DONE(&set->chains);
    VEC_DONE(&set->hooks);
}

struct chain *
ruleset_chain(struct ruleset *set, const char *table, const char *name)
{
    struct chain chain = {.table = table};

    snprintf(chain.name, sizeof chain.name, "%s", name);
    VEC_PUSH(&set->chains, chain);
    return &set->chains.items[set->chains.n - 1];
}

void
chain_add(struct chain *chain, const char *format, ...)
{
    AUTO(str) struct str rule = STR_INIT;
    va_list args;

    va_start(args, format);
    str_vaddf(&rule, format, args);
    va_end(args);
    VEC_PUSH(&chain->rules, str_steal(&rule));
}

void
ruleset_hook(struct ruleset *set, const struct hook *hook)
{
    VEC_PUSH(&set->hooks, *hook);
}
