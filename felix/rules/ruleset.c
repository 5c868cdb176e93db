/* Values, hashes and the comparison with what is in the kernel. */
#include "felix/rules/ruleset.h"

#include <sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/table.h"

#define COMMENT_MARK "cali:"

static const char *const tables[] = {"raw", "mangle", "nat", "filter"};

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

static bool
chains_equal(const struct chain *a, const struct chain *b)
{
    if (strcmp(a->table, b->table) != 0 || strcmp(a->name, b->name) != 0 ||
        a->rules.n != b->rules.n) {
        return false;
    }
    for (size_t i = 0; i < a->rules.n; i++) {
        if (strcmp(a->rules.items[i], b->rules.items[i]) != 0) {
            return false;
        }
    }
    return true;
}

bool
ruleset_equal(const struct ruleset *a, const struct ruleset *b)
{
    if (a->chains.n != b->chains.n || a->hooks.n != b->hooks.n) {
        return false;
    }
    for (size_t i = 0; i < a->chains.n; i++) {
        if (!chains_equal(&a->chains.items[i], &b->chains.items[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < a->hooks.n; i++) {
        const struct hook *x = &a->hooks.items[i];
        const struct hook *y = &b->hooks.items[i];
        if (strcmp(x->table, y->table) != 0 || strcmp(x->builtin, y->builtin) != 0 ||
            strcmp(x->target, y->target) != 0 || x->is_appended != y->is_appended) {
            return false;
        }
    }
    return true;
}

/* hash' = first 16 characters of base64url(SHA-256(hash, text)); 'hash' starts as the chain's name.
 */
static void
next_hash(char hash[CHAIN_NAME_MAX], const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA2_CTX context;

    SHA256Init(&context);
    SHA256Update(&context, (const uint8_t *)hash, strlen(hash));
    SHA256Update(&context, (const uint8_t *)"\n", 1);
    SHA256Update(&context, (const uint8_t *)text, strlen(text));
    SHA256Final(digest, &context);
    for (size_t i = 0; i < RULE_HASH_LEN; i++) {
        size_t bit = i * 6;
        unsigned pair = (unsigned)digest[bit / 8] << 8 | digest[bit / 8 + 1];
        hash[i] = digits[pair >> (10 - bit % 8) & 63];
    }
    hash[RULE_HASH_LEN] = '\0';
}

static void
hook_hash(const struct hook *hook, char hash[CHAIN_NAME_MAX])
{
    snprintf(hash, CHAIN_NAME_MAX, "%s", hook->builtin);
    next_hash(hash, hook->target);
}

/* ---- what iptables-save printed -----------------------------------------------------------------
 */

struct saved_chain {
    VEC(char *) hashes; /* "" for a rule without one */
};

struct saved_table {
    bool is_there;
    struct table *chains;    /* "cali-..." -> struct saved_chain */
    VEC(char *) hook_lines;  /* rules of other chains that are ours: "PREROUTING -m comment ..." */
    VEC(char *) hook_hashes; /* the same order */
};

static void
saved_chain_free(void *value)
{
    struct saved_chain *chain = value;

    VEC_FOREACH (&chain->hashes, hash) {
        free(*hash);
    }
    VEC_DONE(&chain->hashes);
    free(chain);
}

static void
saved_done(struct saved_table saved[ARRAY_LEN(tables)])
{
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        table_free(saved[i].chains, saved_chain_free);
        VEC_FOREACH (&saved[i].hook_lines, line) {
            free(*line);
        }
        VEC_FOREACH (&saved[i].hook_hashes, hash) {
            free(*hash);
        }
        VEC_DONE(&saved[i].hook_lines);
        VEC_DONE(&saved[i].hook_hashes);
    }
}

static bool
is_ours(const char *chain)
{
    return strncmp(chain, "cali-", 5) == 0;
}

static struct saved_chain *
saved_chain(struct saved_table *table, const char *name)
{
    struct saved_chain *chain = table_get(table->chains, name);

    if (!chain) {
        chain = NEW(struct saved_chain);
        table_put(table->chains, name, chain);
    }
    return chain;
}

/* The hash in a rule's comment, "" when it has none. The caller frees. */
static char *
rule_hash(const char *rule)
{
    const char *comment = strstr(rule, "--comment ");

    if (comment) {
        comment += strlen("--comment ");
        comment += *comment == '"';
        if (strncmp(comment, COMMENT_MARK, strlen(COMMENT_MARK)) == 0) {
            comment += strlen(COMMENT_MARK);
            return xstrndup(comment, strcspn(comment, "\" "));
        }
    }
    return xstrdup("");
}

/* A rule of somebody else's chain is ours when it carries our hash or leads into a chain of ours.
 */
static void
read_rule(struct saved_table *table, char *rule)
{
    char *space = strchr(rule, ' ');
    AUTO_FREE char *chain = xstrndup(rule, space ? (size_t)(space - rule) : strlen(rule));
    char *hash = rule_hash(rule);

    if (is_ours(chain)) {
        struct saved_chain *ours = saved_chain(table, chain);
        VEC_PUSH(&ours->hashes, hash);
        return;
    }
    if (*hash != '\0' || strstr(rule, "-j cali-") || strstr(rule, "-g cali-")) {
        VEC_PUSH(&table->hook_lines, xstrdup(rule));
        VEC_PUSH(&table->hook_hashes, hash);
        return;
    }
    free(hash);
}

static bool
read_line(struct saved_table saved[], struct saved_table **current, char *line, struct err *err)
{
    if (line[0] == '#') {
        /* "# Table `raw' is incompatible, use 'nft' tool." comes with exit code 0. */
        return !strstr(line, "is incompatible") || err_set(err, "iptables-save says: %s", line + 2);
    }
    if (line[0] == '*') {
        *current = NULL;
        for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
            if (strcmp(line + 1, tables[i]) == 0) {
                *current = &saved[i];
                saved[i].is_there = true;
            }
        }
    } else if (line[0] == ':' && *current && is_ours(line + 1)) {
        line[strcspn(line, " ")] = '\0';
        saved_chain(*current, line + 1);
    } else if (strncmp(line, "-A ", 3) == 0 && *current) {
        read_rule(*current, line + 3);
    }
    return true;
}

static bool
read_saved(const char *text, struct saved_table saved[], struct err *err)
{
    AUTO_FREE char *copy = xstrdup(text);
    struct saved_table *current = NULL;
    char *save = NULL;

    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        saved[i] = (struct saved_table){.chains = table_new()};
    }
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (!read_line(saved, &current, line, err)) {
            return false;
        }
    }
    return true;
}

/* ---- the difference
 * ------------------------------------------------------------------------------- */

static bool
chain_is_in_place(const struct chain *chain, const struct saved_table *saved)
{
    const struct saved_chain *there = table_get(saved->chains, chain->name);
    char hash[CHAIN_NAME_MAX];

    if (!there || there->hashes.n != chain->rules.n) {
        return false;
    }
    snprintf(hash, sizeof hash, "%s", chain->name);
    for (size_t i = 0; i < chain->rules.n; i++) {
        next_hash(hash, chain->rules.items[i]);
        if (strcmp(there->hashes.items[i], hash) != 0) {
            return false;
        }
    }
    return true;
}

static void
write_chain(const struct chain *chain, struct str *out)
{
    char hash[CHAIN_NAME_MAX];

    /* Naming a chain with --noflush empties it (and makes it), inside the one commit of its table.
     */
    str_addf(out, ":%s - [0:0]\n", chain->name);
    snprintf(hash, sizeof hash, "%s", chain->name);
    for (size_t i = 0; i < chain->rules.n; i++) {
        next_hash(hash, chain->rules.items[i]);
        str_addf(out, "-A %s -m comment --comment \"" COMMENT_MARK "%s\" %s\n", chain->name, hash,
                 chain->rules.items[i]);
    }
}

static const struct hook *
hook_of_line(const struct ruleset *want, const char *table, const char *line, const char *hash)
{
    VEC_FOREACH (&want->hooks, hook) {
        char expected[CHAIN_NAME_MAX];
        size_t len = strlen(hook->builtin);
        hook_hash(hook, expected);
        if (strcmp(hook->table, table) == 0 && strncmp(line, hook->builtin, len) == 0 &&
            line[len] == ' ' && strcmp(hash, expected) == 0) {
            return hook;
        }
    }
    return NULL;
}

/* Hooks: one of each that is wanted stays, all others of ours go, missing ones come. */
static void
write_hooks(const struct ruleset *want, const char *table, const struct saved_table *saved,
            struct str *out)
{
    AUTO_FREE bool *seen = xcalloc(want->hooks.n, sizeof *seen);

    for (size_t i = 0; i < saved->hook_lines.n; i++) {
        const struct hook *hook =
            hook_of_line(want, table, saved->hook_lines.items[i], saved->hook_hashes.items[i]);
        if (hook && !seen[hook - want->hooks.items]) {
            seen[hook - want->hooks.items] = true;
        } else {
            str_addf(out, "-D %s\n", saved->hook_lines.items[i]);
        }
    }
    for (size_t i = 0; i < want->hooks.n; i++) {
        const struct hook *hook = &want->hooks.items[i];
        char hash[CHAIN_NAME_MAX];
        if (seen[i] || strcmp(hook->table, table) != 0) {
            continue;
        }
        hook_hash(hook, hash);
        str_addf(out, "%s %s -m comment --comment \"" COMMENT_MARK "%s\" -j %s\n",
                 hook->is_appended ? "-A" : "-I", hook->builtin, hash, hook->target);
    }
}

static bool
is_wanted(const struct ruleset *want, const char *table, const char *name)
{
    VEC_FOREACH (&want->chains, chain) {
        if (strcmp(chain->table, table) == 0 && strcmp(chain->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void
write_table(const struct ruleset *want, const char *table, const struct saved_table *saved,
            struct str *out)
{
    AUTO(str) struct str body = STR_INIT;

    /* Naming a chain with --noflush empties it (and makes it), inside the one commit of its table.
     * All are named before the first rule, which may jump to any of them. */
    VEC_FOREACH (&want->chains, chain) {
        if (strcmp(chain->table, table) == 0 && !chain_is_in_place(chain, saved)) {
            str_addf(&body, ":%s - [0:0]\n", chain->name);
        }
    }
    VEC_FOREACH (&want->chains, chain) {
        if (strcmp(chain->table, table) == 0 && !chain_is_in_place(chain, saved)) {
            write_chain(chain, &body);
        }
    }
    /* Leftovers may jump to one another: all are emptied before the first is deleted. */
    TABLE_FOREACH (saved->chains, entry) {
        if (!is_wanted(want, table, table_key(entry))) {
            str_addf(&body, ":%s - [0:0]\n", table_key(entry));
        }
    }
    write_hooks(want, table, saved, &body);
    TABLE_FOREACH (saved->chains, entry) {
        if (!is_wanted(want, table, table_key(entry))) {
            str_addf(&body, "-X %s\n", table_key(entry));
        }
    }
    if (body.len > 0) {
        str_addf(out, "*%s\n%sCOMMIT\n", table, body.text);
    }
}

bool
ruleset_diff(const struct ruleset *want, const char *saved_text, struct str *ret_restore,
             struct err *err)
{
    struct saved_table saved[ARRAY_LEN(tables)];
    bool good = read_saved(saved_text, saved, err);

    for (size_t i = 0; good && i < ARRAY_LEN(tables); i++) {
        write_table(want, tables[i], &saved[i], ret_restore);
    }
    saved_done(saved);
    return good;
}
