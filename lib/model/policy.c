/* Freeing, comparing and sorting policies, whatever kind they were. Called by the rows of the
 * kinds' table, by lib/model/store and by felix/calc. */
#include "lib/model/policy.h"

#include <stdlib.h>
#include <string.h>

#include "lib/model/meta.h"

static void
peer_done(struct rule_peer *peer)
{
    free(peer->nets);
    free(peer->not_nets);
    free(peer->selector);
    free(peer->not_selector);
    free(peer->node_selector);
    free(peer->ports);
    texts_free(peer->named_ports, peer->n_named_ports);
    free(peer->not_ports);
    texts_free(peer->not_named_ports, peer->n_not_named_ports);
    free(peer->service_ns);
    free(peer->service_name);
}

void
policy_rule_done(struct policy_rule *rule)
{
    peer_done(&rule->source);
    peer_done(&rule->destination);
    free(rule->comment);
}

static void
rules_free(struct policy_rule *rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        policy_rule_done(&rules[i]);
    }
    free(rules);
}

void
policy_free(void *object)
{
    struct policy *policy = object;

    if (policy == NULL) {
        return;
    }
    free(policy->ns);
    free(policy->name);
    free(policy->tier);
    free(policy->selector);
    rules_free(policy->ingress, policy->n_ingress);
    rules_free(policy->egress, policy->n_egress);
    free(policy);
}

static bool
ports_equal(const struct port_range *a, size_t n_a, const struct port_range *b, size_t n_b)
{
    if (n_a != n_b) {
        return false;
    }
    for (size_t i = 0; i < n_a; i++) {
        if (a[i].first != b[i].first || a[i].last != b[i].last) {
            return false;
        }
    }
    return true;
}

static bool
peer_equal(const struct rule_peer *a, const struct rule_peer *b)
{
    return a->has_nets == b->has_nets && prefixes_equal(a->nets, a->n_nets, b->nets, b->n_nets) &&
           prefixes_equal(a->not_nets, a->n_not_nets, b->not_nets, b->n_not_nets) &&
           text_equal(a->selector, b->selector) && text_equal(a->not_selector, b->not_selector) &&
           text_equal(a->node_selector, b->node_selector) &&
           ports_equal(a->ports, a->n_ports, b->ports, b->n_ports) &&
           texts_equal(a->named_ports, a->n_named_ports, b->named_ports, b->n_named_ports) &&
           ports_equal(a->not_ports, a->n_not_ports, b->not_ports, b->n_not_ports) &&
           texts_equal(a->not_named_ports, a->n_not_named_ports, b->not_named_ports,
                       b->n_not_named_ports) &&
           text_equal(a->service_ns, b->service_ns) && text_equal(a->service_name, b->service_name);
}

static bool
rules_equal(const struct policy_rule *one, size_t n_one, const struct policy_rule *other,
            size_t n_other)
{
    if (n_one != n_other) {
        return false;
    }
    for (size_t i = 0; i < n_one; i++) {
        const struct policy_rule *a = &one[i], *b = &other[i];
        if (a->action != b->action || a->written != b->written || a->family != b->family ||
            a->protocol != b->protocol || a->not_protocol != b->not_protocol ||
            a->icmp_type != b->icmp_type || a->icmp_code != b->icmp_code ||
            a->not_icmp_type != b->not_icmp_type || a->not_icmp_code != b->not_icmp_code ||
            !peer_equal(&a->source, &b->source) || !peer_equal(&a->destination, &b->destination) ||
            !text_equal(a->comment, b->comment)) {
            return false;
        }
    }
    return true;
}

bool
policy_equal(const void *one, const void *other)
{
    const struct policy *a = one, *b = other;
    /* Orders are copied, never calculated: the same text gives the same number. */
    bool is_same_order = !(a->order < b->order) && !(a->order > b->order);

    return a->origin == b->origin && a->is_staged == b->is_staged && text_equal(a->ns, b->ns) &&
           text_equal(a->name, b->name) && text_equal(a->tier, b->tier) && is_same_order &&
           text_equal(a->selector, b->selector) && a->applies_ingress == b->applies_ingress &&
           a->applies_egress == b->applies_egress && a->is_untracked == b->is_untracked &&
           a->is_pre_dnat == b->is_pre_dnat && a->applies_on_forward == b->applies_on_forward &&
           a->is_always_programmed == b->is_always_programmed &&
           rules_equal(a->ingress, a->n_ingress, b->ingress, b->n_ingress) &&
           rules_equal(a->egress, a->n_egress, b->egress, b->n_egress);
}

const char *
policy_kind_name(const struct policy *policy)
{
    switch (policy->origin) {
    case POLICY_KUBERNETES:
        return policy->is_staged ? "StagedKubernetesNetworkPolicy" : "KubernetesNetworkPolicy";
    case POLICY_CLUSTER:
        return "KubernetesClusterNetworkPolicy";
    case POLICY_NAMESPACED:
        return policy->is_staged ? "StagedNetworkPolicy" : "NetworkPolicy";
    case POLICY_GLOBAL:
        break;
    }
    return policy->is_staged ? "StagedGlobalNetworkPolicy" : "GlobalNetworkPolicy";
}

/* The characters of "name/namespace/kind" one by one: most policies of a cluster have the same
 * order, so this is what sorting them costs. */
struct sort_key {
    const char *parts[5];
    size_t part;
};

static struct sort_key
sort_key(const struct policy *policy)
{
    return (struct sort_key){
        .parts = {policy->name, "/", policy->ns != NULL ? policy->ns : "", "/",
                  policy_kind_name(policy)},
    };
}

static unsigned char
next_char(struct sort_key *key)
{
    while (key->part < 5 && *key->parts[key->part] == '\0') {
        key->part++;
    }
    return key->part < 5 ? (unsigned char)*key->parts[key->part]++ : '\0';
}

int
policy_compare(const struct policy *a, const struct policy *b)
{
    struct sort_key key_a = sort_key(a), key_b = sort_key(b);
    unsigned char char_a, char_b;

    if (a->order < b->order || a->order > b->order) {
        return a->order < b->order ? -1 : 1;
    }
    do {
        char_a = next_char(&key_a);
        char_b = next_char(&key_b);
    } while (char_a == char_b && char_a != '\0');
    return char_a - char_b;
}
