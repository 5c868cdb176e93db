/* Reads what iptables-save printed; called by rules_state.c. One pass, nothing is copied. */
#include "felix/rules/saved_rules.h"

#include <string.h>

#include "felix/rules/ruleset.h"

#define COMMENT "--comment "
#define MARK "cali:"

static const char *const names[N_RULES_TABLES] = {"raw", "mangle", "nat", "filter"};

const char *
rules_table_name(enum rules_table table)
{
    return names[table];
}

bool
rules_table_find(const char *name, size_t len, enum rules_table *ret_table)
{
    for (size_t i = 0; i < N_RULES_TABLES; i++) {
        if (strlen(names[i]) == len && memcmp(name, names[i], len) == 0) {
            *ret_table = (enum rules_table)i;
            return true;
        }
    }
    return false;
}

bool
rules_chain_is_ours(const char *name, size_t len)
{
    return len >= 5 && len < CHAIN_NAME_MAX && memcmp(name, "cali-", 5) == 0;
}

static bool
starts_with(const char *at, const char *end, const char *start)
{
    size_t len = strlen(start);

    return (size_t)(end - at) >= len && memcmp(at, start, len) == 0;
}

static void
find_hash(struct saved_line *line, const char *end)
{
    const char *at = memmem(line->rule, line->rule_len, COMMENT, strlen(COMMENT));

    if (!at) {
        return;
    }
    at += strlen(COMMENT);
    at += at < end && *at == '"';
    if (starts_with(at, end, MARK)) {
        line->hash = at + strlen(MARK);
        for (at = line->hash; at < end && *at != '"' && *at != ' '; at++) {
        }
        line->hash_len = (size_t)(at - line->hash);
    }
}

/* 'at' is behind "-A ". */
static void
read_rule(struct saved_line *line, const char *at, const char *end)
{
    const char *space = memchr(at, ' ', (size_t)(end - at));

    line->chain = line->rule = at;
    line->rule_len = (size_t)(end - at);
    line->chain_len = space ? (size_t)(space - at) : line->rule_len;
    find_hash(line, end);
    line->leads_to_ours = memmem(at, line->rule_len, "-j cali-", 8) != NULL ||
                          memmem(at, line->rule_len, "-g cali-", 8) != NULL;
}

static const char *
line_end(const char *at)
{
    const char *end = strchr(at, '\n');

    return end ? end : at + strlen(at);
}

bool
saved_rules_are_readable(const char *text, struct err *err)
{
    for (const char *at = text; *at != '\0';) {
        const char *end = line_end(at);
        /* "# Table `raw' is incompatible, use 'nft' tool." */
        if (*at == '#' && memmem(at, (size_t)(end - at), "is incompatible", 15)) {
            return err_set(err, "iptables-save says: %.*s", (int)(end - at < 200 ? end - at : 200),
                           at);
        }
        at = end + (*end == '\n');
    }
    return true;
}

void
saved_rules_read(const char *text, void (*line)(void *owner, const struct saved_line *line),
                 void *owner)
{
    enum rules_table table = TABLE_RAW;
    bool is_used = false;

    for (const char *at = text; *at != '\0';) {
        const char *end = line_end(at);
        struct saved_line found = {.table = table};
        if (*at == '*') {
            is_used = rules_table_find(at + 1, (size_t)(end - at - 1), &table);
        } else if (*at == ':' && is_used) {
            const char *space = memchr(at, ' ', (size_t)(end - at));
            found.chain = at + 1;
            found.chain_len = (size_t)((space ? space : end) - found.chain);
            line(owner, &found);
        } else if (is_used && starts_with(at, end, "-A ")) {
            read_rule(&found, at + 3, end);
            line(owner, &found);
        }
        at = end + (*end == '\n');
    }
}
