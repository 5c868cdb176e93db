/* For the tests of policy kinds: JSON in, policies out as text, a line for the head and every rule:
 *
 *     default/1000 in+out [<selector>]
 *     in allow v4 p6 src(nets=10.0.0.0/8 !nets=10.1.0.0/16 sel=<..>) dst(ports=80-90 names=http)
 *
 * JSON as in kind_json.h; in text ` stands for double quotes. */
#pragma once

#include "lib/model/policy.h"
#include "test/unit/model/kind_json.h"

/* Twice, as decoding must not depend on who listens to issues. */
static struct policy *
decode_policy(enum kind kind, const char *text, struct err *err)
{
    AUTO(json_tree) struct json_object *object = tree_of(kind, text);
    struct policy *policy = decode(kind, text, err);
    struct policy *again = kind_ops(kind)->decode(object, NULL, NULL);

    assert_int_equal(policy == NULL, again == NULL);
    assert_true(policy == NULL || policy_equal(policy, again));
    policy_free(again);
    return policy;
}

static void
print_nets(const char *what, const struct prefix *nets, size_t n, struct str *out)
{
    char text[PREFIX_TEXT_MAX];

    for (size_t i = 0; i < n; i++) {
        str_addf(out, "%s%s", i == 0 ? what : ",", prefix_format(&nets[i], text));
    }
}

static void
print_ports(const char *what, const struct port_range *ports, size_t n, struct str *out)
{
    for (size_t i = 0; i < n; i++) {
        str_addf(out, "%s%u", i == 0 ? what : ",", ports[i].first);
        if (ports[i].last != ports[i].first) {
            str_addf(out, "-%u", ports[i].last);
        }
    }
}

static void
print_names(const char *what, char *const *names, size_t n, struct str *out)
{
    for (size_t i = 0; i < n; i++) {
        str_addf(out, "%s%s", i == 0 ? what : ",", names[i]);
    }
}

static void
print_peer(const char *what, const struct rule_peer *peer, struct str *out)
{
    AUTO(str) struct str text = STR_INIT;

    if (peer->has_nets && peer->n_nets == 0) {
        str_add(&text, " nets=none");
    }
    print_nets(" nets=", peer->nets, peer->n_nets, &text);
    print_nets(" !nets=", peer->not_nets, peer->n_not_nets, &text);
    if (peer->selector != NULL) {
        str_addf(&text, " sel=<%s>", peer->selector);
    }
    if (peer->not_selector != NULL) {
        str_addf(&text, " !sel=<%s>", peer->not_selector);
    }
    if (peer->node_selector != NULL) {
        str_addf(&text, " nodes=<%s>", peer->node_selector);
    }
    print_ports(" ports=", peer->ports, peer->n_ports, &text);
    print_names(" names=", peer->named_ports, peer->n_named_ports, &text);
    print_ports(" !ports=", peer->not_ports, peer->n_not_ports, &text);
    print_names(" !names=", peer->not_named_ports, peer->n_not_named_ports, &text);
    if (peer->service_name != NULL) {
        str_addf(&text, " svc=%s/%s", peer->service_ns, peer->service_name);
    }
    if (text.len > 0) {
        str_addf(out, " %s(%s)", what, text.text + 1);
    }
}

static void
print_number(const char *what, int number, struct str *out)
{
    if (number != RULE_ANY) {
        str_addf(out, "%s%d", what, number);
    }
}

static void
print_rules(const char *direction, const struct policy_rule *rules, size_t n, struct str *out)
{
    static const char *const actions[] = {
        [RULE_ALLOW] = "allow", [RULE_DENY] = "deny", [RULE_LOG] = "log", [RULE_PASS] = "pass"};

    for (size_t i = 0; i < n; i++) {
        str_addf(out, "\n%s %s", direction, actions[rules[i].action]);
        print_number(" v", rules[i].family == 0 ? RULE_ANY : rules[i].family, out);
        print_number(" p", rules[i].protocol, out);
        print_number(" !p", rules[i].not_protocol, out);
        print_number(" icmp", rules[i].icmp_type, out);
        print_number("/", rules[i].icmp_code, out);
        print_number(" !icmp", rules[i].not_icmp_type, out);
        print_number("/", rules[i].not_icmp_code, out);
        print_peer("src", &rules[i].source, out);
        print_peer("dst", &rules[i].destination, out);
        if (rules[i].comment != NULL) {
            str_addf(out, " # %s", rules[i].comment);
        }
    }
}

static void
print(const struct policy *policy, struct str *out)
{
    str_addf(out, "%s/%g", policy->tier, policy->order);
    str_addf(out, " %s%s%s", policy->applies_ingress ? "in" : "",
             policy->applies_ingress && policy->applies_egress ? "+" : "",
             policy->applies_egress ? "out" : "");
    str_addf(out, " [%s]", policy->selector);
    str_add(out, policy->is_staged ? " staged" : "");
    str_add(out, policy->is_untracked ? " untracked" : "");
    str_add(out, policy->is_pre_dnat ? " prednat" : "");
    str_add(out, policy->applies_on_forward ? " forward" : "");
    str_add(out, policy->is_always_programmed ? " always" : "");
    print_rules("in", policy->ingress, policy->n_ingress, out);
    print_rules("out", policy->egress, policy->n_egress, out);
}

/* 'issue' NULL: nothing is reported. */
UNUSED static void
gives(enum kind kind, const char *json, const char *wanted, const char *issue)
{
    AUTO(str) struct str text = STR_INIT;
    struct err err;
    struct policy *policy = decode_policy(kind, json, &err);

    if (policy == NULL) {
        fail_msg("must not be refused: %s: %s", json, err.text);
        return;
    }
    print(policy, &text);
    policy_free(policy);
    for (size_t i = 0; i < text.len; i++) {
        text.text[i] = text.text[i] == '"' ? '`' : text.text[i];
    }
    if (strcmp(text.text, wanted) != 0) {
        fail_msg("of %s\nis     %s\nwanted %s", json, text.text, wanted);
    }
    if (issue == NULL ? issues_text.len > 0 : strstr(str_text(&issues_text), issue) == NULL) {
        fail_msg("of %s\nissues: '%s', wanted '%s'", json, str_text(&issues_text),
                 issue != NULL ? issue : "");
    }
}

/* As refuses(), for whoever listens. */
UNUSED static void
refuses_policy(enum kind kind, const char *json, const char *reason)
{
    struct err err;

    assert_null(decode_policy(kind, json, &err));
    refuses(kind, json, reason);
}

/* One rule in a policy of the kind, where @ stands; what comes behind the head is wanted. */
struct rule_case {
    const char *rule, *wanted, *issue;
};

UNUSED static void
rules_give(enum kind kind, const char *head_json, const char *head, const struct rule_case *cases,
           size_t n)
{
    const char *hole = strchr(head_json, '@');

    for (size_t i = 0; i < n; i++) {
        AUTO(str) struct str json = STR_INIT;
        AUTO(str) struct str wanted = STR_INIT;

        str_add_bytes(&json, head_json, (size_t)(hole - head_json));
        str_addf(&json, "%s%s", cases[i].rule, hole + 1);
        str_addf(&wanted, "%s%s%s", head, cases[i].wanted[0] != '\0' ? "\n" : "", cases[i].wanted);
        gives(kind, json.text, wanted.text, cases[i].issue);
    }
}
