/* What is there: an attachment's addresses and routes for CHECK, links by alias and routes to pods
 * for the address files. Called by verbs.c and ipam.c. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

#include "cni/wire.h"
#include "cni/wire_parts.h"

/* Links and routes come and go while a node is busy. */
#define LIST_TRIES 100

struct address_search {
    const struct prefix *ip;
    int index;
    bool found;
};

static int
on_address_attr(const struct nlattr *attr, void *owner)
{
    struct address_search *search = owner;
    uint16_t type = mnl_attr_get_type(attr);
    size_t len = ip_bits(&search->ip->ip) / 8;

    if ((type == IFA_LOCAL || type == IFA_ADDRESS) && mnl_attr_get_payload_len(attr) == len &&
        memcmp(mnl_attr_get_payload(attr), search->ip->ip.bytes, len) == 0) {
        search->found = true;
    }
    return MNL_CB_OK;
}

static int
on_address(const struct nlmsghdr *header, void *owner)
{
    struct address_search *search = owner;
    const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(header);

    if ((int)ifa->ifa_index != search->index || ifa->ifa_family != ip_af(&search->ip->ip) ||
        ifa->ifa_prefixlen != search->ip->len) {
        return MNL_CB_OK;
    }
    mnl_attr_parse(header, sizeof *ifa, on_address_attr, search);
    return MNL_CB_OK;
}

struct route_search {
    int index; /* of the route found */
};

static int
on_route_attr(const struct nlattr *attr, void *owner)
{
    struct route_search *search = owner;

    if (mnl_attr_get_type(attr) == RTA_OIF) {
        search->index = (int)mnl_attr_get_u32(attr);
    }
    return MNL_CB_OK;
}

static int
on_route(const struct nlmsghdr *header, void *owner)
{
    mnl_attr_parse(header, sizeof(struct rtmsg), on_route_attr, owner);
    return MNL_CB_OK;
}

/* The route the kernel would take. */
static int
route_towards(struct wire *wire, struct mnl_socket *sock, const struct ip *ip,
              struct route_search *ret_found)
{
    struct nlmsghdr *header = wire_message(wire, RTM_GETROUTE, 0);
    struct rtmsg *rtm = mnl_nlmsg_put_extra_header(header, sizeof *rtm);

    *ret_found = (struct route_search){0};
    rtm->rtm_family = (uint8_t)ip_af(ip);
    rtm->rtm_dst_len = ip_bits(ip);
    rtm->rtm_flags = RTM_F_FIB_MATCH;
    mnl_attr_put(header, RTA_DST, ip_bits(ip) / 8, ip->bytes);
    return wire_exchange(wire, sock, on_route, ret_found);
}

static bool
check_address(struct wire *wire, const struct found_link *link, const char *ifname,
              const struct prefix *ip, struct err *err)
{
    struct address_search search = {.ip = ip, .index = link->index};
    struct nlmsghdr *header = wire_message(wire, RTM_GETADDR, NLM_F_DUMP);
    struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(header, sizeof *ifa);
    char text[PREFIX_TEXT_MAX];

    ifa->ifa_family = (uint8_t)ip_af(&ip->ip);
    int number = wire_exchange(wire, wire->pod, on_address, &search);
    if (number != 0 && !(number == EINTR && search.found)) {
        return wire_fail(err, number, "read the pod's addresses");
    }
    return search.found ||
           err_code(err, CNI_BROKEN, "address %s is not on %s", prefix_format(ip, text), ifname);
}

/* Where another plugin may have moved it to (a rule, a table of its own) is not asked: the outside
 * has to lie behind our interface. */
static bool
check_default(struct wire *wire, const struct found_link *link, const char *ifname, uint8_t family,
              struct err *err)
{
    const struct ip outside = {.family = family, .bytes = {0x20, 0x01, 0x0d, 0xb8}};
    struct route_search route;

    return (route_towards(wire, wire->pod, &outside, &route) == 0 && route.index == link->index) ||
           err_code(err, CNI_BROKEN, "the pod has no IPv%u default route through %s", family,
                    ifname);
}

struct listed_route {
    const struct cni_route *wanted;
    int index;
    bool found;
    /* of the route at hand */
    uint32_t table, oif;
    bool is_dst;
};

static int
on_listed_attr(const struct nlattr *attr, void *owner)
{
    struct listed_route *search = owner;
    const struct prefix *dst = &search->wanted->dst;
    size_t len = ip_bits(&dst->ip) / 8;

    switch (mnl_attr_get_type(attr)) {
    case RTA_DST:
        search->is_dst = mnl_attr_get_payload_len(attr) == len &&
                         memcmp(mnl_attr_get_payload(attr), dst->ip.bytes, len) == 0;
        break;
    case RTA_TABLE:
        search->table = mnl_attr_get_u32(attr);
        break;
    case RTA_OIF:
        search->oif = mnl_attr_get_u32(attr);
        break;
    default:
        break;
    }
    return MNL_CB_OK;
}

static int
on_listed_route(const struct nlmsghdr *header, void *owner)
{
    struct listed_route *search = owner;
    const struct rtmsg *rtm = mnl_nlmsg_get_payload(header);
    uint32_t table = search->wanted->table > 0 ? search->wanted->table : RT_TABLE_MAIN;

    search->table = rtm->rtm_table;
    search->oif = 0;
    search->is_dst = search->wanted->dst.len == 0; /* has no RTA_DST */
    mnl_attr_parse(header, sizeof *rtm, on_listed_attr, search);
    search->found = search->found || (search->is_dst && search->table == table &&
                                      rtm->rtm_dst_len == search->wanted->dst.len &&
                                      search->oif == (uint32_t)search->index);
    return MNL_CB_OK;
}

static bool
check_route(struct wire *wire, const struct found_link *link, const char *ifname,
            const struct cni_route *route, struct err *err)
{
    struct listed_route search = {.wanted = route, .index = link->index};
    struct nlmsghdr *header = wire_message(wire, RTM_GETROUTE, NLM_F_DUMP);
    struct rtmsg *rtm = mnl_nlmsg_put_extra_header(header, sizeof *rtm);
    char text[PREFIX_TEXT_MAX];

    if (route->dst.len == 0 && route->table == 0) {
        return check_default(wire, link, ifname, route->dst.ip.family, err);
    }
    rtm->rtm_family = (uint8_t)ip_af(&route->dst.ip);
    int number = wire_exchange(wire, wire->pod, on_listed_route, &search);
    if (number != 0 && !(number == EINTR && search.found)) {
        return wire_fail(err, number, "read the pod's routes");
    }
    return search.found || err_code(err, CNI_BROKEN, "the pod has no route to %s through %s",
                                    prefix_format(&route->dst, text), ifname);
}

bool
wire_check_pod_end(struct wire *wire, const char *ifname, const struct cni_attachment *attachment,
                   struct err *err)
{
    struct found_link link;

    if (wire_find_link(wire, wire->pod, ifname, &link) != 0) {
        return err_code(err, CNI_BROKEN, "the pod has no interface %s", ifname);
    }
    for (size_t i = 0; i < attachment->n_ips; i++) {
        if (!check_address(wire, &link, ifname, &attachment->ips[i], err)) {
            return false;
        }
    }
    for (size_t i = 0; i < attachment->routes.n; i++) {
        if (!check_route(wire, &link, ifname, &attachment->routes.items[i], err)) {
            return false;
        }
    }
    return true;
}

bool
wire_is_routed_to_pod(struct wire *wire, const struct ip *ip)
{
    struct route_search route;
    char name[IF_NAMESIZE];

    return route_towards(wire, wire->host, ip, &route) == 0 && route.index > 0 &&
           if_indextoname((unsigned)route.index, name) && strncmp(name, "cali", 4) == 0;
}

struct alias_search {
    const char *alias;
    bool found;
    int index; /* of one that has it */
};

static int
on_alias(const struct nlmsghdr *header, void *owner)
{
    struct alias_search *search = owner;
    struct found_link link = {0};

    wire_on_link(header, &link);
    if (link.alias[0] != '\0' && wire_is_alias_of(&link, search->alias)) {
        search->found = true;
        search->index = link.index;
    }
    return MNL_CB_OK;
}

/* Links come and go while a node is busy; a list that was disturbed is read again. */
static int
find_alias(struct wire *wire, struct alias_search *search)
{
    int number = EINTR;

    for (int i = 0; i < LIST_TRIES && number == EINTR; i++) {
        wire_put_link(wire_message(wire, RTM_GETLINK, NLM_F_DUMP), 0);
        number = wire_exchange(wire, wire->host, on_alias, search);
        /* What was found is there, whatever else was missed. */
        number = search->found && number == EINTR ? 0 : number;
    }
    return number;
}

bool
wire_has_alias(struct wire *wire, const char *alias)
{
    struct alias_search search = {.alias = alias};

    /* When in doubt the link is there, and its address stays reserved. */
    return find_alias(wire, &search) != 0 || search.found;
}

bool
wire_delete_by_alias(struct wire *wire, const char *container_id, struct err *err)
{
    for (;;) {
        struct alias_search search = {.alias = container_id};
        int number = find_alias(wire, &search);
        if (number != 0) {
            return wire_fail(err, number, "list the host's interfaces");
        }
        if (!search.found) {
            return true;
        }
        if (!wire_delete_link(wire, wire->host, search.index, err)) {
            return false;
        }
    }
}
