/* Rules as values: chains of ours, and the hooks that lead into them. What is rendered is handed
 * over in one of these; felix/rules/rules_state.h compares it with the kernel. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/base/vec.h"

#define CHAIN_NAME_MAX 29 /* iptables takes 28 characters */

struct chain {
    const char *table; /* "raw" "mangle" "nat" "filter" */
    char name[CHAIN_NAME_MAX];
    VEC(char *) rules; /* without "-A <chain>" and without the hash comment */
};

/* Strings are not copied: literals. */
struct hook {
    const char *table;
    const char *builtin; /* "PREROUTING" */
    const char *target;  /* chain of ours */
    bool is_appended;    /* else inserted on top, and kept above the rules of others */
};

struct ruleset {
    VEC(struct chain) chains;
    VEC(struct hook) hooks;
};

void ruleset_init(struct ruleset *set);
void ruleset_done(struct ruleset *set);
/* Borrowed until the next chain. */
struct chain *ruleset_chain(struct ruleset *set, const char *table, const char *name);
void chain_add(struct chain *chain, const char *format, ...) PRINTF_LIKE(2, 3);
void ruleset_hook(struct ruleset *set, const struct hook *hook);
