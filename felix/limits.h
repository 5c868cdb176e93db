/* From what pods ask for (felix/asks.h) to what the kernel needs: an ipset for each different value
 * with the addresses of the pods that ask for it, and the list of values for felix/rules; and which
 * interfaces are shaped. Called by felix.c. */
#pragma once

#include "felix/asks.h"
#include "felix/dataplane/sets.h"
#include "felix/dataplane/shaping.h"
#include "felix/rules/limit_rules.h"

struct limits;
typedef VEC(struct shaping_wish) shaping_wish_vec;

/* Of a pod's interface, as policies_addresses(). */
typedef const struct prefix *limits_lookup(void *owner, const char *ifname, size_t *ret_n);

struct limits *limits_new(struct sets *sets, bool ipv6, uint32_t max_members); /* borrows 'sets' */
void limits_free(struct limits *limits); /* the kernel keeps its sets */
/* Wants the sets. True when the values are others than before: rules have to be rendered anew.
 */
bool limits_calculate(struct limits *limits, const struct asks *asks, limits_lookup *lookup,
                      void *owner);
/* In order. Valid until the next calculation. */
const struct limit_value *limits_values(const struct limits *limits, size_t *ret_n);
/* Appends what pods ask of bandwidth. */
void limits_shaping(const struct asks *asks, shaping_wish_vec *ret_wishes);
