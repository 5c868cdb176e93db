/* Messages between the CNI plugin (and people) and felix: one JSON object a line over a unix stream
 * socket, a request and its reply. Everything is checked on decode; names end up in paths and
 * kernel objects. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/base/vec.h"
#include "lib/net/prefix.h"

/* CNI error code "try again later"; the other codes are the CNI specification's. */
#define PROTO_CODE_AGAIN 11
#define PROTO_LINE_MAX (256 * 1024)         /* a request */
#define PROTO_ANSWER_MAX (16 * 1024 * 1024) /* 10,000 rules with their counters are 2 MiB */

enum proto_op {
    PROTO_POD_ADD,   /* answered when route, settings and anti-spoofing member are in the kernel */
    PROTO_POD_DEL,   /* answered at once; felix deletes the link, then the files of 'release' */
    PROTO_POD_CHECK, /* is this pod programmed? */
    PROTO_POD_GC,    /* everything of 'network' that is not in 'valid' goes */
    PROTO_STATUS,    /* can pods be added? */
    PROTO_ENDPOINTS, /* what felix knows, for people */
    PROTO_EXPLAIN,   /* may this packet pass, and which rule decides? */
    PROTO_DROPS,     /* a subscription: {"ok":true}, then a line for every drop until the end;
                      * with "recent":true one answer, the last ones */
    PROTO_POLICIES,  /* those in force here, with the counters of their rules */
};

/* One end of what is to be explained: a pod or an address, never both. */
struct proto_place {
    char *namespace, *pod; /* NULL: 'ip' is given */
    struct ip ip;          /* family 0: the pod is given */
};

/* {"op":"explain","from":{"pod":"default/web-0"},"to":{"ip":"10.1.0.2"},"protocol":"tcp","port":80}
 */
struct proto_explain {
    struct proto_place from, to;
    uint8_t protocol;     /* "tcp", "udp", "sctp", "udplite", "icmp", "icmpv6" or a number */
    uint16_t port;        /* of the destination; wanted for protocols with ports */
    uint16_t source_port; /* PROTO_SOURCE_PORT when not given */
    uint8_t icmp_type, icmp_code;
    uint8_t family; /* of pods with both; 0: what the other end is, else IPv4 */
};

/* What clients use that do not ask for one: few rules look at it, and those mean such a one. */
#define PROTO_SOURCE_PORT 49152

struct proto_attachment {
    char *container_id;
    char *ifname;
};

struct proto_request {
    enum proto_op op;
    char *container_id; /* these are NULL when absent */
    char *ifname;       /* inside the pod */
    char *netns;
    char *namespace;
    char *pod;
    char *network;
    char *host_ifname;
    VEC(struct prefix) ips; /* /32 and /128 */
    VEC(char *) release;    /* host-local address files: absolute paths */
    VEC(struct proto_attachment) valid;
    struct proto_explain explain; /* PROTO_EXPLAIN */
    bool recent;                  /* PROTO_DROPS */
};

struct proto_reply {
    bool ok;
    int code;     /* when not ok: a CNI error code */
    char *error;  /* when not ok */
    bool ready;   /* PROTO_STATUS */
    bool limited; /* not ready, and pods that are there may be cut off (CNI code 51, not 50) */
    char *reason;
    VEC(struct prefix) pod_cidrs;
    uint32_t mtu; /* 0: not known */
    /* Every change of the API up to this resourceVersion is in force on this node; 0: not known, or
     * something is still to be written. */
    uint64_t in_force;
    /* PROTO_STATUS, for people: written when 'node' is given, borrowed, not read back. */
    const char *node, *version;
    uint64_t n_endpoints, n_policies, n_drops;
};

void proto_request_done(struct proto_request *request);
void proto_reply_done(struct proto_reply *reply);

/* Appends one line with its newline. */
void proto_request_write(const struct proto_request *request, struct str *out);
void proto_reply_write(const struct proto_reply *reply, struct str *out);
/* On failure the outputs are empty. */
MUST_CHECK bool proto_request_read(const char *line, size_t len, struct proto_request *ret_request,
                                   struct err *err);
MUST_CHECK bool proto_reply_read(const char *line, size_t len, struct proto_reply *ret_reply,
                                 struct err *err);
/* "tcp" for 6, "50" for others without a name; returns ret_text or a constant. */
const char *proto_protocol_name(uint8_t protocol, char ret_text[4]);
MUST_CHECK bool proto_protocol_parse(const char *text, uint8_t *ret_protocol, struct err *err);
bool proto_has_ports(uint8_t protocol);
/* "{\"ok\":false,...}" */
void proto_refuse(struct str *out, int code, const char *reason);

/* ---- for the plugin: blocking, with a deadline for each step. err.code is PROTO_CODE_AGAIN when
 * felix cannot be reached or does not answer in time. */

/* Tries again until the deadline: felix may be starting. 0: once. The caller closes *ret_fd. */
MUST_CHECK bool proto_connect(const char *socket_path, uint64_t deadline_ms, int *ret_fd,
                              struct err *err);
/* One request and its reply; a connection may be used for several. */
MUST_CHECK bool proto_exchange(int fd, const struct proto_request *request, uint64_t deadline_ms,
                               struct proto_reply *ret_reply, struct err *err);
/* The same with an answer that is not a proto_reply: one line without its newline, appended. */
MUST_CHECK bool proto_exchange_line(int fd, const struct proto_request *request,
                                    uint64_t deadline_ms, struct str *answer, struct err *err);
/* For a subscription: only the request; what comes is read line by line. */
MUST_CHECK bool proto_send(int fd, const struct proto_request *request, uint64_t deadline_ms,
                           struct err *err);
/* 'rest' keeps what came behind the line for the next call and is empty at the first. Waits as long
 * as it takes. err.code 0: the other side ended it. */
MUST_CHECK bool proto_read_line(int fd, struct str *rest, struct str *ret_line, struct err *err);
/* Both in one. */
MUST_CHECK bool proto_call(const char *socket_path, const struct proto_request *request,
                           uint64_t deadline_ms, struct proto_reply *ret_reply, struct err *err);
