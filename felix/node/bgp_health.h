/* Is BIRD doing its work? Asked over its control socket: it answers, and there is no BGP peer at
 * all or at least one is Established. One dead neighbour does not make this node sick. */
#pragma once

#include <stdbool.h>
#include <uv.h>

struct bgp_health;

struct bgp_health *bgp_health_new(uv_loop_t *loop, const char *socket_path);
void bgp_health_free(struct bgp_health *health); /* NULL is fine */
/* Asks again; the answer shows in the functions below. */
void bgp_health_poll(struct bgp_health *health);
bool bgp_health_is_good(const struct bgp_health *health);
const char *bgp_health_reason(const struct bgp_health *health); /* "" when good */
