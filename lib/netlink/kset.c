/* The ipset protocol, version 7, over one libmnl socket. */
#include "lib/netlink/kset.h"

#include <errno.h>
#include <stdarg.h>
#include <libipset/ipset.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/netlink/netfilter.h"

#define MESSAGE_ROOM (128 * 1024)
#define MEMBERS_PER_MESSAGE 2000
/* Older kernels (< 4.20) speak 6; the attributes used here are the same in both. */
#define PROTOCOL_VERSION 6

struct kset_link {
    struct mnl_socket *sock;
    struct ipset *lib;
    uint32_t seq;
    char *buffer;
    char complaint[256]; /* what libipset printed last */
};

static const char *const type_names[] = {
    [KSET_HASH_NET] = "hash:net",
    [KSET_HASH_NET_IFACE] = "hash:net,iface",
    [KSET_HASH_IP_PORT] = "hash:ip,port",
};

const char *
kset_type_name(enum kset_type type)
{
    return type_names[type];
}

/* libipset prints errors; this keeps the text instead. */
static int __attribute__((format(printf, 4, 5)))
on_complaint(struct ipset *lib, void *owner, int status, const char *format, ...)
{
    struct kset_link *link = owner;
    va_list args;

    (void)lib;
    va_start(args, format);
    vsnprintf(link->complaint, sizeof link->complaint, format, args);
    va_end(args);
    return status ? -1 : 0;
}

static int
on_standard_error(struct ipset *lib, void *owner)
{
    struct kset_link *link = owner;
    struct ipset_session *session = ipset_session(lib);

    snprintf(link->complaint, sizeof link->complaint, "%s", ipset_session_report_msg(session));
    ipset_session_report_reset(session);
    return -1;
}

static int
on_output(struct ipset_session *session, void *owner, const char *format, ...)
{
    (void)session, (void)owner, (void)format;
    return 0;
}

bool
kset_open(struct kset_link **ret_link, struct err *err)
{
    static bool types_loaded;
    struct mnl_socket *sock = NULL;

    if (!netfilter_open("ipset", &sock, err)) {
        return false;
    }
    if (!types_loaded) {
        ipset_load_types();
        types_loaded = true;
    }
    struct kset_link *link = NEW(struct kset_link);
    link->sock = sock;
    link->buffer = xcalloc(1, MESSAGE_ROOM); /* libmnl leaves padding as it is */
    link->lib = ipset_init();
    if (!link->lib) {
        kset_close(link);
        return err_set(err, "libipset did not start");
    }
    ipset_custom_printf(link->lib, on_complaint, on_standard_error, on_output, link);
    *ret_link = link;
    return true;
}

void
kset_close(struct kset_link *link)
{
    if (!link) {
        return;
    }
    if (link->lib) {
        ipset_fini(link->lib);
    }
    mnl_socket_close(link->sock);
    free(link->buffer);
    free(link);
}

static uint32_t
hash_size(uint32_t n_expected)
{
    uint32_t size = 64;

    while (size < n_expected / 4 && size < 1U << 20) {
        size *= 2;
    }
    return size;
}

bool
kset_create(struct kset_link *link, const struct kset_spec *spec, struct err *err)
{
    char line[256];

    /* Names and types are ours, nothing from outside is in this line. */
    snprintf(line, sizeof line, "create %s %s family %s hashsize %u maxelem %u", spec->name,
             type_names[spec->type], spec->family == 4 ? "inet" : "inet6",
             hash_size(spec->n_expected), spec->max_members);
    link->complaint[0] = '\0';
    if (ipset_parse_line(link->lib, line) < 0) {
        return err_set(err, "create ipset %s (%s): %s", spec->name, type_names[spec->type],
                       link->complaint[0] ? link->complaint : "refused");
    }
    return true;
}

/* 'name' NULL: of no set. */
static struct nlmsghdr *
start_message(struct kset_link *link, uint8_t command, uint16_t flags, uint8_t family,
              const char *name)
{
    struct nlmsghdr *header = netfilter_message(link->buffer, NFNL_SUBSYS_IPSET, command, flags,
                                                family == 6 ? AF_INET6 : AF_INET, 0);

    header->nlmsg_seq = ++link->seq;
    mnl_attr_put_u8(header, IPSET_ATTR_PROTOCOL, PROTOCOL_VERSION);
    if (name) {
        mnl_attr_put_strz(header, IPSET_ATTR_SETNAME, name);
    }
    return header;
}

static bool
fail(struct err *err, int number, const char *name)
{
    if (number >= IPSET_ERR_PRIVATE) {
        static const char *const reasons[] = {
            [IPSET_ERR_PROTOCOL - IPSET_ERR_PRIVATE] = "protocol error",
            [IPSET_ERR_FIND_TYPE - IPSET_ERR_PRIVATE] = "the kernel has no such set type",
            [IPSET_ERR_MAX_SETS - IPSET_ERR_PRIVATE] = "too many sets",
            [IPSET_ERR_BUSY - IPSET_ERR_PRIVATE] = "the set is in use",
            [IPSET_ERR_EXIST_SETNAME2 - IPSET_ERR_PRIVATE] = "there is no second set",
            [IPSET_ERR_TYPE_MISMATCH - IPSET_ERR_PRIVATE] = "the types differ",
            [IPSET_ERR_EXIST - IPSET_ERR_PRIVATE] = "member exists"};
        size_t i = (size_t)(number - IPSET_ERR_PRIVATE);
        return err_code(err, number, "ipset %s: %s", name,
                        i < ARRAY_LEN(reasons) && reasons[i] ? reasons[i] : "refused (full?)");
    }
    return err_sys(err, number, "ipset %s", name);
}

static bool
exchange(struct kset_link *link, struct nlmsghdr *header, mnl_cb_t each, void *owner,
         const char *name, struct err *err)
{
    uint32_t seq = header->nlmsg_seq;
    unsigned port = mnl_socket_get_portid(link->sock);

    if (mnl_socket_sendto(link->sock, header, header->nlmsg_len) < 0) {
        return fail(err, errno, name);
    }
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(link->sock, link->buffer, MESSAGE_ROOM);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail(err, errno, name);
        }
        /* An answer to an earlier request that timed out: not ours. */
        if (((struct nlmsghdr *)(void *)link->buffer)->nlmsg_seq != seq) {
            continue;
        }
        int result = mnl_cb_run(link->buffer, (size_t)n, seq, port, each, owner);
        if (result < 0) {
            return fail(err, errno, name);
        }
        if (result == MNL_CB_STOP) {
            return true;
        }
    }
}

bool
kset_destroy(struct kset_link *link, const char *name, struct err *err)
{
    struct err reason = ERR_INIT;
    struct nlmsghdr *header = start_message(link, IPSET_CMD_DESTROY, NLM_F_ACK, 4, name);

    if (exchange(link, header, NULL, NULL, name, &reason) || reason.code == ENOENT) {
        return true;
    }
    return err_code(err, reason.code, "destroy %s", reason.text);
}

bool
kset_swap(struct kset_link *link, const char *a, const char *b, struct err *err)
{
    struct nlmsghdr *header = start_message(link, IPSET_CMD_SWAP, NLM_F_ACK, 4, a);

    mnl_attr_put_strz(header, IPSET_ATTR_SETNAME2, b);
    return exchange(link, header, NULL, NULL, a, err) || err_wrap(err, "swap");
}

static void
put_member(struct nlmsghdr *header, enum kset_type type, const struct kset_member *member)
{
    struct nlattr *data = mnl_attr_nest_start(header, IPSET_ATTR_DATA);
    struct nlattr *ip = mnl_attr_nest_start(header, IPSET_ATTR_IP);
    const struct ip *address = &member->prefix.ip;

    if (address->family == 4) {
        mnl_attr_put(header, IPSET_ATTR_IPADDR_IPV4 | NLA_F_NET_BYTEORDER, 4, address->bytes);
    } else {
        mnl_attr_put(header, IPSET_ATTR_IPADDR_IPV6 | NLA_F_NET_BYTEORDER, 16, address->bytes);
    }
    mnl_attr_nest_end(header, ip);
    if (type == KSET_HASH_IP_PORT) {
        mnl_attr_put_u16(header, IPSET_ATTR_PORT | NLA_F_NET_BYTEORDER, htons(member->port));
        mnl_attr_put_u8(header, IPSET_ATTR_PROTO, member->protocol);
    } else {
        mnl_attr_put_u8(header, IPSET_ATTR_CIDR, member->prefix.len);
    }
    if (member->iface[0] != '\0') {
        mnl_attr_put_strz(header, IPSET_ATTR_IFACE, member->iface);
    }
    mnl_attr_nest_end(header, data);
}

static bool
change(struct kset_link *link, uint8_t command, const struct kset_spec *spec,
       const struct kset_member *members, size_t n, struct err *err)
{
    while (n > 0) {
        size_t now = n < MEMBERS_PER_MESSAGE ? n : MEMBERS_PER_MESSAGE;
        struct nlmsghdr *header = start_message(link, command, NLM_F_ACK, spec->family, spec->name);
        mnl_attr_put_u32(header, IPSET_ATTR_LINENO, 0);
        /* The outer length is 16 bits: a nest that outgrew them would be cut silently. */
        struct nlattr *adt = mnl_attr_nest_start(header, IPSET_ATTR_ADT);
        size_t n_put = 0;
        for (; n_put < now && header->nlmsg_len < 60 * 1024; n_put++) {
            put_member(header, spec->type, &members[n_put]);
        }
        mnl_attr_nest_end(header, adt);
        if (!exchange(link, header, NULL, NULL, spec->name, err)) {
            return false;
        }
        members += n_put;
        n -= n_put;
    }
    return true;
}

/* hash:net cannot hold 0.0.0.0/0 or ::/0: two halves say the same. */
static bool
change_split(struct kset_link *link, uint8_t command, const struct kset_spec *spec,
             const struct kset_member *members, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (members[i].prefix.len == 0) {
            struct kset_member halves[2] = {members[i], members[i]};
            halves[0].prefix.len = halves[1].prefix.len = 1;
            halves[1].prefix.ip.bytes[0] = 0x80;
            if (!change(link, command, spec, halves, 2, err)) {
                return false;
            }
        } else if (!change(link, command, spec, &members[i], 1, err)) {
            return false;
        }
    }
    return true;
}

static bool
has_whole_range(const struct kset_member *members, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (members[i].prefix.len == 0) {
            return true;
        }
    }
    return false;
}

static bool
change_all(struct kset_link *link, uint8_t command, const struct kset_spec *spec,
           const struct kset_member *members, size_t n, struct err *err)
{
    return has_whole_range(members, n) ? change_split(link, command, spec, members, n, err)
                                       : change(link, command, spec, members, n, err);
}

bool
kset_add(struct kset_link *link, const struct kset_spec *spec, const struct kset_member *members,
         size_t n, struct err *err)
{
    return change_all(link, IPSET_CMD_ADD, spec, members, n, err) || err_wrap(err, "add to");
}

bool
kset_delete(struct kset_link *link, const struct kset_spec *spec, const struct kset_member *members,
            size_t n, struct err *err)
{
    return change_all(link, IPSET_CMD_DEL, spec, members, n, err) || err_wrap(err, "delete from");
}

static bool
read_address(const struct nlattr *nest, struct ip *ret_ip)
{
    const struct nlattr *ips[NETFILTER_ATTRS] = {0};

    if (!netfilter_nested(nest, ips)) {
        return false;
    }
    bool six = ips[IPSET_ATTR_IPADDR_IPV4] == NULL;
    const struct nlattr *ip = ips[six ? IPSET_ATTR_IPADDR_IPV6 : IPSET_ATTR_IPADDR_IPV4];
    if (!ip || mnl_attr_get_payload_len(ip) < (six ? 16 : 4)) {
        return false;
    }
    *ret_ip = ip_from_bytes(six ? 6 : 4, mnl_attr_get_payload(ip));
    return true;
}

static int
on_member(const struct nlattr *attr, void *owner)
{
    struct kset_state *state = owner;
    const struct nlattr *attrs[NETFILTER_ATTRS] = {0};
    struct kset_member member = {0};

    if (!netfilter_nested(attr, attrs) || !read_address(attrs[IPSET_ATTR_IP], &member.prefix.ip)) {
        return MNL_CB_OK;
    }
    if (!netfilter_get_u8(attrs[IPSET_ATTR_CIDR], &member.prefix.len)) {
        member.prefix.len = ip_bits(&member.prefix.ip);
    }
    member.port = netfilter_u16(attrs[IPSET_ATTR_PORT]);
    netfilter_get_u8(attrs[IPSET_ATTR_PROTO], &member.protocol);
    netfilter_text(attrs[IPSET_ATTR_IFACE], member.iface, sizeof member.iface);
    VEC_PUSH(&state->members, member);
    return MNL_CB_OK;
}

static int
on_set(const struct nlmsghdr *header, void *owner)
{
    struct kset_state *state = owner;
    const struct nlattr *attrs[NETFILTER_ATTRS] = {0};
    const struct nlattr *data[NETFILTER_ATTRS] = {0};
    uint8_t family = 0;

    if (!netfilter_attrs(header, attrs)) {
        errno = EBADMSG;
        return MNL_CB_ERROR;
    }
    state->exists = true;
    /* A long set comes in several messages: each names it, not each tells of it. */
    if (attrs[IPSET_ATTR_TYPENAME]) {
        netfilter_text(attrs[IPSET_ATTR_TYPENAME], state->type, sizeof state->type);
    }
    if (netfilter_get_u8(attrs[IPSET_ATTR_FAMILY], &family)) {
        state->family = family == NFPROTO_IPV6 ? 6 : 4;
    }
    if (netfilter_nested(attrs[IPSET_ATTR_DATA], data) && data[IPSET_ATTR_MAXELEM]) {
        state->max_members = netfilter_u32(data[IPSET_ATTR_MAXELEM]);
    }
    if (attrs[IPSET_ATTR_ADT]) {
        mnl_attr_parse_nested(attrs[IPSET_ATTR_ADT], on_member, state);
    }
    return MNL_CB_OK;
}

bool
kset_read(struct kset_link *link, const char *name, struct kset_state *ret_state, struct err *err)
{
    struct err reason = ERR_INIT;
    struct nlmsghdr *header = start_message(link, IPSET_CMD_LIST, NLM_F_ACK | NLM_F_DUMP, 4, name);

    *ret_state = (struct kset_state){0};
    if (exchange(link, header, on_set, ret_state, name, &reason)) {
        return true;
    }
    kset_state_done(ret_state);
    if (reason.code == ENOENT) {
        return true;
    }
    return err_code(err, reason.code, "read %s", reason.text);
}

void
kset_state_done(struct kset_state *state)
{
    VEC_DONE(&state->members);
    *state = (struct kset_state){0};
}

struct name_walk {
    const char *prefix;
    void (*each)(void *owner, const char *name);
    void *owner;
};

static int
on_name(const struct nlmsghdr *header, void *owner)
{
    const struct name_walk *walk = owner;
    const struct nlattr *attrs[NETFILTER_ATTRS] = {0};
    char name[IPSET_MAXNAMELEN];

    if (!netfilter_attrs(header, attrs) || !attrs[IPSET_ATTR_SETNAME]) {
        return MNL_CB_OK;
    }
    netfilter_text(attrs[IPSET_ATTR_SETNAME], name, sizeof name);
    if (strncmp(name, walk->prefix, strlen(walk->prefix)) == 0) {
        walk->each(walk->owner, name);
    }
    return MNL_CB_OK;
}

bool
kset_each_name(struct kset_link *link, const char *prefix,
               void (*each)(void *owner, const char *name), void *owner, struct err *err)
{
    struct name_walk walk = {prefix, each, owner};
    struct nlmsghdr *header = start_message(link, IPSET_CMD_LIST, NLM_F_ACK | NLM_F_DUMP, 4, NULL);

    mnl_attr_put_u32(header, IPSET_ATTR_FLAGS | NLA_F_NET_BYTEORDER,
                     htonl(IPSET_FLAG_LIST_SETNAME));
    return exchange(link, header, on_name, &walk, "list", err);
}

int
kset_member_compare(const struct kset_member *a, const struct kset_member *b)
{
    int order = prefix_compare(&a->prefix, &b->prefix);

    order = order != 0 ? order : a->protocol - b->protocol;
    order = order != 0 ? order : a->port - b->port;
    return order != 0 ? order : strcmp(a->iface, b->iface);
}
