/* canal-confd: keeps one BIRD's configuration equal to what the cluster says. */
#pragma once

#include <stdbool.h>

#include "confd/settings.h"
#include "lib/base/err.h"

/* Runs until SIGTERM or SIGINT, or with --once until the work is done. The result is the exit code.
 */
int confd_run(const struct confd_settings *settings);
