/* The decoders of the policy kinds, for the table in kind.c; all give a struct policy. What each
 * understands, and what becomes of what it does not: docs/policy.md. */
#pragma once

#include "lib/base/err.h"

struct json_object;
struct kind_issues;

void *network_policy_decode(struct json_object *json, const struct kind_issues *issues,
                            struct err *err);
void *calico_network_policy_decode(struct json_object *json, const struct kind_issues *issues,
                                   struct err *err);
void *global_network_policy_decode(struct json_object *json, const struct kind_issues *issues,
                                   struct err *err);
void *staged_network_policy_decode(struct json_object *json, const struct kind_issues *issues,
                                   struct err *err);
void *staged_global_network_policy_decode(struct json_object *json,
                                          const struct kind_issues *issues, struct err *err);
void *staged_kubernetes_network_policy_decode(struct json_object *json,
                                              const struct kind_issues *issues, struct err *err);
void *cluster_network_policy_decode(struct json_object *json, const struct kind_issues *issues,
                                    struct err *err);
