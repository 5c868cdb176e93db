/* The host endpoints of this node, and which of them a packet passes: that of the interface which
 * the routes to its other end say. What comes in by another interface than answers would go out by
 * is not known here. Used by policies.c. */
#pragma once

#include <stdbool.h>

#include "felix/policy.h"

struct host_ends;
struct netlink;

struct host_ends *host_ends_new(struct netlink *netlink,
                                const char *workload_prefix); /* borrowed */
void host_ends_free(struct host_ends *ends);                  /* NULL is fine */
/* As felix/calc tells it, pods' endpoints too. True when it is or was a host's. */
bool host_ends_put(struct host_ends *ends, const struct policy_endpoint *endpoint, bool is_active);

bool host_ends_exist(const struct host_ends *ends);
/* Some interfaces have their own: then routes decide. */
bool host_ends_differ(const struct host_ends *ends);
/* Some policy looks at packets before DNAT. */
bool host_ends_look_before_dnat(const struct host_ends *ends);

/* NULL: nothing is looked at there. */
const struct policy_endpoint *host_ends_on(const struct host_ends *ends, const char *ifname);
/* False: no route says so. Routes are remembered until host_ends_forget(). */
bool host_ends_towards(struct host_ends *ends, const struct ip *ip,
                       const struct policy_endpoint **ret_endpoint);
void host_ends_forget(struct host_ends *ends);
