/* The ipsets behind policy: from the sets felix/calc names to sets of the kernel, one for each
 * family. Used by policies.c. */
#pragma once

#include "felix/dataplane/sets.h"
#include "felix/policy.h"

struct policy_sets;

struct policy_sets *policy_sets_new(struct sets *sets, bool ipv6, uint32_t max_members);
void policy_sets_free(struct policy_sets *policy_sets); /* the kernel keeps them */
void policy_sets_put(struct policy_sets *policy_sets, const struct policy_set *set);
/* Goes some time after no rule names it any more, see sets_release(). */
void policy_sets_remove(struct policy_sets *policy_sets, const struct policy_set *set);
/* Members of sets that were not put are ignored. */
void policy_sets_member(struct policy_sets *policy_sets, const struct policy_set *set,
                        const struct policy_set_member *member, bool is_added);
