/* Routes through tunl0 need the device to be up, in BIRD's eyes too: BIRD runs its kernel filter
 * when a route changes, not when an interface does, so a route that came before the device was
 * refused
 * ("Invalid gw address") and would stay refused. This room notices when tunl0 comes up and has BIRD
 * run the filter again. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "lib/base/err.h"

struct bird_client;
struct bird_reply;
struct tunnel;

/* Borrows 'bird', which must live as long. */
MUST_CHECK bool tunnel_new(uv_loop_t *loop, struct bird_client *bird, struct tunnel **ret_tunnel,
                           struct err *err);
/* To be called before bird_client_free(); the loop must turn until it returns. NULL is fine. */
void tunnel_free(struct tunnel *tunnel);
/* Every second or so, while BIRD is connected: asks again for what has not succeeded. Nothing to do
 * costs nothing. */
void tunnel_tick(struct tunnel *tunnel);

/* Pure: whether an answer to `show interfaces summary` has the interface up. */
bool tunnel_bird_sees_up(const struct bird_reply *reply, const char *name);
