/* Links: listing, state, MTU, the IPIP tunnel. */
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <string.h>

#include "lib/netlink/netlink.h"

static void
copy_text(char *to, size_t room, const struct nlattr *attr)
{
    if (attr) {
        snprintf(to, room, "%.*s", nla_len(attr), (const char *)nla_data(attr));
    }
}

bool
link_parse(const struct nlmsghdr *header, struct link *ret_link)
{
    struct nlattr *attrs[IFLA_MAX + 1];
    struct nlattr *info[IFLA_INFO_MAX + 1];
    struct link link = {0};
    /* libnl's parsers take a pointer to what they do not change. */
    struct nlmsghdr *hdr = (struct nlmsghdr *)(uintptr_t)header;
    const struct ifinfomsg *ifi = nlmsg_data(hdr);

    if (nlmsg_parse(hdr, sizeof *ifi, attrs, IFLA_MAX, NULL) < 0 || !attrs[IFLA_IFNAME]) {
        return false;
    }
    link.index = ifi->ifi_index;
    link.is_up = ifi->ifi_flags & IFF_UP;
    link.is_running = ifi->ifi_flags & IFF_RUNNING;
    link.is_loopback = ifi->ifi_flags & IFF_LOOPBACK;
    copy_text(link.name, sizeof link.name, attrs[IFLA_IFNAME]);
    copy_text(link.alias, sizeof link.alias, attrs[IFLA_IFALIAS]);
    if (attrs[IFLA_MTU]) {
        link.mtu = nla_get_u32(attrs[IFLA_MTU]);
    }
    if (attrs[IFLA_LINKINFO] &&
        nla_parse_nested(info, IFLA_INFO_MAX, attrs[IFLA_LINKINFO], NULL) == 0) {
        copy_text(link.kind, sizeof link.kind, info[IFLA_INFO_KIND]);
    }
    *ret_link = link;
    return true;
}

static void
on_link(void *owner, const struct nlmsghdr *header)
{
    link_vec *links = owner;
    struct link link;

    if (header->nlmsg_type == RTM_NEWLINK && link_parse(header, &link)) {
        VEC_PUSH(links, link);
    }
}

static struct nl_msg *
link_message(int type, int flags, int index)
{
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
    struct ifinfomsg ifi = {.ifi_index = index};

    nlmsg_append(msg, &ifi, sizeof ifi, NLMSG_ALIGNTO);
    return msg;
}

bool
link_list(struct netlink *netlink, link_vec *ret_links, struct err *err)
{
    ret_links->n = 0;
    return netlink_dump(netlink, link_message(RTM_GETLINK, 0, 0), on_link, ret_links, err) ||
           err_wrap(err, "list links");
}

bool
link_get(struct netlink *netlink, const char *name, struct link *ret_link, struct err *err)
{
    link_vec links = VEC_INIT;

    if (strlen(name) >= LINK_NAME_MAX) {
        return err_code(err, ENODEV, "'%.32s' is too long for an interface", name);
    }
    /* By name, not through a list: on a node with hundreds of pods that would be hundreds of links
     * for every pod that comes. */
    struct nl_msg *msg = link_message(RTM_GETLINK, 0, 0);
    nla_put_string(msg, IFLA_IFNAME, name);
    bool good = netlink_get(netlink, msg, on_link, &links, err);
    bool found = good && links.n > 0;
    if (found) {
        *ret_link = links.items[0];
    }
    VEC_DONE(&links);
    return good ? found || err_code(err, ENODEV, "there is no interface %s", name)
                : err_wrap(err, "interface %s", name);
}

bool
link_set(struct netlink *netlink, int index, bool up, uint32_t mtu, struct err *err)
{
    struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWLINK, 0);
    struct ifinfomsg ifi = {.ifi_index = index, .ifi_flags = up ? IFF_UP : 0, .ifi_change = IFF_UP};

    nlmsg_append(msg, &ifi, sizeof ifi, NLMSG_ALIGNTO);
    if (mtu > 0) {
        nla_put_u32(msg, IFLA_MTU, mtu);
    }
    return netlink_request(netlink, msg, err) || err_wrap(err, "set link %d", index);
}

bool
link_delete(struct netlink *netlink, int index, struct err *err)
{
    return netlink_request(netlink, link_message(RTM_DELLINK, 0, index), err) ||
           err_wrap(err, "delete link %d", index);
}

bool
link_add_ipip(struct netlink *netlink, const char *name, struct err *err)
{
    struct nl_msg *msg = link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);

    nla_put_string(msg, IFLA_IFNAME, name);
    struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO);
    nla_put_string(msg, IFLA_INFO_KIND, "ipip");
    nla_nest_end(msg, info);
    return netlink_request(netlink, msg, err) || err_wrap(err, "create ipip link %s", name);
}
