/* What iptables-save prints, line by line, as far as felix reads it. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

enum rules_table {
    TABLE_RAW,
    TABLE_MANGLE,
    TABLE_NAT,
    TABLE_FILTER,
};
#define N_RULES_TABLES 4

const char *rules_table_name(enum rules_table table);
/* False for a table that felix does not use. */
bool rules_table_find(const char *name, size_t len, enum rules_table *ret_table);
/* Chains of felix's, or of Calico's: "cali-...". Longer names than iptables takes are of nobody. */
bool rules_chain_is_ours(const char *name, size_t len);

/* A chain's line, or a rule's; everything is borrowed from the text. */
struct saved_line {
    enum rules_table table;
    const char *chain;
    size_t chain_len;
    const char *rule; /* behind "-A ": "FORWARD -j cali-FORWARD"; NULL: the line of a chain */
    size_t rule_len;
    const char *hash; /* of the comment "cali:<hash>"; NULL without one */
    size_t hash_len;
    bool leads_to_ours; /* jumps or goes to a chain of ours */
};

/* False when the text says that a table cannot be read: that comes with exit code 0. */
MUST_CHECK bool saved_rules_are_readable(const char *text, struct err *err);
/* Calls line() for all chains and rules of the tables felix uses. */
void saved_rules_read(const char *text, void (*line)(void *owner, const struct saved_line *line),
                      void *owner);
