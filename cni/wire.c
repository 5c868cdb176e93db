/* The few netlink messages an ADD takes, in the order the kernel wants them. The veth is created
 * from inside the pod's namespace with its peer directly in the host's: moving a device afterwards
 * waits for RCU under the RTNL lock, 15 times as long. */
#include "cni/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cni/wire_parts.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/str.h"

/* felix deletes a link within 20-35 ms, one after the other. */
#define OLD_LINK_TRIES 100
#define OLD_LINK_PAUSE_NS (20L * 1000 * 1000)
#define GATEWAY4 "169.254.1.1"
/* The link-local address the kernel makes from ee:ee:ee:ee:ee:ee. */
#define GATEWAY6 "fe80::ecee:eeff:feee:eeee"

static struct mnl_socket *
open_socket(void)
{
    struct timeval timeout = {.tv_sec = 10};
    struct mnl_socket *sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    int on = 1;

    if (!sock) {
        return NULL;
    }
    if (mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) != 0) {
        mnl_socket_close(sock);
        return NULL;
    }
    setsockopt(mnl_socket_get_fd(sock), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(mnl_socket_get_fd(sock), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
    return sock;
}

bool
wire_open(struct wire **ret_wire, struct err *err)
{
    struct wire *wire = NEW(struct wire);

    wire->host_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    wire->host = open_socket();
    if (wire->host_ns < 0 || !wire->host) {
        int number = errno;
        wire_close(wire);
        return err_code(err, CNI_IO, "netlink socket: %s", strerror(number));
    }
    *ret_wire = wire;
    return true;
}

void
wire_close(struct wire *wire)
{
    if (!wire) {
        return;
    }
    if (wire->host) {
        mnl_socket_close(wire->host);
    }
    if (wire->pod) {
        mnl_socket_close(wire->pod);
    }
    own_close_fd(&wire->host_ns);
    free(wire);
}

static bool
is_same_file(int one, int other)
{
    struct stat a;
    struct stat b;

    return fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

bool
wire_enter(struct wire *wire, const char *netns, struct err *err)
{
    AUTO_FD int fd = open(netns, O_RDONLY | O_CLOEXEC);

    if (fd >= 0 && is_same_file(fd, wire->host_ns)) {
        return err_code(err, CNI_BAD_NETNS, "CNI_NETNS: %s is the host's namespace", netns);
    }
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
        return err_code(err, CNI_BAD_ENVIRONMENT, "CNI_NETNS: %s: %s", netns, strerror(errno));
    }
    wire->pod = open_socket();
    return wire->pod || err_code(err, CNI_IO, "netlink socket in the pod: %s", strerror(errno));
}

bool
wire_leave(struct wire *wire, struct err *err)
{
    return setns(wire->host_ns, CLONE_NEWNET) == 0 ||
           err_code(err, CNI_IO, "return to the host's network: %s", strerror(errno));
}

/* ---- messages
 * ---------------------------------------------------------------------------------------- */

struct nlmsghdr *
wire_message(struct wire *wire, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *header = mnl_nlmsg_put_header(wire->buffer);

    header->nlmsg_type = type;
    header->nlmsg_flags = NLM_F_REQUEST | flags;
    header->nlmsg_seq = ++wire->seq;
    return header;
}

/* libmnl gives up at the first message of a dump that was disturbed, and the rest would answer the
 * next request; so the mark is taken off and remembered. */
static bool
take_off_interruption(char *buffer, ssize_t n)
{
    int left = (int)n;
    bool is_interrupted = false;

    for (struct nlmsghdr *header = (struct nlmsghdr *)buffer; mnl_nlmsg_ok(header, left);
         header = mnl_nlmsg_next(header, &left)) {
        is_interrupted = is_interrupted || (header->nlmsg_flags & NLM_F_DUMP_INTR);
        header->nlmsg_flags &= (uint16_t)~NLM_F_DUMP_INTR;
    }
    return is_interrupted;
}

int
wire_exchange(struct wire *wire, struct mnl_socket *sock, mnl_cb_t each, void *owner)
{
    struct nlmsghdr *header = (void *)wire->buffer;
    uint32_t seq = header->nlmsg_seq;
    bool is_interrupted = false;

    header->nlmsg_flags |= NLM_F_ACK;
    if (mnl_socket_sendto(sock, header, header->nlmsg_len) < 0) {
        return errno;
    }
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(sock, wire->buffer, sizeof wire->buffer);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno;
        }
        is_interrupted = take_off_interruption(wire->buffer, n) || is_interrupted;
        int result =
            mnl_cb_run(wire->buffer, (size_t)n, seq, mnl_socket_get_portid(sock), each, owner);
        if (result < 0) {
            return errno;
        }
        if (result == MNL_CB_STOP) {
            return is_interrupted ? EINTR : 0;
        }
    }
}

static int
send_message(struct wire *wire, struct mnl_socket *sock)
{
    return wire_exchange(wire, sock, NULL, NULL);
}

struct ifinfomsg *
wire_put_link(struct nlmsghdr *header, int index)
{
    struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(header, sizeof *ifi);

    ifi->ifi_family = AF_UNSPEC;
    ifi->ifi_index = index;
    return ifi;
}

static int
on_link_attr(const struct nlattr *attr, void *owner)
{
    struct found_link *link = owner;

    if (mnl_attr_get_type(attr) == IFLA_ADDRESS && mnl_attr_get_payload_len(attr) == 6) {
        memcpy(link->mac, mnl_attr_get_payload(attr), 6);
    } else if (mnl_attr_get_type(attr) == IFLA_IFALIAS) {
        snprintf(link->alias, sizeof link->alias, "%.*s", mnl_attr_get_payload_len(attr),
                 (const char *)mnl_attr_get_payload(attr));
    }
    return MNL_CB_OK;
}

int
wire_on_link(const struct nlmsghdr *header, void *owner)
{
    struct found_link *link = owner;
    const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(header);

    link->index = ifi->ifi_index;
    mnl_attr_parse(header, sizeof *ifi, on_link_attr, link);
    return MNL_CB_OK;
}

int
wire_find_link(struct wire *wire, struct mnl_socket *sock, const char *name,
               struct found_link *ret_link)
{
    struct nlmsghdr *header = wire_message(wire, RTM_GETLINK, 0);

    *ret_link = (struct found_link){0};
    wire_put_link(header, 0);
    mnl_attr_put_strz(header, IFLA_IFNAME, name);
    return wire_exchange(wire, sock, wire_on_link, ret_link);
}

bool
wire_fail(struct err *err, int number, const char *what)
{
    return err_code(err, CNI_IO, "%s: %s", what, strerror(number));
}

/* ---- the pod's end
 * ------------------------------------------------------------------------------------ */

/* One queue, as Calico's: by default the kernel makes as many as there are processors. */
static void
put_queues(struct nlmsghdr *header)
{
    mnl_attr_put_u32(header, IFLA_NUM_TX_QUEUES, 1);
    mnl_attr_put_u32(header, IFLA_NUM_RX_QUEUES, 1);
}

static int
create_pair(struct wire *wire, const struct wire_spec *spec,
            const struct cni_attachment *attachment)
{
    struct nlmsghdr *header = wire_message(wire, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    struct ifinfomsg *ifi = wire_put_link(header, 0);

    ifi->ifi_flags = ifi->ifi_change = IFF_UP;
    mnl_attr_put_strz(header, IFLA_IFNAME, spec->ifname);
    put_queues(header);
    mnl_attr_put_u32(header, IFLA_MTU, attachment->mtu);
    if (spec->mac) {
        mnl_attr_put(header, IFLA_ADDRESS, 6, spec->mac);
    }
    struct nlattr *info = mnl_attr_nest_start(header, IFLA_LINKINFO);
    mnl_attr_put_strz(header, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(header, IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(header, VETH_INFO_PEER);
    /* The peer may not be up yet: the kernel answers ENOTCONN to IFF_UP here. */
    wire_put_link(header, 0);
    mnl_attr_put_strz(header, IFLA_IFNAME, attachment->host_ifname);
    put_queues(header);
    mnl_attr_put_u32(header, IFLA_MTU, attachment->mtu);
    mnl_attr_put(header, IFLA_ADDRESS, 6, CNI_HOST_MAC);
    mnl_attr_put_u32(header, IFLA_NET_NS_FD, (uint32_t)wire->host_ns);
    mnl_attr_nest_end(header, peer);
    mnl_attr_nest_end(header, data);
    mnl_attr_nest_end(header, info);
    return send_message(wire, wire->pod);
}

static int
set_up(struct wire *wire, struct mnl_socket *sock, int index)
{
    struct ifinfomsg *ifi = wire_put_link(wire_message(wire, RTM_NEWLINK, 0), index);

    ifi->ifi_flags = ifi->ifi_change = IFF_UP;
    return send_message(wire, sock);
}

static int
add_address(struct wire *wire, int index, const struct prefix *ip)
{
    struct nlmsghdr *header = wire_message(wire, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
    struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(header, sizeof *ifa);

    ifa->ifa_family = (uint8_t)ip_af(&ip->ip);
    ifa->ifa_prefixlen = ip->len;
    ifa->ifa_index = (uint32_t)index;
    /* Duplicate address detection would keep the address unusable for a second. */
    ifa->ifa_flags = ip->ip.family == 6 ? IFA_F_NODAD : 0;
    mnl_attr_put(header, IFA_LOCAL, ip_bits(&ip->ip) / 8, ip->ip.bytes);
    mnl_attr_put(header, IFA_ADDRESS, ip_bits(&ip->ip) / 8, ip->ip.bytes);
    return send_message(wire, wire->pod);
}

static struct rtmsg *
put_route(struct nlmsghdr *header, const struct prefix *dst)
{
    struct rtmsg *rtm = mnl_nlmsg_put_extra_header(header, sizeof *rtm);

    rtm->rtm_family = (uint8_t)ip_af(&dst->ip);
    rtm->rtm_dst_len = dst->len;
    rtm->rtm_table = RT_TABLE_MAIN;
    rtm->rtm_protocol = RTPROT_BOOT;
    rtm->rtm_type = RTN_UNICAST;
    if (dst->len > 0) {
        mnl_attr_put(header, RTA_DST, ip_bits(&dst->ip) / 8, dst->ip.bytes);
    }
    return rtm;
}

/* The gateway lies on the link. */
static int
add_gateway_route(struct wire *wire, int index, const struct ip *gateway)
{
    struct nlmsghdr *header = wire_message(wire, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
    const struct prefix dst = prefix_of_ip(gateway);
    struct rtmsg *rtm = put_route(header, &dst);

    rtm->rtm_scope = RT_SCOPE_LINK;
    mnl_attr_put_u32(header, RTA_OIF, (uint32_t)index);
    return send_message(wire, wire->pod);
}

static void
put_metrics(struct nlmsghdr *header, const struct cni_route *route)
{
    if (route->mtu == 0 && route->advmss == 0) {
        return;
    }
    struct nlattr *metrics = mnl_attr_nest_start(header, RTA_METRICS);
    if (route->mtu > 0) {
        mnl_attr_put_u32(header, RTAX_MTU, route->mtu);
    }
    if (route->advmss > 0) {
        mnl_attr_put_u32(header, RTAX_ADVMSS, route->advmss);
    }
    mnl_attr_nest_end(header, metrics);
}

static int
add_route(struct wire *wire, int index, const struct cni_route *route, const struct ip *gateway)
{
    struct nlmsghdr *header = wire_message(wire, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
    struct rtmsg *rtm = put_route(header, &route->dst);

    rtm->rtm_scope = RT_SCOPE_UNIVERSE;
    mnl_attr_put(header, RTA_GATEWAY, ip_bits(gateway) / 8, gateway->bytes);
    mnl_attr_put_u32(header, RTA_OIF, (uint32_t)index);
    if (route->table > 0) {
        mnl_attr_put_u32(header, RTA_TABLE, route->table);
    }
    if (route->priority > 0) {
        mnl_attr_put_u32(header, RTA_PRIORITY, route->priority);
    }
    put_metrics(header, route);
    return send_message(wire, wire->pod);
}

/* The gateway's address is nobody's: a permanent neighbour spares the pod asking, and works on
 * hosts without a default route, where proxy ARP would stay silent. */
static int
add_gateway_neighbour(struct wire *wire, int index, const struct ip *gateway)
{
    struct nlmsghdr *header = wire_message(wire, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
    struct ndmsg *ndm = mnl_nlmsg_put_extra_header(header, sizeof *ndm);

    ndm->ndm_family = (uint8_t)ip_af(gateway);
    ndm->ndm_ifindex = index;
    ndm->ndm_state = NUD_PERMANENT;
    mnl_attr_put(header, NDA_DST, ip_bits(gateway) / 8, gateway->bytes);
    mnl_attr_put(header, NDA_LLADDR, 6, CNI_HOST_MAC);
    return send_message(wire, wire->pod);
}

static struct ip
gateway_of(uint8_t family)
{
    struct ip ip = {0};

    if (!ip_parse(family == 4 ? GATEWAY4 : GATEWAY6, &ip, NULL)) {
        abort();
    }
    return ip;
}

/* A new namespace may inherit settings of the host; what a pod needs is said, not assumed. */
static void
pod_settings(const struct wire_spec *spec, const struct cni_attachment *attachment)
{
    const char *forwarding = spec->allow_forwarding ? "1" : "0";
    bool ipv6 = false;

    for (size_t i = 0; i < attachment->n_ips; i++) {
        ipv6 |= attachment->ips[i].ip.family == 6;
    }
    /* Where /proc is not writable these keep the kernel's defaults, which are the same. */
    bool good = file_write_in_place("/proc/sys/net/ipv4/ip_forward", forwarding, NULL);
    if (ipv6) {
        good = file_write_in_place("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0", NULL) &&
               file_write_in_place("/proc/sys/net/ipv6/conf/all/forwarding", forwarding, NULL);
    }
    (void)good;
}

static bool
set_up_family(struct wire *wire, int index, const struct prefix *ip, struct err *err)
{
    struct ip gateway = gateway_of(ip->ip.family);
    int number = add_address(wire, index, ip);

    if (number == 0) {
        number = add_gateway_neighbour(wire, index, &gateway);
    }
    if (number == 0 && ip->ip.family == 4) {
        number = add_gateway_route(wire, index, &gateway);
    }
    return number == 0 || wire_fail(err, number, "set up the pod's interface");
}

static bool
set_up_routes(struct wire *wire, int index, const struct cni_routes *routes, struct err *err)
{
    for (size_t i = 0; i < routes->n; i++) {
        const struct cni_route *route = &routes->items[i];
        const struct ip gateway = gateway_of(route->dst.ip.family);
        char text[PREFIX_TEXT_MAX];
        int number = add_route(wire, index, route, &gateway);
        if (number != 0) {
            return err_code(err, CNI_IO, "route to %s in the pod: %s",
                            prefix_format(&route->dst, text), strerror(number));
        }
    }
    return true;
}

static bool
set_up_pod_end(struct wire *wire, const struct wire_spec *spec, struct cni_attachment *attachment,
               struct err *err)
{
    struct found_link link;
    struct found_link lo;
    int number = wire_find_link(wire, wire->pod, spec->ifname, &link);

    if (number != 0) {
        return wire_fail(err, number, "find the pod's interface");
    }
    memcpy(attachment->pod_mac, link.mac, 6);
    if (wire_find_link(wire, wire->pod, "lo", &lo) == 0) {
        set_up(wire, wire->pod, lo.index);
    }
    for (size_t i = 0; i < attachment->n_ips; i++) {
        if (!set_up_family(wire, link.index, &attachment->ips[i], err)) {
            return false;
        }
    }
    return set_up_routes(wire, link.index, &attachment->routes, err);
}

bool
wire_make_pod_end(struct wire *wire, const struct wire_spec *spec,
                  struct cni_attachment *attachment, struct err *err)
{

    pod_settings(spec, attachment);
    int number = create_pair(wire, spec, attachment);
    if (number == EEXIST) {
        return err_code(
            err, CNI_IO,
            "interface %s is in the pod already, or %s on the host; the last ADD was not "
            "followed by a DEL",
            spec->ifname, attachment->host_ifname);
    }
    if (number != 0) {
        return wire_fail(err, number, "create the pod's interface");
    }
    if (set_up_pod_end(wire, spec, attachment, err)) {
        return true;
    }
    bool is_deleted = wire_delete_pod_end(wire, spec->ifname, NULL);
    (void)is_deleted; /* the first error is the one to tell */
    return false;
}

/* ---- the host's end
 * ------------------------------------------------------------------------------------ */

bool
wire_make_host_end(struct wire *wire, const struct wire_spec *spec,
                   const struct cni_attachment *attachment, struct err *err)
{
    AUTO(str) struct str path = STR_INIT;
    struct found_link link;
    int number = wire_find_link(wire, wire->host, attachment->host_ifname, &link);

    if (number != 0) {
        return wire_fail(err, number, "find the host's end of the pod's interface");
    }
    /* Without this the link-local address, from which the host asks for its pods, takes a second.
     */
    str_addf(&path, "/proc/sys/net/ipv6/conf/%s/accept_dad", attachment->host_ifname);
    bool has_ipv6 = file_write_in_place(path.text, "0", NULL);
    (void)has_ipv6;
    struct nlmsghdr *header = wire_message(wire, RTM_NEWLINK, 0);
    struct ifinfomsg *ifi = wire_put_link(header, link.index);
    ifi->ifi_flags = ifi->ifi_change = IFF_UP;
    /* Says whose link this is, to felix and to people. */
    char alias[64];
    snprintf(alias, sizeof alias, "%.63s", spec->container_id);
    mnl_attr_put_strz(header, IFLA_IFALIAS, alias);
    number = send_message(wire, wire->host);
    return number == 0 || wire_fail(err, number, "set up the host's end of the pod's interface");
}

bool
wire_is_alias_of(const struct found_link *link, const char *container_id)
{
    return strncmp(link->alias, container_id, sizeof link->alias - 1) == 0;
}

bool
wire_delete_link(struct wire *wire, struct mnl_socket *sock, int index, struct err *err)
{
    wire_put_link(wire_message(wire, RTM_DELLINK, 0), index);
    int number = send_message(wire, sock);
    return number == 0 || number == ENODEV || wire_fail(err, number, "delete the pod's interface");
}

bool
wire_delete_host_end(struct wire *wire, const char *host_ifname, const char *container_id,
                     struct err *err)
{
    struct found_link link;
    int number = wire_find_link(wire, wire->host, host_ifname, &link);

    if (number != 0) {
        return number == ENODEV || wire_fail(err, number, "find the pod's interface");
    }
    return (link.alias[0] != '\0' && !wire_is_alias_of(&link, container_id)) ||
           wire_delete_link(wire, wire->host, link.index, err);
}

bool
wire_make_way(struct wire *wire, const char *host_ifname, const char *container_id, struct err *err)
{
    const struct timespec pause = {.tv_nsec = OLD_LINK_PAUSE_NS};

    for (int i = 0; i < OLD_LINK_TRIES; i++) {
        struct found_link link;
        int number = wire_find_link(wire, wire->host, host_ifname, &link);
        if (number != 0) {
            return number == ENODEV || wire_fail(err, number, "find the pod's old interface");
        }
        if (link.alias[0] == '\0' || !wire_is_alias_of(&link, container_id)) {
            return wire_delete_link(wire, wire->host, link.index, err);
        }
        nanosleep(&pause, NULL);
    }
    return err_code(err, CNI_IO, "the container has an interface of this network already, %s",
                    host_ifname);
}

bool
wire_delete_pod_end(struct wire *wire, const char *ifname, struct err *err)
{
    struct found_link link;
    int number = wire_find_link(wire, wire->pod, ifname, &link);

    if (number != 0) {
        return number == ENODEV || wire_fail(err, number, "find the pod's interface");
    }
    return wire_delete_link(wire, wire->pod, link.index, err);
}
