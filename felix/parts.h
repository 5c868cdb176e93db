/* What the files of the daemon share: start.c (open and close), felix.c (the line), tables.c
 * (rules), requests.c (the socket), report.c (health and metrics). Nobody else includes this. */
#pragma once

#include "felix/calc/node_state.h"
#include "felix/dataplane/backend.h"
#include "felix/dataplane/endpoints.h"
#include "felix/dataplane/features.h"
#include "felix/dataplane/forget.h"
#include "felix/dataplane/iptables.h"
#include "felix/dataplane/sets.h"
#include "felix/dataplane/shaping.h"
#include "felix/dataplane/sysctl.h"
#include "felix/dataplane/tunnel.h"
#include "felix/desired.h"
#include "felix/felix.h"
#include "felix/floating.h"
#include "felix/node/bgp_health.h"
#include "felix/node/condition.h"
#include "felix/node/identity.h"
#include "felix/policies.h"
#include "felix/rules_config.h"
#include "felix/asks.h"
#include "felix/limits.h"
#include "felix/status_files.h"
#include "felix/workloads.h"
#include "lib/feed/feed.h"
#include "lib/loop/kick.h"
#include "lib/loop/unix_server.h"
#include "lib/metrics/http_server.h"
#include "lib/netlink/monitor.h"

#define N_FAMILIES 2

static inline uint8_t
family_of(size_t i)
{
    return i == 0 ? 4 : 6;
}

static inline size_t
n_families(const struct felix_settings *settings)
{
    return settings->ipv6 ? N_FAMILIES : 1;
}

struct people;
struct release;

/* A pod_add that is answered when its endpoint is in the kernel. */
struct waiting {
    uint64_t client;
    char ifname[16];
    uint64_t since_ms;
    bool is_wanted;        /* its policy is calculated, and handed to the tables */
    uint64_t revisions[2]; /* of the tables that were wanted then */
};

/* One of the two servers, and what it was opened with. */
struct served {
    struct http_server *server; /* NULL: none */
    char *host;
    uint32_t port;
};

struct felix_metrics {
    struct metric *n_hosts, *n_cluster_endpoints, *n_local_endpoints;
    struct metric *restore_calls, *restore_errors;
    struct metric *failures, *repaired, *resyncs, *apply_seconds, *pod_add_seconds;
    struct metric *bad_settings;
    struct metric *n_host_endpoints, *n_tiers, *n_policies, *n_active_policies, *n_active_selectors;
    struct metric *n_sets, *index_items, *index_selectors, *index_evaluated;
};

struct felix {
    uv_loop_t *loop;
    struct configuration *configuration;
    const struct felix_settings *settings; /* of the configuration */
    char *external_nodes;                  /* the setting as it is in the set */
    char *node_name;
    struct interface_prefixes prefixes; /* InterfacePrefix */

    /* watch, decode, model */
    struct kube *kube;
    struct store *store;
    struct feed *feed;
    bool is_in_sync;

    /* calculate */
    struct node_state *nodes;
    struct workloads *workloads;
    struct asks *asks;
    struct limits *limits;
    struct floating *floating;
    struct desired_pools pools;
    struct policies *policies;
    struct features features;   /* of iptables, once tables_known */
    struct rules_config *rules; /* what policies renders with */
    bool marks_are_carried;     /* nothing has the bits of an earlier mask any more */
    bool has_ipvs;              /* kube-proxy works with IPVS here */
    bool rules_dirty;           /* the above has to be made anew */
    bool configuration_dirty;
    bool pools_dirty;
    bool asks_dirty;
    bool floating_dirty;
    bool node_dirty; /* links or addresses of the node may have changed */

    /* apply */
    struct netlink *netlink;
    struct kset_link *kset;
    struct sets *sets;
    struct shaping *shaping;
    struct set *hosts4, *all_pools[2], *masq_pools[2], *workload_sets[2], *ipvs[2];
    struct endpoints *endpoints;
    struct forget *forget;
    struct tunnel tunnel;
    struct iptables *tables[2]; /* IPv4, IPv6 (NULL without) */
    struct iptables *others[2]; /* the other backend: our leftovers there are removed */
    bool tables_known;          /* the backend was chosen, and tried */
    enum iptables_backend backend;
    bool inherited;       /* an earlier run left sets and rules behind */
    bool leftovers_known; /* sets nobody wants were looked for */
    bool has_doomed_sets;
    bool rules_changed; /* since all of them were in place */
    struct monitor *monitor;
    struct kick flush;
    uint32_t node_mtu, pod_mtu;
    char *written_state; /* podcidrs.json as it is on disk; NULL: not written yet */

    /* node */
    struct identity *identity;
    struct condition *condition;
    struct bgp_health *bgp;

    /* people and plugin */
    struct unix_server *server;
    struct people *people;
    struct status_files *status_files; /* NULL: not wanted */
    VEC(struct waiting) waiting;
    VEC(struct release *) unreaped; /* pods whose link could not be deleted yet */
    struct metrics *metrics;
    struct felix_metrics m;
    struct health *health;
    struct served health_served, metrics_served;

    uv_timer_t tick;
    uint64_t next_iptables_ms, next_ipsets_ms, next_routes_ms, next_links_ms, next_detect_ms;
    char last_error[ERR_TEXT_MAX];
    uint64_t n_rules_repaired;
    bool is_sets_good;  /* sets, pod routes and settings */
    bool is_links_good; /* forwarding and tunl0 */
    bool is_stopping;
    bool wants_start;
    bool is_shrunk; /* memory that only the start took was given back */
};

/* felix.c */
void felix_on_change(void *owner, const struct change *change);
void felix_on_in_sync(void *owner);
void felix_on_workload(void *owner, const struct workload *workload);
void felix_on_workload_removed(void *owner, const char *ifname);
void felix_on_kernel(void *owner, const struct monitor_note *note);
void felix_flush(void *owner);
/* Addresses outside the cluster that may send IPIP; those wanted before go. */
void felix_want_external_nodes(struct felix *felix, const char *list);
/* Rules without the bits of an earlier mask may come. */
void felix_on_marks_carried(void *owner);
/* Pod routes as they are set. */
void felix_configure_routes(struct felix *felix);
void felix_on_tick(uv_timer_t *timer);
void felix_note_error(struct felix *felix, const struct err *err);
/* Policy, sets, routes and settings of local pods, rules: the short way for the CNI plugin. */
void felix_apply_endpoints(struct felix *felix);
bool felix_is_dataplane_good(const struct felix *felix);
bool felix_can_program(const struct felix *felix);
void felix_want_prefixes(struct set *set, const prefix_vec *prefixes, uint8_t family);

/* interfaces.c */
void felix_calculate_interfaces(struct felix *felix);

/* addresses.c */
/* Name of the node that has the address, NULL: none. */
const char *addresses_node(const struct felix *felix, const struct ip *ip);
/* In a range that the BGPConfiguration names. */
bool addresses_is_service(const struct felix *felix, const struct ip *ip);
/* Wants rules and routes of the floating addresses of this node's pods. */
void addresses_float(struct felix *felix);
/* The rules are in the kernel. */
void addresses_settled(struct felix *felix);

/* tables.c */
void tables_detect(struct felix *felix); /* the backend; everything follows by itself */
void tables_configure(struct felix *felix);
/* As settings have them. */
void tables_set_times(struct felix *felix);
void tables_want(struct felix *felix);
void tables_check(struct felix *felix);
void tables_on_nft(struct felix *felix, const struct monitor_note *note);
void tables_clean_other_backend(struct felix *felix);
/* The longest cycle that runs. */
uint64_t tables_busy_ms(const struct felix *felix);
bool tables_are_in_place(const struct felix *felix);
/* They were in place since the start, and no write has failed after that: one that is under way, or
 * waits for its turn, is no illness. */
bool tables_are_kept(const struct felix *felix);
/* What was wanted at these revisions is in the kernel. */
bool tables_hold(const struct felix *felix, const uint64_t revisions[N_FAMILIES]);
void tables_stop(struct felix *felix);
void tables_free(struct felix *felix);

/* requests.c */
void requests_handle(void *owner, uint64_t client, const char *line, size_t len);
/* Answers those whose endpoint is in place now. */
void requests_answer(struct felix *felix);

/* Ends removals that an earlier run had begun. */
void requests_resume(struct felix *felix);
/* Tries again to delete links that could not be deleted. */
void requests_retry(struct felix *felix);
void requests_close(struct felix *felix);

/* report.c */
void report_open(struct felix *felix);
/* Health and metrics are served where settings want them; what could not be opened is tried again.
 */
void report_serve(struct felix *felix);
void report_update(struct felix *felix);
/* 'ret_is_limited': not ready, and that harms the pods that are there, too. */
bool report_is_ready(const struct felix *felix, const char **ret_reason, bool *ret_is_limited);
/* Warns when the kernel's neighbour tables are too small for what they will hold. */
void report_neighbours(const struct felix *felix);
void report_close(struct felix *felix);
