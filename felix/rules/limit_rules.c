/* Called by static_rules.c and host_rules.c. */
#include "felix/rules/limit_rules.h"

#include <stdio.h>
#include <string.h>

#include "felix/rules/names.h"
#include "felix/rules/render.h"
#include "lib/base/alloc.h"

#define MATCH_MAX 256

static const char *const letters[] = {[INGRESS] = "i", [EGRESS] = "e"};

const char *
limit_set_name(const struct limit_value *value, char ret_name[LIMIT_SET_NAME_MAX])
{
    const char *letter = letters[value->direction];

    switch (value->kind) {
    case LIMIT_PACKETS:
        snprintf(ret_name, LIMIT_SET_NAME_MAX, "pkts-%s-%u-%u", letter, value->a, value->b);
        break;
    case LIMIT_CONNECTIONS:
        snprintf(ret_name, LIMIT_SET_NAME_MAX, "conns-%s-%u", letter, value->a);
        break;
    case LIMIT_DSCP:
        snprintf(ret_name, LIMIT_SET_NAME_MAX, "dscp-%u", value->a);
        break;
    }
    return ret_name;
}

static int
compare(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

int
limit_value_compare(const struct limit_value *one, const struct limit_value *other)
{
    int order = compare(one->kind, other->kind);

    order = order != 0 ? order : compare(one->direction, other->direction);
    order = order != 0 ? order : compare(one->a, other->a);
    return order != 0 ? order : compare(one->b, other->b);
}

/* The pods' side of a packet in that direction. */
static const char *
side(const struct limit_value *value)
{
    return value->direction == INGRESS ? "dst" : "src";
}

static void
match_pods(char match[MATCH_MAX], const struct limit_value *value, uint8_t family)
{
    char name[LIMIT_SET_NAME_MAX];

    snprintf(match, MATCH_MAX, "-m set --match-set cali%u0%s %s", family,
             limit_set_name(value, name), side(value));
}

/* One bucket for each pod. The name has the numbers: the kernel gives a rule with the name of
 * another the other's numbers. */
static void
packet_rule(const struct limit_value *value, uint8_t family, struct chain *chain)
{
    char pods[MATCH_MAX];

    match_pods(pods, value, family);
    chain_add(chain,
              "%s -m hashlimit --hashlimit-above %u/sec --hashlimit-burst %u --hashlimit-mode %sip "
              "--hashlimit-name cali-%s-%u-%u -j DROP",
              pods, value->a, value->b, side(value), letters[value->direction], value->a, value->b);
}

static void
connection_rule(const struct policy_rules_config *config, const struct limit_value *value,
                uint8_t family, struct chain *chain)
{
    char pods[MATCH_MAX];

    match_pods(pods, value, family);
    chain_add(chain,
              "-p tcp -m conntrack --ctstate NEW %s -m connlimit --connlimit-above %u "
              "--connlimit-mask %u --connlimit-%saddr -j CONNMARK --set-xmark 0x%x/0x%x",
              pods, value->a, family == 4 ? 32U : 128U, value->direction == INGRESS ? "d" : "s",
              config->marks.refused, config->marks.refused);
}

static void
hook(const struct policy_rules_config *config, const char *builtin, const char *chain,
     struct ruleset *set)
{
    const struct hook hook = {"mangle", builtin, chain, config->is_append_mode};

    ruleset_hook(set, &hook);
}

/* A chain with the rules of the directions that pass it; no hook when there are none. */
static void
counted(const struct policy_rules_config *config, uint8_t family, const char *builtin,
        const char *name, bool has_ingress, struct ruleset *set)
{
    struct chain *chain = NULL;

    for (size_t i = 0; i < config->n_limits; i++) {
        const struct limit_value *value = &config->limits[i];
        if (value->kind == LIMIT_DSCP || (value->direction == INGRESS && !has_ingress)) {
            continue;
        }
        if (!chain) {
            chain = ruleset_chain(set, "mangle", name);
            hook(config, builtin, name, set);
        }
        if (value->kind == LIMIT_PACKETS) {
            packet_rule(value, family, chain);
        } else {
            connection_rule(config, value, family, chain);
        }
    }
}

static void
marked(const struct policy_rules_config *config, uint8_t family, struct ruleset *set)
{
    struct chain *chain = NULL;

    for (size_t i = 0; i < config->n_limits; i++) {
        const struct limit_value *value = &config->limits[i];
        char pods[MATCH_MAX];
        if (value->kind != LIMIT_DSCP) {
            continue;
        }
        if (!chain) {
            chain = ruleset_chain(set, "mangle", "cali-qos-policy");
            hook(config, "POSTROUTING", "cali-qos-policy", set);
        }
        match_pods(pods, value, family);
        chain_add(chain,
                  "%s -m set ! --match-set cali%u0" SET_ALL_POOLS " dst -j DSCP --set-dscp %u",
                  pods, family, value->a);
    }
}

static bool
counts_connections(const struct policy_rules_config *config)
{
    for (size_t i = 0; i < config->n_limits; i++) {
        if (config->limits[i].kind == LIMIT_CONNECTIONS) {
            return true;
        }
    }
    return false;
}

void
limit_rules(const struct policy_rules_config *config, uint8_t family, struct ruleset *set)
{
    counted(config, family, "FORWARD", "cali-FORWARD", true, set);
    counted(config, family, "INPUT", "cali-INPUT", false, set);
    marked(config, family, set);
    if (counts_connections(config)) {
        struct chain *chain = ruleset_chain(set, "filter", "cali-too-many");
        /* The reset belongs to the connection, too, and packets of refused ones are dropped. */
        chain_add(chain, "-j CONNMARK --set-xmark 0x0/0x%x", config->marks.refused);
        chain_add(chain, "-p tcp -j REJECT --reject-with tcp-reset");
    }
}

void
limit_rules_refuse(const struct policy_rules_config *config, struct chain *chain)
{
    AUTO(str) struct str match = STR_INIT;

    if (counts_connections(config)) {
        str_add(&match, " -p tcp -m conntrack --ctstate NEW");
        render_match_refused(&match, &config->marks);
        rule_add(chain, str_text(&match), " -g cali-too-many");
    }
}
