/* The request socket: libnl does sequence numbers, acknowledgements and multi-part answers. */
#include "lib/netlink/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "lib/base/alloc.h"
#include "lib/netlink/timeout.h"

struct netlink {
    struct nl_sock *sock;
};

/* libnl has error numbers of its own; the kernel's errno is kept beside them only in callbacks. */
struct answer {
    void (*each)(void *owner, const struct nlmsghdr *header);
    void *owner;
    int number; /* errno of the kernel's error message, 0 */
    bool is_done;
    bool is_interrupted; /* a dump that changed under way: the caller asks again */
};

bool
netlink_new(struct netlink **ret_netlink, struct err *err)
{
    struct nl_sock *sock = nl_socket_alloc();
    int on = 1;
    struct timeval timeout = {.tv_sec = netlink_timeout_s()};

    if (!sock) {
        return err_set(err, "netlink socket: out of memory");
    }
    int result = nl_connect(sock, NETLINK_ROUTE);
    if (result < 0) {
        nl_socket_free(sock);
        return err_set(err, "netlink socket: %s", nl_geterror(result));
    }
    nl_socket_disable_auto_ack(sock);
    nl_socket_disable_seq_check(sock);
    nl_socket_set_buffer_size(sock, 1024 * 1024, 0);
    setsockopt(nl_socket_get_fd(sock), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
    setsockopt(nl_socket_get_fd(sock), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    struct netlink *netlink = NEW(struct netlink);
    netlink->sock = sock;
    *ret_netlink = netlink;
    return true;
}

void
netlink_free(struct netlink *netlink)
{
    if (netlink) {
        nl_socket_free(netlink->sock);
        free(netlink);
    }
}

static int
on_object(struct nl_msg *msg, void *arg)
{
    struct answer *answer = arg;

    if (nlmsg_hdr(msg)->nlmsg_flags & NLM_F_DUMP_INTR) {
        answer->is_interrupted = true;
    }
    if (answer->each) {
        answer->each(answer->owner, nlmsg_hdr(msg));
    }
    return NL_OK;
}

static int
on_end(struct nl_msg *msg, void *arg)
{
    struct answer *answer = arg;

    (void)msg;
    answer->is_done = true;
    return NL_STOP;
}

static int
on_error(struct sockaddr_nl *from, struct nlmsgerr *error, void *arg)
{
    struct answer *answer = arg;

    (void)from;
    answer->number = -error->error;
    answer->is_done = true;
    return NL_STOP;
}

static bool
receive(struct netlink *netlink, struct answer *answer, struct err *err)
{
    struct nl_cb *cb = nl_cb_alloc(NL_CB_CUSTOM);

    nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_object, answer);
    nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_end, answer);
    nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_end, answer);
    nl_cb_err(cb, NL_CB_CUSTOM, on_error, answer);
    int result = 0;
    while (!answer->is_done && result >= 0) {
        result = nl_recvmsgs(netlink->sock, cb);
    }
    nl_cb_put(cb);
    if (!answer->is_done) {
        return err_set(err, "netlink answer: %s", nl_geterror(result));
    }
    return answer->number == 0 || err_sys(err, answer->number, "kernel");
}

static bool
exchange(struct netlink *netlink, struct nl_msg *msg, struct answer *answer, struct err *err)
{
    int result = nl_send_auto(netlink->sock, msg);

    nlmsg_free(msg);
    if (result < 0) {
        return err_set(err, "netlink request: %s", nl_geterror(result));
    }
    return receive(netlink, answer, err);
}

bool
netlink_request(struct netlink *netlink, struct nl_msg *msg, struct err *err)
{
    struct answer answer = {0};

    nlmsg_hdr(msg)->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    return exchange(netlink, msg, &answer, err);
}

bool
netlink_get(struct netlink *netlink, struct nl_msg *msg,
            void (*each)(void *owner, const struct nlmsghdr *header), void *owner, struct err *err)
{
    struct answer answer = {.each = each, .owner = owner};

    nlmsg_hdr(msg)->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    return exchange(netlink, msg, &answer, err);
}

bool
netlink_dump(struct netlink *netlink, struct nl_msg *msg,
             void (*each)(void *owner, const struct nlmsghdr *header), void *owner, struct err *err)
{
    struct answer answer = {.each = each, .owner = owner};

    nlmsg_hdr(msg)->nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;
    if (!exchange(netlink, msg, &answer, err)) {
        return false;
    }
    if (answer.is_interrupted) {
        return err_code(err, EAGAIN, "the kernel's tables changed while they were read");
    }
    return true;
}
