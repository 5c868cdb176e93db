/* Keeps the ipsets felix owns equal to what is wanted. A change costs what it changes; a resync
 * reads a set back and repairs the difference. */
#pragma once

#include "lib/netlink/kset.h"

struct sets;
struct set;

struct sets *sets_new(struct kset_link *link); /* borrows 'link' */
void sets_free(struct sets *sets);             /* the kernel keeps its sets */
/* 'name' as in felix/rules/names.h, without the cali40 prefix; of policy's sets, without it as well
 * (set_kernel_name()). Cut to what the kernel takes. */
struct set *sets_define(struct sets *sets, const char *name, enum kset_type type, uint8_t family,
                        uint32_t max_members);
/* Destroys it some time after sets_release(); 'set' is not to be used any more. */
void sets_drop(struct sets *sets, struct set *set);
/* The rules do not name any set that was dropped before now. Queues also sets of ours that an
 * earlier run or Calico left and nobody has defined; to be called once after everything is in
 * place, and after drops. */
void sets_release(struct sets *sets, bool with_leftovers);
/* Destroys a few of those: each waits for the kernel, so there is a budget for each call. Those
 * still in use are tried again, and put aside when that was in vain for long: rules of others name
 * them. True when there is more to do. */
bool sets_destroy_some(struct sets *sets);
/* Tries to destroy those that were put aside. */
void sets_retry_stuck(struct sets *sets);

void set_want(struct set *set, const struct kset_member *member);
void set_unwant(struct set *set, const struct kset_member *member);
/* Wants exactly these. */
void set_want_all(struct set *set, const struct kset_member *members, size_t n);
bool set_wants(const struct set *set, const struct kset_member *member);
/* The kernel has acknowledged it. */
bool set_holds(const struct set *set, const struct kset_member *member);
size_t set_count(const struct set *set);

/* Writes what changed; sets that are missing are made. All sets are tried; the first error is told.
 */
MUST_CHECK bool sets_apply(struct sets *sets, struct err *err);
/* While true nothing is deleted, and sets that are missing are not made: before the first complete
 * sync we do not know what others of ours are still needed. */
void sets_only_add(struct sets *sets, bool only_add);
/* Reads every set back, a part of them with each apply. */
void sets_resync(struct sets *sets);
/* A resync has not read everything yet: apply again soon. */
bool sets_is_reading(const struct sets *sets);
/* Those that are defined. */
size_t sets_count(const struct sets *sets);
/* Members and sets that had to be repaired since start: drift. */
uint64_t sets_n_repaired(const struct sets *sets);
/* True when the kernel has this set already, made by an earlier run. */
bool sets_exist(struct sets *sets);
/* Those that have never been seen in the kernel: rules must not name them yet. */
size_t sets_n_missing(const struct sets *sets);
