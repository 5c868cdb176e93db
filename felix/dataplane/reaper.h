/* Deletes links of pods that are gone. The kernel waits 20-30 ms for each, so this is done on
 * libuv's worker threads, never on the loop. */
#pragma once

#include <uv.h>

#include "lib/base/err.h"

struct netlink;

/* The link 'name' whose alias is 'alias' or empty; *ret_index 0 when there is none. Asked when the
 * removal is asked for: the next ADD, of the same container even, may make a link of this name
 * before the worker runs. */
MUST_CHECK bool reaper_find(struct netlink *netlink, const char *name, const char *alias,
                            int *ret_index, struct err *err);
/* Deletes it; one that is gone meanwhile is a success. Calls done from the loop. */
void reaper_delete(uv_loop_t *loop, int index,
                   void (*done)(void *owner, bool good, const struct err *err), void *owner);
