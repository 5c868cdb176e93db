/* projectcalico Tier. kube-admin (order 1,000, Pass), default (1,000,000, Deny) and kube-baseline
 * (10,000,000, Pass) exist without an object and cannot be changed by one. */
#pragma once

#include <stdbool.h>

struct json_object;
struct kind_issues;
struct err;

struct tier {
    char *name;
    double order;         /* HUGE_VAL: none */
    bool is_default_pass; /* defaultAction Pass; anything else is Deny */
};

/* A built-in tier, or NULL. */
const struct tier *tier_builtin(const char *name);
/* Order, then name. A tier that does not exist is sorted behind all by whoever asks. */
int tier_compare(const struct tier *a, const struct tier *b);

/* The row of the kind's table, see kind.h. */
void *tier_decode(struct json_object *json, const struct kind_issues *issues, struct err *err);
void tier_free(void *object);
bool tier_equal(const void *a, const void *b);
