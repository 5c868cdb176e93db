/* Chains as texts of hashed lines, and what adds the lines one has more than another. Called by
 * rules_state.c. */
#include "felix/rules/chain_text.h"

#include <sha2.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/alloc.h"

/* The first characters of base64url(SHA-256(chain, rule)). */
void
rule_hash(const char *chain, const char *rule, char ret_hash[RULE_HASH_LEN + 1])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA2_CTX context;

    SHA256Init(&context);
    SHA256Update(&context, (const uint8_t *)chain, strlen(chain));
    SHA256Update(&context, (const uint8_t *)"\n", 1);
    SHA256Update(&context, (const uint8_t *)rule, strlen(rule));
    SHA256Final(digest, &context);
    for (size_t i = 0; i < RULE_HASH_LEN; i++) {
        size_t bit = i * 6;
        unsigned pair = (unsigned)digest[bit / 8] << 8 | digest[bit / 8 + 1];
        ret_hash[i] = digits[pair >> (10 - bit % 8) & 63];
    }
    ret_hash[RULE_HASH_LEN] = '\0';
}

char *
chain_text_new(const struct chain *chain)
{
    AUTO(str) struct str text = STR_INIT;
    char hash[RULE_HASH_LEN + 1];

    VEC_FOREACH (&chain->rules, rule) {
        rule_hash(chain->name, *rule, hash);
        str_addf(&text, "%s %s\n", hash, *rule);
    }
    return xstrdup(str_text(&text));
}

const char *
chain_text_next(const char *line)
{
    return strchr(line, '\n') + 1;
}

bool
chain_text_is_equal(const char *text, const struct chain *chain)
{
    const char *at = text;

    if (!at) {
        return false;
    }
    VEC_FOREACH (&chain->rules, rule) {
        size_t len = strlen(*rule);
        if (*at == '\0' || strncmp(at + RULE_HASH_LEN + 1, *rule, len) != 0 ||
            at[RULE_HASH_LEN + 1 + len] != '\n') {
            return false;
        }
        at += RULE_HASH_LEN + 1 + len + 1;
    }
    return *at == '\0';
}

static void
write_rule(const char *line, struct str *out)
{
    size_t len = (size_t)(chain_text_next(line) - line);

    str_addf(out, " -m comment --comment \"cali:%.*s\"", RULE_HASH_LEN, line);
    str_add_bytes(out, line + RULE_HASH_LEN, len - RULE_HASH_LEN);
}

void
chain_text_write(const char *name, const char *text, struct str *out)
{
    for (const char *at = text; *at != '\0'; at = chain_text_next(at)) {
        str_addf(out, "-A %s", name);
        write_rule(at, out);
    }
}

static bool
is_same_line(const char *a, const char *b)
{
    size_t len = (size_t)(chain_text_next(a) - a);

    return strncmp(a, b, len) == 0;
}

/* All of known's lines are lines of wanted, in their order. */
static bool
is_contained(const char *known, const char *wanted)
{
    for (; *known != '\0' && *wanted != '\0'; wanted = chain_text_next(wanted)) {
        if (is_same_line(known, wanted)) {
            known = chain_text_next(known);
        }
    }
    return *known == '\0';
}

bool
chain_text_write_additions(const char *name, const char *known, const char *wanted, struct str *out)
{
    size_t number = 1;

    if (!is_contained(known, wanted)) {
        return false;
    }
    for (const char *at = wanted; *at != '\0'; at = chain_text_next(at), number++) {
        if (*known != '\0' && is_same_line(known, at)) {
            known = chain_text_next(known);
            continue;
        }
        /* A number needs the rules that are there to be read; the end does not. */
        if (*known != '\0') {
            str_addf(out, "-I %s %zu", name, number);
        } else {
            str_addf(out, "-A %s", name);
        }
        write_rule(at, out);
    }
    return true;
}
