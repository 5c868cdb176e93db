/* Host endpoints by interface, interfaces by route. Called by policies.c for open connections, and
 * for what people ask. */
#include "felix/host_ends.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/table.h"
#include "lib/netlink/netlink.h"

#define ANY_INTERFACE "*"
/* Connections to more peers than that are rare; then routes are asked for again. */
#define ROUTES_MAX 200000

struct host_ends {
    struct netlink *netlink;
    char *workload_prefix;
    struct table *by_ifname; /* const struct policy_endpoint */
    struct table *ways;      /* struct ip → struct way */
    struct table *links;     /* index of an interface → its way, shared */
};

/* Where packets to an address go; the endpoint is NULL where nothing is looked at. */
struct way {
    const struct policy_endpoint *endpoint;
};

struct host_ends *
host_ends_new(struct netlink *netlink, const char *workload_prefix)
{
    struct host_ends *ends = NEW(struct host_ends);

    ends->netlink = netlink;
    ends->workload_prefix = xstrdup(workload_prefix);
    ends->by_ifname = table_new();
    ends->ways = table_new();
    ends->links = table_new();
    return ends;
}

void
host_ends_free(struct host_ends *ends)
{
    if (ends) {
        table_free(ends->by_ifname, NULL);
        table_free(ends->ways, NULL);
        table_free(ends->links, free);
        free(ends->workload_prefix);
        free(ends);
    }
}

void
host_ends_forget(struct host_ends *ends)
{
    table_free(ends->ways, NULL);
    table_free(ends->links, free);
    ends->ways = table_new();
    ends->links = table_new();
}

bool
host_ends_put(struct host_ends *ends, const struct policy_endpoint *endpoint, bool is_active)
{
    void *was = NULL;

    if (is_active && endpoint->is_host) {
        /* Cast away const: a table's values are void pointers; it is only read. */
        table_put(ends->by_ifname, endpoint->ifname, (void *)(uintptr_t)endpoint);
    } else {
        was = table_take(ends->by_ifname, endpoint->ifname);
    }
    if (was || endpoint->is_host) {
        host_ends_forget(ends);
        return true;
    }
    return false;
}

/* ---- asking -----------------------------------------------------------------------------------
 */

bool
host_ends_exist(const struct host_ends *ends)
{
    return table_count(ends->by_ifname) > 0;
}

bool
host_ends_differ(const struct host_ends *ends)
{
    return table_count(ends->by_ifname) > (table_get(ends->by_ifname, ANY_INTERFACE) ? 1 : 0);
}

bool
host_ends_look_before_dnat(const struct host_ends *ends)
{
    TABLE_FOREACH (ends->by_ifname, it) {
        const struct policy_endpoint *endpoint = table_value(it);
        if (endpoint->lists[USE_PRE_DNAT][INGRESS] || endpoint->lists[USE_UNTRACKED][INGRESS] ||
            endpoint->lists[USE_UNTRACKED][EGRESS]) {
            return true;
        }
    }
    return false;
}

const struct policy_endpoint *
host_ends_on(const struct host_ends *ends, const char *ifname)
{
    const struct policy_endpoint *own = table_get(ends->by_ifname, ifname);

    if (strncmp(ifname, ends->workload_prefix, strlen(ends->workload_prefix)) == 0) {
        return NULL;
    }
    return own ? own : table_get(ends->by_ifname, ANY_INTERFACE);
}

static struct way *
way_by(struct host_ends *ends, int index)
{
    struct way *way = table_get_bytes(ends->links, &index, sizeof index);
    char name[IF_NAMESIZE];

    if (!way && if_indextoname((unsigned)index, name)) {
        way = NEW(struct way);
        way->endpoint = host_ends_on(ends, name);
        table_put_bytes(ends->links, &index, sizeof index, way);
    }
    return way;
}

bool
host_ends_towards(struct host_ends *ends, const struct ip *ip,
                  const struct policy_endpoint **ret_endpoint)
{
    int index = 0;

    if (!host_ends_differ(ends)) {
        *ret_endpoint = table_get(ends->by_ifname, ANY_INTERFACE);
        return true;
    }
    const struct way *way = table_get_bytes(ends->ways, ip, sizeof *ip);
    if (!way && route_interface(ends->netlink, ip, &index, NULL)) {
        struct way *found = way_by(ends, index);
        if (found && table_count(ends->ways) < ROUTES_MAX) {
            table_put_bytes(ends->ways, ip, sizeof *ip, found);
        }
        way = found;
    }
    if (way) {
        *ret_endpoint = way->endpoint;
    }
    return way != NULL;
}
