/* A policy while it is decoded: what the decoders of all policy kinds share. Internal to lib/model.
 *
 * One place decides what becomes of what is not understood, so that no kind opens by accident:
 *   a rule that allows or logs      is left out
 *   a rule that denies or passes    denies everything
 *   whom a namespaced policy is for it is for its whole namespace, and allows nothing
 *   anything else                   the object is refused; the last good version stays in force
 * and all of it is reported. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/vec.h"
#include "lib/json/json.h"
#include "lib/model/policy.h"

struct kind_issues;

/* What the rules of one direction may weigh: one each, and one for every network, port range and
 * name. Keeps an object of the API's 1.5 MB from becoming gigabytes: peers times ports is a
 * product.
 */
#define POLICY_WEIGHT_MAX 65536

struct policy_draft {
    struct policy *policy; /* the caller's to free or hand out */
    const struct kind_issues *issues;
    struct json_at root, spec;
    bool is_closed;     /* whom it is for is not understood */
    bool is_allow_only; /* the kind has no rules that deny */
};

struct rule_list {
    struct policy_draft *draft;
    bool is_ingress;
    bool is_full;
    bool is_ended; /* a rule that denies everything stands at the end */
    size_t weight;
    uint32_t at; /* the element that is decoded */
    VEC(struct policy_rule) rules;
};

/* Name, namespace and spec; false with 'err', and then there is nothing to free. 'ret_draft' must
 * stay where it is. */
MUST_CHECK bool draft_init(struct policy_draft *ret_draft, struct json_object *json,
                           enum policy_origin origin, const struct kind_issues *issues,
                           struct err *err);
/* Reports 'err' with what is done about it behind; 'err' is used up. */
void draft_issue(const struct policy_draft *draft, struct err *err, const char *consequence);
/* Whom the policy is for is not understood, for this reason: false, with 'err', when that refuses
 * the object. */
MUST_CHECK bool draft_close(struct policy_draft *draft, struct err *reason, struct err *err);
/* An error for the first member of an object that is not in 'known', which ends with NULL. */
MUST_CHECK bool draft_members_known(const struct json_at *at, const char *const known[],
                                    struct err *err);
/* Reports members of the spec that are not in 'known'; they are ignored. stagedAction is known. */
void draft_spec_known(const struct policy_draft *draft, const char *const known[]);
/* The list of "Ingress" and "Egress" under 'key' into the policy; *ret_is_given is false when it is
 * absent or empty. A word that is not understood is reported and means both. */
void draft_types(struct policy_draft *draft, const char *key, bool *ret_is_given);
/* Decodes the list under 'key' ("ingress", "egress"), rule by rule, into the policy. Those of a
 * direction the policy does not apply to are ignored and reported. */
void draft_rules(struct policy_draft *draft, const char *key,
                 void (*decode)(struct rule_list *list, const struct json_at *at));
/* stagedAction of a staged kind: *ret_is_void for those that stage nothing: Delete (of the policy
 * that is in force) and Ignore. */
void draft_staged_action(struct policy_draft *draft, bool *ret_is_void);
/* Nothing of it applies to anything. */
void draft_void(struct policy_draft *draft);

/* A rule without any match. */
struct policy_rule rule_of(enum rule_action action);
/* Takes the rule's memory. 'at' names it when there are too many. */
void rule_list_take(struct rule_list *list, struct policy_rule *rule, const struct json_at *at);
/* In place of a rule with this action that is not understood; reports 'err'. */
void rule_list_fail(struct rule_list *list, enum rule_action action, struct err *err);
/* A network with or without host bits; a bare address is one. */
MUST_CHECK bool net_decode(const char *text, struct prefix *ret_net, struct err *err);
/* A name a port can have. */
bool port_name_is_good(const char *name);
