/* A rule of Calico's policies. Internal to lib/model. */
#pragma once

#include "lib/model/policy_draft.h"

/* For draft_rules(). */
void calico_rule_decode(struct rule_list *list, const struct json_at *at);
