/* Marks, limits, comments and the two rules of a denial, as text. Called by all of felix/rules. */
#include "felix/rules/render.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/parse.h"

#define COMMENT_MAX 255 /* XT_MAX_COMMENT_LEN less the NUL */
/* Of a denied packet, what tells who it was: headers of both families with options. */
#define NFLOG_BYTES 128

bool
policy_marks_of_mask(uint32_t mask, struct policy_marks *ret_marks, struct err *err)
{
    uint32_t bits[7];
    size_t n = 0;

    for (unsigned i = 0; i < 32 && n < ARRAY_LEN(bits); i++) {
        if (mask >> i & 1) {
            bits[n++] = UINT32_C(1) << i;
        }
    }
    if (n < ARRAY_LEN(bits)) {
        return err_set(err, "mark mask 0x%x has %zu bits, %zu are needed", mask, n,
                       ARRAY_LEN(bits));
    }
    *ret_marks = (struct policy_marks){.accept = bits[0],
                                       .pass = bits[1],
                                       .refused = bits[2],
                                       .matched = bits[3],
                                       .block = bits[4],
                                       .arrived = bits[5],
                                       .from_pod = bits[6]};
    return true;
}

static uint32_t
older_bits(uint32_t now, uint32_t old, uint32_t also, bool is_over)
{
    return (old | (is_over ? 0 : also)) & ~now;
}

void
policy_marks_follow(struct policy_marks *marks, const struct policy_marks *old, bool is_over)
{
    marks->also_refused = older_bits(marks->refused, old->refused, old->also_refused, is_over);
    marks->also_arrived = older_bits(marks->arrived, old->arrived, old->also_arrived, is_over);
    marks->also_from_pod = older_bits(marks->from_pod, old->from_pod, old->also_from_pod, is_over);
}

bool
rate_limit_parse(const char *text, struct rate_limit *ret_limit, struct err *err)
{
    static const char *const units[] = {"second", "minute", "hour", "day"};
    const char *slash = strchr(text, '/');
    AUTO_FREE char *digits = xstrndup(text, slash ? (size_t)(slash - text) : 0);
    uint32_t n = 0;

    if (!slash || !parse_u32(digits, 1, 10000, &n, err)) {
        return err_set(err, "'%.64s' is not a rate such as 10/minute (1 to 10000)", text);
    }
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (strcmp(slash + 1, units[i]) == 0) {
            ret_limit->n = n;
            ret_limit->unit = units[i];
            return true;
        }
    }
    return err_set(err, "'%.64s' is not a rate per second, minute, hour or day", text);
}

void
render_set_mark(struct str *out, uint32_t set, uint32_t clear)
{
    str_addf(out, " -j MARK --set-xmark 0x%x/0x%x", set, set | clear);
}

void
render_match_mark(struct str *out, uint32_t set, uint32_t clear)
{
    str_addf(out, " -m mark --mark 0x%x/0x%x", set, set | clear);
}

/* 'match' is "mark" or "connmark". */
static void
match_any(struct str *out, const char *match, uint32_t bit, uint32_t also)
{
    if (also == 0) {
        str_addf(out, " -m %s --mark 0x%x/0x%x", match, bit, bit);
    } else {
        str_addf(out, " -m %s ! --mark 0x0/0x%x", match, bit | also);
    }
}

void
render_match_either(struct str *out, uint32_t bit, uint32_t also)
{
    match_any(out, "mark", bit, also);
}

void
render_match_refused(struct str *out, const struct policy_marks *marks)
{
    match_any(out, "connmark", marks->refused, marks->also_refused);
}

void
render_limit(struct str *out, const struct rate_limit *limit)
{
    if (limit->n > 0) {
        str_addf(out, " -m limit --limit %u/%s", limit->n, limit->unit ? limit->unit : "second");
        if (limit->burst > 0) {
            str_addf(out, " --limit-burst %u", limit->burst);
        }
    }
}

void
render_nflog(struct str *out, const struct policy_rules_config *config, const struct drop_tag *tag)
{
    char text[DROP_TAG_MAX];

    drop_tag_format(tag, text);
    render_limit(out, &config->nflog_limit);
    str_addf(out, " -j NFLOG --nflog-group %u --nflog-size %d --nflog-prefix %s",
             config->nflog_group, NFLOG_BYTES, text);
}

const char *
render_deny(const struct policy_rules_config *config, const char *table)
{
    bool is_reject = config->deny == RULES_REJECT && strcmp(table, "filter") == 0;

    return is_reject ? " -j REJECT" : " -j DROP";
}

const char *
render_action(enum rules_action action)
{
    switch (action) {
    case RULES_ACCEPT:
        return " -j ACCEPT";
    case RULES_REJECT:
        return " -j REJECT";
    case RULES_RETURN:
        return " -j RETURN";
    case RULES_DROP:
        break;
    }
    return " -j DROP";
}

void
render_quoted(struct str *out, const char *text, size_t max)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                               " _./:-";

    str_add_char(out, '"');
    for (size_t i = 0; text[i] != '\0' && i < max; i++) {
        str_add_char(out, strchr(good, text[i]) ? text[i] : '_');
    }
    str_add_char(out, '"');
}

void
render_comment(struct str *out, const char *text)
{
    str_add(out, " -m comment --comment ");
    render_quoted(out, text, COMMENT_MAX);
}

void
rule_add(struct chain *chain, const char *match, const char *target)
{
    AUTO(str) struct str rule = STR_INIT;

    str_add(&rule, match);
    str_add(&rule, target);
    chain_add(chain, "%s", str_text(&rule) + (str_text(&rule)[0] == ' '));
}

void
rule_add_deny(struct chain *chain, const struct policy_rules_config *config, const char *match,
              const struct drop_tag *tag, const char *target)
{
    if (config->nflog_group > 0) {
        AUTO(str) struct str nflog = STR_INIT;
        render_nflog(&nflog, config, tag);
        rule_add(chain, match, str_text(&nflog));
    }
    rule_add(chain, match, target);
}
