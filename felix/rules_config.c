/* Called when settings, pools or the BGPConfiguration change. Settings were checked when they were
 * set: what does not parse here cannot come, and would leave the default. */
#include "felix/rules_config.h"

#include <stdio.h>
#include <strings.h>

#include "lib/base/alloc.h"
#include "lib/model/bgp_configuration.h"
#include "lib/model/ippool.h"

/* What "none" and nothing switch off. */
static const char *
text_or_null(const char *text)
{
    return *text == '\0' || strcasecmp(text, "none") == 0 ? NULL : text;
}

static struct rate_limit
limit_of(const char *text, uint32_t burst)
{
    struct rate_limit limit = {0};

    if (text_or_null(text) && rate_limit_parse(text, &limit, NULL)) {
        limit.burst = burst;
    }
    return limit;
}

static const struct ippool *
pool_with(const struct store *store, const struct prefix *net)
{
    for (size_t i = 0; i < store_count(store, KIND_IPPOOL); i++) {
        const struct ippool *pool = store_at(store, KIND_IPPOOL, i);
        if (prefix_overlaps(&pool->cidr, net)) {
            return pool;
        }
    }
    return NULL;
}

static void
add_service_nets(struct rules_config *config, const struct store *store, const struct prefix *nets,
                 size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct ippool *pool = pool_with(store, &nets[i]);
        char text[PREFIX_TEXT_MAX];
        if (pool == NULL) {
            VEC_PUSH(&config->service_nets, nets[i]);
            continue;
        }
        snprintf(config->warning, sizeof config->warning,
                 "BGPConfiguration default: service prefix %s overlaps IPPool %.64s; packets to it "
                 "are let loop",
                 prefix_format(&nets[i], text), pool->name);
    }
}

static void
collect_service_nets(struct rules_config *config, const struct store *store)
{
    const struct bgp_configuration *bgp = store_get(store, KIND_BGPCONFIGURATION, "default");

    if (bgp != NULL) {
        add_service_nets(config, store, bgp->service_cluster_ips, bgp->n_service_cluster_ips);
        add_service_nets(config, store, bgp->service_external_ips, bgp->n_service_external_ips);
        add_service_nets(config, store, bgp->service_load_balancer_ips,
                         bgp->n_service_load_balancer_ips);
    }
}

static void
fill_policy(struct rules_config *config, const struct felix_settings *settings)
{
    static const enum rules_action allow[] = {RULES_ACCEPT, RULES_RETURN};
    static const enum rules_action deny[] = {RULES_DROP, RULES_REJECT};
    static const enum rules_action loop[] = {RULES_DROP, RULES_REJECT, RULES_RETURN};
    struct policy_rules_config *policy = &config->policy;

    *policy = (struct policy_rules_config){
        .workload_prefix = config->prefixes.items[0],
        .other_prefixes = config->other_prefixes,
        .n_other_prefixes = config->prefixes.n - 1,
        .is_append_mode = settings->chain_insert_mode == 1,
        .filter_allow = allow[settings->filter_allow_action],
        .mangle_allow = allow[settings->mangle_allow_action],
        .deny = deny[settings->deny_action],
        .to_host = (enum rules_action)settings->to_host_action,
        .service_loop = loop[settings->service_loop],
        .service_nets = config->service_nets.items,
        .n_service_nets = config->service_nets.n,
        .allows_sources = settings->source_spoofing == 1,
        .keeps_invalid = settings->keeps_invalid,
        .allows_ipip_from_pods = settings->allows_ipip_from_pods,
        .allows_vxlan_from_pods = settings->allows_vxlan_from_pods,
        .log_prefix = settings->log_prefix,
        .log_limit = limit_of(settings->log_limit, settings->log_burst),
        .nflog_group = settings->drop_log_group,
        .nflog_limit = limit_of(settings->drop_log_limit, settings->drop_log_burst),
        .failsafe_in = config->failsafe_in.items,
        .n_failsafe_in = config->failsafe_in.n,
        .failsafe_out = config->failsafe_out.items,
        .n_failsafe_out = config->failsafe_out.n,
    };
    if (port_ranges_parse(settings->node_ports, config->node_ports, NULL)) {
        policy->node_ports = text_or_null(config->node_ports);
    }
    if (!policy_marks_of_mask(settings->mark_mask, &policy->marks, NULL)) {
        (void)!policy_marks_of_mask(POLICY_MARK_MASK_DEFAULT, &policy->marks, NULL);
    }
}

static void
fill_nat(struct nat_rules_config *nat, const struct felix_settings *settings)
{
    nat->address = text_or_null(settings->nat_address);
    nat->interface = text_or_null(settings->nat_interface);
    nat->excludes_hosts = settings->nat_exclusions == 1;
    if (text_or_null(settings->nat_ports)) {
        (void)!port_range_parse(settings->nat_ports, &nat->first_port, &nat->last_port, NULL);
    }
}

static bool
has(enum feature_override override, bool is_detected)
{
    return override == FEATURE_DETECTED ? is_detected : override == FEATURE_ON;
}

struct rules_config *
rules_config_new(const struct felix_settings *settings, const struct store *store,
                 const struct features *features, bool has_tunnel)
{
    struct rules_config *config = NEW(struct rules_config);
    struct feature_overrides overrides = {0};

    (void)!feature_overrides_parse(settings->feature_overrides, &overrides, NULL);
    if (!interface_prefixes_parse(settings->interface_prefix, &config->prefixes, NULL)) {
        config->prefixes = (struct interface_prefixes){.items = {"cali"}, .n = 1};
    }
    for (size_t i = 1; i < config->prefixes.n; i++) {
        config->other_prefixes[i - 1] = config->prefixes.items[i];
    }
    collect_service_nets(config, store);
    (void)!failsafe_ports_parse(settings->failsafe_in, &config->failsafe_in, NULL);
    (void)!failsafe_ports_parse(settings->failsafe_out, &config->failsafe_out, NULL);
    config->fixed = (struct static_rules_config){
        .workload_prefix = config->prefixes.items[0],
        .is_append_mode = settings->chain_insert_mode == 1,
        .has_random_fully = has(overrides.masq_random, features->masquerade_random_fully),
        .has_snat_random_fully = has(overrides.snat_random, features->snat_random_fully),
        .has_tunnel = has_tunnel,
        .policy = &config->policy};
    fill_nat(&config->fixed.nat, settings);
    fill_policy(config, settings);
    return config;
}

void
rules_config_free(struct rules_config *config)
{
    if (config != NULL) {
        VEC_DONE(&config->service_nets);
        VEC_DONE(&config->failsafe_in);
        VEC_DONE(&config->failsafe_out);
        free(config);
    }
}
