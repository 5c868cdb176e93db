/* HostEndpoints of this node by interface: named, found by one of its addresses, or "*". There are
 * few of them, so claims are made from scratch. Used by local_endpoints.c. */
#include "felix/calc/host_claims.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/vec.h"

struct host_claims {
    char *node_name, *interface_prefix;
    struct table *hosts; /* name -> const struct host_endpoint, of this node */
    VEC(struct policy_interface) interfaces;
};

struct host_claims *
host_claims_new(const char *node_name, const char *interface_prefix)
{
    struct host_claims *claims = NEW(struct host_claims);

    claims->node_name = xstrdup(node_name);
    claims->interface_prefix = xstrdup(interface_prefix);
    claims->hosts = table_new();
    return claims;
}

void
host_claims_free(struct host_claims *claims)
{
    if (claims != NULL) {
        table_free(claims->hosts, NULL);
        VEC_DONE(&claims->interfaces);
        free(claims->node_name);
        free(claims->interface_prefix);
        free(claims);
    }
}

static bool
is_here(const struct host_claims *claims, const struct host_endpoint *host)
{
    return host != NULL && host->node != NULL && strcmp(host->node, claims->node_name) == 0;
}

bool
host_claims_note(struct host_claims *claims, const struct change *change)
{
    bool was_here, is_now_here;

    if (change->kind != KIND_HOSTENDPOINT) {
        return false;
    }
    was_here = is_here(claims, change->was);
    is_now_here = is_here(claims, change->now);
    if (is_now_here) {
        /* Cast away const: a table's values are void pointers; it is only read. */
        table_put(claims->hosts, change->key, (void *)(uintptr_t)change->now);
    } else if (was_here) {
        table_take(claims->hosts, change->key);
    }
    return was_here || is_now_here;
}

bool
host_claims_interfaces(struct host_claims *claims, const struct policy_interface *interfaces,
                       size_t n)
{
    bool is_same = n == claims->interfaces.n;

    for (size_t i = 0; is_same && i < n; i++) {
        is_same = strcmp(interfaces[i].ifname, claims->interfaces.items[i].ifname) == 0 &&
                  ip_equal(&interfaces[i].ip, &claims->interfaces.items[i].ip);
    }
    if (is_same) {
        return false;
    }
    claims->interfaces.n = 0;
    for (size_t i = 0; i < n; i++) {
        VEC_PUSH(&claims->interfaces, interfaces[i]);
    }
    return true;
}

/* ---- claims -----------------------------------------------------------------------------------
 */

static void
claim(const struct host_claims *claims, struct table *made, const char *ifname,
      const struct host_endpoint *host)
{
    const struct host_endpoint *other = table_get(made, ifname);
    const char *prefix = claims->interface_prefix;
    size_t len = strlen(ifname);

    if (len == 0 || len >= IFNAMSIZ || strncmp(ifname, prefix, strlen(prefix)) == 0) {
        return;
    }
    if (other == NULL || strcmp(host->name, other->name) < 0) {
        table_put(made, ifname, (void *)(uintptr_t)host);
    }
}

static void
claim_by_address(const struct host_claims *claims, struct table *made,
                 const struct host_endpoint *host)
{
    VEC_FOREACH (&claims->interfaces, it) {
        for (size_t i = 0; i < host->n_expected_ips; i++) {
            if (ip_equal(&it->ip, &host->expected_ips[i])) {
                claim(claims, made, it->ifname, host);
            }
        }
    }
}

struct table *
host_claims_made(const struct host_claims *claims)
{
    struct table *made = table_new();

    TABLE_FOREACH (claims->hosts, it) {
        const struct host_endpoint *host = table_value(it);
        if (host->interface_name != NULL) {
            claim(claims, made, host->interface_name, host);
        } else {
            claim_by_address(claims, made, host);
        }
    }
    return made;
}

const char *
host_claims_ifname(const struct host_claims *claims, const struct ip *ip)
{
    VEC_FOREACH (&claims->interfaces, it) {
        if (ip_equal(&it->ip, ip)) {
            return it->ifname;
        }
    }
    return NULL;
}
