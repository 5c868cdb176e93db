/* The driver of pod routes. Called by felix.c, once for each flush. */
#include "felix/dataplane/endpoints.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "felix/dataplane/sysctl.h"
#include "lib/base/alloc.h"
#include "lib/base/table.h"

/* An address that another endpoint has now. */
struct taken {
    struct prefix ip;
    uint64_t turn; /* who lost it last gets it first */
};

#define IPV6_METRIC 1024 /* what the kernel makes of 0 */

struct endpoint {
    char ifname[LINK_NAME_MAX];
    struct prefix *ips; /* room for all that it was put with */
    size_t n_ips;
    VEC(struct taken) taken; /* the rest of those */
    prefix_vec floating;     /* routed as well */
    int index;               /* 0: there is no such link now */
    bool is_dirty;
    bool is_programmed; /* routes and settings */
    bool is_loose, was_loose;
};

struct endpoints {
    struct endpoints_spec spec;
    struct table *by_name;
    struct table *loose; /* see endpoints_loosen(); NULL: none yet */
    floating_vec floating;
    route_vec stale; /* to delete */
    route_vec older; /* to pods, of another metric: to delete when the newer ones are there */
    bool any_dirty;
    bool is_source_refused; /* by the kernel: routes go without it until it is configured anew */
    uint64_t n_repaired;
    uint64_t n_taken;
};

struct endpoints *
endpoints_new(const struct endpoints_spec *spec)
{
    struct endpoints *endpoints = NEW(struct endpoints);

    endpoints->spec = *spec;
    endpoints->by_name = table_new();
    return endpoints;
}

static void
endpoint_free(void *value)
{
    struct endpoint *endpoint = value;

    free(endpoint->ips);
    VEC_DONE(&endpoint->taken);
    VEC_DONE(&endpoint->floating);
    free(endpoint);
}

void
endpoints_free(struct endpoints *endpoints)
{
    if (endpoints) {
        table_free(endpoints->by_name, endpoint_free);
        table_free(endpoints->loose, NULL);
        VEC_DONE(&endpoints->floating);
        VEC_DONE(&endpoints->stale);
        VEC_DONE(&endpoints->older);
        free(endpoints);
    }
}

static struct set *
set_of(const struct endpoints *endpoints, const struct prefix *ip)
{
    return ip->ip.family == 4 ? endpoints->spec.workloads4 : endpoints->spec.workloads6;
}

static struct kset_member
member_of(const struct endpoint *endpoint, const struct prefix *ip)
{
    struct kset_member member = {.prefix = *ip};

    snprintf(member.iface, sizeof member.iface, "%s", endpoint->ifname);
    return member;
}

static bool
has_ip(const struct prefix *ips, size_t n, const struct prefix *ip)
{
    for (size_t i = 0; i < n; i++) {
        if (prefix_equal(&ips[i], ip)) {
            return true;
        }
    }
    return false;
}

/* A route to it belongs on the endpoint's link. */
static bool
is_routed(const struct endpoint *endpoint, const struct prefix *ip)
{
    return has_ip(endpoint->ips, endpoint->n_ips, ip) ||
           has_ip(endpoint->floating.items, endpoint->floating.n, ip);
}

static uint32_t
metric_of(const struct endpoints *endpoints, uint8_t family)
{
    const struct endpoint_routes *routes = &endpoints->spec.routes;
    uint32_t metric = family == 4 ? routes->metric4 : routes->metric6;

    return family == 6 && metric == 0 ? IPV6_METRIC : metric;
}

static struct route
route_to(const struct endpoints *endpoints, const struct endpoint *endpoint,
         const struct prefix *ip)
{
    return (struct route){.dst = *ip,
                          .index = endpoint->index,
                          .protocol = endpoints->spec.route_protocol,
                          .scope = ip->ip.family == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
                          .type = RTN_UNICAST,
                          .table = RT_TABLE_MAIN,
                          .metric = metric_of(endpoints, ip->ip.family),
                          .source = ip->ip.family == 4 ? endpoints->spec.routes.source4
                                                       : endpoints->spec.routes.source6};
}

static void
drop_route(struct endpoints *endpoints, const struct endpoint *endpoint, const struct prefix *ip)
{
    if (endpoint->index > 0 && !endpoints->spec.routes.are_left) {
        struct route route = route_to(endpoints, endpoint, ip);
        route.source = (struct ip){0}; /* whatever it was when it was written */
        route.metric = 0;              /* likewise */
        VEC_PUSH(&endpoints->stale, route);
    }
}

static void
drop_ip(struct endpoints *endpoints, const struct endpoint *endpoint, const struct prefix *ip)
{
    struct set *set = set_of(endpoints, ip);
    struct kset_member member = member_of(endpoint, ip);

    if (set) {
        set_unwant(set, &member);
    }
    drop_route(endpoints, endpoint, ip);
}

static void
make_dirty(struct endpoints *endpoints, struct endpoint *endpoint)
{
    endpoint->is_dirty = true;
    endpoint->is_programmed = false;
    endpoints->any_dirty = true;
}

void
endpoints_configure(struct endpoints *endpoints, const struct endpoint_routes *routes)
{
    endpoints->spec.routes = *routes;
    endpoints->is_source_refused = false;
    TABLE_FOREACH (endpoints->by_name, entry) {
        make_dirty(endpoints, table_value(entry));
    }
}

static int
link_index(const struct endpoints *endpoints, const char *ifname)
{
    struct link link;

    return link_get(endpoints->spec.netlink, ifname, &link, NULL) && link.is_up ? link.index : 0;
}

static void
want_ip(const struct endpoints *endpoints, const struct endpoint *endpoint, const struct prefix *ip)
{
    struct kset_member member = member_of(endpoint, ip);
    struct set *set = set_of(endpoints, ip);

    if (set) {
        set_want(set, &member);
    }
}

/* An address that nobody has any more goes to who had it before. */
static void
give_back(struct endpoints *endpoints, struct prefix ip)
{
    struct endpoint *heir = NULL;
    size_t heirs_place = 0;

    TABLE_FOREACH (endpoints->by_name, entry) {
        struct endpoint *endpoint = table_value(entry);
        for (size_t i = 0; i < endpoint->taken.n; i++) {
            const struct taken *taken = &endpoint->taken.items[i];
            if (prefix_equal(&taken->ip, &ip) &&
                (!heir || taken->turn > heir->taken.items[heirs_place].turn)) {
                heir = endpoint;
                heirs_place = i;
            }
        }
    }
    if (heir) {
        heir->taken.items[heirs_place] = heir->taken.items[--heir->taken.n];
        heir->ips[heir->n_ips++] = ip;
        want_ip(endpoints, heir, &ip);
        make_dirty(endpoints, heir);
    }
}

static void
take_from(struct endpoints *endpoints, struct endpoint *other, const struct prefix *ip)
{
    for (size_t i = 0; i < other->n_ips; i++) {
        if (prefix_equal(&other->ips[i], ip)) {
            struct taken taken = {.ip = *ip, .turn = ++endpoints->n_taken};
            drop_ip(endpoints, other, ip);
            other->ips[i] = other->ips[--other->n_ips];
            VEC_PUSH(&other->taken, taken);
            return;
        }
    }
}

static void
take_from_others(struct endpoints *endpoints, const char *ifname, const struct prefix *ip)
{
    TABLE_FOREACH (endpoints->by_name, entry) {
        struct endpoint *other = table_value(entry);
        if (strcmp(other->ifname, ifname) != 0) {
            take_from(endpoints, other, ip);
        }
    }
}

/* ---- floating addresses
 * ---------------------------------------------------------------------------------- */

static void
float_one(struct endpoints *endpoints, struct endpoint *endpoint)
{
    prefix_vec before = endpoint->floating;

    endpoint->floating = (prefix_vec){0};
    VEC_FOREACH (&endpoints->floating, address) {
        if (strcmp(address->ifname, endpoint->ifname) == 0) {
            VEC_PUSH(&endpoint->floating, prefix_of_ip(&address->ip));
        }
    }
    VEC_FOREACH (&before, ip) {
        if (!is_routed(endpoint, ip)) {
            drop_route(endpoints, endpoint, ip);
        }
    }
    if (!prefixes_equal(before.items, before.n, endpoint->floating.items, endpoint->floating.n)) {
        make_dirty(endpoints, endpoint);
    }
    VEC_DONE(&before);
}

bool
endpoints_float(struct endpoints *endpoints, const floating_vec *addresses)
{
    bool was_awaited = endpoints->spec.awaits_floating;

    endpoints->spec.awaits_floating = false;
    if (addresses->n == 0 && endpoints->floating.n == 0) {
        return was_awaited;
    }
    endpoints->floating.n = 0;
    VEC_FOREACH (addresses, address) {
        VEC_PUSH(&endpoints->floating, *address);
    }
    TABLE_FOREACH (endpoints->by_name, entry) {
        float_one(endpoints, table_value(entry));
    }
    return was_awaited;
}

/* ---- endpoints
 * ------------------------------------------------------------------------------------------- */

void
endpoints_put(struct endpoints *endpoints, const char *ifname, const struct prefix *ips, size_t n)
{
    struct endpoint *endpoint = table_get(endpoints->by_name, ifname);

    if (!endpoint) {
        endpoint = NEW(struct endpoint);
        snprintf(endpoint->ifname, sizeof endpoint->ifname, "%s", ifname);
        endpoint->is_loose = endpoints->loose && table_get(endpoints->loose, ifname);
        float_one(endpoints, endpoint);
        table_put(endpoints->by_name, ifname, endpoint);
    }
    if (endpoint->index == 0) {
        endpoint->index = link_index(endpoints, ifname);
    }
    struct prefix *before = endpoint->ips;
    size_t n_before = endpoint->n_ips;
    endpoint->ips = xmemdup(ips, n * sizeof *ips);
    endpoint->n_ips = n;
    endpoint->taken.n = 0;
    for (size_t i = 0; i < n_before; i++) {
        if (!has_ip(ips, n, &before[i])) {
            drop_ip(endpoints, endpoint, &before[i]);
            give_back(endpoints, before[i]);
        }
    }
    free(before);
    for (size_t i = 0; i < n; i++) {
        take_from_others(endpoints, ifname, &ips[i]);
        want_ip(endpoints, endpoint, &ips[i]);
    }
    make_dirty(endpoints, endpoint);
}

void
endpoints_remove(struct endpoints *endpoints, const char *ifname)
{
    struct endpoint *endpoint = table_take(endpoints->by_name, ifname);

    if (!endpoint) {
        return;
    }
    for (size_t i = 0; i < endpoint->n_ips; i++) {
        drop_ip(endpoints, endpoint, &endpoint->ips[i]);
        give_back(endpoints, endpoint->ips[i]);
    }
    VEC_FOREACH (&endpoint->floating, ip) {
        drop_route(endpoints, endpoint, ip);
    }
    endpoint_free(endpoint);
}

void
endpoints_loosen(struct endpoints *endpoints, struct table *ifnames)
{
    table_free(endpoints->loose, NULL);
    endpoints->loose = ifnames;
    TABLE_FOREACH (endpoints->by_name, entry) {
        struct endpoint *endpoint = table_value(entry);
        bool is_loose = table_get(ifnames, endpoint->ifname) != NULL;
        if (is_loose != endpoint->is_loose) {
            endpoint->is_loose = is_loose;
            make_dirty(endpoints, endpoint);
        }
    }
}

size_t
endpoints_count(const struct endpoints *endpoints)
{
    return table_count(endpoints->by_name);
}

void
endpoints_on_link(struct endpoints *endpoints, const struct link *link, bool is_gone)
{
    struct endpoint *endpoint = table_get(endpoints->by_name, link->name);

    if (!endpoint) {
        return;
    }
    int index = is_gone || !link->is_up ? 0 : link->index;
    if (is_gone && endpoint->index != link->index) {
        return; /* an earlier link of the same name */
    }
    if (endpoint->index != index) {
        endpoint->index = index;
        make_dirty(endpoints, endpoint);
    }
}

void
endpoints_on_route_gone(struct endpoints *endpoints, const struct route *route)
{
    /* BIRD's routes come and go by the thousand; they are not looked up. */
    if (endpoints->spec.routes.are_left || route->protocol != endpoints->spec.route_protocol ||
        route->dst.len != ip_bits(&route->dst.ip) ||
        route->metric != metric_of(endpoints, route->dst.ip.family)) {
        return;
    }
    TABLE_FOREACH (endpoints->by_name, entry) {
        struct endpoint *endpoint = table_value(entry);
        if (endpoint->index == route->index && is_routed(endpoint, &route->dst) &&
            endpoint->is_programmed) {
            endpoints->n_repaired++;
            make_dirty(endpoints, endpoint);
        }
    }
}

void
endpoints_on_conf(struct endpoints *endpoints, int index)
{
    TABLE_FOREACH (endpoints->by_name, entry) {
        struct endpoint *endpoint = table_value(entry);
        if (endpoint->index == index && index > 0) {
            endpoint->is_dirty = endpoints->any_dirty = true;
        }
    }
}

void
endpoints_recheck(struct endpoints *endpoints)
{
    TABLE_FOREACH (endpoints->by_name, entry) {
        struct endpoint *endpoint = table_value(entry);
        endpoint->is_dirty = true;
        endpoints->any_dirty = true;
    }
}

/* A pod must not be without a route because of an address that this node has not. */
static bool
write_route(struct endpoints *endpoints, struct route *route, struct err *err)
{
    struct err reason = ERR_INIT;
    char text[IP_TEXT_MAX];

    if (endpoints->is_source_refused) {
        route->source = (struct ip){0};
    }
    if (route_replace(endpoints->spec.netlink, route, &reason)) {
        return true;
    }
    if (route->source.family == 0 || reason.code != EINVAL) {
        return err_code(err, reason.code, "%s", reason.text);
    }
    endpoints->is_source_refused = true;
    return err_set(err, "DeviceRouteSourceAddress %s is no address of this node; routes go without",
                   ip_format(&route->source, text));
}

static bool
write_routes(struct endpoints *endpoints, const struct endpoint *endpoint, const struct prefix *ips,
             size_t n, struct err *err)
{
    for (size_t i = 0; i < n && !endpoints->spec.routes.are_left; i++) {
        struct route route = route_to(endpoints, endpoint, &ips[i]);
        if (set_of(endpoints, &ips[i]) && !write_route(endpoints, &route, err)) {
            return false;
        }
    }
    return true;
}

static bool
program(struct endpoints *endpoints, struct endpoint *endpoint, struct err *err)
{
    bool changed = false;
    bool was_programmed = endpoint->is_programmed;

    if (!sysctl_workload(endpoint->ifname, endpoints->spec.workloads6 != NULL, &changed, err)) {
        return err_wrap(err, "interface %s", endpoint->ifname);
    }
    endpoints->n_repaired += was_programmed && changed;
    if ((endpoint->is_loose || endpoint->was_loose) &&
        !sysctl_source_check(endpoint->ifname, !endpoint->is_loose, err)) {
        return err_wrap(err, "interface %s", endpoint->ifname);
    }
    endpoint->was_loose = endpoint->is_loose;
    if (!write_routes(endpoints, endpoint, endpoint->ips, endpoint->n_ips, err) ||
        !write_routes(endpoints, endpoint, endpoint->floating.items, endpoint->floating.n, err)) {
        return err_wrap(err, "interface %s", endpoint->ifname);
    }
    endpoint->is_programmed = true;
    return true;
}

/* The first error is told. */
static bool
delete_routes(struct endpoints *endpoints, route_vec *routes, struct err *err)
{
    bool good = true;

    VEC_FOREACH (routes, route) {
        struct err reason = ERR_INIT;
        /* Already gone, with its link perhaps, is what we want. */
        if (!route_delete(endpoints->spec.netlink, route, &reason) && reason.code != ESRCH &&
            reason.code != ENODEV && reason.code != ENOENT) {
            good = good && err_code(err, reason.code, "%s", reason.text);
        }
    }
    routes->n = 0;
    return good;
}

static bool
program_dirty(struct endpoints *endpoints, struct err *err)
{
    bool good = true;

    endpoints->any_dirty = false;
    TABLE_FOREACH (endpoints->by_name, entry) {
        struct endpoint *endpoint = table_value(entry);
        if (!endpoint->is_dirty || endpoint->index == 0) {
            continue;
        }
        struct err reason = ERR_INIT;
        endpoint->is_dirty = false;
        if (!program(endpoints, endpoint, &reason)) {
            /* The link may have gone this very moment; then a notification is on its way. */
            endpoint->is_dirty = endpoints->any_dirty = true;
            endpoint->is_programmed = false;
            if (good && reason.code != ENODEV && reason.code != ENOENT) {
                good = err_code(err, reason.code, "%s", reason.text);
            }
        }
    }
    return good;
}

bool
endpoints_apply(struct endpoints *endpoints, struct err *err)
{
    bool good = delete_routes(endpoints, &endpoints->stale, err);

    if (endpoints->any_dirty) {
        good = program_dirty(endpoints, good ? err : NULL) && good;
    }
    /* A failure above leaves both, which does no harm; the next resync finds the older one. */
    return delete_routes(endpoints, &endpoints->older, good ? err : NULL) && good;
}

#define ROUTE_KEY_MAX (PREFIX_TEXT_MAX + 16)

static const char *
route_key(int index, const struct prefix *dst, char ret_key[ROUTE_KEY_MAX])
{
    char text[PREFIX_TEXT_MAX];

    snprintf(ret_key, ROUTE_KEY_MAX, "%d %s", index, prefix_format(dst, text));
    return ret_key;
}

static void
mark_missing(struct endpoints *endpoints, struct endpoint *endpoint, uint8_t family,
             const struct table *present)
{
    char key[ROUTE_KEY_MAX];

    for (size_t i = 0; i < endpoint->n_ips + endpoint->floating.n; i++) {
        const struct prefix *ip = i < endpoint->n_ips
                                      ? &endpoint->ips[i]
                                      : &endpoint->floating.items[i - endpoint->n_ips];
        if (ip->ip.family == family && !table_get(present, route_key(endpoint->index, ip, key))) {
            endpoints->n_repaired += endpoint->is_programmed;
            make_dirty(endpoints, endpoint);
        }
    }
}

/* One on the endpoint's interface. */
static void
mark_if_stale(struct endpoints *endpoints, const struct endpoint *endpoint,
              const struct route *route)
{
    bool is_ours = route->protocol == endpoints->spec.route_protocol &&
                   route->dst.len == ip_bits(&route->dst.ip);
    bool is_wanted = is_routed(endpoint, &route->dst);
    bool is_left =
        is_ours ? endpoints->spec.awaits_floating : !endpoints->spec.routes.removes_foreign;

    if (!is_wanted && !is_left) {
        VEC_PUSH(&endpoints->stale, *route);
    } else if (is_wanted && is_ours &&
               route->metric != metric_of(endpoints, route->dst.ip.family)) {
        VEC_PUSH(&endpoints->older, *route);
    }
}

static void
mark_stale(struct endpoints *endpoints, const struct endpoint *endpoint, const route_vec *routes)
{
    VEC_FOREACH (routes, route) {
        if (route->index == endpoint->index) {
            mark_if_stale(endpoints, endpoint, route);
        }
    }
}

/* Foreign routes are asked for by protocol: a list of all would have BIRD's 100,000 in it, of which
 * none is a pod's. */
static bool
resync_foreign(struct endpoints *endpoints, uint8_t family, struct err *err)
{
    static const uint8_t protocols[] = {RTPROT_BOOT, RTPROT_STATIC};
    route_vec routes = VEC_INIT;
    bool good = true;

    for (size_t i = 0; i < ARRAY_LEN(protocols) && good; i++) {
        if (protocols[i] == endpoints->spec.route_protocol) {
            continue;
        }
        good = route_list(endpoints->spec.netlink, family, protocols[i], &routes, err);
        TABLE_FOREACH (endpoints->by_name, entry) {
            const struct endpoint *endpoint = table_value(entry);
            if (good && endpoint->index > 0) {
                mark_stale(endpoints, endpoint, &routes);
            }
        }
    }
    VEC_DONE(&routes);
    return good;
}

static void
mark_family(struct endpoints *endpoints, uint8_t family, const route_vec *routes)
{
    const struct endpoint_routes *settings = &endpoints->spec.routes;
    const struct ip *source = family == 4 ? &settings->source4 : &settings->source6;
    struct table *present = table_new(); /* index and prefix of our routes, when they are right */

    VEC_FOREACH (routes, route) {
        char key[ROUTE_KEY_MAX];
        if (route->metric == metric_of(endpoints, family) &&
            (ip_equal(&route->source, source) || endpoints->is_source_refused)) {
            table_put(present, route_key(route->index, &route->dst, key), endpoints);
        }
    }
    TABLE_FOREACH (endpoints->by_name, entry) {
        struct endpoint *endpoint = table_value(entry);
        if (endpoint->index > 0) {
            mark_missing(endpoints, endpoint, family, present);
            mark_stale(endpoints, endpoint, routes);
        }
    }
    table_free(present, NULL);
}

static bool
resync_family(struct endpoints *endpoints, uint8_t family, struct err *err)
{
    route_vec routes = VEC_INIT;
    bool good =
        route_list(endpoints->spec.netlink, family, endpoints->spec.route_protocol, &routes, err);

    if (good) {
        mark_family(endpoints, family, &routes);
    }
    VEC_DONE(&routes);
    return good &&
           (!endpoints->spec.routes.removes_foreign || resync_foreign(endpoints, family, err));
}

bool
endpoints_resync(struct endpoints *endpoints, struct err *err)
{
    endpoints_recheck(endpoints);
    if (endpoints->spec.routes.are_left) {
        return true;
    }
    return resync_family(endpoints, 4, err) &&
           (!endpoints->spec.workloads6 || resync_family(endpoints, 6, err));
}

bool
endpoints_is_programmed(const struct endpoints *endpoints, const char *ifname)
{
    const struct endpoint *endpoint = table_get(endpoints->by_name, ifname);

    if (!endpoint || !endpoint->is_programmed) {
        return false;
    }
    for (size_t i = 0; i < endpoint->n_ips; i++) {
        struct kset_member member = member_of(endpoint, &endpoint->ips[i]);
        const struct set *set = set_of(endpoints, &endpoint->ips[i]);
        if (set && !set_holds(set, &member)) {
            return false;
        }
    }
    return true;
}

uint64_t
endpoints_n_repaired(const struct endpoints *endpoints)
{
    return endpoints->n_repaired;
}
