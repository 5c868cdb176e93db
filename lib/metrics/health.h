/* Named health checks of one process. Ready means every part can do its work; live means no part is
 * stuck. A part that never reported is neither, so a check defined at start holds readiness back.
 */
#pragma once

#include <stdbool.h>

#include "lib/base/str.h"

struct health;

struct health *health_new(void);
void health_free(struct health *health);
/* Adds a part, or reports on it. 'reason' is copied; shown to people. */
void health_report(struct health *health, const char *part, bool is_ready, bool is_live,
                   const char *reason);
bool health_is_ready(const struct health *health);
bool health_is_live(const struct health *health);
/* One line a part: "bgp: not ready: 1 of 3 peers established". */
void health_write(const struct health *health, struct str *out);
