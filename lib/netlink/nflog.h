/* Packets a rule's NFLOG target tells of, on the loop. Raw nfnetlink over libmnl;
 * linux/netfilter/nfnetlink_log.h. The kernel's side is bounded by the socket's buffer: what does
 * not fit is lost there and counted here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "lib/base/err.h"
#include "lib/net/headers.h"

struct nlmsghdr;
struct nflog;

#define NFLOG_PREFIX_MAX 128 /* the kernel's, with the NUL; iptables takes 64 */

struct nflog_packet {
    char prefix[NFLOG_PREFIX_MAX]; /* "" without one */
    uint32_t in_index, out_index;  /* interfaces; 0: none */
    struct packet_headers headers;
};

struct nflog_spec {
    uint16_t group;
    void (*packet)(void *owner, const struct nflog_packet *packet);
    void *owner;
};

/* EPERM when another process listens to this group of this network namespace. Copies the spec. */
MUST_CHECK bool nflog_open(uv_loop_t *loop, const struct nflog_spec *spec, struct nflog **ret_nflog,
                           struct err *err);
void nflog_close(struct nflog *nflog); /* NULL is fine; the loop must turn once more */
/* Times the kernel said that it had lost some, and packets that could not be understood. */
uint64_t nflog_n_overruns(const struct nflog *nflog);
uint64_t nflog_n_bad(const struct nflog *nflog);

/* One message of the kernel; false when it is no packet whose addresses can be read. */
bool nflog_parse(const struct nlmsghdr *header, struct nflog_packet *ret_packet);
