/* Two multicast sockets, one of rtnetlink and one of nfnetlink, read as they become readable. */
#include "lib/netlink/monitor.h"

#include <errno.h>
#include <linux/netconf.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/alloc.h"

#define READ_ROOM (64 * 1024)
#define RECEIVE_BUFFER (4 * 1024 * 1024)
/* One busy neighbour must not starve the rest of the loop. */
#define READS_PER_TURN 64

struct source {
    struct monitor *monitor;
    uv_poll_t poll;
    int fd;
    enum monitor_event lost;
    void (*handle)(struct monitor *monitor, const struct nlmsghdr *header);
};

struct monitor {
    struct source route;
    struct source rules;
    int n_open;
    void (*notify)(void *owner, const struct monitor_note *note);
    void *owner;
    char buffer[READ_ROOM];
};

static void
note(struct monitor *monitor, enum monitor_event event)
{
    struct monitor_note simple = {.event = event};

    monitor->notify(monitor->owner, &simple);
}

static int
conf_index(const struct nlmsghdr *header)
{
    struct nlattr *attrs[NETCONFA_MAX + 1];
    struct nlmsghdr *hdr = (struct nlmsghdr *)(uintptr_t)header;

    if (nlmsg_parse(hdr, sizeof(struct netconfmsg), attrs, NETCONFA_MAX, NULL) < 0 ||
        !attrs[NETCONFA_IFINDEX]) {
        return NETCONFA_IFINDEX_ALL;
    }
    return (int)nla_get_u32(attrs[NETCONFA_IFINDEX]);
}

static void
handle_route(struct monitor *monitor, const struct nlmsghdr *header)
{
    struct monitor_note found = {0};

    switch (header->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
        found.event = header->nlmsg_type == RTM_NEWLINK ? MONITOR_LINK : MONITOR_LINK_GONE;
        /* AF_BRIDGE messages speak of ports, not of links. */
        if (((const struct ifinfomsg *)(const void *)(header + 1))->ifi_family == AF_UNSPEC &&
            link_parse(header, &found.link)) {
            monitor->notify(monitor->owner, &found);
        }
        break;
    case RTM_NEWADDR:
    case RTM_DELADDR:
        if (((const struct ifaddrmsg *)nlmsg_data(header))->ifa_scope != RT_SCOPE_LINK) {
            note(monitor, MONITOR_ADDRESS);
        }
        break;
    case RTM_DELROUTE:
        found.event = MONITOR_ROUTE_GONE;
        if (route_parse(header, &found.route)) {
            monitor->notify(monitor->owner, &found);
        }
        break;
    case RTM_NEWNETCONF:
        found.event = MONITOR_CONF;
        found.link.index = conf_index(header);
        monitor->notify(monitor->owner, &found);
        break;
    default:
        break;
    }
}

/* Only what can change rules: sets, counters and quotas of others come by the thousand. */
static void
handle_rules(struct monitor *monitor, const struct nlmsghdr *header)
{
    /* Names are the attributes 1 to 3 in all three. */
    struct nlattr *attrs[4];
    struct nlmsghdr *hdr = (struct nlmsghdr *)(uintptr_t)header;
    struct monitor_note found = {.event = MONITOR_RULE};
    int chain = 0;

    if (header->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES) {
        return;
    }
    switch (header->nlmsg_type & 0xff) {
    case NFT_MSG_NEWTABLE:
    case NFT_MSG_DELTABLE:
        break;
    case NFT_MSG_NEWCHAIN:
    case NFT_MSG_DELCHAIN:
        chain = NFTA_CHAIN_NAME;
        break;
    case NFT_MSG_NEWRULE:
    case NFT_MSG_DELRULE:
        chain = NFTA_RULE_CHAIN;
        break;
    case NFT_MSG_NEWGEN:
        note(monitor, MONITOR_RULES);
        return;
    default:
        return;
    }
    if (nlmsg_parse(hdr, sizeof(struct nfgenmsg), attrs, 3, NULL) < 0 || !attrs[NFTA_TABLE_NAME]) {
        return;
    }
    uint8_t family = ((const struct nfgenmsg *)nlmsg_data(hdr))->nfgen_family;
    found.nft.family = family == NFPROTO_IPV4 ? 4 : family == NFPROTO_IPV6 ? 6 : 0;
    found.nft.table = nla_get_string(attrs[NFTA_TABLE_NAME]);
    found.nft.chain = chain && attrs[chain] ? nla_get_string(attrs[chain]) : NULL;
    monitor->notify(monitor->owner, &found);
}

static void
on_readable(uv_poll_t *poll, int status, int events)
{
    struct source *source = poll->data;
    struct monitor *monitor = source->monitor;

    (void)status, (void)events;
    for (int i = 0; i < READS_PER_TURN; i++) {
        ssize_t n = recv(source->fd, monitor->buffer, sizeof monitor->buffer, MSG_DONTWAIT);
        if (n < 0 && errno == ENOBUFS) {
            note(monitor, source->lost);
            continue;
        }
        if (n <= 0) {
            return;
        }
        /* libnl walks the messages; it does not change them. */
        struct nlmsghdr *header = (void *)monitor->buffer;
        for (int rest = (int)n; nlmsg_ok(header, rest); header = nlmsg_next(header, &rest)) {
            source->handle(monitor, header);
        }
    }
}

static bool
open_source(uv_loop_t *loop, struct source *source, int protocol, const int *groups,
            struct err *err)
{
    struct sockaddr_nl addr = {.nl_family = AF_NETLINK};
    int size = RECEIVE_BUFFER;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
        int number = errno;
        own_close_fd(&fd);
        return err_sys(err, number, "netlink notifications");
    }
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
    for (; *groups; groups++) {
        /* A kernel without IPv6 or nftables has no such group; what it has is enough. */
        setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, groups, sizeof *groups);
    }
    int rc = uv_poll_init(loop, &source->poll, fd);
    if (rc != 0) {
        close(fd);
        return err_sys(err, -rc, "netlink notifications");
    }
    source->fd = fd;
    source->poll.data = source;
    uv_poll_start(&source->poll, UV_READABLE, on_readable);
    return true;
}

bool
monitor_new(uv_loop_t *loop, enum monitor_scope scope,
            void (*notify)(void *owner, const struct monitor_note *note), void *owner,
            struct monitor **ret_monitor, struct err *err)
{
    static const int link_groups[] = {RTNLGRP_LINK, 0};
    static const int route_groups[] = {
        RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR,  RTNLGRP_IPV6_IFADDR,  RTNLGRP_IPV4_ROUTE,
        RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF, 0};
    static const int rule_groups[] = {NFNLGRP_NFTABLES, 0};
    struct monitor *monitor = NEW(struct monitor);

    monitor->notify = notify;
    monitor->owner = owner;
    monitor->route =
        (struct source){.monitor = monitor, .lost = MONITOR_OVERRUN, .handle = handle_route};
    monitor->rules =
        (struct source){.monitor = monitor, .lost = MONITOR_RULES_LOST, .handle = handle_rules};
    const int *groups = scope == MONITOR_ONLY_LINKS ? link_groups : route_groups;
    if (!open_source(loop, &monitor->route, NETLINK_ROUTE, groups, err)) {
        free(monitor);
        return false;
    }
    monitor->n_open = 1;
    if (scope == MONITOR_EVERYTHING &&
        open_source(loop, &monitor->rules, NETLINK_NETFILTER, rule_groups, NULL)) {
        monitor->n_open = 2;
    }
    *ret_monitor = monitor;
    return true;
}

static void
on_closed(uv_handle_t *handle)
{
    struct source *source = handle->data;
    struct monitor *monitor = source->monitor;

    close(source->fd);
    if (--monitor->n_open == 0) {
        free(monitor);
    }
}

void
monitor_free(struct monitor *monitor)
{
    if (!monitor) {
        return;
    }
    bool has_rules = monitor->n_open == 2;
    uv_close((uv_handle_t *)&monitor->route.poll, on_closed);
    if (has_rules) {
        uv_close((uv_handle_t *)&monitor->rules.poll, on_closed);
    }
}
