/* What pools and nodes mean for this node, kept up change by change: who may send IPIP, which
 * pools are masqueraded, whether a tunnel is needed and with which address. Pure: no I/O, no clock.
 */
#pragma once

#include <stdint.h>

#include "felix/desired.h"
#include "lib/base/err.h"
#include "lib/model/store.h"

struct node_state;

struct node_state *node_state_new(const char *node_name);
void node_state_free(struct node_state *state);
/* Takes one change of a Node or IPPool; other kinds are ignored. */
void node_state_note(struct node_state *state, const struct change *change);
/* Addresses of nodes since the last call, as additions and removals. A node change costs its own
 * addresses only. */
void node_state_take_hosts(struct node_state *state,
                           void (*each)(void *owner, const struct prefix *host, bool is_added),
                           void *owner);
/* All that were told as additions and not as removals. */
void node_state_each_host(const struct node_state *state,
                          void (*each)(void *owner, const struct prefix *host, bool is_added),
                          void *owner);
/* Pools and tunnel: from all pools, of which there are few. The caller frees with
 * desired_pools_done(). */
void node_state_pools(const struct node_state *state, const struct store *store,
                      struct desired_pools *ret_pools);
/* Another node that claims 'address', or NULL. The name is borrowed. */
const char *node_state_other_owner(const struct node_state *state, const struct ip *address);
