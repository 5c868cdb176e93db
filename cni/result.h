/* Results in the version the runtime asked for, and what delegated IPAM plugins answer. */
#pragma once

#include "cni/plugin.h"

/* Prints the result of ADD: what the plugins before us made (prevResult), then ours. */
MUST_CHECK bool result_print(const struct cni_env *env, const struct cni_config *config,
                             const struct cni_attachment *attachment, struct err *err);
/* Prints the error object on standard output. */
void result_print_error(const char *version, const struct err *err);
void result_print_versions(void);
/* What the plugins and IPAM plugins before us list; none when there is no list. */
MUST_CHECK bool result_routes(struct json_object *result, struct cni_routes *ret_routes,
                              struct err *err);
/* The addresses this plugin's interface has in prevResult (CHECK), as /32 and /128; of an IPAM
 * result when ifname is NULL. */
MUST_CHECK bool result_addresses(struct json_object *result, const char *ifname,
                                 struct cni_attachment *ret_attachment, struct err *err);
