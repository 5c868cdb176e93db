/* The line from watch to kernel, in this order: changes are noted (store → on_change), a kick
 * gathers them, flush() calculates and applies: sets → pod routes → tunnel → rules → answers → node
 * and health. */
#include "felix/felix.h"

#include <errno.h>
#include <linux/netconf.h>
#include <stdio.h>
#include <string.h>

#include "felix/node/node_name.h"
#include "felix/parts.h"
#include "felix/rules/names.h"
#include "felix/rules/static_rules.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/model/pod.h"

LOG_MODULE("felix");

#define WINDOW_MS 20
#define RETRY_MS 1000
#define TICK_MS 2000
#define IPIP_OVERHEAD 20
#define N_FAMILIES 2
#define CLIENTS_MAX 1024
#define QUEUED_MAX (16 * 1024 * 1024)
#define CLIENT_IDLE_MS 60000

static uint8_t
family_of(size_t i)
{
    return i == 0 ? 4 : 6;
}

static size_t
n_families(const struct felix *felix)
{
    return felix->settings->ipv6 ? N_FAMILIES : 1;
}

/* ---- notes
 * -------------------------------------------------------------------------------------------- */

static void
note_pod(struct felix *felix, const struct change *change)
{
    const struct pod *was = change->was;
    const struct pod *now = change->now;
    bool was_local = was && pod_is_local_endpoint(was, felix->node_name);
    bool is_local = now && pod_is_local_endpoint(now, felix->node_name);

    if (was_local || is_local) {
        workloads_note_pod(felix->workloads, was_local ? was : now, is_local ? now : NULL);
    }
}

static void
on_change(void *owner, const struct change *change)
{
    struct felix *felix = owner;

    switch (change->kind) {
    case KIND_NODE:
        node_state_note(felix->nodes, change);
        felix->pools_dirty |= strcmp(change->key, felix->node_name) == 0;
        felix->node_dirty |= strcmp(change->key, felix->node_name) == 0;
        break;
    case KIND_IPPOOL:
        felix->pools_dirty = true;
        break;
    case KIND_POD:
        note_pod(felix, change);
        break;
    case KIND_BGPCONFIGURATION:
    case KIND_BGPPEER:
    case KIND_NAMESPACE:
    case KIND_SERVICEACCOUNT:
    case KIND_TIER:
    case KIND_NETWORKSET:
    case KIND_GLOBALNETWORKSET:
    case KIND_HOSTENDPOINT:
    case KIND_ENDPOINTSLICE:
    case KIND_NETWORKPOLICY:
    case KIND_CALICONETWORKPOLICY:
    case KIND_GLOBALNETWORKPOLICY:
    case KIND_STAGEDNETWORKPOLICY:
    case KIND_STAGEDGLOBALNETWORKPOLICY:
    case KIND_STAGEDKUBERNETESNETWORKPOLICY:
    case KIND_CLUSTERNETWORKPOLICY:
    case KIND_FELIXCONFIGURATION:
    case N_KINDS:
        return;
    }
    kick(&felix->flush);
}

static void
on_in_sync(void *owner)
{
    struct felix *felix = owner;

    log_info("in sync with the API: %zu nodes, %zu pods, %zu pools",
             store_count(felix->store, KIND_NODE), store_count(felix->store, KIND_POD),
             store_count(felix->store, KIND_IPPOOL));
    felix->is_in_sync = true;
    felix->pools_dirty = felix->node_dirty = true;
    sets_only_add(felix->sets, false);
    sets_resync(felix->sets);
    kick(&felix->flush);
}

static void
on_workload_put(void *owner, const struct workload *workload)
{
    struct felix *felix = owner;

    endpoints_put(felix->endpoints, workload->ifname, workload->ips, workload->n_ips);
}

static void
on_workload_removed(void *owner, const char *ifname)
{
    struct felix *felix = owner;

    endpoints_remove(felix->endpoints, ifname);
}

static void
on_kernel(void *owner, const struct monitor_note *note)
{
    struct felix *felix = owner;
    bool is_workload = strncmp(note->link.name, felix->settings->interface_prefix,
                               strlen(felix->settings->interface_prefix)) == 0;

    switch (note->event) {
    case MONITOR_LINK:
    case MONITOR_LINK_GONE:
        endpoints_on_link(felix->endpoints, &note->link, note->event == MONITOR_LINK_GONE);
        felix->node_dirty |= !is_workload;
        break;
    case MONITOR_ADDRESS:
        felix->node_dirty = true;
        break;
    case MONITOR_ROUTE_GONE:
        endpoints_on_route_gone(felix->endpoints, &note->route);
        break;
    case MONITOR_CONF:
        endpoints_on_conf(felix->endpoints, note->link.index);
        felix->next_links_ms = note->link.index < 0 ? 0 : felix->next_links_ms;
        break;
    case MONITOR_RULE:
    case MONITOR_RULES:
    case MONITOR_RULES_LOST:
        for (size_t i = 0; i < N_FAMILIES && felix->tables_known; i++) {
            if (felix->tables[i]) {
                iptables_on_nft(felix->tables[i], note);
            }
        }
        return;
    case MONITOR_OVERRUN:
        log_warn_every(60, "kernel notifications were lost; everything is read back");
        felix->node_dirty = true;
        felix->next_routes_ms = felix->next_links_ms = felix->next_ipsets_ms = 0;
        break;
    }
    kick(&felix->flush);
}

/* ---- calculate
 * ---------------------------------------------------------------------------------------- */

static void
on_host(void *owner, const struct prefix *host, bool is_added)
{
    struct felix *felix = owner;
    struct kset_member member = {.prefix = *host};

    if (host->ip.family != 4) {
        return; /* only IPIP asks for them, and that is IPv4 */
    }
    if (is_added) {
        set_want(felix->hosts4, &member);
    } else {
        set_unwant(felix->hosts4, &member);
    }
}

static void
want_prefixes(struct set *set, const prefix_vec *prefixes, uint8_t family)
{
    kset_member_vec members = VEC_INIT;

    VEC_FOREACH (prefixes, prefix) {
        if (prefix->ip.family == family) {
            VEC_PUSH(&members, (struct kset_member){.prefix = *prefix});
        }
    }
    set_want_all(set, members.items, members.n);
    VEC_DONE(&members);
}

static void
want_rules(struct felix *felix)
{
    const struct static_rules_config config = {.workload_prefix = felix->settings->interface_prefix,
                                               .is_append_mode =
                                                   felix->settings->chain_insert_mode == 1,
                                               .has_random_fully = true,
                                               .has_tunnel = felix->pools.has_tunnel};

    for (size_t i = 0; i < N_FAMILIES; i++) {
        struct ruleset rules;
        if (felix->tables[i]) {
            ruleset_init(&rules);
            static_rules(&config, family_of(i), &rules);
            iptables_want_hooks(felix->tables[i], rules.hooks.items, rules.hooks.n);
            iptables_want_chains(felix->tables[i], &rules);
            iptables_apply(felix->tables[i]);
        }
    }
}

static void
write_state(struct felix *felix)
{
    const struct node *node = store_get(felix->store, KIND_NODE, felix->node_name);
    AUTO(str) struct str path = STR_INIT;
    AUTO(str) struct str text = STR_INIT;
    struct err err = ERR_INIT;

    str_addf(&path, "%s/podcidrs.json", felix->settings->state_dir);
    str_add(&text, "{\"podCIDRs\":[");
    for (size_t i = 0; node && i < node->n_pod_cidrs; i++) {
        char prefix[PREFIX_TEXT_MAX];
        str_addf(&text, "%s\"%s\"", i ? "," : "", prefix_format(&node->pod_cidrs[i], prefix));
    }
    str_addf(&text, "],\"mtu\":%u}\n", felix->pod_mtu);
    /* Each write waits for the disk, and pods wait for us. */
    if (felix->written_state && strcmp(felix->written_state, text.text) == 0) {
        return;
    }
    free(felix->written_state);
    felix->written_state = NULL;
    if (file_write_atomic(path.text, text.text, text.len, 0644, &err)) {
        felix->written_state = xstrdup(text.text);
    } else {
        log_error_every(60, "%s; the CNI plugin will not know the pod CIDRs while felix is down",
                        err.text);
    }
    str_clear(&path);
    str_clear(&text);
    str_addf(&path, "%s/mtu", felix->settings->state_dir);
    str_addf(&text, "%u\n", felix->pod_mtu);
    if (!file_write_atomic(path.text, text.text, text.len, 0644, &err)) {
        log_error_every(60, "%s", err.text);
    }
}

static void
calculate_pools(struct felix *felix)
{
    desired_pools_done(&felix->pools);
    node_state_pools(felix->nodes, felix->store, &felix->pools);
    for (size_t i = 0; i < n_families(felix); i++) {
        want_prefixes(felix->all_pools[i], &felix->pools.all, family_of(i));
        want_prefixes(felix->masq_pools[i], &felix->pools.masquerade, family_of(i));
    }
}

static uint32_t
link_mtu(struct felix *felix, int index)
{
    link_vec links = VEC_INIT;
    uint32_t mtu = 0;

    if (index > 0 && link_list(felix->netlink, &links, NULL)) {
        VEC_FOREACH (&links, link) {
            mtu = link->index == index ? link->mtu : mtu;
        }
    }
    VEC_DONE(&links);
    return mtu;
}

static void
calculate_node(struct felix *felix)
{
    const struct node *node = store_get(felix->store, KIND_NODE, felix->node_name);
    struct ip tunnel = felix->pools.has_tunnel ? felix->pools.tunnel_address : (struct ip){0};

    identity_update(felix->identity, felix->netlink, node, felix->nodes, &tunnel);
    uint32_t mtu = link_mtu(felix, identity_state(felix->identity)->index4);
    if (mtu > 0) {
        felix->node_mtu = mtu;
    }
    felix->tunnel.is_wanted = felix->pools.has_tunnel;
    felix->tunnel.address = tunnel;
    if (node && node->ipip_tunnel_ip.family && felix->tunnel.leftover.family == 0) {
        felix->tunnel.leftover = node->ipip_tunnel_ip; /* of an earlier run */
    }
    felix->tunnel.mtu = felix->settings->ipip_mtu         ? felix->settings->ipip_mtu
                        : felix->node_mtu > IPIP_OVERHEAD ? felix->node_mtu - IPIP_OVERHEAD
                                                          : 0;
    felix->pod_mtu = felix->pools.has_tunnel ? felix->tunnel.mtu : felix->node_mtu;
    write_state(felix);
    report_neighbours(felix);
}

/* ---- apply
 * -------------------------------------------------------------------------------------------- */

void
felix_note_error(struct felix *felix, const struct err *err)
{
    if (strcmp(felix->last_error, err->text) != 0) {
        log_error("%s; trying again", err->text);
    } else {
        log_error_every(60, "%s; still trying", err->text);
    }
    snprintf(felix->last_error, sizeof felix->last_error, "%s", err->text);
    metric_add(felix->m.failures, 1);
    kick_later(&felix->flush, RETRY_MS);
}

bool
felix_can_program(const struct felix *felix)
{
    return felix->is_in_sync || felix->inherited;
}

void
felix_apply_endpoints(struct felix *felix)
{
    struct err err = ERR_INIT;

    if (!felix_can_program(felix)) {
        return;
    }
    /* Sets before routes: a route without its set member would let nothing out, harmlessly; and a
     * pod whose address is in the sets is never without protection. */
    bool good = sets_apply(felix->sets, &err);
    if (!good) {
        felix_note_error(felix, &err);
    }
    if (!endpoints_apply(felix->endpoints, &err)) {
        felix_note_error(felix, &err);
        good = false;
    }
    felix->is_sets_good = good && felix->is_in_sync;
    requests_answer(felix);
}

static void
apply_links(struct felix *felix)
{
    struct err err = ERR_INIT;

    felix->is_links_good = true;
    if (felix->settings->ip_forwarding && !sysctl_forwarding(felix->settings->ipv6, NULL, &err)) {
        felix_note_error(felix, &err);
        felix->is_links_good = false;
    }
    if (!tunnel_apply(&felix->tunnel, felix->netlink, &err)) {
        felix_note_error(felix, &err);
        felix->is_links_good = false;
    }
}

bool
felix_is_dataplane_good(const struct felix *felix)
{
    return felix->is_sets_good && felix->is_links_good;
}

static void
resync_what_is_due(struct felix *felix)
{
    const struct felix_settings *settings = felix->settings;
    uint64_t now = clock_monotonic_ms();
    struct err err = ERR_INIT;

    if (now >= felix->next_ipsets_ms) {
        felix->next_ipsets_ms = now + settings->ipsets_refresh_ms;
        sets_resync(felix->sets);
        metric_add(felix->m.resyncs, 1);
    }
    if (now >= felix->next_routes_ms) {
        felix->next_routes_ms = now + settings->route_refresh_ms;
        if (!endpoints_resync(felix->endpoints, &err)) {
            felix_note_error(felix, &err);
        }
    }
    if (now >= felix->next_links_ms) {
        felix->next_links_ms = now + settings->interface_refresh_ms;
        felix->node_dirty = true;
    }
    if (now >= felix->next_detect_ms) {
        felix->next_detect_ms = now + settings->detect_interval_ms;
        felix->node_dirty = true;
    }
    if (now >= felix->next_iptables_ms && felix->tables_known) {
        felix->next_iptables_ms = now + settings->iptables_refresh_ms;
        for (size_t i = 0; i < N_FAMILIES; i++) {
            if (felix->tables[i]) {
                iptables_check(felix->tables[i]);
            }
        }
    }
}

static void
flush(void *owner)
{
    struct felix *felix = owner;
    uint64_t start = clock_monotonic_us();

    if (felix->is_stopping) {
        return;
    }
    if (!felix->is_in_sync) {
        felix_apply_endpoints(felix);
        return;
    }
    resync_what_is_due(felix);
    node_state_take_hosts(felix->nodes, on_host, felix);
    if (felix->pools_dirty) {
        calculate_pools(felix);
    }
    bool links = felix->pools_dirty || felix->node_dirty || !felix_is_dataplane_good(felix);
    if (links) {
        felix->pools_dirty = felix->node_dirty = false;
        calculate_node(felix);
    }
    felix_apply_endpoints(felix);
    if (links) {
        apply_links(felix);
    }
    if (felix->tables_known) {
        want_rules(felix);
    }
    if (felix_is_dataplane_good(felix) && felix->tables[0] &&
        iptables_is_in_place(felix->tables[0])) {
        felix->last_error[0] = '\0';
    }
    metric_observe(felix->m.apply_seconds, (double)(clock_monotonic_us() - start) / 1e6);
    report_update(felix);
}

static void
on_rules(void *owner, const struct iptables_result *result)
{
    struct felix *felix = owner;

    metric_add(felix->m.restore_calls, result->wrote);
    if (!result->in_place) {
        metric_add(felix->m.restore_errors, 1);
        felix_note_error(felix, &result->err);
    } else {
        felix->n_rules_repaired += result->is_drift;
        requests_answer(felix);
        if (felix_is_dataplane_good(felix)) {
            felix->last_error[0] = '\0';
        }
    }
    report_update(felix);
}

static void
on_other_backend(void *owner, const struct iptables_result *result)
{
    (void)owner;
    if (result->in_place && result->wrote) {
        log_info("leftovers of ours in the other iptables backend are removed");
    }
    /* A backend that is not installed has no leftovers. */
}

static void
on_backend(void *owner, enum iptables_backend backend, const char *why)
{
    struct felix *felix = owner;
    enum iptables_backend other = backend == IPTABLES_NFT ? IPTABLES_LEGACY : IPTABLES_NFT;

    if (felix->is_stopping) {
        return;
    }
    log_info("iptables backend: %s (%s)", backend == IPTABLES_NFT ? "nft" : "legacy", why);
    for (size_t i = 0; i < n_families(felix); i++) {
        struct iptables_spec spec = {.family = family_of(i),
                                     .backend = backend,
                                     .lock_wait_s = felix->settings->iptables_lock_s,
                                     .settled = on_rules,
                                     .owner = felix};
        felix->tables[i] = iptables_new(felix->loop, &spec);
        if (other == IPTABLES_LEGACY && !backend_legacy_in_use()) {
            continue;
        }
        spec.backend = other;
        spec.settled = on_other_backend;
        felix->others[i] = iptables_new(felix->loop, &spec);
    }
    felix->tables_known = true;
    kick(&felix->flush);
}

/* Leftovers in the other backend go once ours are in place: never a moment without. */
static void
clean_other_backend(struct felix *felix)
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        if (felix->others[i] && felix->tables[i] && iptables_is_in_place(felix->tables[i])) {
            iptables_apply(felix->others[i]);
        }
    }
}

static void
on_tick(uv_timer_t *timer)
{
    struct felix *felix = timer->data;

    if (felix->bgp) {
        bgp_health_poll(felix->bgp);
    }
    if (felix->is_in_sync) {
        uint64_t now = clock_monotonic_ms();
        if (now >= felix->next_ipsets_ms || now >= felix->next_routes_ms ||
            now >= felix->next_links_ms || now >= felix->next_detect_ms ||
            now >= felix->next_iptables_ms || !identity_state(felix->identity)->is_settled) {
            felix->node_dirty |= !identity_state(felix->identity)->is_settled;
            kick(&felix->flush);
        }
        clean_other_backend(felix);
    }
    requests_retry(felix);
    requests_answer(felix);
    report_update(felix);
}

/* ---- start and stop
 * ------------------------------------------------------------------------------------- */

static void
define_sets(struct felix *felix)
{
    uint32_t max = felix->settings->max_ipset_size;

    felix->sets = sets_new(felix->kset);
    felix->hosts4 = sets_define(felix->sets, SET_ALL_HOSTS, KSET_HASH_NET, 4, max);
    for (size_t i = 0; i < n_families(felix); i++) {
        uint8_t family = family_of(i);
        felix->all_pools[i] = sets_define(felix->sets, SET_ALL_POOLS, KSET_HASH_NET, family, max);
        felix->masq_pools[i] = sets_define(felix->sets, SET_MASQ_POOLS, KSET_HASH_NET, family, max);
        felix->workload_sets[i] =
            sets_define(felix->sets, SET_WORKLOADS, KSET_HASH_NET_IFACE, family, max);
    }
}

static void
want_external_nodes(struct felix *felix)
{
    AUTO_FREE char *list = xstrdup(felix->settings->external_nodes);
    char *save = NULL;

    for (char *item = strtok_r(list, ", ", &save); item; item = strtok_r(NULL, ", ", &save)) {
        struct kset_member member = {0};
        struct err err = ERR_INIT;
        if (!prefix_parse_host(item, &member.prefix, &err)) {
            log_error("setting ExternalNodesCIDRList: %s; left out", err.text);
        } else if (member.prefix.ip.family == 4) {
            member.prefix = prefix_network(&member.prefix);
            set_want(felix->hosts4, &member);
        }
    }
}

static bool
open_kernel(struct felix *felix, struct err *err)
{
    if (!netlink_new(&felix->netlink, err) || !kset_open(&felix->kset, err) ||
        !monitor_new(felix->loop, MONITOR_EVERYTHING, on_kernel, felix, &felix->monitor, err)) {
        return false;
    }
    define_sets(felix);
    want_external_nodes(felix);
    felix->inherited = sets_exist(felix->sets);
    sets_only_add(felix->sets, true);
    const struct endpoints_spec spec = {.netlink = felix->netlink,
                                        .workloads4 = felix->workload_sets[0],
                                        .workloads6 = felix->workload_sets[1],
                                        .route_protocol = (uint8_t)felix->settings->route_protocol};
    felix->endpoints = endpoints_new(&spec);
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
                                        .prefix = settings->interface_prefix,
                                        .put = on_workload_put,
                                        .removed = on_workload_removed,
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
                                            .owner = felix};
    return unix_server_new(felix->loop, &socket, &felix->server, err);
}

static bool
open_node(struct felix *felix, struct err *err)
{
    static const struct feed_spec kinds[] = {
        {KIND_NODE, NULL}, {KIND_IPPOOL, NULL}, {KIND_POD, NULL}};
    const struct felix_settings *settings = felix->settings;
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
    felix->feed = feed_new(felix->kube, felix->store, kinds, ARRAY_LEN(kinds), on_in_sync, felix);
    feed_set_metrics(felix->feed, felix->metrics);
    return true;
}

static void
detect_backend(struct felix *felix)
{
    switch (felix->settings->iptables_backend) {
    case FELIX_BACKEND_LEGACY:
        on_backend(felix, IPTABLES_LEGACY, "as set");
        break;
    case FELIX_BACKEND_NFT:
        on_backend(felix, IPTABLES_NFT, "as set");
        break;
    default:
        backend_detect(felix->loop, on_backend, felix);
        break;
    }
}

bool
felix_new(uv_loop_t *loop, const struct felix_settings *settings, struct felix **ret_felix,
          struct err *err)
{
    struct felix *felix = NEW(struct felix);

    felix->loop = loop;
    felix->settings = settings;
    kick_init(&felix->flush, loop, WINDOW_MS, flush, felix);
    uv_timer_init(loop, &felix->tick);
    felix->tick.data = felix;
    felix->metrics = metrics_new();
    felix->health = health_new();
    felix->store = store_new(on_change, felix);
    /* A failure here ends the process; what is open is closed with it. */
    if (!node_name_find(settings->node_name, settings->state_dir, &felix->node_name, err)) {
        return false;
    }
    felix->nodes = node_state_new(felix->node_name);
    if (!open_kernel(felix, err) || !open_node(felix, err) || !open_files(felix, err)) {
        return false;
    }
    report_open(felix);
    log_info("node %s, API %s%s", felix->node_name, kube_server(felix->kube),
             felix->inherited ? ", taking over what an earlier run left" : "");
    feed_start(felix->feed);
    detect_backend(felix);
    uv_timer_start(&felix->tick, on_tick, TICK_MS, TICK_MS);
    *ret_felix = felix;
    return true;
}

void
felix_stop(struct felix *felix)
{
    felix->is_stopping = true;
    unix_server_free(felix->server);
    monitor_free(felix->monitor);
    feed_free(felix->feed);
    bgp_health_free(felix->bgp);
    report_close(felix);
    for (size_t i = 0; i < N_FAMILIES; i++) {
        iptables_stop(felix->tables[i]);
        iptables_stop(felix->others[i]);
    }
    kick_close(&felix->flush);
    uv_close((uv_handle_t *)&felix->tick, NULL);
}

void
felix_free(struct felix *felix)
{
    kube_free(felix->kube);
    uv_run(felix->loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < N_FAMILIES; i++) {
        iptables_free(felix->tables[i]);
        iptables_free(felix->others[i]);
    }
    requests_close(felix);
    identity_free(felix->identity);
    condition_free(felix->condition);
    store_free(felix->store);
    node_state_free(felix->nodes);
    workloads_free(felix->workloads);
    endpoints_free(felix->endpoints);
    sets_free(felix->sets);
    kset_close(felix->kset);
    netlink_free(felix->netlink);
    desired_pools_done(&felix->pools);
    metrics_free(felix->metrics);
    health_free(felix->health);
    VEC_DONE(&felix->waiting);
    free(felix->node_name);
    free(felix->written_state);
    free(felix);
}
