/* What the decoders of all policy kinds share, and where what is not understood ends. Called by
 * kubernetes_policy.c, calico_policy.c, calico_rule.c and cluster_policy.c. */
#include "lib/model/policy_draft.h"

#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/model/kind.h"
#include "lib/model/meta.h"
#include "lib/model/policy_selector.h"

static bool
head_decode(struct policy_draft *draft, struct err *err)
{
    struct policy *policy = draft->policy;
    struct json_object *json = draft->root.json;

    if (!meta_name(json, &policy->name, err)) {
        return false;
    }
    /* Both groups have namespaced and cluster-wide kinds, and the origin says which. */
    if ((policy->origin == POLICY_KUBERNETES || policy->origin == POLICY_NAMESPACED) &&
        !meta_namespace(json, &policy->ns, err)) {
        return false;
    }
    /* An empty spec is a policy for everything that allows nothing, and so is none. */
    return json_get_object(&draft->root, "spec", JSON_OPTIONAL, &draft->spec, err);
}

bool
draft_init(struct policy_draft *ret_draft, struct json_object *json, enum policy_origin origin,
           const struct kind_issues *issues, struct err *err)
{
    *ret_draft = (struct policy_draft){
        .policy = NEW(struct policy), .issues = issues, .root = json_root(json)};
    ret_draft->policy->origin = origin;
    ret_draft->policy->order = HUGE_VAL;
    if (!head_decode(ret_draft, err)) {
        policy_free(ret_draft->policy);
        return false;
    }
    return true;
}

void
draft_issue(const struct policy_draft *draft, struct err *err, const char *consequence)
{
    struct err issue = ERR_INIT;

    /* The reason is cut before the consequence is. */
    (void)err_set(&issue, "%.400s; %s", err->text, consequence);
    kind_issue(draft->issues, &issue);
    err_clear(err);
}

bool
draft_close(struct policy_draft *draft, struct err *reason, struct err *err)
{
    if (draft->policy->ns == NULL) {
        return err_set(err, "%s", reason->text);
    }
    draft->is_closed = true;
    draft_issue(draft, reason, "the policy is for its whole namespace and allows nothing");
    return true;
}

static bool
is_known(const char *key, const char *const known[])
{
    while (*known != NULL && strcmp(*known, key) != 0) {
        known++;
    }
    return *known != NULL;
}

bool
draft_members_known(const struct json_at *at, const char *const known[], struct err *err)
{
    struct json_object_iterator it = json_object_iter_begin(at->json);
    struct json_object_iterator end = json_object_iter_end(at->json);

    for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
        const char *key = json_object_iter_peek_name(&it);
        if (!is_known(key, known) && json_object_iter_peek_value(&it) != NULL) {
            (void)err_set(err, "is not supported");
            return json_wrap(at, key, err);
        }
    }
    return true;
}

void
draft_spec_known(const struct policy_draft *draft, const char *const known[])
{
    if (draft->spec.json == NULL) {
        return;
    }
    struct json_object_iterator it = json_object_iter_begin(draft->spec.json);
    struct json_object_iterator end = json_object_iter_end(draft->spec.json);
    for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
        const char *key = json_object_iter_peek_name(&it);
        bool is_staging = draft->policy->is_staged && strcmp(key, "stagedAction") == 0;
        struct err err = ERR_INIT;
        if (!is_staging && !is_known(key, known) && json_object_iter_peek_value(&it) != NULL) {
            (void)err_set(&err, "is not supported");
            (void)json_wrap(&draft->spec, key, &err);
            draft_issue(draft, &err, "it is ignored");
        }
    }
}

void
draft_staged_action(struct policy_draft *draft, bool *ret_is_void)
{
    const char *action = NULL;
    struct err err = ERR_INIT;

    if (!json_get_string(&draft->spec, "stagedAction", JSON_OPTIONAL, &action, &err)) {
        draft_issue(draft, &err, "it is taken as Set");
    }
    *ret_is_void =
        action != NULL && (strcmp(action, "Delete") == 0 || strcmp(action, "Ignore") == 0);
    if (action == NULL || *ret_is_void || strcmp(action, "Set") == 0 ||
        strcmp(action, "Learn") == 0 || action[0] == '\0') {
        return;
    }
    (void)err_set(&err, "'%.64s' is not Set, Delete, Learn or Ignore", action);
    (void)json_wrap(&draft->spec, "stagedAction", &err);
    draft_issue(draft, &err, "it is taken as Set");
}

void
draft_types(struct policy_draft *draft, const char *key, bool *ret_is_given)
{
    struct policy *policy = draft->policy;
    struct err err = ERR_INIT;
    struct json_at types = {0};
    const char *word = NULL;
    bool is_good = json_get_array(&draft->spec, key, JSON_OPTIONAL, &types, &err);

    for (size_t i = 0; is_good && i < json_len(&types); i++) {
        struct json_at item = json_item(&types, i);
        is_good = json_as_string(&item, &word, &err);
        if (is_good && strcmp(word, "Ingress") == 0) {
            policy->applies_ingress = true;
        } else if (is_good && strcmp(word, "Egress") == 0) {
            policy->applies_egress = true;
        } else if (is_good) {
            (void)err_set(&err, "'%.64s' is not Ingress or Egress", word);
            is_good = json_wrap(&item, NULL, &err);
        }
    }
    if (!is_good) {
        policy->applies_ingress = policy->applies_egress = true;
        draft_issue(draft, &err, "the policy is for both directions");
    }
    *ret_is_given = !is_good || json_len(&types) > 0;
}

void
draft_rules(struct policy_draft *draft, const char *key,
            void (*decode)(struct rule_list *list, const struct json_at *at))
{
    struct policy *policy = draft->policy;
    struct rule_list list = {.draft = draft, .is_ingress = strcmp(key, "ingress") == 0};
    bool applies = list.is_ingress ? policy->applies_ingress : policy->applies_egress;
    struct err err = ERR_INIT;
    struct json_at rules;

    if (!json_get_array(&draft->spec, key, JSON_OPTIONAL, &rules, &err)) {
        rule_list_fail(&list, draft->is_allow_only ? RULE_ALLOW : RULE_DENY, &err);
        rules = (struct json_at){0};
    }
    if (!applies && json_len(&rules) > 0) {
        (void)err_set(&err, "spec.%s: the policy is not for this direction", key);
        draft_issue(draft, &err, "the rules are ignored");
        rules = (struct json_at){0};
    }
    for (size_t i = 0; i < json_len(&rules); i++) {
        struct json_at at = json_item(&rules, i);
        list.at = (uint32_t)i;
        decode(&list, &at);
    }
    if (list.rules.n > 0) {
        list.rules.items =
            xreallocarray(list.rules.items, list.rules.n, sizeof(struct policy_rule));
    }
    *(list.is_ingress ? &policy->ingress : &policy->egress) = list.rules.items;
    *(list.is_ingress ? &policy->n_ingress : &policy->n_egress) = list.rules.n;
}

void
draft_void(struct policy_draft *draft)
{
    draft->policy->applies_ingress = draft->policy->applies_egress = false;
    free(draft->policy->selector);
    draft->policy->selector = xstrdup("!all()");
}

struct policy_rule
rule_of(enum rule_action action)
{
    return (struct policy_rule){
        .action = action,
        .protocol = RULE_ANY,
        .not_protocol = RULE_ANY,
        .icmp_type = RULE_ANY,
        .icmp_code = RULE_ANY,
        .not_icmp_type = RULE_ANY,
        .not_icmp_code = RULE_ANY,
    };
}

static size_t
peer_weight(const struct rule_peer *peer)
{
    return peer->n_nets + peer->n_not_nets + peer->n_ports + peer->n_not_ports +
           peer->n_named_ports + peer->n_not_named_ports;
}

static bool
is_opening(enum rule_action action)
{
    return action == RULE_ALLOW || action == RULE_LOG;
}

static void
deny_everything(struct rule_list *list)
{
    if (!list->is_ended) {
        struct policy_rule rule = rule_of(RULE_DENY);
        rule.written = list->at;
        VEC_PUSH(&list->rules, rule);
    }
    list->is_ended = true;
}

/* Said once: there may be thousands behind it. */
static void
tell_full(struct rule_list *list, const struct json_at *at)
{
    struct err err = ERR_INIT;

    if (!list->is_full) {
        (void)err_set(&err, "rules, networks and ports are more than %d", POLICY_WEIGHT_MAX);
        (void)json_wrap(at, NULL, &err);
        draft_issue(list->draft, &err,
                    "from here on those that allow are left out, and the first other denies all");
    }
    list->is_full = true;
}

void
rule_list_take(struct rule_list *list, struct policy_rule *rule, const struct json_at *at)
{
    size_t weight = 1 + peer_weight(&rule->source) + peer_weight(&rule->destination);
    bool is_kept = !list->is_ended;

    if (list->is_full || list->weight + weight > POLICY_WEIGHT_MAX) {
        tell_full(list, at);
        is_kept = false;
        if (!is_opening(rule->action)) {
            deny_everything(list);
        }
    }
    if (list->draft->is_closed) {
        is_kept &= rule->action != RULE_ALLOW;
        rule->action = rule->action == RULE_PASS ? RULE_DENY : rule->action;
    }
    if (!is_kept) {
        policy_rule_done(rule);
        return;
    }
    list->weight += weight;
    rule->written = list->at;
    VEC_PUSH(&list->rules, *rule);
}

void
rule_list_fail(struct rule_list *list, enum rule_action action, struct err *err)
{
    if (is_opening(action)) {
        draft_issue(list->draft, err, "the rule is left out");
        return;
    }
    draft_issue(list->draft, err, "the rule denies everything");
    deny_everything(list);
}

bool
net_decode(const char *text, struct prefix *ret_net, struct err *err)
{
    struct prefix net;

    if (!prefix_parse_host(text, &net, err)) {
        return false;
    }
    *ret_net = prefix_network(&net);
    return true;
}

bool
port_name_is_good(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

    return len > 0 && len <= 128 && name[len] == '\0';
}
