/* One family's tables: what is wanted of them, what the kernel is known to hold, and the input of
 * iptables-restore that makes the second the first. Pure: no process is started here.
 *
 *   want ──► wanted ─┐
 *                    ├─► plan ──► text ──► (restore) ──► committed ─┐
 *   learn ─► known ──┘ ◄────────────────────────────────────────────┘
 *
 * Every rule carries the comment "cali:<hash>" (felix/rules/chain_text.h): what is read back need
 * not be understood to be compared. A plan costs what has changed since the last one, not what
 * there is. A chain that only gets more rules keeps those it has: the kernel (nft) frees deleted
 * rules after a grace period of 10-30 ms, and whoever commits next waits for it. */
#pragma once

#include <stddef.h>

#include "felix/rules/ruleset.h"
#include "felix/rules/saved_rules.h"

struct rules_state;

struct rules_state *rules_state_new(void);
void rules_state_free(struct rules_state *state); /* NULL is fine */

/* These three return true when something is wanted anew. Of two chains of one name the last
 * counts. 'set' is left empty; its hooks are not looked at. */
bool rules_state_want_chains(struct rules_state *state, struct ruleset *set);
/* The chain stays as it is for as long as a wanted rule names it. */
bool rules_state_unwant_chain(struct rules_state *state, const char *table, const char *name);
/* Replaces all that were wanted before. Takes effect with the next learn: what has to go is known
 * only from what was read. */
bool rules_state_want_hooks(struct rules_state *state, const struct hook *hooks, size_t n);

/* 'saved' is what iptables-save printed. Chains and hooks of others are not looked at. False, and
 * nothing learned, when the text cannot be understood (a table that the tool calls incompatible).
 */
MUST_CHECK bool rules_state_learn(struct rules_state *state, const char *saved, struct err *err);

struct plan {
    size_t n_tables; /* of which it speaks; 0: all is equal */
    bool deletes;    /* rules that are there now */
};

/* Adds the input of `iptables-restore --noflush`. In each table all that changes does so in one
 * commit. Then rules_state_committed(), or rules_state_failed() when it was not or perhaps not
 * carried out: only learning helps then. */
struct plan rules_state_plan(struct rules_state *state, struct str *ret_restore);
void rules_state_committed(struct rules_state *state);
void rules_state_failed(struct rules_state *state);

/* The tool does not take this chain, in whatever table: a single "-j DROP" stands for it, so that
 * the others can be written, until it is wanted differently or pardoned. False when there is no
 * such chain, or it is that already. */
bool rules_state_refuse(struct rules_state *state, const char *name);
/* All refused ones are as wanted again; false when there were none. */
bool rules_state_pardon(struct rules_state *state);

/* Something is wanted, or known to be left over, in this table. */
bool rules_state_uses(const struct rules_state *state, enum rules_table table);

/* All of it from scratch, for tests: what makes the saved text equal to 'want'. */
MUST_CHECK bool ruleset_diff(const struct ruleset *want, const char *saved, struct str *ret_restore,
                             struct err *err);
