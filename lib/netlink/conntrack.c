/* ctnetlink. Called by felix/dataplane: revoke reads on a worker thread and marks on the
 * loop.
 */
#include "lib/netlink/conntrack.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/netlink/netfilter.h"

#define READ_ROOM (64 * 1024)
#define WRITE_ROOM (32 * 1024)
#define CHANGES_PER_WRITE 100

/* Bits of CTA_FILTER_*_FLAGS: the kernel has them in a private header only. */
#define FILTER_SOURCE (1U << 0)

/* The newest attributes are missing in the headers of older distributions. */
#define ATTR_FILTER 25
#define ATTR_FILTER_ORIGINAL 1
#define ATTR_FILTER_REPLY 2

struct conntrack_link {
    struct mnl_socket *sock;
    uint32_t seq;
    struct conntrack_filter filter; /* of the dump that goes on */
    char *buffer, *out;
};

bool
conntrack_open(struct conntrack_link **ret_link, struct err *err)
{
    struct mnl_socket *sock = NULL;

    if (!netfilter_open("conntrack", &sock, err)) {
        return false;
    }
    struct conntrack_link *link = NEW(struct conntrack_link);
    link->sock = sock;
    link->buffer = xmalloc(READ_ROOM);
    link->out = xcalloc(1, WRITE_ROOM); /* libmnl leaves padding as it is */
    *ret_link = link;
    return true;
}

void
conntrack_close(struct conntrack_link *link)
{
    if (!link) {
        return;
    }
    mnl_socket_close(link->sock);
    free(link->buffer);
    free(link->out);
    free(link);
}

/* ---- parsing
 * ---------------------------------------------------------------------------------- */

static bool
parse_addresses(const struct nlattr *nest, struct conntrack_tuple *tuple)
{
    const struct nlattr *ips[NETFILTER_ATTRS] = {0};

    if (!netfilter_nested(nest, ips)) {
        return false;
    }
    bool six = ips[CTA_IP_V6_SRC] != NULL;
    const struct nlattr *source = six ? ips[CTA_IP_V6_SRC] : ips[CTA_IP_V4_SRC];
    const struct nlattr *destination = six ? ips[CTA_IP_V6_DST] : ips[CTA_IP_V4_DST];
    size_t len = six ? 16 : 4;
    if (!source || !destination || mnl_attr_get_payload_len(source) < len ||
        mnl_attr_get_payload_len(destination) < len) {
        return false;
    }
    tuple->source = ip_from_bytes(six ? 6 : 4, mnl_attr_get_payload(source));
    tuple->destination = ip_from_bytes(six ? 6 : 4, mnl_attr_get_payload(destination));
    return true;
}

static bool
parse_protocol(const struct nlattr *nest, struct conntrack_tuple *tuple)
{
    const struct nlattr *parts[NETFILTER_ATTRS] = {0};

    if (!netfilter_nested(nest, parts) ||
        !netfilter_get_u8(parts[CTA_PROTO_NUM], &tuple->protocol)) {
        return false;
    }
    tuple->source_port = netfilter_u16(parts[CTA_PROTO_SRC_PORT]);
    tuple->destination_port = netfilter_u16(parts[CTA_PROTO_DST_PORT]);
    bool six = parts[CTA_PROTO_ICMPV6_TYPE] != NULL;
    if (netfilter_get_u8(parts[six ? CTA_PROTO_ICMPV6_TYPE : CTA_PROTO_ICMP_TYPE],
                         &tuple->icmp_type)) {
        netfilter_get_u8(parts[six ? CTA_PROTO_ICMPV6_CODE : CTA_PROTO_ICMP_CODE],
                         &tuple->icmp_code);
        tuple->icmp_id = netfilter_u16(parts[six ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID]);
    }
    return true;
}

static bool
parse_tuple(const struct nlattr *nest, struct conntrack_tuple *tuple)
{
    const struct nlattr *parts[NETFILTER_ATTRS] = {0};

    *tuple = (struct conntrack_tuple){0};
    return netfilter_nested(nest, parts) && parse_addresses(parts[CTA_TUPLE_IP], tuple) &&
           parse_protocol(parts[CTA_TUPLE_PROTO], tuple);
}

bool
conntrack_parse(const struct nlmsghdr *header, struct conntrack_entry *ret_entry)
{
    const struct nlattr *attrs[NETFILTER_ATTRS] = {0};
    struct conntrack_entry entry = {0};

    if (header->nlmsg_type != ((NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_NEW) ||
        !netfilter_attrs(header, attrs) || !parse_tuple(attrs[CTA_TUPLE_ORIG], &entry.original) ||
        !parse_tuple(attrs[CTA_TUPLE_REPLY], &entry.reply)) {
        return false;
    }
    entry.mark = netfilter_u32(attrs[CTA_MARK]);
    entry.status = netfilter_u32(attrs[CTA_STATUS]);
    entry.zone = netfilter_u16(attrs[CTA_ZONE]);
    entry.has_master =
        attrs[CTA_TUPLE_MASTER] && parse_tuple(attrs[CTA_TUPLE_MASTER], &entry.master);
    *ret_entry = entry;
    return true;
}

/* ---- asking
 * ----------------------------------------------------------------------------------- */

static struct nlmsghdr *
start_message(struct conntrack_link *link, char *room, uint8_t type, uint16_t flags, uint8_t family)
{
    struct nlmsghdr *header = netfilter_message(room, NFNL_SUBSYS_CTNETLINK, type, flags,
                                                family == 6 ? AF_INET6 : AF_INET, 0);

    header->nlmsg_seq = ++link->seq;
    return header;
}

static void
put_ip(struct nlmsghdr *header, const struct ip *ip, bool is_source)
{
    if (ip->family == 6) {
        mnl_attr_put(header, is_source ? CTA_IP_V6_SRC : CTA_IP_V6_DST, 16, ip->bytes);
    } else {
        mnl_attr_put(header, is_source ? CTA_IP_V4_SRC : CTA_IP_V4_DST, 4, ip->bytes);
    }
}

static void
put_protocol(struct nlmsghdr *header, const struct conntrack_tuple *tuple)
{
    struct nlattr *nest = mnl_attr_nest_start(header, CTA_TUPLE_PROTO);

    mnl_attr_put_u8(header, CTA_PROTO_NUM, tuple->protocol);
    if (tuple->protocol == IPPROTO_ICMP) {
        mnl_attr_put_u8(header, CTA_PROTO_ICMP_TYPE, tuple->icmp_type);
        mnl_attr_put_u8(header, CTA_PROTO_ICMP_CODE, tuple->icmp_code);
        mnl_attr_put_u16(header, CTA_PROTO_ICMP_ID, htons(tuple->icmp_id));
    } else if (tuple->protocol == IPPROTO_ICMPV6) {
        mnl_attr_put_u8(header, CTA_PROTO_ICMPV6_TYPE, tuple->icmp_type);
        mnl_attr_put_u8(header, CTA_PROTO_ICMPV6_CODE, tuple->icmp_code);
        mnl_attr_put_u16(header, CTA_PROTO_ICMPV6_ID, htons(tuple->icmp_id));
    } else {
        mnl_attr_put_u16(header, CTA_PROTO_SRC_PORT, htons(tuple->source_port));
        mnl_attr_put_u16(header, CTA_PROTO_DST_PORT, htons(tuple->destination_port));
    }
    mnl_attr_nest_end(header, nest);
}

static void
put_tuple(struct nlmsghdr *header, const struct conntrack_tuple *tuple)
{
    struct nlattr *nest = mnl_attr_nest_start(header, CTA_TUPLE_ORIG);
    struct nlattr *ip = mnl_attr_nest_start(header, CTA_TUPLE_IP);

    put_ip(header, &tuple->source, true);
    put_ip(header, &tuple->destination, false);
    mnl_attr_nest_end(header, ip);
    put_protocol(header, tuple);
    mnl_attr_nest_end(header, nest);
}

size_t
conntrack_count(void)
{
    AUTO(str) struct str text = STR_INIT;

    if (!file_read("/proc/sys/net/netfilter/nf_conntrack_count", 32, &text, NULL)) {
        return 0;
    }
    return (size_t)strtoull(str_text(&text), NULL, 10);
}

bool
conntrack_dump(struct conntrack_link *link, const struct conntrack_filter *filter, struct err *err)
{
    struct nlmsghdr *header =
        start_message(link, link->out, IPCTNL_MSG_CT_GET, NLM_F_DUMP, filter->family);

    link->filter = *filter;
    /* Asked for an IPv6 address, kernels (seen in 6.18) tell all entries but those of the address.
     */
    if (filter->side != CONNTRACK_ALL && filter->family == 4) {
        bool is_reply = filter->side == CONNTRACK_REPLY_SOURCE;
        struct nlattr *tuple =
            mnl_attr_nest_start(header, is_reply ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG);
        struct nlattr *ip = mnl_attr_nest_start(header, CTA_TUPLE_IP);
        put_ip(header, &filter->ip, true);
        mnl_attr_nest_end(header, ip);
        mnl_attr_nest_end(header, tuple);
        struct nlattr *nest = mnl_attr_nest_start(header, ATTR_FILTER);
        mnl_attr_put_u32(header, ATTR_FILTER_ORIGINAL, is_reply ? 0 : FILTER_SOURCE);
        mnl_attr_put_u32(header, ATTR_FILTER_REPLY, is_reply ? FILTER_SOURCE : 0);
        mnl_attr_nest_end(header, nest);
    }
    return mnl_socket_sendto(link->sock, header, header->nlmsg_len) >= 0 ||
           err_sys(err, errno, "conntrack: read");
}

struct listener {
    const struct conntrack_filter *filter; /* NULL: all */
    void (*each)(void *owner, const struct conntrack_entry *entry);
    void *owner;
};

static bool
is_asked_for(const struct conntrack_filter *filter, const struct conntrack_entry *entry)
{
    switch (filter->side) {
    case CONNTRACK_ORIGINAL_SOURCE:
        return ip_equal(&entry->original.source, &filter->ip);
    case CONNTRACK_REPLY_SOURCE:
        return ip_equal(&entry->reply.source, &filter->ip);
    case CONNTRACK_ALL:
        break;
    }
    return true;
}

static int
on_entry(const struct nlmsghdr *header, void *owner)
{
    const struct listener *listener = owner;
    struct conntrack_entry entry;

    if (conntrack_parse(header, &entry) &&
        (!listener->filter || is_asked_for(listener->filter, &entry))) {
        listener->each(listener->owner, &entry);
    }
    return MNL_CB_OK;
}

/* One read. 1: more may come, 0: the end, -1: errno. Answers to requests that timed out earlier are
 * thrown away. */
static int
read_once(struct conntrack_link *link, uint32_t seq, const struct listener *listener)
{
    unsigned port = mnl_socket_get_portid(link->sock);

    for (;;) {
        ssize_t n = mnl_socket_recvfrom(link->sock, link->buffer, READ_ROOM);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        const struct nlmsghdr *first = (const struct nlmsghdr *)(const void *)link->buffer;
        if ((size_t)n < sizeof *first || first->nlmsg_seq != seq) {
            continue;
        }
        struct listener copy = *listener; /* libmnl wants what it could write to */
        return mnl_cb_run(link->buffer, (size_t)n, seq, port, on_entry, &copy);
    }
}

bool
conntrack_dump_more(struct conntrack_link *link,
                    void (*each)(void *owner, const struct conntrack_entry *entry), void *owner,
                    bool *ret_end, struct err *err)
{
    const struct listener listener = {&link->filter, each, owner};
    int result = read_once(link, link->seq, &listener);

    if (result < 0) {
        return err_sys(err, errno, "conntrack: read");
    }
    *ret_end = result == MNL_CB_STOP;
    return true;
}

static void
take_entry(void *owner, const struct conntrack_entry *entry)
{
    *(struct conntrack_entry *)owner = *entry;
}

bool
conntrack_get(struct conntrack_link *link, const struct conntrack_tuple *original,
              struct conntrack_entry *ret_entry, struct err *err)
{
    struct conntrack_entry entry = {0};
    const struct listener listener = {NULL, take_entry, &entry};
    struct nlmsghdr *header =
        start_message(link, link->out, IPCTNL_MSG_CT_GET, NLM_F_ACK, original->source.family);
    int result = 1;

    put_tuple(header, original);
    if (mnl_socket_sendto(link->sock, header, header->nlmsg_len) < 0) {
        return err_sys(err, errno, "conntrack: ask");
    }
    while (result > 0) {
        result = read_once(link, link->seq, &listener);
    }
    if (result < 0 || entry.original.source.family == 0) {
        return err_sys(err, result < 0 ? errno : ENOENT, "conntrack: ask");
    }
    *ret_entry = entry;
    return true;
}

/* ---- changing
 * ---------------------------------------------------------------------------------- */

/* One write of several messages, and how it went: what is refused is told message by message. */
struct batch {
    const char *what; /* for errors */
    uint32_t first_seq, last_seq;
    size_t len;
    size_t n_gone;
    int error; /* the first that matters */
    bool is_end;
};

/* Only the last one is acknowledged, but a failure is always told. */
static struct nlmsghdr *
begin_change(struct conntrack_link *link, struct batch *batch, uint8_t type, bool is_last,
             const struct conntrack_tuple *original)
{
    struct nlmsghdr *header = start_message(link, link->out + batch->len, type,
                                            is_last ? NLM_F_ACK : 0, original->source.family);

    put_tuple(header, original);
    return header;
}

static void
take_answer(struct batch *batch, const struct nlmsghdr *header)
{
    const struct nlmsgerr *answer = mnl_nlmsg_get_payload(header);

    if (header->nlmsg_type != NLMSG_ERROR || header->nlmsg_len < NLMSG_LENGTH(sizeof *answer) ||
        header->nlmsg_seq - batch->first_seq > batch->last_seq - batch->first_seq) {
        return;
    }
    if (answer->error == -ENOENT) {
        batch->n_gone++;
    } else if (answer->error != 0 && batch->error == 0) {
        batch->error = -answer->error;
    }
    batch->is_end = batch->is_end || header->nlmsg_seq == batch->last_seq;
}

static bool
read_answers(struct conntrack_link *link, struct batch *batch, struct err *err)
{
    while (!batch->is_end) {
        ssize_t n = mnl_socket_recvfrom(link->sock, link->buffer, READ_ROOM);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_sys(err, errno, "conntrack: %s", batch->what);
        }
        int left = (int)n;
        for (const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)link->buffer;
             mnl_nlmsg_ok(header, left); header = mnl_nlmsg_next(header, &left)) {
            take_answer(batch, header);
        }
    }
    return batch->error == 0 || err_sys(err, batch->error, "conntrack: %s", batch->what);
}

static bool
send_batch(struct conntrack_link *link, struct batch *batch, size_t *n_gone, struct err *err)
{
    batch->last_seq = link->seq;
    if (mnl_socket_sendto(link->sock, link->out, batch->len) < 0) {
        return err_sys(err, errno, "conntrack: %s", batch->what);
    }
    bool good = read_answers(link, batch, err);
    *n_gone += batch->n_gone;
    return good;
}

static bool
mark_some(struct conntrack_link *link, const struct conntrack_marking *markings, size_t n,
          size_t *n_gone, struct err *err)
{
    struct batch batch = {.what = "mark", .first_seq = link->seq + 1};

    for (size_t i = 0; i < n; i++) {
        const struct conntrack_marking *it = &markings[i];
        struct nlmsghdr *header =
            begin_change(link, &batch, IPCTNL_MSG_CT_NEW, i + 1 == n, &it->original);
        mnl_attr_put_u32(header, CTA_MARK, htonl(it->value & it->mask));
        mnl_attr_put_u32(header, CTA_MARK_MASK, htonl(it->mask));
        batch.len += NLMSG_ALIGN(header->nlmsg_len);
    }
    return send_batch(link, &batch, n_gone, err);
}

bool
conntrack_mark(struct conntrack_link *link, const struct conntrack_marking *markings, size_t n,
               size_t *ret_n_gone, struct err *err)
{
    bool good = true;

    *ret_n_gone = 0;
    while (n > 0) {
        size_t now = n < CHANGES_PER_WRITE ? n : CHANGES_PER_WRITE;
        /* All are tried; the first reason is told. */
        good = mark_some(link, markings, now, ret_n_gone, good ? err : NULL) && good;
        markings += now;
        n -= now;
    }
    return good;
}

static bool
delete_some(struct conntrack_link *link, const struct conntrack_tuple *originals, size_t n,
            size_t *n_gone, struct err *err)
{
    struct batch batch = {.what = "delete", .first_seq = link->seq + 1};

    for (size_t i = 0; i < n; i++) {
        const struct nlmsghdr *header =
            begin_change(link, &batch, IPCTNL_MSG_CT_DELETE, i + 1 == n, &originals[i]);
        batch.len += NLMSG_ALIGN(header->nlmsg_len);
    }
    return send_batch(link, &batch, n_gone, err);
}

bool
conntrack_delete(struct conntrack_link *link, const struct conntrack_tuple *originals, size_t n,
                 size_t *ret_n_gone, struct err *err)
{
    bool good = true;

    *ret_n_gone = 0;
    while (n > 0) {
        size_t now = n < CHANGES_PER_WRITE ? n : CHANGES_PER_WRITE;
        good = delete_some(link, originals, now, ret_n_gone, good ? err : NULL) && good;
        originals += now;
        n -= now;
    }
    return good;
}
