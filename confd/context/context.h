/* Pure: what the cluster says → the JSON context of the templates. docs/templates.md lists its
 * names.
 *
 * Everything that can be decided is decided here and arrives in the templates as words and lists;
 * each name is always there, so that templates can be strict. Two calls over equal objects give
 * equal texts: lists are sorted. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

struct json_object;
struct kind_issues;
struct store;

struct context_spec {
    const char *node_name;
    uint32_t default_as;         /* without a BGPConfiguration; Calico's default is 64512 */
    uint32_t graceful_restart_s; /* graceful restart wait */
    const char *const *includes; /* absolute paths of local additions, sorted; NULL-terminated */
};

/* Issues name object and field: they concern what was left out, the rest is in the context. Fails
 * only when nothing sensible can be said: this node is not in the store. The caller puts the
 * object. */
MUST_CHECK bool context_build(const struct store *store, const struct context_spec *spec,
                              const struct kind_issues *issues, struct json_object **ret_context,
                              struct err *err);
