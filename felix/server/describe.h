/* Policies and rules in words, for people: explain, drops, counters. Pure. */
#pragma once

#include "felix/policy.h"
#include "felix/rules/drop_tag.h"
#include "lib/base/str.h"

/* "NetworkPolicy"; Calico's of the same kind is "NetworkPolicy.projectcalico.org". */
const char *describe_kind(const struct policy *policy);
/* "NetworkPolicy default/web": unique. */
void describe_policy(const struct policy *policy, struct str *out);
/* "allow tcp from selector (role == 'web') to ports 80,8000-8100"; long lists are cut. */
void describe_rule(const struct policy_rule *rule, struct str *out);
const char *describe_action(enum rule_action action);     /* "allow" */
const char *describe_direction(enum direction direction); /* "ingress" */
/* "rule" "tier" "no-profile" "refused" "unknown-interface" "to-host" "service-loop" "invalid" */
const char *describe_reason(enum drop_reason reason);
