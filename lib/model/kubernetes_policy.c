/* Decodes networking.k8s.io/v1 NetworkPolicy and Calico's StagedKubernetesNetworkPolicy, whose spec
 * is the same. Called through the kinds' table. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/parse.h"
#include "lib/model/kind.h"
#include "lib/model/policy_cross.h"
#include "lib/model/policy_draft.h"
#include "lib/model/policy_kinds.h"
#include "lib/model/policy_selector.h"

#define POLICY_ORDER 1000 /* of all of them, as Calico has it */

/* ---- peers ---------------------------------------------------------------------------------- */

static bool
net_item_decode(const struct json_at *item, struct prefix *ret_net, struct err *err)
{
    const char *text = NULL;

    return json_as_string(item, &text, err) &&
           (net_decode(text, ret_net, err) || json_wrap(item, NULL, err));
}

/* A bad exception refuses the whole block: without it the block would be wider than meant. */
static bool
block_decode(const struct json_at *block, struct rule_peer *peer, struct err *err)
{
    static const char *const known[] = {"cidr", "except", NULL};
    struct json_at except;
    struct prefix net;
    const char *cidr = NULL;

    if (!draft_members_known(block, known, err) ||
        !json_get_string(block, "cidr", JSON_REQUIRED, &cidr, err) ||
        !json_get_array(block, "except", JSON_OPTIONAL, &except, err)) {
        return false;
    }
    if (strchr(cidr, '/') == NULL) {
        (void)err_set(err, "'%.64s' is not a prefix", cidr);
        return json_wrap(block, "cidr", err);
    }
    if (!net_decode(cidr, &net, err)) {
        return json_wrap(block, "cidr", err);
    }
    peer->has_nets = true;
    peer->nets = xmemdup(&net, sizeof net);
    peer->n_nets = 1;
    peer->not_nets = xcalloc(json_len(&except) + 1, sizeof(struct prefix));
    for (size_t i = 0; i < json_len(&except); i++) {
        struct json_at item = json_item(&except, i);
        if (!net_item_decode(&item, &peer->not_nets[i], err)) {
            return false;
        }
        peer->n_not_nets++;
    }
    return true;
}

static bool
pods_decode(const struct policy_draft *draft, const struct json_at *at, struct rule_peer *peer,
            struct err *err)
{
    AUTO(clauses) struct clauses clauses = {0};
    struct json_at pods, namespaces;

    if (!json_get_object(at, "podSelector", JSON_OPTIONAL, &pods, err) ||
        !json_get_object(at, "namespaceSelector", JSON_OPTIONAL, &namespaces, err)) {
        return false;
    }
    if (namespaces.json == NULL) {
        clauses_add_equal(&clauses, LABEL_NAMESPACE, draft->policy->ns);
    }
    clauses_add_pods_only(&clauses);
    if ((namespaces.json != NULL &&
         !clauses_add_labels(&clauses, SCOPE_NAMESPACE, &namespaces, err)) ||
        (pods.json != NULL && !clauses_add_labels(&clauses, SCOPE_OWN, &pods, err))) {
        return false;
    }
    return clauses_steal(&clauses, &peer->selector, err) || json_wrap(at, NULL, err);
}

static bool
peer_decode(const struct policy_draft *draft, const struct json_at *at, struct rule_peer *peer,
            struct err *err)
{
    static const char *const known[] = {"ipBlock", "podSelector", "namespaceSelector", NULL};
    struct json_at block;

    if (!json_as_object(at, err) || !draft_members_known(at, known, err) ||
        !json_get_object(at, "ipBlock", JSON_OPTIONAL, &block, err)) {
        return false;
    }
    bool has_selector = json_has(at, "podSelector") || json_has(at, "namespaceSelector");
    if (block.json != NULL && has_selector) {
        (void)err_set(err, "has an ipBlock and a selector");
        return json_wrap(at, NULL, err);
    }
    if (block.json == NULL && !has_selector) {
        (void)err_set(err, "names no peer");
        return json_wrap(at, NULL, err);
    }
    return block.json != NULL ? block_decode(&block, peer, err) : pods_decode(draft, at, peer, err);
}

/* Any of the peers will do, so a bad one is left out alone. */
static bool
peers_decode(const struct policy_draft *draft, const struct json_at *rule, const char *key,
             struct cross *cross, struct err *err)
{
    struct json_at peers;

    if (!json_get_array(rule, key, JSON_OPTIONAL, &peers, err)) {
        return false;
    }
    cross->is_any_peer = json_len(&peers) == 0;
    for (size_t i = 0; i < json_len(&peers); i++) {
        struct policy_rule holder = {0};
        struct json_at at = json_item(&peers, i);
        if (peer_decode(draft, &at, &holder.source, err)) {
            VEC_PUSH(&cross->peers, holder.source);
        } else {
            draft_issue(draft, err, "the peer is left out");
            policy_rule_done(&holder);
        }
    }
    return true;
}

/* ---- ports ---------------------------------------------------------------------------------- */

static bool
range_decode(const struct json_at *at, int64_t first, struct cross *cross, size_t protocol,
             struct err *err)
{
    struct json_range range = {first, UINT16_MAX, JSON_OPTIONAL};
    int64_t last = first;

    if (!json_get_int(at, "endPort", range, &last, err)) {
        return false;
    }
    cross_add_range(cross, protocol, (struct port_range){(uint16_t)first, (uint16_t)last});
    return true;
}

/* A name, or a number written as text. */
static bool
text_decode(const struct json_at *at, struct cross *cross, size_t protocol, struct err *err)
{
    const char *text = NULL;
    uint32_t number = 0;

    if (!json_get_string(at, "port", JSON_REQUIRED, &text, err)) {
        return false;
    }
    if (parse_u32(text, 1, UINT16_MAX, &number, NULL)) {
        return range_decode(at, number, cross, protocol, err);
    }
    if (!port_name_is_good(text)) {
        (void)err_set(err, "'%.64s' is not the name of a port", text);
        return json_wrap(at, "port", err);
    }
    if (json_has(at, "endPort")) {
        (void)err_set(err, "needs a port that is a number");
        return json_wrap(at, "endPort", err);
    }
    cross_add_name(cross, protocol, text);
    return true;
}

static bool
port_decode(const struct json_at *at, struct cross *cross, struct err *err)
{
    static const char *const known[] = {"protocol", "port", "endPort", NULL};
    const char *protocol = NULL;
    struct json_object *port = NULL;
    int64_t number = 0;
    size_t index = 0;

    if (!json_as_object(at, err) || !draft_members_known(at, known, err) ||
        !json_get_string(at, "protocol", JSON_OPTIONAL, &protocol, err)) {
        return false;
    }
    if (!port_protocol_find(protocol != NULL ? protocol : "TCP", &index)) {
        (void)err_set(err, "'%.64s' is not TCP, UDP or SCTP", protocol);
        return json_wrap(at, "protocol", err);
    }
    json_object_object_get_ex(at->json, "port", &port);
    if (json_object_is_type(port, json_type_string)) {
        return text_decode(at, cross, index, err);
    }
    if (port != NULL) {
        return json_get_int(at, "port", (struct json_range){1, UINT16_MAX, JSON_REQUIRED}, &number,
                            err) &&
               range_decode(at, number, cross, index, err);
    }
    if (json_has(at, "endPort")) {
        (void)err_set(err, "needs a port");
        return json_wrap(at, "endPort", err);
    }
    cross_add_protocol(cross, index);
    return true;
}

static bool
ports_decode(const struct policy_draft *draft, const struct json_at *rule, struct cross *cross,
             struct err *err)
{
    struct json_at ports;

    if (!json_get_array(rule, "ports", JSON_OPTIONAL, &ports, err)) {
        return false;
    }
    cross->is_any_port = json_len(&ports) == 0;
    for (size_t i = 0; i < json_len(&ports); i++) {
        struct json_at at = json_item(&ports, i);
        if (!port_decode(&at, cross, err)) {
            draft_issue(draft, err, "the port is left out");
        }
    }
    return true;
}

/* ---- the policy ----------------------------------------------------------------------------- */

static void
rule_decode(struct rule_list *list, const struct json_at *at)
{
    static const char *const known_ingress[] = {"from", "ports", NULL};
    static const char *const known_egress[] = {"to", "ports", NULL};
    const char *const *known = list->is_ingress ? known_ingress : known_egress;
    AUTO(cross) struct cross cross = {0};
    struct err err = ERR_INIT;

    if (!json_as_object(at, &err) || !draft_members_known(at, known, &err) ||
        !peers_decode(list->draft, at, known[0], &cross, &err) ||
        !ports_decode(list->draft, at, &cross, &err)) {
        rule_list_fail(list, RULE_ALLOW, &err);
        return;
    }
    cross_rules(&cross, list, RULE_ALLOW, NULL, at);
}

static void
namespace_add(const struct policy_draft *draft, struct clauses *clauses)
{
    clauses_add_equal(clauses, LABEL_NAMESPACE, draft->policy->ns);
    clauses_add_pods_only(clauses);
}

static bool
selector_decode(struct policy_draft *draft, struct err *err)
{
    AUTO(clauses) struct clauses clauses = {0};
    struct err reason = ERR_INIT;
    struct json_at pods;

    namespace_add(draft, &clauses);
    /* The API has it always; absent is everything, as there. */
    if (json_get_object(&draft->spec, "podSelector", JSON_OPTIONAL, &pods, &reason) &&
        (pods.json == NULL || clauses_add_labels(&clauses, SCOPE_OWN, &pods, &reason)) &&
        clauses_steal(&clauses, &draft->policy->selector, &reason)) {
        return true;
    }
    if (!draft_close(draft, &reason, err)) {
        return false;
    }
    clauses_done(&clauses);
    namespace_add(draft, &clauses);
    return clauses_steal(&clauses, &draft->policy->selector, err);
}

static void
spec_decode(struct policy_draft *draft)
{
    static const char *const known[] = {"podSelector", "policyTypes", "ingress", "egress", NULL};
    struct json_at egress = {0};
    bool is_given = false;

    draft_spec_known(draft, known);
    draft_types(draft, "policyTypes", &is_given);
    if (!is_given) {
        /* What the API's server fills in where it was left out; StagedKubernetesNetworkPolicy comes
         * without its help. */
        draft->policy->applies_ingress = true;
        draft->policy->applies_egress =
            !json_get_array(&draft->spec, "egress", JSON_OPTIONAL, &egress, NULL) ||
            json_len(&egress) > 0;
    }
    draft_rules(draft, "ingress", rule_decode);
    draft_rules(draft, "egress", rule_decode);
}

static struct policy *
decode(struct json_object *json, bool is_staged, const struct kind_issues *issues, struct err *err)
{
    struct policy_draft draft;
    bool is_void = false;

    if (!draft_init(&draft, json, POLICY_KUBERNETES, issues, err)) {
        return NULL;
    }
    draft.is_allow_only = true;
    draft.policy->is_staged = is_staged;
    draft.policy->tier = xstrdup("default");
    draft.policy->order = POLICY_ORDER;
    if (!selector_decode(&draft, err)) {
        policy_free(draft.policy);
        return NULL;
    }
    if (is_staged) {
        draft_staged_action(&draft, &is_void);
    }
    if (is_void) {
        draft_void(&draft);
    } else {
        spec_decode(&draft);
    }
    return draft.policy;
}

void *
network_policy_decode(struct json_object *json, const struct kind_issues *issues, struct err *err)
{
    return decode(json, false, issues, err);
}

void *
staged_kubernetes_network_policy_decode(struct json_object *json, const struct kind_issues *issues,
                                        struct err *err)
{
    return decode(json, true, issues, err);
}
