/* The daemon: what is watched flows through model and calculation into the dataplane, and the CNI
 * plugin is answered. Runs on the loop it is given. */
#pragma once

#include <uv.h>

#include "felix/configuration.h"

struct felix;

/* The program's log, as settings have it; called when they change, too. */
void felix_setup_log(const struct felix_settings *settings);
/* Nothing is written to the kernel before the first complete sync with the API, except for pods
 * that the CNI plugin adds where an earlier run left its rules and sets in place. */
MUST_CHECK bool felix_new(uv_loop_t *loop, struct configuration *configuration,
                          struct felix **ret_felix, struct err *err);
/* The loop was stopped because of a setting that needs a start. */
bool felix_wants_start(const struct felix *felix);
/* Once; closes everything and leaves the kernel as it is; the loop must turn until it returns. */
void felix_stop(struct felix *felix);
void felix_free(struct felix *felix);
