/* A chain as one text, a line "<hash> <rule>\n" for each rule; the hash goes into the rule's
 * comment "cali:<hash>" and is of the chain's name and the rule's text. Read back in order, the
 * hashes alone show edits, reorders and cuts without understanding what iptables-save prints. */
#pragma once

#include "felix/rules/ruleset.h"

#define RULE_HASH_LEN 16

/* 'ret_hash' is NUL-terminated. */
void rule_hash(const char *chain, const char *rule, char ret_hash[RULE_HASH_LEN + 1]);

char *chain_text_new(const struct chain *chain); /* free() */
/* 'text' NULL equals no chain. */
bool chain_text_is_equal(const char *text, const struct chain *chain);
/* From the start of a line to that of the next, or to the end. */
const char *chain_text_next(const char *line);

/* Input of iptables-restore that adds all rules to an empty chain. */
void chain_text_write(const char *name, const char *text, struct str *out);
/* Input that makes the chain 'known' the chain 'wanted' by adding rules only, each at its place.
 * False, and nothing written, when some rule of it would have to go or to move. */
bool chain_text_write_additions(const char *name, const char *known, const char *wanted,
                                struct str *out);
