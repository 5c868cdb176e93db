/* Remembers which set a selector means: the id is a cryptographic hash of its text, which is most
 * of what judging a packet would cost. Pure: the same answers as felix/rules/set_names.h. Used by
 * evaluate.c for who judges many packets. */
#pragma once

#include "felix/policy.h"

struct set_ids;

struct set_ids *set_ids_new(void);
void set_ids_free(struct set_ids *ids); /* NULL is fine */
/* What set_of(canonical) gives: set_of_selector() or set_of_nodes(). Borrowed until the next call.
 * 'canonical' is found again by its address, and compared. */
typedef void set_of_text(const char *canonical, struct policy_set *ret_set);
const struct policy_set *set_ids_get(struct set_ids *ids, set_of_text *set_of,
                                     const char *canonical);
