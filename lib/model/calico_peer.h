/* One end of a rule of Calico's policies ("entity rule"). Internal to lib/model. */
#pragma once

#include "lib/model/policy_draft.h"

/* The object under 'key' of the rule; absent is everything. 'ns' of the policy, NULL: cluster-wide.
 * 'peer' is the caller's to free in any case. */
MUST_CHECK bool calico_peer_decode(const struct json_at *rule, const char *key, const char *ns,
                                   struct rule_peer *peer, struct err *err);
