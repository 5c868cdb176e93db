/* Deletes links of pods that are gone. The kernel waits 20-30 ms for each, so this is done on
 * libuv's worker threads, never on the loop. */
#pragma once

#include <uv.h>

#include "lib/base/err.h"

/* Deletes the link 'name' when its alias is 'alias' or empty; one that is not there is a success.
 * Calls done from the loop. */
void reaper_delete(uv_loop_t *loop, const char *name, const char *alias,
                   void (*done)(void *owner, bool good, const struct err *err), void *owner);
