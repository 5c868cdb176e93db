/* ipsets by name: libipset creates (it negotiates type revisions with the kernel), everything else
 * goes as raw netlink over libmnl: one ADD message carries thousands of members. Only sets that are
 * named are read or written; foreign sets are never listed, so their unknown revisions are no
 * problem. Protocol: linux/netfilter/ipset/ip_set.h. */
#pragma once

#include "lib/base/vec.h"
#include "lib/net/prefix.h"

struct kset_link;

#define KSET_NAME_MAX 32
#define KSET_IFACE_MAX 16

enum kset_type {
    KSET_HASH_NET,       /* prefixes */
    KSET_HASH_NET_IFACE, /* prefix and interface name */
    KSET_HASH_IP_PORT,   /* address, protocol and port */
};

struct kset_member {
    struct prefix prefix;
    uint8_t protocol; /* KSET_HASH_IP_PORT, else 0 */
    uint16_t port;
    char iface[KSET_IFACE_MAX]; /* KSET_HASH_NET_IFACE, else "" */
};
typedef VEC(struct kset_member) kset_member_vec;

struct kset_spec {
    const char *name;
    enum kset_type type;
    uint8_t family; /* 4 or 6 */
    uint32_t max_members;
    uint32_t n_expected; /* presizes the hash: growing later costs more than all the adds */
};

/* What the kernel says of a set. */
struct kset_state {
    bool exists;
    char type[32];
    uint8_t family;
    uint32_t max_members;
    kset_member_vec members;
};

MUST_CHECK bool kset_open(struct kset_link **ret_link, struct err *err);
void kset_close(struct kset_link *link);

const char *kset_type_name(enum kset_type type); /* "hash:net" */
MUST_CHECK bool kset_create(struct kset_link *link, const struct kset_spec *spec, struct err *err);
/* Absent is fine. */
MUST_CHECK bool kset_destroy(struct kset_link *link, const char *name, struct err *err);
MUST_CHECK bool kset_swap(struct kset_link *link, const char *a, const char *b, struct err *err);
/* Members that are there already (or, deleting, are not) are fine. */
MUST_CHECK bool kset_add(struct kset_link *link, const struct kset_spec *spec,
                         const struct kset_member *members, size_t n, struct err *err);
MUST_CHECK bool kset_delete(struct kset_link *link, const struct kset_spec *spec,
                            const struct kset_member *members, size_t n, struct err *err);
/* An absent set is no error: exists is false. The caller frees with kset_state_done(). */
MUST_CHECK bool kset_read(struct kset_link *link, const char *name, struct kset_state *ret_state,
                          struct err *err);
void kset_state_done(struct kset_state *state);
/* Names of all sets that begin with 'prefix', ours by convention; nothing else is asked of sets, so
 * those of others do no harm. */
MUST_CHECK bool kset_each_name(struct kset_link *link, const char *prefix,
                               void (*each)(void *owner, const char *name), void *owner,
                               struct err *err);
int kset_member_compare(const struct kset_member *a, const struct kset_member *b);
