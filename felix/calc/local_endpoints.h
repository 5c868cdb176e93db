/* The endpoints of this node: interfaces of pods and of other containers, and the interfaces of the
 * host that HostEndpoints speak of. One endpoint an interface. */
#pragma once

#include "felix/calc/active_policies.h"
#include "felix/calc/policy_state.h"
#include "felix/calc/set_pool.h"
#include "felix/calc/verdict_lists.h"

struct local_endpoints;

struct local_endpoints_spec {
    const char *node_name;
    const char *interface_prefix; /* of pods' interfaces: no HostEndpoint speaks of them */
    void (*endpoint)(void *owner, const struct policy_endpoint *endpoint, bool is_active);
    void *owner;
    struct set_pool *sets; /* these are borrowed */
    struct active_policies *policies;
    struct verdict_lists *lists;
};

struct local_endpoints *local_endpoints_new(const struct local_endpoints_spec *spec);
void local_endpoints_free(struct local_endpoints *endpoints); /* before what it borrows */
/* What active_policies has to say, see there. */
void local_endpoints_touch(void *endpoints, void *endpoint);
/* Pod (after the pool of sets noted it), Namespace, HostEndpoint; others are ignored. */
void local_endpoints_note(struct local_endpoints *endpoints, const struct change *change);

/* See felix/calc/policy_state.h. */
void local_endpoints_put(struct local_endpoints *endpoints, const char *ifname, const char *pod,
                         const struct prefix *ips, size_t n); /* pod: "namespace/name", or NULL */
void local_endpoints_remove(struct local_endpoints *endpoints, const char *ifname);
bool local_endpoints_knows_pod(const struct local_endpoints *endpoints, const char *ifname);
void local_endpoints_interfaces(struct local_endpoints *endpoints,
                                const struct policy_interface *interfaces, size_t n);

/* First HostEndpoints and interfaces are brought together, which may make policies active; when
 * policies are resolved, each endpoint gets its lists; then both halves of telling. */
void local_endpoints_bind_hosts(struct local_endpoints *endpoints);
void local_endpoints_resolve(struct local_endpoints *endpoints);
void local_endpoints_tell_added(struct local_endpoints *endpoints);
void local_endpoints_tell_removed(struct local_endpoints *endpoints);

/* As told. */
const struct policy_endpoint *local_endpoints_by_ifname(const struct local_endpoints *endpoints,
                                                        const char *ifname);
const struct policy_endpoint *local_endpoints_by_ip(const struct local_endpoints *endpoints,
                                                    const struct ip *ip);
const struct policy_endpoint *local_endpoints_by_key(const struct local_endpoints *endpoints,
                                                     const char *key);
void local_endpoints_each(const struct local_endpoints *endpoints,
                          void (*each)(void *owner, const struct policy_endpoint *endpoint),
                          void *owner);

struct local_endpoints_stats {
    size_t n_endpoints;
    uint64_t n_resolved; /* work done, ever */
};
struct local_endpoints_stats local_endpoints_stats(const struct local_endpoints *endpoints);
