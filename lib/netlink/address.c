/* Addresses of links. */
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include "lib/netlink/netlink.h"

static void
on_address(void *owner, const struct nlmsghdr *header)
{
    address_vec *addresses = owner;
    struct nlattr *attrs[IFA_MAX + 1];
    struct nlmsghdr *hdr = (struct nlmsghdr *)(uintptr_t)header;
    const struct ifaddrmsg *ifa = nlmsg_data(hdr);
    uint8_t family = ifa->ifa_family == AF_INET ? 4 : 6;

    if (header->nlmsg_type != RTM_NEWADDR ||
        (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6) ||
        nlmsg_parse(hdr, sizeof *ifa, attrs, IFA_MAX, NULL) < 0) {
        return;
    }
    /* On point-to-point links IFA_ADDRESS is the other end. */
    const struct nlattr *own = attrs[IFA_LOCAL] ? attrs[IFA_LOCAL] : attrs[IFA_ADDRESS];
    if (!own || nla_len(own) < (family == 4 ? 4 : 16)) {
        return;
    }
    uint32_t flags = attrs[IFA_FLAGS] ? nla_get_u32(attrs[IFA_FLAGS]) : ifa->ifa_flags;
    struct address address = {
        .index = (int)ifa->ifa_index,
        .prefix = {.ip = ip_from_bytes(family, nla_data(own)), .len = ifa->ifa_prefixlen},
        .scope = ifa->ifa_scope,
        .is_usable = !(flags & (IFA_F_TENTATIVE | IFA_F_DEPRECATED | IFA_F_DADFAILED))};
    VEC_PUSH(addresses, address);
}

bool
address_list(struct netlink *netlink, address_vec *ret_addresses, struct err *err)
{
    struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETADDR, 0);
    struct ifaddrmsg ifa = {0};

    ret_addresses->n = 0;
    nlmsg_append(msg, &ifa, sizeof ifa, NLMSG_ALIGNTO);
    return netlink_dump(netlink, msg, on_address, ret_addresses, err) ||
           err_wrap(err, "list addresses");
}

static struct nl_msg *
address_message(int type, int flags, int index, const struct prefix *prefix)
{
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
    struct ifaddrmsg ifa = {.ifa_family = (uint8_t)ip_af(&prefix->ip),
                            .ifa_prefixlen = prefix->len,
                            .ifa_scope = RT_SCOPE_UNIVERSE,
                            .ifa_index = (unsigned)index};

    nlmsg_append(msg, &ifa, sizeof ifa, NLMSG_ALIGNTO);
    nla_put(msg, IFA_LOCAL, ip_bits(&prefix->ip) / 8, prefix->ip.bytes);
    nla_put(msg, IFA_ADDRESS, ip_bits(&prefix->ip) / 8, prefix->ip.bytes);
    return msg;
}

bool
address_add(struct netlink *netlink, int index, const struct prefix *prefix, struct err *err)
{
    char text[PREFIX_TEXT_MAX];

    return netlink_request(
               netlink, address_message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, index, prefix),
               err) ||
           err_wrap(err, "add address %s", prefix_format(prefix, text));
}

bool
address_delete(struct netlink *netlink, int index, const struct prefix *prefix, struct err *err)
{
    char text[PREFIX_TEXT_MAX];

    return netlink_request(netlink, address_message(RTM_DELADDR, 0, index, prefix), err) ||
           err_wrap(err, "delete address %s", prefix_format(prefix, text));
}
