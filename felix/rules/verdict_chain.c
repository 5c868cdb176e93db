/* The chain of a verdict list: tiers, their policies in order, what is behind them. Called for
 * every list some local endpoint has; endpoints with equal lists share it.
 *
 *   clear all bits
 *   per tier:    clear pass; per policy: neither accept nor pass → its chain
 *                accepted → return; not passed → drop, unless the tier's default is Pass
 *   at the end:  the profile's verdict */
#include "felix/rules/policy_rules.h"

#include <stdio.h>

#include "felix/rules/render.h"

/* A packet that is decided leaves a long tier at every so many policies instead of walking on. */
#define POLICIES_PER_CHECK 8

struct writer {
    const struct policy_rules_config *config;
    const struct verdict_list *list;
    struct chain *chain;
};

static bool
denies_by_default(enum verdict_use use)
{
    return use == USE_NORMAL || use == USE_FORWARD;
}

static void
write_return(const struct writer *writer)
{
    AUTO(str) struct str accepted = STR_INIT;

    render_match_mark(&accepted, writer->config->marks.accept, 0);
    if (writer->list->use == USE_UNTRACKED) {
        rule_add(writer->chain, str_text(&accepted), " -j CT --notrack");
    }
    rule_add(writer->chain, str_text(&accepted), " -j RETURN");
}

static void
write_deny(const struct writer *writer, const char *match, enum drop_reason reason, size_t index)
{
    struct drop_tag tag = {reason, writer->list->direction, (unsigned)index, ""};

    snprintf(tag.id, sizeof tag.id, "%s", writer->list->id);
    rule_add_deny(writer->chain, writer->config, match, &tag,
                  render_deny(writer->config, writer->chain->table));
}

/* A tier without a policy that is enforced is as if it were not there. */
static void
write_tier(const struct writer *writer, const struct verdict_tier *tier, size_t index)
{
    const struct policy_marks *marks = &writer->config->marks;
    AUTO(str) struct str undecided = STR_INIT;
    AUTO(str) struct str not_passed = STR_INIT;
    AUTO(str) struct str clear = STR_INIT;
    bool is_enforced = false;

    render_match_mark(&undecided, 0, marks->accept | marks->pass);
    render_match_mark(&not_passed, 0, marks->pass);
    render_set_mark(&clear, 0, marks->pass);
    if (index > 0) {
        rule_add(writer->chain, "", str_text(&clear));
    }
    for (size_t i = 0; i < tier->n_policies; i++) {
        char name[CHAIN_NAME_MAX];
        char jump[CHAIN_NAME_MAX + 8];
        snprintf(jump, sizeof jump, " -j %s",
                 policy_chain_name(tier->policies[i], writer->list->direction, name));
        rule_add(writer->chain, i > 0 ? str_text(&undecided) : "", jump);
        is_enforced |= !tier->policies[i]->policy->is_staged;
        if (i % POLICIES_PER_CHECK == POLICIES_PER_CHECK - 1 && i + 1 < tier->n_policies) {
            write_return(writer);
        }
    }
    if (is_enforced) {
        write_return(writer);
        if (!tier->is_default_pass && denies_by_default(writer->list->use)) {
            write_deny(writer, str_text(&not_passed), DROP_BY_TIER, index);
        }
    }
}

/* What is forwarded is let through where tiers leave it undecided; profiles are for the rest. */
static void
write_end(const struct writer *writer)
{
    bool is_open = writer->list->is_profile_allow || writer->list->use == USE_FORWARD;
    AUTO(str) struct str accept = STR_INIT;

    if (!denies_by_default(writer->list->use)) {
        return;
    }
    if (is_open) {
        render_set_mark(&accept, writer->config->marks.accept, 0);
        rule_add(writer->chain, "", str_text(&accept));
    } else {
        write_deny(writer, "", DROP_BY_NO_PROFILE, 0);
    }
}

static void
write_list(const struct policy_rules_config *config, const struct verdict_list *list,
           const char *table, struct ruleset *set)
{
    const struct policy_marks *marks = &config->marks;
    AUTO(str) struct str clear = STR_INIT;
    char name[CHAIN_NAME_MAX];
    struct writer writer = {config, list, NULL};

    writer.chain = ruleset_chain(set, table, verdict_list_chain_name(list, name));
    render_set_mark(&clear, 0, marks->accept | marks->pass | marks->matched | marks->block);
    rule_add(writer.chain, "", str_text(&clear));
    for (size_t i = 0; i < list->n_tiers; i++) {
        write_tier(&writer, &list->tiers[i], i);
    }
    write_end(&writer);
}

void
verdict_list_chains(const struct policy_rules_config *config, uint8_t family,
                    const struct verdict_list *list, struct ruleset *set)
{
    (void)family; /* names of policies' chains are the same in both */
    switch (list->use) {
    case USE_NORMAL:
        write_list(config, list, "filter", set);
        if (config->has_host_endpoints && list->direction == EGRESS) {
            write_list(config, list, "mangle", set);
        }
        break;
    case USE_FORWARD:
        write_list(config, list, "filter", set);
        break;
    case USE_PRE_DNAT:
        write_list(config, list, "mangle", set);
        break;
    case USE_UNTRACKED:
        write_list(config, list, "raw", set);
        break;
    }
}
