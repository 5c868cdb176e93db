/* The rules felix wants in one family's tables, as values: chains of ours, and the hooks that lead
 * into them. Pure: no process is started here.
 *
 * Every rule carries the comment "cali:<hash>", where the hash covers chain, position and text
 * (each is chained over the one before). Reading back the hashes alone shows edits, reorders
 * and cuts without understanding what iptables-save prints, which does not round-trip. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/base/vec.h"

#define CHAIN_NAME_MAX 29 /* iptables takes 28 characters */
#define RULE_HASH_LEN 16

struct chain {
    const char *table; /* "raw" "mangle" "nat" "filter" */
    char name[CHAIN_NAME_MAX];
    VEC(char *) rules; /* without "-A <chain>" and without the hash comment */
};

struct hook {
    const char *table;
    const char *builtin; /* "PREROUTING" */
    const char *target;  /* chain of ours */
    bool is_appended;    /* else inserted on top */
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
bool ruleset_equal(const struct ruleset *a, const struct ruleset *b);

/* Compares what `iptables-save` printed with what is wanted. *ret_restore gets the input of
 * `iptables-restore --noflush` that makes them equal, nothing when they are. Chains and hooks of
 * others are not looked at. False when the text cannot be understood (a table that the tool calls
 * incompatible). */
MUST_CHECK bool ruleset_diff(const struct ruleset *want, const char *saved, struct str *ret_restore,
                             struct err *err);
