/* What the nfnetlink protocols share. Called by conntrack.c, kset.c and nflog.c. */
#include "lib/netlink/netfilter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "lib/netlink/timeout.h"

bool
netfilter_open(const char *what, struct mnl_socket **ret_sock, struct err *err)
{
    const struct timeval timeout = {.tv_sec = netlink_timeout_s()};
    struct mnl_socket *sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);

    /* Without the time limit an answer that got lost would stop the caller's loop for good. */
    if (!sock || mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) != 0 ||
        setsockopt(mnl_socket_get_fd(sock), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) !=
            0) {
        int number = errno;
        if (sock) {
            mnl_socket_close(sock);
        }
        return err_sys(err, number, "%s socket", what);
    }
    *ret_sock = sock;
    return true;
}

struct nlmsghdr *
netfilter_message(void *room, uint8_t subsystem, uint8_t type, uint16_t flags, uint8_t family,
                  uint16_t resource)
{
    struct nlmsghdr *header = mnl_nlmsg_put_header(room);

    header->nlmsg_type = (uint16_t)(subsystem << 8 | type);
    header->nlmsg_flags = NLM_F_REQUEST | flags;
    struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(header, sizeof *nfg);
    nfg->nfgen_family = family;
    nfg->version = NFNETLINK_V0;
    nfg->res_id = htons(resource);
    return header;
}

static int
on_attr(const struct nlattr *attr, void *owner)
{
    const struct nlattr **attrs = owner;
    unsigned type = mnl_attr_get_type(attr);

    if (type < NETFILTER_ATTRS) {
        attrs[type] = attr;
    }
    return MNL_CB_OK;
}

bool
netfilter_attrs(const struct nlmsghdr *header, const struct nlattr *ret_attrs[NETFILTER_ATTRS])
{
    return header->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nfgenmsg)) &&
           mnl_attr_parse(header, sizeof(struct nfgenmsg), on_attr, ret_attrs) >= 0;
}

bool
netfilter_nested(const struct nlattr *nest, const struct nlattr *ret_attrs[NETFILTER_ATTRS])
{
    return nest && mnl_attr_parse_nested(nest, on_attr, ret_attrs) >= 0;
}

bool
netfilter_get_u8(const struct nlattr *attr, uint8_t *ret_value)
{
    if (!attr || mnl_attr_get_payload_len(attr) < sizeof *ret_value) {
        return false;
    }
    *ret_value = mnl_attr_get_u8(attr);
    return true;
}

uint16_t
netfilter_u16(const struct nlattr *attr)
{
    return attr && mnl_attr_get_payload_len(attr) >= sizeof(uint16_t)
               ? ntohs(mnl_attr_get_u16(attr))
               : 0;
}

uint32_t
netfilter_u32(const struct nlattr *attr)
{
    return attr && mnl_attr_get_payload_len(attr) >= sizeof(uint32_t)
               ? ntohl(mnl_attr_get_u32(attr))
               : 0;
}

void
netfilter_text(const struct nlattr *attr, char *ret_text, size_t size)
{
    size_t len = attr ? strnlen(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr)) : 0;

    len = len < size ? len : size - 1;
    if (len > 0) {
        memcpy(ret_text, mnl_attr_get_payload(attr), len);
    }
    ret_text[len] = '\0';
}
