/* The Node's condition NetworkUnavailable, which follows real health: False as soon as the node is
 * healthy, True once it has been unhealthy for a while. */
#pragma once

#include <stdint.h>

#include "lib/kube/kube.h"

struct condition;

struct condition *condition_new(struct kube *kube, const char *node_name, uint64_t patience_ms);
void condition_free(struct condition *condition);
/* Call on every change and at least every few seconds; 'reason' is for people. */
void condition_update(struct condition *condition, bool is_healthy, const char *reason,
                      uint64_t now_ms);
