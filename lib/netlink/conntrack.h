/* The kernel's table of connections: read in pieces, look up one entry, set bits of marks, delete.
 * Raw nfnetlink over libmnl; linux/netfilter/nfnetlink_conntrack.h.
 *
 * A link belongs to one thread at a time. While a dump goes on, its link takes no other request:
 * who wants to mark what a dump tells has a second link. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/net/ip.h"

struct nlmsghdr;

struct conntrack_tuple {
    struct ip source, destination;
    uint8_t protocol;
    uint16_t source_port, destination_port; /* TCP, UDP, UDPLite, SCTP, DCCP */
    uint8_t icmp_type, icmp_code;
    uint16_t icmp_id;
};

/* 'original' is as the first packet came in, before DNAT; 'reply' as answers come in, so its source
 * is where the first packet went after DNAT. */
struct conntrack_entry {
    struct conntrack_tuple original, reply;
    uint32_t mark;
    uint32_t status; /* IPS_* of linux/netfilter/nf_conntrack_common.h */
    uint16_t zone;
    bool has_master; /* an expected one, such as FTP's data connection; 'master' is its original */
    struct conntrack_tuple master;
};

struct conntrack_link;

MUST_CHECK bool conntrack_open(struct conntrack_link **ret_link, struct err *err);
void conntrack_close(struct conntrack_link *link); /* NULL is fine */

/* What a dump tells. For IPv4 the kernel leaves out the rest (Linux 5.8); older ones, and all for
 * IPv6, tell the whole family, and the rest is left out here. */
enum conntrack_side {
    CONNTRACK_ALL,
    CONNTRACK_ORIGINAL_SOURCE, /* 'ip' is the source of the original */
    CONNTRACK_REPLY_SOURCE,    /* ... of the reply */
};

struct conntrack_filter {
    uint8_t family; /* 4, 6 */
    enum conntrack_side side;
    struct ip ip;
};

/* Entries of the calling thread's network namespace, both families; 0 where the kernel does not
 * say. */
size_t conntrack_count(void);
/* Begins a dump. Whatever the filter, the kernel looks through its whole table: 10 ms where that
 * has 262,144 buckets. */
MUST_CHECK bool conntrack_dump(struct conntrack_link *link, const struct conntrack_filter *filter,
                               struct err *err);
/* Goes on with it by one read of the socket (some hundred entries); *ret_end when that was all. A
 * dump that is not wanted to its end is left by closing the link. */
MUST_CHECK bool conntrack_dump_more(struct conntrack_link *link,
                                    void (*each)(void *owner, const struct conntrack_entry *entry),
                                    void *owner, bool *ret_end, struct err *err);
/* By the original tuple. err.code ENOENT: there is none. */
MUST_CHECK bool conntrack_get(struct conntrack_link *link, const struct conntrack_tuple *original,
                              struct conntrack_entry *ret_entry, struct err *err);

struct conntrack_marking {
    struct conntrack_tuple original;
    uint32_t value, mask; /* bits of the mark outside of 'mask' stay */
};

/* Marks the entries. Those that are gone meanwhile are no error: *ret_n_gone of them. */
MUST_CHECK bool conntrack_mark(struct conntrack_link *link,
                               const struct conntrack_marking *markings, size_t n,
                               size_t *ret_n_gone, struct err *err);

/* Deletes the entries of these original tuples; as above. */
MUST_CHECK bool conntrack_delete(struct conntrack_link *link,
                                 const struct conntrack_tuple *originals, size_t n,
                                 size_t *ret_n_gone, struct err *err);

/* One message of the kernel; false when it is not an entry that can be understood. */
bool conntrack_parse(const struct nlmsghdr *header, struct conntrack_entry *ret_entry);
