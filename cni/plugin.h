/* What the files of the CNI plugin share: the request as the runtime makes it (CNI specification
 * 0.3.1 to 1.1.0), and errors whose code is the specification's. Nothing here starts a thread or
 * keeps state: the process lives for one call. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/vec.h"
#include "lib/net/prefix.h"

struct json_object;

/* CNI error codes; err.code holds one of them when a verb fails. */
enum cni_code {
    CNI_BAD_VERSION = 1,
    CNI_BAD_ENVIRONMENT = 4,
    CNI_IO = 5,
    CNI_BAD_JSON = 6,
    CNI_BAD_CONFIG = 7,
    CNI_BAD_NETNS = 8, /* the reference library's: the pod's namespace is the host's */
    CNI_TRY_LATER = 11,
    CNI_NOT_AVAILABLE = 50,
    CNI_LIMITED = 51, /* not available, and pods that are there may be cut off */
    CNI_BROKEN = 100, /* CHECK: something that ADD made is missing */
    CNI_EXHAUSTED = 101,
};

#define CNI_HOST_MAC "\xee\xee\xee\xee\xee\xee"
#define CNI_ADDRESSES_MAX 4
#define CNI_ROUTES_MAX 64

enum cni_verb {
    CNI_ADD,
    CNI_DEL,
    CNI_CHECK,
    CNI_GC,
    CNI_STATUS,
    CNI_VERSION
};

struct cni_env {
    enum cni_verb verb;
    const char *container_id; /* "" when not given; borrowed from the environment */
    const char *netns;
    const char *ifname;
    const char *path; /* CNI_PATH */
    char *pod;        /* from CNI_ARGS; NULL when not given */
    char *ns;
    char *ip; /* CNI_ARGS IP=... */
};

struct ipam_range {
    struct prefix subnet;
    struct ip start, end; /* family 0: the subnet's own */
};
typedef VEC(struct ipam_range) ipam_range_vec;

/* A route inside the pod. Its next hop is the node, always: nobody else is on the link. */
struct cni_route {
    struct prefix dst;
    uint32_t table;       /* 0: main */
    uint32_t priority;    /* 0: the kernel's default */
    uint32_t mtu, advmss; /* 0: the link's */
};

struct cni_routes {
    size_t n;
    struct cni_route items[CNI_ROUTES_MAX];
};

struct cni_config {
    struct json_object *json; /* the whole configuration; owned */
    char *version;
    char *name;
    uint32_t mtu; /* 0: not set */
    char *felix_socket;
    char *state_dir;
    uint64_t timeout_ms; /* for felix */
    bool allow_forwarding;
    /* IPAM */
    bool is_delegated;
    char *ipam_type;
    char *data_dir;
    bool use_pod_cidrs;
    ipam_range_vec ranges[2]; /* explicit, by family: 0 is IPv4, 1 is IPv6 */
    VEC(struct ip) requested;
    struct cni_routes routes;    /* ipam.routes; of delegated IPAM, its answer has them */
    bool include_default_routes; /* beside those */
    bool has_mac;
    uint8_t mac[6];
};

/* What ADD made. */
struct cni_attachment {
    char host_ifname[16];
    uint32_t mtu;
    uint8_t pod_mac[6];
    struct prefix ips[CNI_ADDRESSES_MAX]; /* /32 and /128 */
    size_t n_ips;
    struct cni_routes routes; /* of the families above, see routes.h */
    bool are_routes_given;    /* by somebody, so that they belong into the result */
    struct json_object *dns;  /* of a delegated IPAM plugin's answer; NULL: none. Owned by ADD */
};

extern const char *const cni_versions[]; /* NULL-terminated */

MUST_CHECK bool cni_env_read(struct cni_env *ret_env, struct err *err);
void cni_env_done(struct cni_env *env);
/* Reads standard input. */
MUST_CHECK bool cni_config_read(struct cni_config *ret_config, struct err *err);
MUST_CHECK bool cni_config_parse(const char *text, size_t len, struct cni_config *ret_config,
                                 struct err *err);
void cni_config_done(struct cni_config *config);
/* "cali" + 11 hex digits of SHA-1("namespace.pod"), or + 11 characters of the container's ID. */
void cni_host_ifname(const struct cni_env *env, char ret_name[16]);

MUST_CHECK bool verb_add(const struct cni_env *env, const struct cni_config *config,
                         struct err *err);
MUST_CHECK bool verb_del(const struct cni_env *env, const struct cni_config *config,
                         struct err *err);
MUST_CHECK bool verb_check(const struct cni_env *env, const struct cni_config *config,
                           struct err *err);
MUST_CHECK bool verb_gc(const struct cni_env *env, const struct cni_config *config,
                        struct err *err);
MUST_CHECK bool verb_status(const struct cni_env *env, const struct cni_config *config,
                            struct err *err);
