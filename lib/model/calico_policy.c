/* Decodes crd.projectcalico.org/v1 NetworkPolicy and GlobalNetworkPolicy and their staged forms.
 * Called through the kinds' table. Names stay as they are stored, with the tier in front where
 * Calico puts it: a name without it may be another object. */
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/model/calico_rule.h"
#include "lib/model/kind.h"
#include "lib/model/meta.h"
#include "lib/model/policy_kinds.h"
#include "lib/model/policy_selector.h"

static bool
tier_decode(struct policy_draft *draft, struct err *err)
{
    const char *tier = NULL;

    if (!json_get_string(&draft->spec, "tier", JSON_OPTIONAL, &tier, err)) {
        return false;
    }
    tier = tier != NULL && tier[0] != '\0' ? tier : "default";
    if (!meta_is_name(tier)) {
        (void)err_set(err, "'%.64s' is not the name of a tier", tier);
        return json_wrap(&draft->spec, "tier", err);
    }
    draft->policy->tier = xstrdup(tier);
    return true;
}

static bool
order_decode(struct policy_draft *draft, struct err *err)
{
    struct json_object *order = NULL;

    if (draft->spec.json != NULL) {
        json_object_object_get_ex(draft->spec.json, "order", &order);
    }
    if (order == NULL) {
        return true;
    }
    double value = json_object_get_double(order);
    if ((!json_object_is_type(order, json_type_int) &&
         !json_object_is_type(order, json_type_double)) ||
        !isfinite(value)) {
        (void)err_set(err, "is not a number");
        return json_wrap(&draft->spec, "order", err);
    }
    draft->policy->order = value;
    return true;
}

/* ---- whom it is for ------------------------------------------------------------------------- */

static bool
clause_decode(const struct policy_draft *draft, const char *key, enum clause_scope scope,
              struct clauses *clauses, struct err *err)
{
    const char *text = NULL;

    return json_get_string(&draft->spec, key, JSON_OPTIONAL, &text, err) &&
           (text == NULL || clauses_add_selector(clauses, scope, text, err) ||
            json_wrap(&draft->spec, key, err));
}

static bool
clauses_decode(const struct policy_draft *draft, struct clauses *clauses, struct err *err)
{
    const char *ns = draft->policy->ns;

    if (ns != NULL) {
        clauses_add_equal(clauses, LABEL_NAMESPACE, ns);
    } else if (!clause_decode(draft, "namespaceSelector", SCOPE_NAMESPACE, clauses, err)) {
        return false;
    }
    return clause_decode(draft, "serviceAccountSelector", SCOPE_SERVICE_ACCOUNT, clauses, err) &&
           clause_decode(draft, "selector", SCOPE_OWN, clauses, err);
}

static bool
selector_decode(struct policy_draft *draft, struct err *err)
{
    AUTO(clauses) struct clauses clauses = {0};
    struct err reason = ERR_INIT;

    if (clauses_decode(draft, &clauses, &reason) &&
        (clauses_steal(&clauses, &draft->policy->selector, &reason) ||
         json_wrap(&draft->spec, "selector", &reason))) {
        return true;
    }
    if (!draft_close(draft, &reason, err)) {
        return false;
    }
    clauses_done(&clauses);
    clauses_add_equal(&clauses, LABEL_NAMESPACE, draft->policy->ns);
    return clauses_steal(&clauses, &draft->policy->selector, err);
}

/* ---- how it applies ------------------------------------------------------------------------- */

static size_t
rules_len(const struct policy_draft *draft, const char *key)
{
    struct json_at rules = {0};

    /* What is no list becomes a rule that denies everything. */
    return json_get_array(&draft->spec, key, JSON_OPTIONAL, &rules, NULL) ? json_len(&rules) : 1;
}

static void
types_decode(struct policy_draft *draft)
{
    struct policy *policy = draft->policy;
    bool is_given = false;

    draft_types(draft, "types", &is_given);
    if (!is_given) {
        policy->applies_egress = rules_len(draft, "egress") > 0;
        policy->applies_ingress = !policy->applies_egress || rules_len(draft, "ingress") > 0;
    }
}

/* What only GlobalNetworkPolicy has. */
static bool
switches_decode(struct policy_draft *draft, struct err *err)
{
    struct policy *policy = draft->policy;

    if (!json_get_bool(&draft->spec, "doNotTrack", JSON_OPTIONAL, &policy->is_untracked, err) ||
        !json_get_bool(&draft->spec, "preDNAT", JSON_OPTIONAL, &policy->is_pre_dnat, err) ||
        !json_get_bool(&draft->spec, "applyOnForward", JSON_OPTIONAL, &policy->applies_on_forward,
                       err)) {
        return false;
    }
    if (policy->is_untracked && policy->is_pre_dnat) {
        (void)err_set(err, "cannot be given together with doNotTrack");
        return json_wrap(&draft->spec, "preDNAT", err);
    }
    policy->applies_on_forward |= policy->is_untracked || policy->is_pre_dnat;
    return true;
}

static void
hints_decode(struct policy_draft *draft)
{
    struct json_at hints;
    struct err err = ERR_INIT;
    const char *hint = NULL;

    if (!json_get_array(&draft->spec, "performanceHints", JSON_OPTIONAL, &hints, &err)) {
        draft_issue(draft, &err, "the hints are ignored");
        return;
    }
    for (size_t i = 0; i < json_len(&hints); i++) {
        struct json_at item = json_item(&hints, i);
        bool is_good = json_as_string(&item, &hint, &err);
        if (is_good && strcmp(hint, "AssumeNeededOnEveryNode") == 0) {
            draft->policy->is_always_programmed = true;
            continue;
        }
        if (is_good) {
            (void)err_set(&err, "'%.64s' is not known", hint);
            (void)json_wrap(&item, NULL, &err);
        }
        draft_issue(draft, &err, "the hint is ignored");
    }
}

/* Before DNAT there is no output interface, and so no egress. */
static void
restrict_pre_dnat(struct policy_draft *draft)
{
    struct policy *policy = draft->policy;
    struct err err = ERR_INIT;

    if (policy->is_pre_dnat && policy->applies_egress) {
        (void)err_set(&err, "spec.preDNAT: the policy can be for ingress only");
        draft_issue(draft, &err, "egress is ignored");
        policy->applies_egress = false;
        policy->applies_ingress = true;
    }
}

static bool
spec_decode(struct policy_draft *draft, struct err *err)
{
    static const char *const known_namespaced[] = {
        "tier",  "order",   "selector", "serviceAccountSelector",
        "types", "ingress", "egress",   "performanceHints",
        NULL};
    static const char *const known_global[] = {
        "tier",    "order",      "selector",       "serviceAccountSelector",
        "types",   "ingress",    "egress",         "performanceHints",
        "preDNAT", "doNotTrack", "applyOnForward", "namespaceSelector",
        NULL};
    bool is_global = draft->policy->ns == NULL;

    if (is_global && !switches_decode(draft, err)) {
        return false;
    }
    draft_spec_known(draft, is_global ? known_global : known_namespaced);
    hints_decode(draft);
    types_decode(draft);
    restrict_pre_dnat(draft);
    draft_rules(draft, "ingress", calico_rule_decode);
    draft_rules(draft, "egress", calico_rule_decode);
    return true;
}

static struct policy *
decode(const struct policy *like, struct json_object *json, const struct kind_issues *issues,
       struct err *err)
{
    struct policy_draft draft;
    bool is_void = false;

    if (!draft_init(&draft, json, like->origin, issues, err)) {
        return NULL;
    }
    draft.policy->is_staged = like->is_staged;
    if (like->is_staged) {
        draft_staged_action(&draft, &is_void);
    }
    if (!tier_decode(&draft, err) || !order_decode(&draft, err) || !selector_decode(&draft, err) ||
        (!is_void && !spec_decode(&draft, err))) {
        policy_free(draft.policy);
        return NULL;
    }
    if (is_void) {
        draft_void(&draft);
    }
    return draft.policy;
}

void *
calico_network_policy_decode(struct json_object *json, const struct kind_issues *issues,
                             struct err *err)
{
    return decode(&(struct policy){.origin = POLICY_NAMESPACED}, json, issues, err);
}

void *
global_network_policy_decode(struct json_object *json, const struct kind_issues *issues,
                             struct err *err)
{
    return decode(&(struct policy){.origin = POLICY_GLOBAL}, json, issues, err);
}

void *
staged_network_policy_decode(struct json_object *json, const struct kind_issues *issues,
                             struct err *err)
{
    return decode(&(struct policy){.origin = POLICY_NAMESPACED, .is_staged = true}, json, issues,
                  err);
}

void *
staged_global_network_policy_decode(struct json_object *json, const struct kind_issues *issues,
                                    struct err *err)
{
    return decode(&(struct policy){.origin = POLICY_GLOBAL, .is_staged = true}, json, issues, err);
}
