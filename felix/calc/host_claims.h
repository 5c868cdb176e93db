/* Which HostEndpoint speaks of which of this node's own interfaces. */
#pragma once

#include "felix/calc/policy_state.h"
#include "lib/base/table.h"
#include "lib/model/host_endpoint.h"

struct host_claims;

/* No HostEndpoint speaks of interfaces that begin with 'interface_prefix': they are pods'. */
struct host_claims *host_claims_new(const char *node_name, const char *interface_prefix);
void host_claims_free(struct host_claims *claims);
/* True when who speaks of what may be another from here on: what claims gave before must not be
 * used any more. HostEndpoint; others are ignored. */
bool host_claims_note(struct host_claims *claims, const struct change *change);
/* The same for addresses. */
bool host_claims_interfaces(struct host_claims *claims, const struct policy_interface *interfaces,
                            size_t n);
/* Interface ("*" among them) -> const struct host_endpoint *; of several the one with the lowest
 * name. The caller frees the table. */
struct table *host_claims_made(const struct host_claims *claims);
/* The interface with the address, NULL. */
const char *host_claims_ifname(const struct host_claims *claims, const struct ip *ip);
