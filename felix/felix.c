/* The line from watch to kernel, in this order: changes are noted (store → on_change), a kick
 * gathers them, flush() calculates and applies: sets → pod routes → tunnel → rules → answers → node
 * and health. */
#include "felix/felix.h"

#include <errno.h>
#include <linux/netconf.h>
#include <stdio.h>
#include <string.h>

#include "felix/node/mtu.h"
#include "felix/parts.h"
#include "felix/people.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/footprint.h"
#include "lib/base/log.h"
#include "lib/base/table.h"
#include "lib/model/node.h"
#include "lib/model/pod.h"

LOG_MODULE("felix");

#define RETRY_MS 1000
#define CHORES_MS 100 /* between portions of what is not urgent */
#define IPIP_OVERHEAD 20

/* ---- notes
 * -------------------------------------------------------------------------------------------- */

static void
note_pod(struct felix *felix, const struct change *change)
{
    const struct pod *was = change->was;
    const struct pod *now = change->now;
    bool was_local = was && pod_is_local_endpoint(was, felix->node_name);
    bool is_local = now && pod_is_local_endpoint(now, felix->node_name);

    people_note_pod(felix->people, change);
    felix->floating_dirty |= floating_note_pod(felix->floating, was, now);
    if (was_local || is_local) {
        workloads_note_pod(felix->workloads, was_local ? was : now, is_local ? now : NULL);
        felix->asks_dirty |=
            asks_note_pod(felix->asks, was_local ? was : NULL, is_local ? now : NULL);
    }
}

static void
note_node(struct felix *felix, const struct change *change)
{
    const struct node *was = change->was, *now = change->now;
    bool is_own = strcmp(change->key, felix->node_name) == 0;

    /* Some settings are for nodes with certain labels. */
    felix->configuration_dirty |=
        is_own && !(was && now && labels_equal(&was->labels, &now->labels));
    node_state_note(felix->nodes, change);
    felix->pools_dirty |= is_own;
    felix->node_dirty |= is_own;
    felix->floating_dirty |= floating_is_asked_for(felix->floating);
}

void
felix_on_change(void *owner, const struct change *change)
{
    struct felix *felix = owner;

    if (change->kind == KIND_NODE) {
        note_node(felix, change);
    } else if (change->kind == KIND_IPPOOL) {
        felix->pools_dirty = true;
        felix->rules_dirty = true; /* service nets must not overlap one */
    } else if (change->kind == KIND_BGPCONFIGURATION) {
        felix->rules_dirty = true;
    } else if (change->kind == KIND_FELIXCONFIGURATION) {
        felix->configuration_dirty = true;
    } else if (change->kind == KIND_POD) {
        note_pod(felix, change);
    }
    policies_note(felix->policies, change);
    kick(&felix->flush);
}

void
felix_on_in_sync(void *owner)
{
    struct felix *felix = owner;

    log_info("in sync with the API: %zu nodes, %zu pods, %zu pools",
             store_count(felix->store, KIND_NODE), store_count(felix->store, KIND_POD),
             store_count(felix->store, KIND_IPPOOL));
    felix->is_in_sync = true;
    felix->pools_dirty = felix->node_dirty = felix->configuration_dirty = true;
    felix->floating_dirty = true;
    sets_only_add(felix->sets, false);
    sets_resync(felix->sets);
    kick(&felix->flush);
}

void
felix_on_workload(void *owner, const struct workload *workload)
{
    struct felix *felix = owner;

    endpoints_put(felix->endpoints, workload->ifname, workload->ips, workload->n_ips);
    policies_put_local(felix->policies, workload->ifname, workload->ns, workload->pod,
                       workload->ips, workload->n_ips);
    felix->asks_dirty |= asks_has(felix->asks, workload->ifname);
}

void
felix_on_workload_removed(void *owner, const char *ifname)
{
    struct felix *felix = owner;

    endpoints_remove(felix->endpoints, ifname);
    policies_remove_local(felix->policies, ifname);
    felix->asks_dirty |= asks_has(felix->asks, ifname);
}

void
felix_on_kernel(void *owner, const struct monitor_note *note)
{
    struct felix *felix = owner;
    bool is_workload = interface_is_workload(&felix->prefixes, note->link.name);

    switch (note->event) {
    case MONITOR_LINK:
    case MONITOR_LINK_GONE:
        endpoints_on_link(felix->endpoints, &note->link, note->event == MONITOR_LINK_GONE);
        shaping_on_link(felix->shaping, note->link.name);
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
        tables_on_nft(felix, note);
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
each_external_node(struct felix *felix, const char *text,
                   void (*want)(struct set *set, const struct kset_member *member))
{
    AUTO_FREE char *list = xstrdup(text);
    char *save = NULL;

    for (char *item = strtok_r(list, ", ", &save); item; item = strtok_r(NULL, ", ", &save)) {
        struct kset_member member = {0};
        struct err err = ERR_INIT;
        if (!prefix_parse_host(item, &member.prefix, &err)) {
            log_error("setting ExternalNodesCIDRList: %s; left out", err.text);
        } else if (member.prefix.ip.family == 4) {
            member.prefix = prefix_network(&member.prefix);
            want(felix->hosts4, &member);
        }
    }
}

void
felix_want_external_nodes(struct felix *felix, const char *list)
{
    if (felix->external_nodes) {
        each_external_node(felix, felix->external_nodes, set_unwant);
        node_state_each_host(felix->nodes, on_host, felix); /* it may have been a node's, too */
    }
    each_external_node(felix, list, set_want);
    free(felix->external_nodes);
    felix->external_nodes = xstrdup(list);
}

/* ---- settings that change -------------------------------------------------------------------- */

static void
tell_setting(void *owner, const char *text)
{
    (void)owner;
    log_warn("%s", text);
}

/* Left as it is, the kernel chooses. */
static struct ip
source_of(const char *text)
{
    struct ip ip = {0};

    (void)!ip_parse(text, &ip, NULL);
    return ip;
}

void
felix_configure_routes(struct felix *felix)
{
    const struct endpoint_routes routes = {.are_left = felix->settings->no_route_sync,
                                           .removes_foreign =
                                               felix->settings->removes_foreign_routes,
                                           .source4 = source_of(felix->settings->route_source),
                                           .source6 = source_of(felix->settings->route_source6),
                                           .metric4 = felix->settings->route_metric,
                                           .metric6 = felix->settings->route_metric6};

    endpoints_configure(felix->endpoints, &routes);
    felix->next_routes_ms = 0; /* what is foreign now is found by reading back */
}

void
felix_on_marks_carried(void *owner)
{
    struct felix *felix = owner;

    felix->marks_are_carried = felix->rules_dirty = true;
    kick(&felix->flush);
}

bool
felix_wants_start(const struct felix *felix)
{
    return felix->wants_start && !felix->is_stopping;
}

static void
calculate_settings(struct felix *felix)
{
    struct configuration_news news;
    struct err err = ERR_INIT;

    felix->configuration_dirty = false;
    configuration_update(felix->configuration, felix->store, felix->node_name, tell_setting, NULL,
                         &news);
    metric_set(felix->m.bad_settings, (double)news.n_bad);
    if (news.effects & FELIX_CHANGES_LOG) {
        felix_setup_log(felix->settings);
    }
    if (news.effects & FELIX_TAKES_UP) {
        /* Intervals may be among them: what was due in an hour may be due now. */
        felix->next_iptables_ms = felix->next_ipsets_ms = felix->next_routes_ms =
            felix->next_links_ms = 0;
    }
    if (news.effects & FELIX_CHANGES_TABLES) {
        tables_set_times(felix);
    }
    if (news.effects & FELIX_CHANGES_HTTP) {
        report_serve(felix);
    }
    if (news.effects & FELIX_CHANGES_DROPS) {
        people_tick(felix->people); /* before rules tell */
    }
    felix->rules_dirty |= (news.effects & FELIX_CHANGES_RULES) != 0;
    felix->asks_dirty |= (news.effects & FELIX_CHANGES_RULES) != 0;
    felix->floating_dirty |= (news.effects & FELIX_CHANGES_RULES) != 0;
    felix->pools_dirty |= (news.effects & (FELIX_CHANGES_SETS | FELIX_CHANGES_NODE)) != 0;
    if (news.effects & FELIX_CHANGES_SETS) {
        felix_want_external_nodes(felix, felix->settings->external_nodes);
    }
    if (news.effects & FELIX_CHANGES_ROUTES) {
        felix_configure_routes(felix);
    }
    felix->node_dirty |= (news.effects & FELIX_CHANGES_NODE) != 0;
    if (news.effects & FELIX_STARTS_ANEW) {
        felix->wants_start = true;
        uv_stop(felix->loop);
    }
    if (!configuration_save(felix->configuration, &err)) {
        log_warn_every(60, "%s; a felix that starts without the API will not know these settings",
                       err.text);
    }
}

void
felix_want_prefixes(struct set *set, const prefix_vec *prefixes, uint8_t family)
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
    bool had_tunnel = felix->pools.has_tunnel;

    desired_pools_done(&felix->pools);
    node_state_pools(felix->nodes, felix->store, &felix->pools);
    if (felix->settings->ipip != 0) {
        felix->pools.has_tunnel = felix->settings->ipip == 1;
    }
    (void)!ip_parse(felix->settings->ipip_address, &felix->pools.tunnel_address, NULL);
    felix->rules_dirty |= had_tunnel != felix->pools.has_tunnel;
    for (size_t i = 0; i < n_families(felix->settings); i++) {
        felix_want_prefixes(felix->all_pools[i], &felix->pools.all, family_of(i));
        felix_want_prefixes(felix->masq_pools[i], &felix->pools.masquerade, family_of(i));
    }
}

static void
calculate_asks(struct felix *felix)
{
    pod_source_vec list = VEC_INIT;
    struct table *loose = table_new();

    felix->asks_dirty = false;
    asks_sources(felix->asks, &list);
    policies_sources(felix->policies, list.items, list.n);
    VEC_FOREACH (&list, source) {
        if (felix->settings->source_spoofing == 1) {
            table_put(loose, source->ifname, felix);
        }
    }
    endpoints_loosen(felix->endpoints, loose);
    VEC_DONE(&list);
    if (limits_calculate(felix->limits, felix->asks, policies_addresses, felix->policies)) {
        size_t n = 0;
        const struct limit_value *values = limits_values(felix->limits, &n);
        policies_limits(felix->policies, values, n);
    }
    shaping_wish_vec wishes = VEC_INIT;
    limits_shaping(felix->asks, &wishes);
    shaping_want(felix->shaping, wishes.items, wishes.n);
    VEC_DONE(&wishes);
}

static uint32_t
link_mtu(struct felix *felix, int index)
{
    link_vec links = VEC_INIT;
    uint32_t mtu = 0;

    if (link_list(felix->netlink, &links, NULL)) {
        mtu = mtu_of_node(&links, index, felix->settings->mtu_interfaces);
    }
    VEC_DONE(&links);
    return mtu;
}

static void
calculate_node(struct felix *felix)
{
    const struct node *node = store_get(felix->store, KIND_NODE, felix->node_name);
    struct ip tunnel = felix->pools.has_tunnel ? felix->pools.tunnel_address : (struct ip){0};

    felix_calculate_interfaces(felix);
    felix->floating_dirty |= floating_is_asked_for(felix->floating); /* it may be the node's now */
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
    if (felix->is_in_sync) {
        if (felix->asks_dirty) {
            calculate_asks(felix);
        }
        policies_flush(felix->policies);
    }
    /* Sets before routes: a route without its set member would let nothing out, harmlessly; and a
     * pod whose address is in the sets is never without protection. Sets before rules: one that is
     * missing makes iptables-restore refuse everything. */
    bool good = sets_apply(felix->sets, &err);
    if (!good) {
        felix_note_error(felix, &err);
    }
    if (!endpoints_apply(felix->endpoints, &err)) {
        felix_note_error(felix, &err);
        good = false;
    }
    felix->is_sets_good = good && felix->is_in_sync;
    if (felix->is_in_sync && !shaping_apply(felix->shaping, &err)) {
        felix_note_error(felix, &err); /* which keeps nothing else */
    }
    if (felix->is_in_sync && sets_n_missing(felix->sets) == 0) {
        tables_want(felix);
        if (good && tables_are_in_place(felix)) {
            /* Members alone may have changed: no commit of rules follows to say so. */
            policies_settled(felix->policies);
        }
    }
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

/* 0 is never, as in Calico: what is damaged is then repaired only where the kernel tells. */
static uint64_t
next_time(uint64_t now, uint64_t interval_ms)
{
    return interval_ms > 0 ? now + interval_ms : UINT64_MAX;
}

static void
resync_what_is_due(struct felix *felix)
{
    const struct felix_settings *settings = felix->settings;
    uint64_t now = clock_monotonic_ms();
    struct err err = ERR_INIT;

    if (now >= felix->next_ipsets_ms) {
        felix->next_ipsets_ms = next_time(now, settings->ipsets_refresh_ms);
        sets_resync(felix->sets);
        metric_add(felix->m.resyncs, 1);
    }
    if (now >= felix->next_routes_ms) {
        felix->next_routes_ms = next_time(now, settings->route_refresh_ms);
        if (!endpoints_resync(felix->endpoints, &err)) {
            felix_note_error(felix, &err);
        }
    }
    if (now >= felix->next_links_ms) {
        felix->next_links_ms = next_time(now, settings->interface_refresh_ms);
        shaping_recheck(felix->shaping);
        felix->node_dirty = true;
    }
    if (now >= felix->next_detect_ms) {
        felix->next_detect_ms = next_time(now, settings->detect_interval_ms);
        felix->node_dirty = true;
    }
    if (now >= felix->next_iptables_ms && felix->tables_known) {
        felix->next_iptables_ms = next_time(now, settings->iptables_refresh_ms);
        tables_check(felix);
    }
}

void
felix_flush(void *owner)
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
    if (felix->configuration_dirty) {
        calculate_settings(felix);
    }
    if (felix->wants_start) {
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
    if (felix->rules_dirty) {
        tables_configure(felix);
        felix->floating_dirty |= floating_is_asked_for(felix->floating);
    }
    if (felix->floating_dirty) {
        addresses_float(felix);
    }
    felix_apply_endpoints(felix);
    if (links) {
        apply_links(felix);
    }
    if (felix_is_dataplane_good(felix) && tables_are_in_place(felix)) {
        felix->last_error[0] = '\0';
    }
    if (felix->has_doomed_sets) {
        felix->has_doomed_sets = sets_destroy_some(felix->sets);
    }
    if (felix->has_doomed_sets || sets_is_reading(felix->sets)) {
        kick_later(&felix->flush, CHORES_MS);
    }
    metric_observe(felix->m.apply_seconds, (double)(clock_monotonic_us() - start) / 1e6);
    report_update(felix);
}

void
felix_on_tick(uv_timer_t *timer)
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
        sets_retry_stuck(felix->sets);
        tables_clean_other_backend(felix);
    }
    if (felix->is_in_sync && !felix->is_shrunk && felix_is_dataplane_good(felix) &&
        tables_are_in_place(felix)) {
        footprint_shrink();
        felix->is_shrunk = true;
    }
    people_tick(felix->people);
    requests_retry(felix);
    requests_answer(felix);
    report_serve(felix);
    report_update(felix);
}
