/* Remembers which set a selector means: the id is a cryptographic hash of its text, which is most
 * of what judging a packet would cost. Pure: the same answers as felix/rules/set_names.h. Used by
 * evaluate.c for who judges many packets. */
#pragma once

#include "felix/policy.h"

struct set_ids;

struct set_ids *set_ids_new(void);
void set_ids_free(struct set_ids *ids); /* NULL is fine */
/* Borrowed until the next call. 'canonical' is found again by its address, and compared. */
const struct policy_set *set_ids_of_selector(struct set_ids *ids, const char *canonical);
