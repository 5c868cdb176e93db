/* Local pods in the kernel: the route to each address, the interface's settings, and the members of
 * the anti-spoofing sets. Keyed by interface name. Only routes on interfaces of known endpoints are
 * ever removed: those to single addresses with our protocol, and, as it is set, all that people and
 * scripts make (protocols boot and static). */
#pragma once

#include "felix/dataplane/sets.h"
#include "felix/desired.h"
#include "lib/netlink/netlink.h"

struct endpoints;
struct table;

/* What may change while endpoints are there. */
struct endpoint_routes {
    bool are_left;              /* RouteSyncDisabled: routes are not written and not removed */
    bool removes_foreign;       /* RemoveExternalRoutes */
    struct ip source4, source6; /* DeviceRouteSourceAddress; family 0: the kernel chooses */
    uint32_t metric4, metric6;  /* IPv4NormalRoutePriority */
};

struct endpoints_spec {
    struct netlink *netlink; /* borrowed */
    struct set *workloads4;  /* borrowed */
    struct set *workloads6;  /* NULL: no IPv6 */
    uint8_t route_protocol;  /* DeviceRouteProtocol */
    struct endpoint_routes routes;
    bool awaits_floating; /* routes may be there that only endpoints_float() will explain */
};

struct endpoints *endpoints_new(const struct endpoints_spec *spec);
void endpoints_free(struct endpoints *endpoints); /* the kernel keeps all */

/* Takes effect with the next apply; what is foreign is found by the next resync. */
void endpoints_configure(struct endpoints *endpoints, const struct endpoint_routes *routes);

/* Addresses are /32 and /128. One that another endpoint has is taken from it: a pod that was made
 * anew may come before the old one is gone. It has it back when the other one goes first. */
void endpoints_put(struct endpoints *endpoints, const char *ifname, const struct prefix *ips,
                   size_t n);
void endpoints_remove(struct endpoints *endpoints, const char *ifname);
/* On these interfaces (the keys; the table becomes ours) the kernel does not look at the way back
 * to a packet's source, of which the rules say what it may be. */
void endpoints_loosen(struct endpoints *endpoints, struct table *ifnames);
/* All floating addresses: each has a route as the pod's own have, so that BIRD announces it, but is
 * in no set. Those that are not named again lose it. True when that ends spec.awaits_floating. */
bool endpoints_float(struct endpoints *endpoints, const floating_vec *addresses);
size_t endpoints_count(const struct endpoints *endpoints);

/* Notifications. */
void endpoints_on_link(struct endpoints *endpoints, const struct link *link, bool is_gone);
void endpoints_on_route_gone(struct endpoints *endpoints, const struct route *route);
/* Settings of an interface changed. */
void endpoints_on_conf(struct endpoints *endpoints, int index);
/* Everything is looked at again in the next apply. */
void endpoints_recheck(struct endpoints *endpoints);

/* Writes what is dirty; set members go with sets_apply(), which has to run before. All are tried,
 * the first error is told; an endpoint without a link is no error, it waits for the link. */
MUST_CHECK bool endpoints_apply(struct endpoints *endpoints, struct err *err);
/* Reads our routes back and marks what differs. */
MUST_CHECK bool endpoints_resync(struct endpoints *endpoints, struct err *err);
/* Link, settings, routes and set members are all in place. */
bool endpoints_is_programmed(const struct endpoints *endpoints, const char *ifname);
uint64_t endpoints_n_repaired(const struct endpoints *endpoints);
