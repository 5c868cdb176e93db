/* From the name of a pod's interface to the pod's chains, in a tree of two levels over the two
 * characters behind the prefix: a packet passes at most 16 + 16 rules and its own leaf's, and a pod
 * that comes or goes changes one leaf, seldom a second chain (test/bench/dispatch.py measures what
 * that costs, and what others would).
 *
 * Whatever is not found is dropped, at every level. The chains are equal in both families; all are
 * in the filter table. */
#pragma once

#include "felix/rules/ruleset.h"

#define DISPATCH_FROM "cali-from-wl-dispatch"
#define DISPATCH_TO "cali-to-wl-dispatch"

struct dispatch;

struct dispatch *dispatch_new(const char *workload_prefix);
void dispatch_free(struct dispatch *dispatch); /* NULL is fine */
/* False when it was there already, or when no rule can name the interface (see
 * rules_ifname_is_usable(); it stays closed). */
bool dispatch_put(struct dispatch *dispatch, const char *ifname);
void dispatch_remove(struct dispatch *dispatch, const char *ifname); /* unknown ones are ignored */
/* All chains, in an order that does not depend on history. */
void dispatch_chains(const struct dispatch *dispatch, struct ruleset *set);
/* The chains that changed since the last call (all at first); gone() is told the names of those
 * that are no longer wanted, behind the others. */
void dispatch_changes(struct dispatch *dispatch, struct ruleset *set,
                      void (*gone)(void *owner, const char *chain), void *owner);
