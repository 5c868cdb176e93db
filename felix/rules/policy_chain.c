/* The chains of one policy. Called for every active policy whenever it changes.
 *
 * A rule that fits one kernel rule:      <match> -g cali-allow
 * One with a list of alternatives:       <match> <alternative> -g cali-allow      for each
 * Anything else marks first, acts then:  <match> <alternative> -j MARK (matched)  for each
 *                                        <alternative> -j MARK (block)   }  for each further list
 *                                        no block mark: clear matched    }
 *                                        <exception> clear matched                for each
 *                                        matched -j NFLOG / LOG / -g cali-allow / -j DROP
 * The mark "matched" is clear where a policy rule begins: a rule that leaves it set has ended the
 * chain, and cali-allow, cali-pass and cali-staged clear it. */
#include "felix/rules/policy_rules.h"

#include <stdio.h>
#include <string.h>

#include "felix/rules/render.h"
#include "felix/rules/rule_match.h"

#define LOG_PREFIX_MAX 29 /* the kernel's 30, with a NUL */

struct writer {
    const struct policy_rules_config *config;
    uint8_t family;
    enum direction direction;
    const struct active_policy *active;
    struct chain *chain;
    count_vec *counts; /* NULL: nobody asks */
    const struct policy_rule *rule;
    size_t index;
    bool is_commented; /* the rule's first kernel rule is written */
};

/* The comment stands behind what matches, where packets that do not match never come. */
static void
add(struct writer *writer, const char *match, const char *target, bool is_counted)
{
    AUTO(str) struct str all = STR_INIT;

    str_add(&all, match);
    if (!writer->is_commented) {
        const struct policy *policy = writer->active->policy;
        AUTO(str) struct str comment = STR_INIT;
        str_addf(&comment, "Policy %s%s%s %s %zu", policy->ns ? policy->ns : "",
                 policy->ns ? "/" : "", policy->name,
                 writer->direction == INGRESS ? "ingress" : "egress", writer->index);
        if (writer->rule->comment) {
            str_addf(&comment, " %s", writer->rule->comment);
        }
        render_comment(&all, str_text(&comment));
        writer->is_commented = true;
    }
    rule_add(writer->chain, str_text(&all), target);
    if (writer->counts) {
        VEC_PUSH(writer->counts, is_counted ? (int)writer->index : -1);
    }
}

/* ---- Log ------------------------------------------------------------------------------------ */

static const char *
kind_of(const struct policy *policy)
{
    switch (policy->origin) {
    case POLICY_KUBERNETES:
        return policy->is_staged ? "StagedKubernetesNetworkPolicy" : "NetworkPolicy";
    case POLICY_NAMESPACED:
        return policy->is_staged ? "StagedNetworkPolicy" : "NetworkPolicy";
    case POLICY_CLUSTER:
        return "ClusterNetworkPolicy";
    case POLICY_GLOBAL:
        break;
    }
    return policy->is_staged ? "StagedGlobalNetworkPolicy" : "GlobalNetworkPolicy";
}

static void
expand_prefix(const char *format, const struct policy *policy, struct str *out)
{
    for (const char *at = format; *at != '\0'; at++) {
        char letter = *at == '%' ? at[1] : '\0';
        if (letter == 't') {
            str_add(out, policy->tier);
        } else if (letter == 'k') {
            str_add(out, kind_of(policy));
        } else if (letter == 'n') {
            str_add(out, policy->name);
        } else if (letter == 'p') {
            str_addf(out, "%s%s%s", policy->ns ? policy->ns : "", policy->ns ? "/" : "",
                     policy->name);
        } else {
            str_add_char(out, *at);
            continue;
        }
        at++;
    }
}

static void
log_target(const struct writer *writer, struct str *out)
{
    const char *format = writer->config->log_prefix;
    AUTO(str) struct str prefix = STR_INIT;
    char cut[LOG_PREFIX_MAX - 1];

    expand_prefix(format ? format : "calico-packet", writer->active->policy, &prefix);
    snprintf(cut, sizeof cut, "%s", str_text(&prefix));
    str_clear(&prefix);
    str_addf(&prefix, "%s: ", cut);
    str_add(out, " -j LOG --log-level 5 --log-prefix ");
    render_quoted(out, str_text(&prefix), LOG_PREFIX_MAX);
}

/* ---- actions -------------------------------------------------------------------------------- */

/* What a kernel rule that matches does, or false: one kernel rule cannot do it. */
static bool
direct_target(const struct writer *writer, bool has_alternatives, struct str *ret_target)
{
    const struct policy_rules_config *config = writer->config;
    bool is_staged = writer->active->policy->is_staged;

    switch (writer->rule->action) {
    case RULE_ALLOW:
        str_add(ret_target, is_staged ? " -j RETURN" : " -g cali-allow");
        return true;
    case RULE_PASS:
        str_add(ret_target, is_staged ? " -j RETURN" : " -g cali-pass");
        return true;
    case RULE_DENY:
        if (config->nflog_group > 0 && !is_staged) {
            return false;
        }
        str_add(ret_target, is_staged ? " -j RETURN" : render_deny(config, writer->chain->table));
        return true;
    case RULE_LOG:
        /* Not the end: a packet that two alternatives match would be told and counted twice. */
        if (has_alternatives || (config->log_limit.n > 0 && !is_staged)) {
            return false;
        }
        if (!is_staged) {
            log_target(writer, ret_target);
        }
        return true;
    }
    return false;
}

static void
write_log(struct writer *writer, const char *matched)
{
    AUTO(str) struct str target = STR_INIT;
    AUTO(str) struct str clear = STR_INIT;

    if (!writer->active->policy->is_staged) {
        render_limit(&target, &writer->config->log_limit);
        log_target(writer, &target);
        add(writer, matched, str_text(&target), false);
    }
    render_set_mark(&clear, 0, writer->config->marks.matched);
    add(writer, matched, str_text(&clear), true);
}

static void
write_action(struct writer *writer)
{
    const struct policy_rules_config *config = writer->config;
    AUTO(str) struct str matched = STR_INIT;
    AUTO(str) struct str nflog = STR_INIT;
    struct drop_tag tag = {DROP_BY_RULE, writer->direction, (unsigned)writer->index, ""};

    render_match_mark(&matched, config->marks.matched, 0);
    if (writer->rule->action == RULE_LOG) {
        write_log(writer, str_text(&matched));
    } else if (writer->active->policy->is_staged) {
        add(writer, str_text(&matched), " -g cali-staged", true);
    } else if (writer->rule->action == RULE_ALLOW) {
        add(writer, str_text(&matched), " -g cali-allow", true);
    } else if (writer->rule->action == RULE_PASS) {
        add(writer, str_text(&matched), " -g cali-pass", true);
    } else {
        if (config->nflog_group > 0) {
            snprintf(tag.id, sizeof tag.id, "%s", writer->active->id);
            render_nflog(&nflog, config, &tag);
            add(writer, str_text(&matched), str_text(&nflog), false);
        }
        add(writer, str_text(&matched), render_deny(config, writer->chain->table), true);
    }
}

/* ---- rules ---------------------------------------------------------------------------------- */

/* For each alternative of the block (n 0: none is asked) a rule that begins with 'base'. */
static void
write_alternatives(struct writer *writer, const char *base, const text_vec *block,
                   const char *target, bool is_counted)
{
    if (!block) {
        add(writer, base, target, is_counted);
        return;
    }
    VEC_FOREACH (block, alternative) {
        AUTO(str) struct str match = STR_INIT;
        /* The protocol is said once in a rule, and first. */
        const char *rest =
            strncmp(*alternative, " -p ", 4) == 0 ? strchr(*alternative + 4, ' ') : *alternative;
        bool has_base_protocol = strncmp(base, " -p ", 4) == 0;
        str_add(&match, base);
        str_add(&match, has_base_protocol ? rest : *alternative);
        add(writer, str_text(&match), target, is_counted);
    }
}

static void
write_marked(struct writer *writer, const struct rule_match *match)
{
    const struct policy_marks *marks = &writer->config->marks;
    AUTO(str) struct str mark = STR_INIT;
    AUTO(str) struct str unmark = STR_INIT;
    AUTO(str) struct str block = STR_INIT;
    AUTO(str) struct str unblock = STR_INIT;
    AUTO(str) struct str not_block = STR_INIT;

    render_set_mark(&mark, marks->matched, 0);
    render_set_mark(&unmark, 0, marks->matched);
    render_set_mark(&block, marks->block, 0);
    render_set_mark(&unblock, 0, marks->block);
    render_match_mark(&not_block, 0, marks->block);
    write_alternatives(writer, str_text(&match->base), match->n_blocks > 0 ? match->blocks : NULL,
                       str_text(&mark), false);
    for (size_t i = 1; i < match->n_blocks; i++) {
        write_alternatives(writer, "", &match->blocks[i], str_text(&block), false);
        add(writer, str_text(&not_block), str_text(&unmark), false);
        add(writer, "", str_text(&unblock), false);
    }
    VEC_FOREACH (&match->excepted, text) {
        add(writer, *text, str_text(&unmark), false);
    }
    write_action(writer);
}

static void
write_rule(struct writer *writer)
{
    struct rule_match match;
    AUTO(str) struct str target = STR_INIT;

    rule_match_init(&match, writer->rule, writer->family);
    if (match.is_never) {
        /* Left out of this family. */
    } else if (match.n_blocks <= 1 && match.excepted.n == 0 &&
               direct_target(writer, match.n_blocks > 0, &target)) {
        write_alternatives(writer, str_text(&match.base), match.n_blocks > 0 ? match.blocks : NULL,
                           str_text(&target), true);
    } else {
        write_marked(writer, &match);
    }
    rule_match_done(&match);
}

static void
write_rules(struct writer *writer)
{
    const struct policy *policy = writer->active->policy;
    const struct policy_rule *rules =
        writer->direction == INGRESS ? policy->ingress : policy->egress;
    size_t n = writer->direction == INGRESS ? policy->n_ingress : policy->n_egress;

    for (writer->index = 0; writer->index < n; writer->index++) {
        writer->rule = &rules[writer->index];
        writer->is_commented = false;
        write_rule(writer);
    }
}

/* ---- chains --------------------------------------------------------------------------------- */

static void
write_chain(struct writer *writer, const char *table, struct ruleset *set)
{
    char name[CHAIN_NAME_MAX];

    policy_chain_name(writer->active, writer->direction, name);
    writer->chain = ruleset_chain(set, table, name);
    write_rules(writer);
}

void
policy_chains(const struct policy_rules_config *config, uint8_t family,
              const struct active_policy *active, struct ruleset *set)
{
    const struct policy *policy = active->policy;

    if ((policy->is_untracked || policy->is_pre_dnat) && !config->has_host_endpoints) {
        return; /* Its tables have nothing that leads to it, nor the chains it leads to. */
    }
    for (enum direction direction = INGRESS; direction <= EGRESS; direction++) {
        struct writer writer = {
            .config = config, .family = family, .direction = direction, .active = active};
        if (direction == INGRESS ? !policy->applies_ingress : !policy->applies_egress) {
            continue;
        }
        if (policy->is_untracked) {
            write_chain(&writer, "raw", set);
        } else if (policy->is_pre_dnat) {
            write_chain(&writer, "mangle", set);
        } else {
            write_chain(&writer, "filter", set);
            if (config->has_host_endpoints && direction == EGRESS) {
                /* The host's egress to what was DNATed is judged in POSTROUTING. */
                write_chain(&writer, "mangle", set);
            }
        }
    }
}

void
policy_chain_counts(const struct policy_rules_config *config, uint8_t family,
                    const struct active_policy *active, enum direction direction,
                    count_vec *ret_counts)
{
    struct chain scratch = {.table = active->policy->is_untracked  ? "raw"
                                     : active->policy->is_pre_dnat ? "mangle"
                                                                   : "filter"};
    struct writer writer = {.config = config,
                            .family = family,
                            .direction = direction,
                            .active = active,
                            .chain = &scratch,
                            .counts = ret_counts};

    write_rules(&writer);
    VEC_FOREACH (&scratch.rules, rule) {
        free(*rule);
    }
    VEC_DONE(&scratch.rules);
}
