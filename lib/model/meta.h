/* What the decoders of all kinds share: names and comparing texts that may be absent. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

struct json_object;
struct kind_issues;
struct labels;

/* metadata.name, a copy. Must be a DNS subdomain (RFC 1123; Kubernetes allows nothing else), so a
 * name is safe in logs, comments, file names and keys. */
MUST_CHECK bool meta_name(struct json_object *json, char **ret_name, struct err *err);
/* The same for metadata.namespace. */
MUST_CHECK bool meta_namespace(struct json_object *json, char **ret_name, struct err *err);
/* The labels of an object of crd.projectcalico.org/v1. Where Calico's API server or calicoctl wrote
 * it, the object's own labels and annotations are JSON in the annotation projectcalico.org/metadata
 * and stand in place of the CRD's, as in Calico; a broken annotation is an error, because which
 * rules mean this object hangs on it. */
MUST_CHECK bool meta_calico_labels(struct json_object *json, struct labels *ret_labels,
                                   struct err *err);
/* The same of a namespaced object, without the keys labels_is_reserved() names. */
MUST_CHECK bool meta_calico_own_labels(struct json_object *json, const struct kind_issues *issues,
                                       struct labels *ret_labels, struct err *err);
/* The whole of that metadata ("labels", "annotations"), or the object's own without the annotation.
 * The caller releases it with json_object_put(). */
MUST_CHECK bool meta_calico(struct json_object *json, struct json_object **ret_metadata,
                            struct err *err);
bool meta_is_name(const char *text);
bool text_equal(const char *a, const char *b); /* NULL equals NULL only */
bool texts_equal(char *const *a, size_t n_a, char *const *b, size_t n_b);
/* A copy of an optional text field, NULL when absent or empty. */
MUST_CHECK bool field_copy(struct json_object *json, const char *path, char **ret_text,
                           struct err *err);
/* A list of texts, copied; the items of 'ret_texts' and the array are the caller's. */
MUST_CHECK bool field_copy_texts(struct json_object *json, const char *path, char ***ret_texts,
                                 size_t *ret_n, struct err *err);
void texts_free(char **texts, size_t n);
