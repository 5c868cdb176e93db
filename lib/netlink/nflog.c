/* nfnetlink_log. Called by felix/drops. */
#include "lib/netlink/nflog.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/base/alloc.h"

#define READ_ROOM (64 * 1024)
#define RECEIVE_BUFFER (1024 * 1024)
#define READS_PER_TURN 16 /* one busy listener must not starve the rest of the loop */
#define ANSWER_TIMEOUT_S 5
/* The kernel gathers this many packets, or for this long (1/100 s), before it wakes us. */
#define GATHER_PACKETS 32
#define GATHER_TIME 10
#define COPY_BYTES 128 /* rules ask for less or the same (--nflog-size) */

#define ATTR_SLOTS 32

struct nflog {
    struct nflog_spec spec;
    struct mnl_socket *sock;
    uv_poll_t poll;
    uint64_t n_overruns, n_bad;
    char buffer[READ_ROOM];
};

/* ---- parsing
 * ---------------------------------------------------------------------------------- */

static int
on_attr(const struct nlattr *attr, void *owner)
{
    const struct nlattr **attrs = owner;
    unsigned type = mnl_attr_get_type(attr);

    if (type < ATTR_SLOTS) {
        attrs[type] = attr;
    }
    return MNL_CB_OK;
}

static uint32_t
get_be32(const struct nlattr *attr)
{
    return attr && mnl_attr_get_payload_len(attr) >= sizeof(uint32_t)
               ? ntohl(mnl_attr_get_u32(attr))
               : 0;
}

bool
nflog_parse(const struct nlmsghdr *header, struct nflog_packet *ret_packet)
{
    const struct nlattr *attrs[ATTR_SLOTS] = {0};
    struct nflog_packet packet = {0};

    if (header->nlmsg_type != ((NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_PACKET) ||
        header->nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg)) ||
        mnl_attr_parse(header, sizeof(struct nfgenmsg), on_attr, attrs) < 0 ||
        !attrs[NFULA_PAYLOAD] ||
        !packet_headers_parse(mnl_attr_get_payload(attrs[NFULA_PAYLOAD]),
                              mnl_attr_get_payload_len(attrs[NFULA_PAYLOAD]), &packet.headers)) {
        return false;
    }
    packet.in_index = get_be32(attrs[NFULA_IFINDEX_INDEV]);
    packet.out_index = get_be32(attrs[NFULA_IFINDEX_OUTDEV]);
    if (attrs[NFULA_PREFIX]) {
        /* With or without its NUL. */
        size_t len = strnlen(mnl_attr_get_payload(attrs[NFULA_PREFIX]),
                             mnl_attr_get_payload_len(attrs[NFULA_PREFIX]));
        len = len < sizeof packet.prefix ? len : sizeof packet.prefix - 1;
        memcpy(packet.prefix, mnl_attr_get_payload(attrs[NFULA_PREFIX]), len);
    }
    *ret_packet = packet;
    return true;
}

/* ---- opening
 * ---------------------------------------------------------------------------------- */

static struct nlmsghdr *
start_message(const struct nflog *nflog, char *room)
{
    struct nlmsghdr *header = mnl_nlmsg_put_header(room);

    header->nlmsg_type = (NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_CONFIG;
    header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(header, sizeof *nfg);
    nfg->nfgen_family = AF_UNSPEC;
    nfg->version = NFNETLINK_V0;
    nfg->res_id = htons(nflog->spec.group);
    return header;
}

/* Packets may be on their way already: they wait in the socket's buffer behind the answer only if
 * they came later, so what comes before it is left out. */
static bool
exchange(struct nflog *nflog, struct nlmsghdr *header, struct err *err)
{
    if (mnl_socket_sendto(nflog->sock, header, header->nlmsg_len) < 0) {
        return err_sys(err, errno, "NFLOG group %u", nflog->spec.group);
    }
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(nflog->sock, nflog->buffer, sizeof nflog->buffer);
        const struct nlmsghdr *answer = (const void *)nflog->buffer;
        if (n < 0 && errno != ENOBUFS && errno != EINTR) {
            return err_sys(err, errno, "NFLOG group %u", nflog->spec.group);
        }
        if (n < (ssize_t)sizeof(struct nlmsghdr) + (ssize_t)sizeof(struct nlmsgerr) ||
            answer->nlmsg_type != NLMSG_ERROR) {
            continue;
        }
        const struct nlmsgerr *result = (const void *)(answer + 1);
        if (result->error == 0) {
            return true;
        }
        if (-result->error == EPERM || -result->error == EBUSY) {
            return err_code(err, EPERM,
                            "NFLOG group %u: another process listens to it; end it or choose "
                            "another group",
                            nflog->spec.group);
        }
        return err_sys(err, -result->error, "NFLOG group %u", nflog->spec.group);
    }
}

static bool
configure(struct nflog *nflog, struct err *err)
{
    char room[256] = {0};
    const struct nfulnl_msg_config_cmd bind = {.command = NFULNL_CFG_CMD_BIND};
    const struct nfulnl_msg_config_mode mode = {.copy_range = htonl(COPY_BYTES),
                                                .copy_mode = NFULNL_COPY_PACKET};
    struct nlmsghdr *header = start_message(nflog, room);

    mnl_attr_put(header, NFULA_CFG_CMD, sizeof bind, &bind);
    if (!exchange(nflog, header, err)) {
        return false;
    }
    memset(room, 0, sizeof room);
    header = start_message(nflog, room);
    mnl_attr_put(header, NFULA_CFG_MODE, sizeof mode, &mode);
    mnl_attr_put_u32(header, NFULA_CFG_TIMEOUT, htonl(GATHER_TIME));
    mnl_attr_put_u32(header, NFULA_CFG_QTHRESH, htonl(GATHER_PACKETS));
    return exchange(nflog, header, err);
}

static bool
open_socket(struct nflog *nflog, struct err *err)
{
    const struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
    int size = RECEIVE_BUFFER;

    nflog->sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    if (!nflog->sock || mnl_socket_bind(nflog->sock, 0, MNL_SOCKET_AUTOPID) != 0) {
        return err_sys(err, errno, "NFLOG socket");
    }
    int fd = mnl_socket_get_fd(nflog->sock);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    return configure(nflog, err);
}

/* ---- reading
 * ---------------------------------------------------------------------------------- */

static void
take_messages(struct nflog *nflog, size_t n)
{
    const struct nlmsghdr *header = (const void *)nflog->buffer;
    int rest = (int)n;

    for (; mnl_nlmsg_ok(header, rest); header = mnl_nlmsg_next(header, &rest)) {
        struct nflog_packet packet;
        if (header->nlmsg_type == NLMSG_DONE) { /* it ends each batch */
            continue;
        }
        if (nflog_parse(header, &packet)) {
            nflog->spec.packet(nflog->spec.owner, &packet);
        } else {
            nflog->n_bad++;
        }
    }
}

static void
on_readable(uv_poll_t *poll, int status, int events)
{
    struct nflog *nflog = poll->data;
    int fd = mnl_socket_get_fd(nflog->sock);

    (void)status, (void)events;
    for (int i = 0; i < READS_PER_TURN; i++) {
        ssize_t n = recv(fd, nflog->buffer, sizeof nflog->buffer, MSG_DONTWAIT);
        if (n < 0 && errno == ENOBUFS) {
            nflog->n_overruns++;
        } else if (n <= 0) {
            return;
        } else {
            take_messages(nflog, (size_t)n);
        }
    }
}

bool
nflog_open(uv_loop_t *loop, const struct nflog_spec *spec, struct nflog **ret_nflog,
           struct err *err)
{
    struct nflog *nflog = NEW(struct nflog);

    nflog->spec = *spec;
    if (!open_socket(nflog, err)) {
        if (nflog->sock) {
            mnl_socket_close(nflog->sock);
        }
        free(nflog);
        return false;
    }
    nflog->poll.data = nflog;
    uv_poll_init(loop, &nflog->poll, mnl_socket_get_fd(nflog->sock));
    uv_poll_start(&nflog->poll, UV_READABLE, on_readable);
    *ret_nflog = nflog;
    return true;
}

static void
on_closed(uv_handle_t *handle)
{
    struct nflog *nflog = handle->data;

    mnl_socket_close(nflog->sock);
    free(nflog);
}

void
nflog_close(struct nflog *nflog)
{
    if (nflog) {
        uv_close((uv_handle_t *)&nflog->poll, on_closed);
    }
}

uint64_t
nflog_n_overruns(const struct nflog *nflog)
{
    return nflog->n_overruns;
}

uint64_t
nflog_n_bad(const struct nflog *nflog)
{
    return nflog->n_bad;
}
