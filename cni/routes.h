/* Routes inside the pod: those that the configuration or a delegated IPAM plugin lists, else a
 * default route of each family. */
#pragma once

#include "cni/plugin.h"

struct json_at;
struct json_object;

/* A list of {"dst", "gw", "mtu", "advmss", "priority", "table", "scope"} as in ipam.routes and in
 * results; absent gives none. 'gw' must be an address of the family of 'dst' and is not used
 * otherwise: the node is the only neighbour a pod has. */
MUST_CHECK bool routes_read(const struct json_at *list, struct cni_routes *ret_routes,
                            struct err *err);
/* Fills attachment->routes for the families it has addresses of: what was given replaces the
 * default routes, unless 'with_defaults'. */
MUST_CHECK bool routes_settle(const struct cni_routes *given, bool with_defaults,
                              struct cni_attachment *attachment, struct err *err);
/* As an entry of a result's routes; what came with 1.1.0 only for 'is_1_1'. */
struct json_object *route_to_json(const struct cni_route *route, bool is_1_1);
