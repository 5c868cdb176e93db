/* The rules that do not depend on any pod or policy: anti-spoofing, IPIP, forwarding, NAT.
 * Membership lives in ipsets, so these rules change only with settings. */
#pragma once

#include <stdint.h>

#include "felix/rules/policy_rules.h"
#include "felix/rules/ruleset.h"

struct static_rules_config {
    const char *workload_prefix; /* "cali" */
    bool is_append_mode;         /* ChainInsertMode=append */
    bool has_random_fully;       /* MASQUERADE --random-fully */
    bool has_tunnel;             /* some pool uses IPIP */
    /* NULL: no policy; pods may do everything that is not spoofed. Else policy_rules_static() is
     * part of what is added. */
    const struct policy_rules_config *policy;
};

/* Adds to 'set' what family 4 or 6 needs. */
void static_rules(const struct static_rules_config *config, uint8_t family, struct ruleset *set);
