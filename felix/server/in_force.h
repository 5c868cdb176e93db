/* The policies and verdict lists in force on this node, by the ids that stand in names of chains
 * and in drop tags: so that what the kernel tells can be given names. Fed with what
 * felix/calc/policy_state tells. */
#pragma once

#include "felix/policy.h"
#include "felix/rules/drop_tag.h"
#include "lib/base/str.h"

struct in_force;

struct in_force *in_force_new(void);
void in_force_free(struct in_force *in_force); /* NULL is fine */

/* As the outputs of policy_state; borrowed until they are told to be gone. */
void in_force_policy(struct in_force *in_force, const struct active_policy *policy, bool is_active);
void in_force_list(struct in_force *in_force, const struct verdict_list *list, bool is_active);

/* NULL: not in force (any more). */
const struct active_policy *in_force_get_policy(const struct in_force *in_force, const char *id);
const struct verdict_list *in_force_get_list(const struct in_force *in_force, const char *id);
size_t in_force_n_policies(const struct in_force *in_force);
/* Counts up with every change of a policy. */
uint64_t in_force_revision(const struct in_force *in_force);
/* 'revision' is that of the policy's last change. */
void in_force_each_policy(const struct in_force *in_force,
                          void (*each)(void *owner, const struct active_policy *policy,
                                       uint64_t revision),
                          void *owner);

/* Who denied, for people: "NetworkPolicy default/web, rule 0" or "the end of tier default". */
void in_force_describe(const struct in_force *in_force, const struct drop_tag *tag,
                       struct str *out);
