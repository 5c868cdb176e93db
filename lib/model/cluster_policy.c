/* Decodes policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy. Called through the kinds' table.
 *
 * Its API says how to fail: with a peer or protocol that is not understood, a rule that accepts
 * matches nothing and one that denies or passes denies everything. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "lib/model/kind.h"
#include "lib/model/policy_cross.h"
#include "lib/model/policy_draft.h"
#include "lib/model/policy_kinds.h"
#include "lib/model/policy_selector.h"

/* ---- pods ----------------------------------------------------------------------------------- */

/* Subject and peers name pods in one way: by the namespace, or by namespace and pod. Exactly one
 * member must be there; *ret_text stays NULL when it is another one than these two. */
static bool
pods_decode(const struct json_at *at, char **ret_text, struct err *err)
{
    static const char *const known_pods[] = {"namespaceSelector", "podSelector", NULL};
    AUTO(clauses) struct clauses clauses = {0};
    struct json_at namespaces, pods, namespace_selector, pod_selector;

    if (!json_as_object(at, err)) {
        return false;
    }
    if (json_object_object_length(at->json) != 1) {
        (void)err_set(err, "must have one member, not %d", json_object_object_length(at->json));
        return json_wrap(at, NULL, err);
    }
    if (!json_get_object(at, "namespaces", JSON_OPTIONAL, &namespaces, err) ||
        !json_get_object(at, "pods", JSON_OPTIONAL, &pods, err)) {
        return false;
    }
    clauses_add_pods_only(&clauses);
    if (namespaces.json != NULL) {
        return clauses_add_labels(&clauses, SCOPE_NAMESPACE, &namespaces, err) &&
               (clauses_steal(&clauses, ret_text, err) || json_wrap(at, NULL, err));
    }
    if (pods.json == NULL) {
        return true;
    }
    return draft_members_known(&pods, known_pods, err) &&
           json_get_object(&pods, "namespaceSelector", JSON_REQUIRED, &namespace_selector, err) &&
           json_get_object(&pods, "podSelector", JSON_REQUIRED, &pod_selector, err) &&
           clauses_add_labels(&clauses, SCOPE_NAMESPACE, &namespace_selector, err) &&
           clauses_add_labels(&clauses, SCOPE_OWN, &pod_selector, err) &&
           (clauses_steal(&clauses, ret_text, err) || json_wrap(at, NULL, err));
}

/* An empty selector is every node. */
static bool
nodes_decode(const struct json_at *nodes, struct rule_peer *peer, struct err *err)
{
    AUTO(clauses) struct clauses clauses = {0};

    return clauses_add_labels(&clauses, SCOPE_OWN, nodes, err) &&
           (clauses_steal(&clauses, &peer->node_selector, err) || json_wrap(nodes, NULL, err));
}

static bool
networks_decode(const struct json_at *networks, struct rule_peer *peer, struct err *err)
{
    const char *text = NULL;

    peer->has_nets = true;
    peer->nets = xcalloc(json_len(networks) + 1, sizeof(struct prefix));
    for (size_t i = 0; i < json_len(networks); i++) {
        struct json_at item = json_item(networks, i);
        if (!json_as_string(&item, &text, err)) {
            return false;
        }
        if (!net_decode(text, &peer->nets[i], err)) {
            return json_wrap(&item, NULL, err);
        }
        peer->n_nets++;
    }
    if (peer->n_nets == 0) {
        (void)err_set(err, "is empty");
        return json_wrap(networks, NULL, err);
    }
    return true;
}

static bool
peer_decode(const struct rule_list *list, const struct json_at *at, struct rule_peer *peer,
            struct err *err)
{
    static const char *const known_ingress[] = {"namespaces", "pods", NULL};
    static const char *const known_egress[] = {"namespaces", "pods", "nodes", "networks", NULL};
    struct json_at nodes, networks;

    if (!json_as_object(at, err) ||
        !draft_members_known(at, list->is_ingress ? known_ingress : known_egress, err) ||
        !pods_decode(at, &peer->selector, err) ||
        !json_get_object(at, "nodes", JSON_OPTIONAL, &nodes, err) ||
        !json_get_array(at, "networks", JSON_OPTIONAL, &networks, err)) {
        return false;
    }
    if (nodes.json != NULL) {
        return nodes_decode(&nodes, peer, err);
    }
    if (networks.json != NULL) {
        return networks_decode(&networks, peer, err);
    }
    if (peer->selector == NULL) {
        (void)err_set(err, "names no peer");
        return json_wrap(at, NULL, err);
    }
    return true;
}

static bool
peers_decode(const struct rule_list *list, const struct json_at *rule, struct cross *cross,
             struct err *err)
{
    const char *key = list->is_ingress ? "from" : "to";
    struct json_at peers;

    if (!json_get_array(rule, key, JSON_REQUIRED, &peers, err)) {
        return false;
    }
    if (json_len(&peers) == 0) {
        (void)err_set(err, "is empty");
        return json_wrap(rule, key, err);
    }
    for (size_t i = 0; i < json_len(&peers); i++) {
        struct policy_rule holder = {0};
        struct json_at at = json_item(&peers, i);
        bool is_good = peer_decode(list, &at, &holder.source, err);
        VEC_PUSH(&cross->peers, holder.source);
        if (!is_good) {
            return false;
        }
    }
    return true;
}

/* ---- protocols ------------------------------------------------------------------------------ */

static bool
range_decode(const struct json_at *port, struct port_range *ret_range, struct err *err)
{
    static const char *const known[] = {"number", "range", NULL};
    static const char *const known_range[] = {"start", "end", NULL};
    const struct json_range limits = {1, UINT16_MAX, JSON_REQUIRED};
    struct json_at range;
    int64_t first = 0, last = 0;

    if (!draft_members_known(port, known, err) ||
        !json_get_object(port, "range", JSON_OPTIONAL, &range, err)) {
        return false;
    }
    if (json_has(port, "number") == (range.json != NULL)) {
        (void)err_set(err, "needs either number or range");
        return json_wrap(port, NULL, err);
    }
    if (range.json == NULL) {
        if (!json_get_int(port, "number", limits, &first, err)) {
            return false;
        }
        last = first;
    } else {
        if (!draft_members_known(&range, known_range, err) ||
            !json_get_int(&range, "start", limits, &first, err) ||
            !json_get_int(&range, "end", (struct json_range){first, UINT16_MAX, JSON_REQUIRED},
                          &last, err)) {
            return false;
        }
    }
    *ret_range = (struct port_range){(uint16_t)first, (uint16_t)last};
    return true;
}

static bool
named_port_decode(const struct json_at *at, struct cross *cross, struct err *err)
{
    const char *name = NULL;

    if (!json_get_string(at, "destinationNamedPort", JSON_REQUIRED, &name, err)) {
        return false;
    }
    if (!port_name_is_good(name)) {
        (void)err_set(err, "'%.64s' is not the name of a port", name);
        return json_wrap(at, "destinationNamedPort", err);
    }
    VEC_FOREACH (&cross->peers, peer) {
        if (peer->selector == NULL) {
            (void)err_set(err, "%s have no ports with names",
                          peer->has_nets ? "networks" : "nodes");
            return json_wrap(at, "destinationNamedPort", err);
        }
    }
    for (size_t i = 0; i < N_PORT_PROTOCOLS; i++) {
        cross_add_name(cross, i, name);
    }
    return true;
}

static bool
protocol_decode(const struct json_at *at, struct cross *cross, struct err *err)
{
    static const char *const known[] = {"destinationPort", NULL};
    static const char *const keys[N_PORT_PROTOCOLS] = {"tcp", "udp", "sctp"};
    struct json_at protocol, port;
    struct port_range range;
    size_t index = 0;

    if (!json_as_object(at, err)) {
        return false;
    }
    if (json_object_object_length(at->json) != 1) {
        (void)err_set(err, "must have one member, not %d", json_object_object_length(at->json));
        return json_wrap(at, NULL, err);
    }
    if (json_has(at, "destinationNamedPort")) {
        return named_port_decode(at, cross, err);
    }
    while (index < N_PORT_PROTOCOLS && !json_has(at, keys[index])) {
        index++;
    }
    if (index == N_PORT_PROTOCOLS) {
        (void)err_set(err, "is not tcp, udp, sctp or destinationNamedPort");
        return json_wrap(at, NULL, err);
    }
    if (!json_get_object(at, keys[index], JSON_REQUIRED, &protocol, err) ||
        !draft_members_known(&protocol, known, err) ||
        !json_get_object(&protocol, "destinationPort", JSON_REQUIRED, &port, err) ||
        !range_decode(&port, &range, err)) {
        return false;
    }
    cross_add_range(cross, index, range);
    return true;
}

static bool
protocols_decode(const struct json_at *rule, struct cross *cross, struct err *err)
{
    struct json_at protocols;

    if (!json_get_array(rule, "protocols", JSON_OPTIONAL, &protocols, err)) {
        return false;
    }
    cross->is_any_port = json_len(&protocols) == 0;
    for (size_t i = 0; i < json_len(&protocols); i++) {
        struct json_at at = json_item(&protocols, i);
        if (!protocol_decode(&at, cross, err)) {
            return false;
        }
    }
    return true;
}

/* ---- rules ---------------------------------------------------------------------------------- */

static bool
action_decode(const struct json_at *at, enum rule_action *ret_action, struct err *err)
{
    const char *text = NULL;

    if (!json_get_string(at, "action", JSON_REQUIRED, &text, err)) {
        return false;
    }
    if (strcmp(text, "Accept") == 0) {
        *ret_action = RULE_ALLOW;
    } else if (strcmp(text, "Deny") == 0) {
        *ret_action = RULE_DENY;
    } else if (strcmp(text, "Pass") == 0) {
        *ret_action = RULE_PASS;
    } else {
        (void)err_set(err, "'%.64s' is not Accept, Deny or Pass", text);
        return json_wrap(at, "action", err);
    }
    return true;
}

static void
rule_decode(struct rule_list *list, const struct json_at *at)
{
    static const char *const known_ingress[] = {"name", "action", "from", "protocols", NULL};
    static const char *const known_egress[] = {"name", "action", "to", "protocols", NULL};
    enum rule_action action = RULE_DENY;
    AUTO(cross) struct cross cross = {0};
    AUTO_FREE char *comment = NULL;
    const char *name = NULL;
    struct err err = ERR_INIT;

    if (!json_as_object(at, &err) || !action_decode(at, &action, &err) ||
        !draft_members_known(at, list->is_ingress ? known_ingress : known_egress, &err) ||
        !json_get_string(at, "name", JSON_OPTIONAL, &name, &err) ||
        !peers_decode(list, at, &cross, &err) || !protocols_decode(at, &cross, &err)) {
        rule_list_fail(list, action, &err);
        return;
    }
    /* 100 characters by the API; nothing else keeps it short. */
    comment = name != NULL && name[0] != '\0' ? xstrndup(name, strnlen(name, 256)) : NULL;
    cross_rules(&cross, list, action, comment, at);
}

/* ---- the policy ----------------------------------------------------------------------------- */

static bool
head_decode(struct policy_draft *draft, struct err *err)
{
    const char *tier = NULL;
    struct json_at subject;
    int64_t priority = 0;

    if (!json_get_string(&draft->spec, "tier", JSON_REQUIRED, &tier, err) ||
        !json_get_int(&draft->spec, "priority", (struct json_range){0, 1000, JSON_REQUIRED},
                      &priority, err) ||
        !json_get_object(&draft->spec, "subject", JSON_REQUIRED, &subject, err) ||
        !pods_decode(&subject, &draft->policy->selector, err)) {
        return false;
    }
    if (draft->policy->selector == NULL) {
        (void)err_set(err, "is neither namespaces nor pods");
        return json_wrap(&draft->spec, "subject", err);
    }
    if (strcmp(tier, "Admin") != 0 && strcmp(tier, "Baseline") != 0) {
        (void)err_set(err, "'%.64s' is not Admin or Baseline", tier);
        return json_wrap(&draft->spec, "tier", err);
    }
    draft->policy->tier = xstrdup(tier[0] == 'A' ? "kube-admin" : "kube-baseline");
    draft->policy->order = (double)priority;
    return true;
}

void *
cluster_network_policy_decode(struct json_object *json, const struct kind_issues *issues,
                              struct err *err)
{
    static const char *const known[] = {"tier", "priority", "subject", "ingress", "egress", NULL};
    struct policy_draft draft;

    if (!draft_init(&draft, json, POLICY_CLUSTER, issues, err)) {
        return NULL;
    }
    if (!head_decode(&draft, err)) {
        policy_free(draft.policy);
        return NULL;
    }
    draft_spec_known(&draft, known);
    /* Nothing is isolated by being selected: rules act, their absence does not. */
    draft.policy->applies_ingress = draft.policy->applies_egress = true;
    draft_rules(&draft, "ingress", rule_decode);
    draft_rules(&draft, "egress", rule_decode);
    draft.policy->applies_ingress = draft.policy->n_ingress > 0;
    draft.policy->applies_egress = draft.policy->n_egress > 0;
    return draft.policy;
}
