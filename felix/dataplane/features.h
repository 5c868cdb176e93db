/* What the iptables tools and the kernel here can do, by trying: version numbers say little where
 * distributions carry patches back. */
#pragma once

#include <uv.h>

#include "felix/dataplane/iptables.h"
#include "felix/rules/static_rules.h"

/* Calls found once, from the loop. What cannot be tried is taken to be there. */
void features_detect(uv_loop_t *loop, enum iptables_backend backend,
                     void (*found)(void *owner, const struct features *features), void *owner);
