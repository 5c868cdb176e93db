/* Routes straight to an interface: those of local pods. */
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>

#include "lib/netlink/netlink.h"

bool
route_parse(const struct nlmsghdr *header, struct route *ret_route)
{
    struct nlattr *attrs[RTA_MAX + 1];
    struct nlmsghdr *hdr = (struct nlmsghdr *)(uintptr_t)header;
    const struct rtmsg *rtm = nlmsg_data(hdr);
    uint8_t family = rtm->rtm_family == AF_INET ? 4 : 6;

    if ((rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6) ||
        nlmsg_parse(hdr, sizeof *rtm, attrs, RTA_MAX, NULL) < 0) {
        return false;
    }
    struct route route = {.dst = {.ip = {.family = family}, .len = rtm->rtm_dst_len},
                          .protocol = rtm->rtm_protocol,
                          .scope = rtm->rtm_scope,
                          .type = rtm->rtm_type,
                          .table =
                              attrs[RTA_TABLE] ? nla_get_u32(attrs[RTA_TABLE]) : rtm->rtm_table};
    if (attrs[RTA_DST] && nla_len(attrs[RTA_DST]) >= (family == 4 ? 4 : 16)) {
        route.dst.ip = ip_from_bytes(family, nla_data(attrs[RTA_DST]));
    }
    if (attrs[RTA_OIF]) {
        route.index = (int)nla_get_u32(attrs[RTA_OIF]);
    }
    if (attrs[RTA_PRIORITY]) {
        route.metric = nla_get_u32(attrs[RTA_PRIORITY]);
    }
    if (attrs[RTA_PREFSRC] && nla_len(attrs[RTA_PREFSRC]) >= (family == 4 ? 4 : 16)) {
        route.source = ip_from_bytes(family, nla_data(attrs[RTA_PREFSRC]));
    }
    *ret_route = route;
    return true;
}

static void
on_route(void *owner, const struct nlmsghdr *header)
{
    route_vec *routes = owner;
    struct route route;

    if (header->nlmsg_type == RTM_NEWROUTE && route_parse(header, &route) &&
        route.table == RT_TABLE_MAIN) {
        VEC_PUSH(routes, route);
    }
}

bool
route_list(struct netlink *netlink, uint8_t family, uint8_t protocol, route_vec *ret_routes,
           struct err *err)
{
    struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, 0);
    struct rtmsg rtm = {.rtm_family = family == 4 ? AF_INET : AF_INET6,
                        .rtm_table = RT_TABLE_MAIN,
                        .rtm_protocol = protocol};

    ret_routes->n = 0;
    nlmsg_append(msg, &rtm, sizeof rtm, NLMSG_ALIGNTO);
    return netlink_dump(netlink, msg, on_route, ret_routes, err) || err_wrap(err, "list routes");
}

static void
on_way(void *owner, const struct nlmsghdr *header)
{
    struct route route;

    if (header->nlmsg_type == RTM_NEWROUTE && route_parse(header, &route)) {
        *(int *)owner = route.index;
    }
}

bool
route_interface(struct netlink *netlink, const struct ip *ip, int *ret_index, struct err *err)
{
    struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, 0);
    struct rtmsg rtm = {.rtm_family = (uint8_t)ip_af(ip), .rtm_dst_len = (uint8_t)ip_bits(ip)};
    char text[IP_TEXT_MAX];
    int index = 0;

    nlmsg_append(msg, &rtm, sizeof rtm, NLMSG_ALIGNTO);
    nla_put(msg, RTA_DST, ip_bits(ip) / 8, ip->bytes);
    if (!netlink_get(netlink, msg, on_way, &index, err)) {
        return err_wrap(err, "route to %s", ip_format(ip, text));
    }
    if (index == 0) {
        return err_set(err, "route to %s: it leaves by no interface", ip_format(ip, text));
    }
    *ret_index = index;
    return true;
}

static struct nl_msg *
route_message(int type, int flags, const struct route *route)
{
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
    struct rtmsg rtm = {.rtm_family = (uint8_t)ip_af(&route->dst.ip),
                        .rtm_dst_len = route->dst.len,
                        .rtm_table = RT_TABLE_MAIN,
                        .rtm_protocol = route->protocol,
                        .rtm_scope = route->scope,
                        .rtm_type = route->type};

    nlmsg_append(msg, &rtm, sizeof rtm, NLMSG_ALIGNTO);
    nla_put(msg, RTA_DST, ip_bits(&route->dst.ip) / 8, route->dst.ip.bytes);
    if (route->index > 0) {
        nla_put_u32(msg, RTA_OIF, (uint32_t)route->index);
    }
    if (route->metric > 0) {
        nla_put_u32(msg, RTA_PRIORITY, route->metric);
    }
    if (route->source.family == route->dst.ip.family) {
        nla_put(msg, RTA_PREFSRC, ip_bits(&route->source) / 8, route->source.bytes);
    }
    return msg;
}

bool
route_replace(struct netlink *netlink, const struct route *route, struct err *err)
{
    char text[PREFIX_TEXT_MAX];

    return netlink_request(netlink,
                           route_message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route), err) ||
           err_wrap(err, "route to %s", prefix_format(&route->dst, text));
}

bool
route_delete(struct netlink *netlink, const struct route *route, struct err *err)
{
    char text[PREFIX_TEXT_MAX];

    return netlink_request(netlink, route_message(RTM_DELROUTE, 0, route), err) ||
           err_wrap(err, "delete route to %s", prefix_format(&route->dst, text));
}
