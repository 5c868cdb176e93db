/* Labels or selected annotations of one object: sorted by key, immutable after decode. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

struct json_object;
struct kind_issues;

struct label {
    char *key;
    char *value;
};

/* Items and their texts are one block of memory: a cluster has a million of them. */
struct labels {
    struct label *items; /* sorted by key, no key twice */
    size_t n;
};

/* Reads metadata.labels of a Kubernetes object; absent is empty. A value that is not a string is an
 * error. */
MUST_CHECK bool labels_decode(struct json_object *json, struct labels *ret_labels, struct err *err);
/* The same of the map itself; NULL is empty. */
MUST_CHECK bool labels_decode_map(struct json_object *map, struct labels *ret_labels,
                                  struct err *err);
/* The same of the map of an object that anybody in a namespace may write: reserved keys are left
 * out and reported. */
MUST_CHECK bool labels_decode_own(struct json_object *map, const struct kind_issues *issues,
                                  struct labels *ret_labels, struct err *err);
/* True for keys that only felix gives an endpoint, because rules trust them: what it inherits
 * from its namespace (`pcns.`) and service account (`pcsa.`), and projectcalico.org/namespace,
 * /serviceaccount and /orchestrator. */
bool labels_is_reserved(const char *key);
/* "key\0value\0..." in the order of keys: equal bytes are equal labels. NULL when empty. */
const char *labels_bytes(const struct labels *labels, size_t *ret_len);
/* Copies n pairs, in any order, no key twice. */
struct labels labels_from(const struct label *pairs, size_t n);
void labels_done(struct labels *labels);
const char *labels_get(const struct labels *labels, const char *key); /* NULL when absent */
/* labels_get() in the form that selector_matches() wants; 'labels' is a struct labels. */
const char *labels_lookup(const void *labels, const char *key);
bool labels_equal(const struct labels *a, const struct labels *b);
