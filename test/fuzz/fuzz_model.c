/* Decoders of all kinds: the first byte is the kind, the rest JSON. What the feed keeps of an
 * object (lib/feed/keep.h) must decode to the same as the whole object. Policies must be what
 * calc, rules and the evaluator rely on. */
#include <json-c/json.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "lib/feed/keep.h"
#include "lib/json/json.h"
#include "lib/model/kind.h"
#include "lib/model/policy.h"
#include "lib/selector/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
report(void *owner, const char *text)
{
    (void)owner;
    if (text[0] == '\0') {
        abort();
    }
}

/* As the feed does. Keys written with escapes are known to be missed. */
static void *
decode_kept(enum kind kind, const char *text, size_t len)
{
    AUTO(str) struct str pruned = STR_INIT;
    AUTO(json_tree) struct json_object *json = NULL;

    if (memchr(text, '\\', len) != NULL || !json_prune(text, len, feed_keep(kind), &pruned, NULL) ||
        !json_parse(pruned.text, pruned.len, &json, NULL)) {
        return NULL;
    }
    return kind_ops(kind)->decode(json, NULL, NULL);
}

static void
must(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

/* It parses, and to itself. */
static void
check_selector(const char *text)
{
    AUTO(str) struct str again = STR_INIT;
    struct selector *selector = NULL;

    must(selector_parse(text, &selector, NULL));
    selector_print(selector, &again);
    must(strcmp(again.text, text) == 0);
    selector_free(selector);
}

static void
check_nets(const struct prefix *nets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct prefix network = prefix_network(&nets[i]);
        must(prefix_equal(&network, &nets[i]));
    }
}

static void
check_ports(const struct port_range *ports, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        must(ports[i].first <= ports[i].last);
    }
}

static void
check_peer(const struct policy_rule *rule, const struct rule_peer *peer)
{
    size_t n_ports =
        peer->n_ports + peer->n_not_ports + peer->n_named_ports + peer->n_not_named_ports;

    must(peer->has_nets || peer->n_nets == 0);
    check_nets(peer->nets, peer->n_nets);
    check_nets(peer->not_nets, peer->n_not_nets);
    must(peer->selector == NULL || peer->not_selector == NULL);
    if (peer->selector != NULL) {
        check_selector(peer->selector);
    }
    if (peer->not_selector != NULL) {
        check_selector(peer->not_selector);
    }
    if (peer->node_selector != NULL) {
        check_selector(peer->node_selector);
        must(peer->selector == NULL && peer->not_selector == NULL && !peer->has_nets &&
             peer->n_named_ports == 0 && peer->service_name == NULL);
    }
    check_ports(peer->ports, peer->n_ports);
    check_ports(peer->not_ports, peer->n_not_ports);
    must(n_ports == 0 || rule->protocol == IPPROTO_TCP || rule->protocol == IPPROTO_UDP ||
         rule->protocol == IPPROTO_SCTP);
    must((peer->service_ns == NULL) == (peer->service_name == NULL));
}

static void
check_rules(const struct policy_rule *rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        must(rules[i].family == 0 || rules[i].family == 4 || rules[i].family == 6);
        must(rules[i].icmp_type != RULE_ANY || rules[i].icmp_code == RULE_ANY);
        must(rules[i].not_icmp_type != RULE_ANY || rules[i].not_icmp_code == RULE_ANY);
        check_peer(&rules[i], &rules[i].source);
        check_peer(&rules[i], &rules[i].destination);
    }
}

static void
check_policy(const struct policy *policy)
{
    check_selector(policy->selector);
    must(policy->tier[0] != '\0' && policy_compare(policy, policy) == 0);
    must(policy->applies_ingress || policy->n_ingress == 0);
    must(policy->applies_egress || policy->n_egress == 0);
    must(!policy->is_untracked || !policy->is_pre_dnat);
    check_rules(policy->ingress, policy->n_ingress);
    check_rules(policy->egress, policy->n_egress);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(json_tree) struct json_object *json = NULL;
    struct kind_issues issues = {.report = report};
    struct err err = ERR_INIT;

    if (size < 2) {
        return 0;
    }
    enum kind kind = (enum kind)(data[0] % N_KINDS);
    const struct kind_ops *ops = kind_ops(kind);
    const char *text = (const char *)data + 1;
    if (!json_parse(text, size - 1, &json, NULL)) {
        return 0;
    }
    void *object = ops->decode(json, &issues, &err);
    void *again = ops->decode(json, NULL, NULL);
    void *kept = decode_kept(kind, text, size - 1);
    if ((object == NULL) != (again == NULL) || (object == NULL && err.text[0] == '\0') ||
        (object != NULL && !ops->equal(object, again)) ||
        (object != NULL && kept != NULL && !ops->equal(object, kept))) {
        abort();
    }
    if (object != NULL && kind_is_policy(kind)) {
        check_policy(object);
    }
    ops->free(object);
    ops->free(again);
    ops->free(kept);
    return 0;
}
