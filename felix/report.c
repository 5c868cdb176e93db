/* Health, metrics, and the Node's condition. */
#include <stdio.h>
#include <string.h>

#include "felix/parts.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/model/pod.h"

LOG_MODULE("felix");

/* As the policy engine will see them: with an address of their own, and alive. */
static size_t
count_endpoints(const struct store *store)
{
    size_t n = 0;

    for (size_t i = 0; i < store_count(store, KIND_POD); i++) {
        const struct pod *pod = store_at(store, KIND_POD, i);
        n += !pod->is_host_network && !pod->is_finished && pod->node_name &&
             (pod->ip4.family || pod->ip6.family);
    }
    return n;
}

/* Of the calculation, under the names that Calico's have. */
static void
collect_policy(struct felix *felix)
{
    const struct policy_state_stats stats = policy_state_stats(policies_state(felix->policies));

    metric_set(felix->m.n_host_endpoints, (double)store_count(felix->store, KIND_HOSTENDPOINT));
    metric_set(felix->m.n_tiers, (double)store_count(felix->store, KIND_TIER));
    metric_set(felix->m.n_policies, (double)stats.n_policies);
    metric_set(felix->m.n_active_policies, (double)stats.n_active_policies);
    metric_set(felix->m.n_active_selectors, (double)stats.n_rule_selectors);
    metric_set(felix->m.n_sets, (double)sets_count(felix->sets));
    metric_set(felix->m.index_items, (double)stats.n_items);
    metric_set(felix->m.index_selectors, (double)stats.n_rule_selectors);
    metric_set(felix->m.index_evaluated, (double)stats.n_selectors_evaluated);
}

static void
collect(void *owner)
{
    struct felix *felix = owner;
    double n_repaired = (double)(endpoints_n_repaired(felix->endpoints) + felix->tunnel.n_repaired +
                                 sets_n_repaired(felix->sets) + felix->n_rules_repaired);

    metric_set(felix->m.n_hosts, (double)store_count(felix->store, KIND_NODE));
    metric_set(felix->m.n_cluster_endpoints, (double)count_endpoints(felix->store));
    metric_set(felix->m.n_local_endpoints, (double)endpoints_count(felix->endpoints));
    metric_set(felix->m.repaired, n_repaired);
    collect_policy(felix);
}

static void
define_policy(struct felix_metrics *m, struct metrics *all)
{
    m->n_host_endpoints = metrics_define(all, METRIC_GAUGE, "felix_cluster_num_host_endpoints",
                                         "HostEndpoints of the cluster.");
    m->n_tiers =
        metrics_define(all, METRIC_GAUGE, "felix_cluster_num_tiers", "Tiers of the cluster.");
    m->n_policies = metrics_define(all, METRIC_GAUGE, "felix_cluster_num_policies",
                                   "Policies of all kinds in the cluster, staged ones included.");
    m->n_active_policies =
        metrics_define(all, METRIC_GAUGE, "felix_active_local_policies",
                       "Policies that apply on this node, staged ones included.");
    m->n_active_selectors = metrics_define(all, METRIC_GAUGE, "felix_active_local_selectors",
                                           "Different selectors in rules of those.");
    m->n_sets =
        metrics_define(all, METRIC_GAUGE, "felix_ipsets_calico", "IP sets that felix keeps.");
    m->index_items = metrics_define(all, METRIC_GAUGE, "felix_label_index_num_endpoints",
                                    "Pods, host endpoints and network sets for selectors to find.");
    m->index_selectors = metrics_define(all, METRIC_GAUGE, "felix_label_index_num_active_selectors",
                                        "Selectors that are held against them.");
    m->index_evaluated =
        metrics_define(all, METRIC_COUNTER, "felix_label_index_selector_evals",
                       "Selectors held against groups of equal items, since the start.");
}

static void
define(struct felix *felix)
{
    struct metrics *all = felix->metrics;

    felix->m = (struct felix_metrics){
        .n_hosts = metrics_define(all, METRIC_GAUGE, "felix_cluster_num_hosts", "Nodes known."),
        .n_cluster_endpoints =
            metrics_define(all, METRIC_GAUGE, "felix_cluster_num_workload_endpoints",
                           "Pods with an address of their own."),
        .n_local_endpoints =
            metrics_define(all, METRIC_GAUGE, "felix_active_local_endpoints", "Pods of this node."),
        .restore_calls = metrics_define(all, METRIC_COUNTER, "felix_iptables_restore_calls",
                                        "Times rules were written."),
        .restore_errors = metrics_define(all, METRIC_COUNTER, "felix_iptables_restore_errors",
                                         "Times rules could not be read or written."),
        .failures = metrics_define(all, METRIC_COUNTER, "felix_int_dataplane_failures",
                                   "Writes to the kernel that failed and were tried again."),
        .repaired = metrics_define(all, METRIC_COUNTER, "canal_felix_repaired_total",
                                   "Kernel objects of ours that somebody had changed."),
        .resyncs = metrics_define(all, METRIC_COUNTER, "canal_felix_resyncs_total",
                                  "Times the kernel's state was read back."),
        .apply_seconds =
            metrics_define(all, METRIC_HISTOGRAM, "felix_int_dataplane_apply_time_seconds",
                           "Time to apply a change to sets, routes and tunnel."),
        .bad_settings =
            metrics_define(all, METRIC_GAUGE, "canal_felix_bad_settings",
                           "Fields of FelixConfigurations that are not known or not usable."),
        .pod_add_seconds = metrics_define(all, METRIC_HISTOGRAM, "canal_felix_pod_add_seconds",
                                          "Time from the CNI plugin's request to its answer."),
    };
    define_policy(&felix->m, all);
    metrics_on_collect(all, collect, felix);
}

static void
close_served(struct served *served)
{
    http_server_free(served->server);
    free(served->host);
    *served = (struct served){0};
}

/* 'wanted' NULL: not served. */
static void
serve(struct felix *felix, const char *what, struct served *served,
      const struct http_server_spec *wanted)
{
    struct err err = ERR_INIT;

    if (served->server &&
        (!wanted || served->port != wanted->port || strcmp(served->host, wanted->host) != 0)) {
        close_served(served);
    }
    if (served->server || !wanted) {
        return;
    }
    /* A port that somebody else has is no reason to leave the node's pods alone. */
    if (!http_server_new(felix->loop, wanted, &served->server, &err)) {
        log_error_every(60, "%s: %s; trying again", what, err.text);
        return;
    }
    served->host = xstrdup(wanted->host);
    served->port = wanted->port;
}

void
report_serve(struct felix *felix)
{
    const struct felix_settings *settings = felix->settings;
    const struct http_server_spec health = {.host = settings->health_host,
                                            .port = (uint16_t)settings->health_port,
                                            .health = felix->health};
    const struct http_server_spec metrics = {.host = settings->metrics_host,
                                             .port = (uint16_t)settings->metrics_port,
                                             .metrics = felix->metrics};

    serve(felix, "health", &felix->health_served, settings->health_enabled ? &health : NULL);
    serve(felix, "metrics", &felix->metrics_served, settings->metrics_enabled ? &metrics : NULL);
}

void
report_open(struct felix *felix)
{
    const char *prefix = felix->settings->status_dir;
    struct err err = ERR_INIT;

    if (*prefix == '/' && !status_files_new(prefix, &felix->status_files, &err)) {
        log_error("EndpointStatusPathPrefix: %s; there are no such files", err.text);
    }
    define(felix);
    report_update(felix);
    report_serve(felix);
}

void
report_close(struct felix *felix)
{
    close_served(&felix->health_served);
    close_served(&felix->metrics_served);
    status_files_free(felix->status_files);
    felix->status_files = NULL;
}

static void
update_status_file(void *owner, const struct workload *workload)
{
    struct felix *felix = owner;
    uint64_t wanted[N_FAMILIES] = {0};

    /* Without addresses it is known from the API only, and nobody has wired it yet. */
    if (workload->n_ips > 0 && endpoints_is_programmed(felix->endpoints, workload->ifname) &&
        policies_revisions(felix->policies, workload->ifname, wanted) &&
        policies_knows_pod(felix->policies, workload->ifname) && tables_hold(felix, wanted)) {
        status_files_put(felix->status_files, workload);
    } else {
        status_files_keep(felix->status_files, workload);
    }
}

static void
update_status_files(struct felix *felix)
{
    struct err err = ERR_INIT;

    if (!felix->status_files || !felix->is_in_sync) {
        return;
    }
    status_files_begin(felix->status_files);
    workloads_each(felix->workloads, update_status_file, felix);
    if (!status_files_end(felix->status_files, &err)) {
        log_error_every(60, "%s; what waits for the file waits on", err.text);
    }
}

static bool
is_dataplane_ready(const struct felix *felix, const char **ret_reason)
{
    if (!felix->is_in_sync) {
        *ret_reason = felix->feed ? feed_waits_for(felix->feed) : "the API has not been asked yet";
    } else if (!felix_is_dataplane_good(felix)) {
        *ret_reason = felix->last_error[0] ? felix->last_error : "not programmed yet";
    } else if (!tables_are_kept(felix)) {
        *ret_reason = felix->last_error[0] ? felix->last_error : "the rules are not in place yet";
    } else {
        *ret_reason = "";
        return true;
    }
    return false;
}

/* What hangs is not cured by waiting: kubelet begins felix anew. A failure that is tried again is
 * none of that. */
static bool
is_dataplane_alive(const struct felix *felix)
{
    uint64_t watchdog_ms = felix->settings->watchdog_ms;
    uint64_t busy_ms = tables_busy_ms(felix);

    if (watchdog_ms == 0 || busy_ms < watchdog_ms) {
        return true;
    }
    log_error_every(60, "iptables has been at work for %llu s; felix is not alive",
                    (unsigned long long)busy_ms / 1000);
    return false;
}

bool
report_is_ready(const struct felix *felix, const char **ret_reason, bool *ret_is_limited)
{
    const struct identity_state *identity = identity_state(felix->identity);
    bool is_dataplane = is_dataplane_ready(felix, ret_reason);

    /* While felix starts, pods go on with what an earlier run left; what it cannot write is missing
     * for somebody. */
    *ret_is_limited = identity->is_contested ||
                      (!is_dataplane && felix->is_in_sync && felix->last_error[0] != '\0');
    if (!is_dataplane) {
        return false;
    }
    *ret_reason = identity->reason;
    return identity->is_settled;
}

void
report_update(struct felix *felix)
{
    const struct identity_state *identity = identity_state(felix->identity);
    const char *reason = "";
    bool dataplane = is_dataplane_ready(felix, &reason);
    bool bgp = !felix->bgp || bgp_health_is_good(felix->bgp);
    const char *why = !dataplane              ? reason
                      : !identity->is_settled ? identity->reason
                      : !bgp                  ? bgp_health_reason(felix->bgp)
                                              : "";

    update_status_files(felix);
    health_report(felix->health, "dataplane", dataplane, is_dataplane_alive(felix), reason);
    health_report(felix->health, "node", identity->is_settled, true, identity->reason);
    if (felix->condition && felix->is_in_sync) {
        condition_update(felix->condition, dataplane && identity->is_settled && bgp, why,
                         clock_monotonic_ms());
    }
}

void
report_neighbours(const struct felix *felix)
{
    static const char *const tables[] = {"ipv4", "ipv6"};
    uint64_t expected = store_count(felix->store, KIND_NODE) + endpoints_count(felix->endpoints);

    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        uint64_t room = 0;
        /* At gc_thresh3 the kernel refuses new neighbours: some nodes or pods are then unreachable,
         * at random. It is one table for all namespaces, seen from the first only. */
        if (sysctl_neighbour_room(tables[i], &room) && expected * 5 > room * 4) {
            log_warn_every(3600,
                           "net.%s.neigh.default.gc_thresh3 is %llu, and %llu nodes and local pods "
                           "are known; raise it, or neighbours will be lost",
                           tables[i], (unsigned long long)room, (unsigned long long)expected);
        }
    }
}
