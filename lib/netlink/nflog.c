/* nfnetlink_log. Called by felix/drops. */
#include "lib/netlink/nflog.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/netlink/netfilter.h"

#define READ_ROOM (64 * 1024)
#define RECEIVE_BUFFER (1024 * 1024)
#define READS_PER_TURN 16 /* one busy listener must not starve the rest of the loop */
/* The kernel gathers this many packets, or for this long (1/100 s), before it wakes us. */
#define GATHER_PACKETS 32
#define GATHER_TIME 10
#define COPY_BYTES 128 /* rules ask for less or the same (--nflog-size) */

struct nflog {
    struct nflog_spec spec;
    struct mnl_socket *sock;
    uv_poll_t poll;
    uint64_t n_overruns, n_bad;
    char buffer[READ_ROOM];
};

/* ---- parsing
 * ---------------------------------------------------------------------------------- */

bool
nflog_parse(const struct nlmsghdr *header, struct nflog_packet *ret_packet)
{
    const struct nlattr *attrs[NETFILTER_ATTRS] = {0};
    struct nflog_packet packet = {0};

    if (header->nlmsg_type != ((NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_PACKET) ||
        !netfilter_attrs(header, attrs) || !attrs[NFULA_PAYLOAD] ||
        !packet_headers_parse(mnl_attr_get_payload(attrs[NFULA_PAYLOAD]),
                              mnl_attr_get_payload_len(attrs[NFULA_PAYLOAD]), &packet.headers)) {
        return false;
    }
    packet.in_index = netfilter_u32(attrs[NFULA_IFINDEX_INDEV]);
    packet.out_index = netfilter_u32(attrs[NFULA_IFINDEX_OUTDEV]);
    netfilter_text(attrs[NFULA_PREFIX], packet.prefix, sizeof packet.prefix);
    *ret_packet = packet;
    return true;
}

/* ---- opening
 * ---------------------------------------------------------------------------------- */

static struct nlmsghdr *
start_message(const struct nflog *nflog, char *room)
{
    return netfilter_message(room, NFNL_SUBSYS_ULOG, NFULNL_MSG_CONFIG, NLM_F_ACK, AF_UNSPEC,
                             nflog->spec.group);
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
    int size = RECEIVE_BUFFER;

    if (!netfilter_open("NFLOG", &nflog->sock, err)) {
        return false;
    }
    int fd = mnl_socket_get_fd(nflog->sock);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
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
    bool good = open_socket(nflog, err);
    int rc = good ? uv_poll_init(loop, &nflog->poll, mnl_socket_get_fd(nflog->sock)) : 0;
    if (!good || rc != 0) {
        if (nflog->sock) {
            mnl_socket_close(nflog->sock);
        }
        free(nflog);
        return good ? err_sys(err, -rc, "listen to NFLOG group %u", spec->group) : false;
    }
    nflog->poll.data = nflog;
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
