/* What felix opens at its start, and closes at its end. */
#include "felix/felix.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "felix/node/node_name.h"
#include "felix/parts.h"
#include "felix/people.h"
#include "felix/rules/names.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/netlink/timeout.h"

LOG_MODULE("felix");

#define WINDOW_MS 20
#define TICK_MS 2000
#define CLIENTS_MAX 1024
#define QUEUED_MAX (16 * 1024 * 1024)
#define CLIENT_IDLE_MS 60000

static void
define_sets(struct felix *felix)
{
    uint32_t max = felix->settings->max_ipset_size;

    felix->sets = sets_new(felix->kset);
    felix->hosts4 = sets_define(felix->sets, SET_ALL_HOSTS, KSET_HASH_NET, 4, max);
    for (size_t i = 0; i < n_families(felix->settings); i++) {
        uint8_t family = family_of(i);
        felix->all_pools[i] = sets_define(felix->sets, SET_ALL_POOLS, KSET_HASH_NET, family, max);
        felix->masq_pools[i] = sets_define(felix->sets, SET_MASQ_POOLS, KSET_HASH_NET, family, max);
        felix->ipvs[i] = sets_define(felix->sets, SET_IPVS, KSET_HASH_NET, family, max);
        felix->workload_sets[i] =
            sets_define(felix->sets, SET_WORKLOADS, KSET_HASH_NET_IFACE, family, max);
    }
    felix->limits = limits_new(felix->sets, felix->settings->ipv6, max);
}

static enum log_level
level_of(const char *text)
{
    enum log_level level = LOG_INFO;

    (void)!log_level_parse(text, &level, NULL);
    return level;
}

/* "none" blanks a setting in every source but the API. */
static const char *
text_or_null(const char *text)
{
    return *text == '\0' || strcasecmp(text, "none") == 0 ? NULL : text;
}

void
felix_setup_log(const struct felix_settings *settings)
{
    const char *syslog_level = text_or_null(settings->log_syslog_level);
    struct err err = ERR_INIT;

    log_setup(level_of(settings->log_level), settings->log_format == 1 ? LOG_JSON : LOG_TEXT);
    log_to_syslog(syslog_level ? "canal-felix" : NULL, level_of(settings->log_syslog_level));
    if (!log_to_file(text_or_null(settings->log_file), level_of(settings->log_file_level), &err)) {
        log_error("LogFilePath: %s; only standard error is written", err.text);
    }
    if (!log_debug_only(text_or_null(settings->log_debug_modules), &err)) {
        log_error("LogDebugFilenameRegex: %s", err.text);
    }
}

static bool
open_kernel(struct felix *felix, struct err *err)
{
    if (!netlink_new(&felix->netlink, err) || !kset_open(&felix->kset, err) ||
        !monitor_new(felix->loop, MONITOR_EVERYTHING, felix_on_kernel, felix, &felix->monitor,
                     err)) {
        return false;
    }
    define_sets(felix);
    felix->shaping = shaping_new(felix->netlink);
    felix_want_external_nodes(felix, felix->settings->external_nodes);
    felix->inherited = sets_exist(felix->sets);
    sets_only_add(felix->sets, true);
    const struct endpoints_spec spec = {.netlink = felix->netlink,
                                        .workloads4 = felix->workload_sets[0],
                                        .workloads6 = felix->workload_sets[1],
                                        .route_protocol = (uint8_t)felix->settings->route_protocol,
                                        .awaits_floating = felix->settings->floating_ips == 1};
    felix->endpoints = endpoints_new(&spec);
    felix_configure_routes(felix);
    const struct policies_spec policies = {.loop = felix->loop,
                                           .netlink = felix->netlink,
                                           .sets = felix->sets,
                                           .node_name = felix->node_name,
                                           .interface_prefix = felix->prefixes.items[0],
                                           .ipv6 = felix->settings->ipv6,
                                           .max_ipset_size = felix->settings->max_ipset_size,
                                           .in_force = people_in_force(felix->people),
                                           .carried = felix_on_marks_carried,
                                           .owner = felix};
    felix->policies = policies_new(&policies);
    felix->rules_dirty = true;
    return true;
}

static bool
open_files(struct felix *felix, struct err *err)
{
    const struct felix_settings *settings = felix->settings;
    AUTO(str) struct str path = STR_INIT;

    if (!file_make_dir(settings->run_dir, 0755, err) ||
        !file_make_dir(settings->state_dir, 0755, err)) {
        return false;
    }
    str_addf(&path, "%s/nodename", settings->state_dir);
    if (!file_write_atomic(path.text, felix->node_name, strlen(felix->node_name), 0644, err)) {
        return false;
    }
    str_clear(&path);
    str_addf(&path, "%s/endpoints", settings->run_dir);
    const struct workloads_spec spec = {.dir = path.text,
                                        .prefix = felix->prefixes.items[0],
                                        .put = felix_on_workload,
                                        .removed = felix_on_workload_removed,
                                        .owner = felix};
    if (!workloads_new(&spec, &felix->workloads, err)) {
        return false;
    }
    workloads_replay(felix->workloads);
    requests_resume(felix);
    str_clear(&path);
    str_addf(&path, "%s/felix.sock", settings->run_dir);
    const struct unix_server_spec socket = {.path = path.text,
                                            .mode = 0600,
                                            .max_clients = CLIENTS_MAX,
                                            .max_line = PROTO_LINE_MAX,
                                            .max_queued = QUEUED_MAX,
                                            .idle_ms = CLIENT_IDLE_MS,
                                            .line = requests_handle,
                                            .gone = people_gone,
                                            .owner = felix};
    return unix_server_new(felix->loop, &socket, &felix->server, err);
}

/* What is watched. */
static const enum kind kinds[] = {
    KIND_NODE,
    KIND_IPPOOL,
    KIND_POD,
    KIND_NAMESPACE,
    KIND_SERVICEACCOUNT,
    KIND_TIER,
    KIND_NETWORKSET,
    KIND_GLOBALNETWORKSET,
    KIND_HOSTENDPOINT,
    KIND_ENDPOINTSLICE,
    KIND_BGPCONFIGURATION,
    KIND_FELIXCONFIGURATION,
    KIND_NETWORKPOLICY,
    KIND_CALICONETWORKPOLICY,
    KIND_GLOBALNETWORKPOLICY,
    KIND_STAGEDNETWORKPOLICY,
    KIND_STAGEDGLOBALNETWORKPOLICY,
    KIND_STAGEDKUBERNETESNETWORKPOLICY,
    KIND_CLUSTERNETWORKPOLICY,
};

static bool
open_node(struct felix *felix, struct err *err)
{
    const struct felix_settings *settings = felix->settings;
    struct feed_spec specs[ARRAY_LEN(kinds)] = {0};
    AUTO(str) struct str socket = STR_INIT;

    if (!kube_new(felix->loop, *settings->kubeconfig ? settings->kubeconfig : NULL, &felix->kube,
                  err)) {
        return false;
    }
    felix->identity = identity_new(felix->kube, felix->node_name, settings);
    felix->condition = condition_new(felix->kube, felix->node_name, settings->unavailable_after_ms);
    if (settings->networking_backend == 0) {
        str_addf(&socket, "%s/bird.ctl", settings->run_dir);
        felix->bgp = bgp_health_new(felix->loop, socket.text);
    }
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        specs[i].kind = kinds[i];
    }
    felix->feed =
        feed_new(felix->kube, felix->store, specs, ARRAY_LEN(specs), felix_on_in_sync, felix);
    feed_set_metrics(felix->feed, felix->metrics);
    return true;
}

bool
felix_new(uv_loop_t *loop, struct configuration *configuration, struct felix **ret_felix,
          struct err *err)
{
    const struct felix_settings *settings = configuration_settings(configuration);
    struct felix *felix = NEW(struct felix);

    if (!interface_prefixes_parse(settings->interface_prefix, &felix->prefixes, err)) {
        return false;
    }
    netlink_set_timeout(settings->netlink_timeout_s);
    felix->loop = loop;
    felix->configuration = configuration;
    felix->settings = settings;
    kick_init(&felix->flush, loop, WINDOW_MS, felix_flush, felix);
    uv_timer_init(loop, &felix->tick);
    felix->tick.data = felix;
    felix->metrics = metrics_new();
    felix->health = health_new();
    felix->store = store_new(felix_on_change, felix);
    /* A failure here ends the process; what is open is closed with it. */
    const char *name = *settings->node_name ? settings->node_name : settings->felix_hostname;
    if (!node_name_find(name, settings->state_dir, &felix->node_name, err)) {
        return false;
    }
    felix->nodes = node_state_new(felix->node_name);
    felix->asks = asks_new(felix->prefixes.items[0]);
    felix->floating = floating_new(felix->prefixes.items[0], felix->node_name);
    felix->forget = forget_new(felix->loop);
    felix->people = people_new(felix);
    if (!open_kernel(felix, err) || !open_node(felix, err) || !open_files(felix, err)) {
        return false;
    }
    report_open(felix);
    people_tick(felix->people);
    log_info("node %s, API %s%s", felix->node_name, kube_server(felix->kube),
             felix->inherited ? ", taking over what an earlier run left" : "");
    feed_start(felix->feed);
    tables_detect(felix);
    uv_timer_start(&felix->tick, felix_on_tick, TICK_MS, TICK_MS);
    *ret_felix = felix;
    return true;
}

void
felix_stop(struct felix *felix)
{
    if (felix->is_stopping) {
        return;
    }
    felix->is_stopping = true;
    people_stop(felix->people);
    unix_server_free(felix->server);
    monitor_free(felix->monitor);
    feed_free(felix->feed);
    bgp_health_free(felix->bgp);
    report_close(felix);
    tables_stop(felix);
    policies_stop(felix->policies);
    forget_free(felix->forget);
    kick_close(&felix->flush);
    uv_close((uv_handle_t *)&felix->tick, NULL);
}

void
felix_free(struct felix *felix)
{
    kube_free(felix->kube);
    uv_run(felix->loop, UV_RUN_DEFAULT);
    policies_free(felix->policies);
    people_free(felix->people);
    tables_free(felix);
    requests_close(felix);
    identity_free(felix->identity);
    condition_free(felix->condition);
    store_free(felix->store);
    node_state_free(felix->nodes);
    workloads_free(felix->workloads);
    asks_free(felix->asks);
    limits_free(felix->limits);
    floating_free(felix->floating);
    endpoints_free(felix->endpoints);
    shaping_free(felix->shaping);
    sets_free(felix->sets);
    kset_close(felix->kset);
    netlink_free(felix->netlink);
    desired_pools_done(&felix->pools);
    metrics_free(felix->metrics);
    health_free(felix->health);
    VEC_DONE(&felix->waiting);
    free(felix->node_name);
    free(felix->external_nodes);
    free(felix->written_state);
    free(felix);
}
