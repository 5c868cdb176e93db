/* What the decoders of all kinds share: names and comparing texts that may be absent. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

struct json_object;

/* metadata.name, a copy. Must be a DNS subdomain (RFC 1123; Kubernetes allows nothing else), so a
 * name is safe in logs, comments, file names and keys. */
MUST_CHECK bool meta_name(struct json_object *json, char **ret_name, struct err *err);
/* The same for metadata.namespace. */
MUST_CHECK bool meta_namespace(struct json_object *json, char **ret_name, struct err *err);
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
