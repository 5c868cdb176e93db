/* struct policy and struct policy_rule → text. Called by everything that answers people. */
#include "felix/server/describe.h"

#include <string.h>

#include "lib/proto/proto.h"

#define LIST_MAX 8    /* of networks, of ports */
#define TEXT_MAX 200U /* of a selector: it may have 64 KiB */

const char *
describe_kind(const struct policy *policy)
{
    switch (policy->origin) {
    case POLICY_KUBERNETES:
        return policy->is_staged ? "StagedKubernetesNetworkPolicy" : "NetworkPolicy";
    case POLICY_CLUSTER:
        return "ClusterNetworkPolicy";
    case POLICY_NAMESPACED:
        return policy->is_staged ? "StagedNetworkPolicy" : "NetworkPolicy.projectcalico.org";
    case POLICY_GLOBAL:
        break;
    }
    return policy->is_staged ? "StagedGlobalNetworkPolicy" : "GlobalNetworkPolicy";
}

void
describe_policy(const struct policy *policy, struct str *out)
{
    str_addf(out, "%s %s%s%s", describe_kind(policy), policy->ns ? policy->ns : "",
             policy->ns ? "/" : "", policy->name);
}

const char *
describe_action(enum rule_action action)
{
    switch (action) {
    case RULE_ALLOW:
        return "allow";
    case RULE_LOG:
        return "log";
    case RULE_PASS:
        return "pass";
    case RULE_DENY:
        break;
    }
    return "deny";
}

const char *
describe_direction(enum direction direction)
{
    return direction == INGRESS ? "ingress" : "egress";
}

const char *
describe_reason(enum drop_reason reason)
{
    static const char *const names[N_DROP_REASONS] = {
        [DROP_BY_RULE] = "rule",
        [DROP_BY_TIER] = "tier",
        [DROP_BY_NO_PROFILE] = "no-profile",
        [DROP_REFUSED] = "refused",
        [DROP_UNKNOWN] = "unknown-interface",
        [DROP_TO_HOST] = "to-host",
        [DROP_SERVICE_LOOP] = "service-loop",
        [DROP_INVALID] = "invalid",
    };

    return names[reason];
}

/* ---- one end
 * ---------------------------------------------------------------------------------- */

static void
add_more(size_t n, struct str *out)
{
    if (n > LIST_MAX) {
        str_addf(out, " and %zu more", n - LIST_MAX);
    }
}

static void
add_nets(const char *what, const struct prefix *nets, size_t n, struct str *out)
{
    char text[PREFIX_TEXT_MAX];

    str_addf(out, " %s ", what);
    for (size_t i = 0; i < n && i < LIST_MAX; i++) {
        str_addf(out, "%s%s", i > 0 ? "," : "", prefix_format(&nets[i], text));
    }
    str_add(out, n == 0 ? "(none)" : "");
    add_more(n, out);
}

static void
add_selector(const char *what, const char *selector, struct str *out)
{
    size_t len = strlen(selector);

    str_addf(out, " %s (%.*s%s)", what, (int)TEXT_MAX, selector, len > TEXT_MAX ? "..." : "");
}

struct port_list {
    const struct port_range *ranges;
    size_t n_ranges;
    char *const *names;
    size_t n_names;
};

static void
add_ports(const char *what, const struct port_list *ports, struct str *out)
{
    size_t n = 0;

    if (ports->n_ranges + ports->n_names == 0) {
        return;
    }
    str_addf(out, " %s ", what);
    for (size_t i = 0; i < ports->n_ranges && n < LIST_MAX; i++, n++) {
        const struct port_range *range = &ports->ranges[i];
        str_addf(out, "%s%u", n > 0 ? "," : "", range->first);
        if (range->last != range->first) {
            str_addf(out, "-%u", range->last);
        }
    }
    for (size_t i = 0; i < ports->n_names && n < LIST_MAX; i++, n++) {
        str_addf(out, "%s%.64s", n > 0 ? "," : "", ports->names[i]);
    }
    add_more(ports->n_ranges + ports->n_names, out);
}

static void
add_peer(const char *preposition, const struct rule_peer *peer, struct str *out)
{
    const struct port_list ports = {peer->ports, peer->n_ports, peer->named_ports,
                                    peer->n_named_ports};
    const struct port_list not_ports = {peer->not_ports, peer->n_not_ports, peer->not_named_ports,
                                        peer->n_not_named_ports};
    AUTO(str) struct str text = STR_INIT;

    if (peer->selector) {
        add_selector("selector", peer->selector, &text);
    }
    if (peer->not_selector) {
        add_selector("not selector", peer->not_selector, &text);
    }
    if (peer->node_selector) {
        add_selector("nodes", peer->node_selector, &text);
    }
    if (peer->service_name) {
        str_addf(&text, " service %s/%s", peer->service_ns, peer->service_name);
    }
    if (peer->has_nets) {
        add_nets("nets", peer->nets, peer->n_nets, &text);
    }
    if (peer->n_not_nets > 0) {
        add_nets("not nets", peer->not_nets, peer->n_not_nets, &text);
    }
    add_ports("ports", &ports, &text);
    add_ports("not ports", &not_ports, &text);
    if (text.len > 0) {
        str_addf(out, " %s%s", preposition, text.text);
    }
}

/* ---- a rule
 * ----------------------------------------------------------------------------------- */

static void
add_icmp(const char *what, int16_t type, int16_t code, struct str *out)
{
    if (type != RULE_ANY) {
        str_addf(out, " %s %d", what, type);
        if (code != RULE_ANY) {
            str_addf(out, "/%d", code);
        }
    }
}

void
describe_rule(const struct policy_rule *rule, struct str *out)
{
    char text[4];
    size_t len = 0;

    str_add(out, describe_action(rule->action));
    len = out->len;
    if (rule->family != 0) {
        str_addf(out, " IPv%u", rule->family);
    }
    if (rule->protocol != RULE_ANY) {
        str_addf(out, " %s", proto_protocol_name((uint8_t)rule->protocol, text));
    }
    if (rule->not_protocol != RULE_ANY) {
        str_addf(out, " not %s", proto_protocol_name((uint8_t)rule->not_protocol, text));
    }
    add_icmp("type", rule->icmp_type, rule->icmp_code, out);
    add_icmp("not type", rule->not_icmp_type, rule->not_icmp_code, out);
    add_peer("from", &rule->source, out);
    add_peer("to", &rule->destination, out);
    if (out->len == len) {
        str_add(out, " everything");
    }
}
