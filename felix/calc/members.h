/* The members of one set with reference counts: several endpoints, network sets or slices may have
 * the same address. Gathers what changed, so that a member that comes and goes between two tellings
 * is not told at all. */
#pragma once

#include "felix/policy.h"
#include "lib/base/vec.h"

struct member_slot;

struct members {
    struct member_slot *slots; /* open addressing; 28 bytes a slot, at most 3/4 full */
    size_t n_slots;            /* power of two, or 0 */
    size_t n_used;             /* those that await telling their end among them */
    size_t n;                  /* in force */
    uint32_t *n_by_len;        /* shorter prefixes in force by family and length; NULL: none ever */
    VEC(struct policy_set_member) touched;
};

typedef void (*member_fn)(void *owner, const struct policy_set_member *member, bool is_added);

void members_init(struct members *members);
void members_done(struct members *members);
/* One reference more or less. What was never added must not be removed. */
void members_add(struct members *members, const struct policy_set_member *member);
void members_remove(struct members *members, const struct policy_set_member *member);
/* Two halves of one telling, with whatever else has to be told between them. */
void members_tell_added(struct members *members, member_fn tell, void *owner);
void members_tell_removed(struct members *members, member_fn tell, void *owner);
/* Whether a member is, or contains, what is asked for. */
bool members_hold(const struct members *members, const struct policy_set_member *member);
