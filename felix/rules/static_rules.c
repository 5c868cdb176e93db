/* The static rules. Drawn as packets meet them:
 *
 *   raw PREROUTING ── from a workload interface ──► cali-from-wl: source is one of the pod's own
 *                                                   addresses on this interface, or drop
 *   filter INPUT ──── protocol 4 (IPIP) ──────────► from a node to a local address, or drop
 *   filter FORWARD ── protocol 4 from a workload ─► drop: NAT would give it a node's address, and
 *                                                   the next node would believe it
 *          (end of FORWARD) from or to workload ──► accept, so that a DROP policy does not hurt
 *   nat PREROUTING, OUTPUT ─ to a floating address ► the pod's own
 *   nat POSTROUTING ─ pool with natOutgoing to outside all pools ─► masquerade */
#include "felix/rules/static_rules.h"

#include "felix/rules/host_rules.h"
#include "felix/rules/limit_rules.h"
#include "felix/rules/names.h"
#include "lib/base/str.h"

#define SOURCES_CHAIN "cali-rpf-skip"
#define FLOATING_TO_CHAIN "cali-fip-dnat"
#define FLOATING_ITSELF_CHAIN "cali-fip-snat"

static void
anti_spoofing(const struct static_rules_config *config, uint8_t family, struct ruleset *set)
{
    const struct hook hook = {"raw", "PREROUTING", "cali-PREROUTING", config->is_append_mode};
    struct chain *chain = ruleset_chain(set, "raw", "cali-PREROUTING");

    chain_add(chain, "-i %s+ -j cali-from-wl", config->workload_prefix);
    for (size_t i = 0; config->policy && i < config->policy->n_other_prefixes; i++) {
        chain_add(chain, "-i %s+ -j cali-from-wl", config->policy->other_prefixes[i]);
    }
    if (config->policy) {
        host_rules_raw_input(config->policy, family, chain);
    }
    chain = ruleset_chain(set, "raw", "cali-from-wl");
    if (family == 6) {
        /* Neighbour discovery runs on link-local and unspecified addresses; neither is forwarded.
         */
        chain_add(chain, "-s fe80::/64 -j RETURN");
        chain_add(chain, "-s ::/128 -p ipv6-icmp -j RETURN");
    }
    chain_add(chain, "-m set --match-set cali%u0" SET_WORKLOADS " src,src -j RETURN", family);
    if (config->policy && config->policy->allows_sources) {
        chain_add(chain, "-g " SOURCES_CHAIN);
    }
    chain_add(chain, "-j DROP");
    ruleset_hook(set, &hook);
}

void
source_rules(const struct policy_rules_config *config, uint8_t family,
             const struct pod_source *sources, size_t n, struct ruleset *set)
{
    if (!config->allows_sources) {
        return;
    }
    struct chain *chain = ruleset_chain(set, "raw", SOURCES_CHAIN);
    for (size_t i = 0; i < n; i++) {
        char text[PREFIX_TEXT_MAX];
        if (sources[i].net.ip.family == family && rules_ifname_is_usable(sources[i].ifname)) {
            /* It was gone to: this goes on behind anti-spoofing. */
            chain_add(chain, "-i %s -s %s -j RETURN", sources[i].ifname,
                      prefix_format(&sources[i].net, text));
        }
    }
    chain_add(chain, "-j DROP");
}

/* What is addressed to the node, or comes from it: IPIP, then policy. */
static void
node_traffic(const struct static_rules_config *config, uint8_t family, struct ruleset *set)
{
    const struct hook input = {"filter", "INPUT", "cali-INPUT", config->is_append_mode};
    const struct hook output = {"filter", "OUTPUT", "cali-OUTPUT", config->is_append_mode};
    struct chain *chain = NULL;

    if (family == 6 && !config->policy) {
        return;
    }
    chain = ruleset_chain(set, "filter", "cali-INPUT");
    if (family == 4) {
        chain_add(chain, "-p ipencap -m set --match-set cali40" SET_ALL_HOSTS
                         " src -m addrtype --dst-type LOCAL -j ACCEPT");
        chain_add(chain, "-p ipencap -j DROP");
    }
    if (config->policy) {
        host_rules_input(config->policy, family, chain);
    }
    ruleset_hook(set, &input);
    chain = ruleset_chain(set, "filter", "cali-OUTPUT");
    if (family == 4) {
        chain_add(chain, "-p ipencap -m set --match-set cali40" SET_ALL_HOSTS
                         " dst -m addrtype --src-type LOCAL -j ACCEPT");
    }
    if (config->policy) {
        host_rules_output(config->policy, family, chain);
    }
    ruleset_hook(set, &output);
}

/* Without policy; else host_rules.c writes these chains. */
static void
forward(const struct static_rules_config *config, uint8_t family, struct ruleset *set)
{
    const struct hook guard = {"filter", "FORWARD", "cali-FORWARD", config->is_append_mode};
    const struct hook accept = {"filter", "FORWARD", "cali-FORWARD-accept", true};
    struct chain *chain = NULL;

    if (family == 4) {
        chain = ruleset_chain(set, "filter", "cali-FORWARD");
        chain_add(chain, "-i %s+ -p ipencap -j DROP", config->workload_prefix);
        ruleset_hook(set, &guard);
    }
    chain = ruleset_chain(set, "filter", "cali-FORWARD-accept");
    chain_add(chain, "-i %s+ -j ACCEPT", config->workload_prefix);
    chain_add(chain, "-o %s+ -j ACCEPT", config->workload_prefix);
    ruleset_hook(set, &accept);
}

/* Which packets of pools with natOutgoing get another source. */
static void
add_outgoing_match(const struct nat_rules_config *config, uint8_t family, struct str *match)
{
    if (config->interface) {
        str_addf(match, " -o %s", config->interface);
    }
    str_addf(match,
             " -m set --match-set cali%u0" SET_MASQ_POOLS
             " src -m set ! --match-set cali%u0" SET_ALL_POOLS " dst",
             family, family);
    if (config->excludes_hosts && family == 4) {
        str_add(match, " -m set ! --match-set cali40" SET_ALL_HOSTS " dst");
    }
}

/* 'ports': with the range, for a protocol that has them. */
static void
add_outgoing_target(const struct static_rules_config *config, uint8_t family, bool ports,
                    struct str *out)
{
    const struct nat_rules_config *nat = &config->nat;
    const char *address = family == 4 ? nat->address : NULL;

    str_add(out, address ? " -j SNAT --to-source " : " -j MASQUERADE");
    str_add(out, address ? address : ports ? " --to-ports " : "");
    if (ports) {
        str_addf(out, "%s%u-%u", address ? ":" : "", nat->first_port, nat->last_port);
    }
    bool is_random = address ? config->has_snat_random_fully : config->has_random_fully;
    str_add(out, is_random ? " --random-fully" : "");
}

static void
nat_outgoing(const struct static_rules_config *config, uint8_t family, struct chain *chain)
{
    static const char *const with_ports[] = {"tcp", "udp"};
    AUTO(str) struct str match = STR_INIT;
    AUTO(str) struct str plain = STR_INIT;

    add_outgoing_match(&config->nat, family, &match);
    for (size_t i = 0; i < ARRAY_LEN(with_ports) && config->nat.first_port > 0; i++) {
        AUTO(str) struct str target = STR_INIT;
        add_outgoing_target(config, family, true, &target);
        chain_add(chain, "-p %s%s%s", with_ports[i], str_text(&match), str_text(&target));
    }
    add_outgoing_target(config, family, false, &plain);
    chain_add(chain, "%s%s", str_text(&match) + 1, str_text(&plain));
}

/* No hook without need: packets of everybody would be led through it. */
static void
floating_hooks(const struct static_rules_config *config, struct ruleset *set)
{
    const struct hook hooks[] = {{"nat", "PREROUTING", "cali-PREROUTING", config->is_append_mode},
                                 {"nat", "OUTPUT", "cali-OUTPUT", config->is_append_mode}};

    for (size_t i = 0; i < ARRAY_LEN(hooks) && config->has_floating; i++) {
        chain_add(ruleset_chain(set, "nat", hooks[i].target), "-j " FLOATING_TO_CHAIN);
        ruleset_hook(set, &hooks[i]);
    }
}

void
floating_rules(uint8_t family, const struct floating_pair *pairs, size_t n, struct ruleset *set)
{
    struct chain *chain = ruleset_chain(set, "nat", FLOATING_TO_CHAIN);
    char external[IP_TEXT_MAX], internal[IP_TEXT_MAX];
    char host[PREFIX_TEXT_MAX];

    for (size_t i = 0; i < n; i++) {
        const struct prefix prefix = prefix_of_ip(&pairs[i].external);
        if (pairs[i].external.family == family) {
            chain_add(chain, "-d %s -j DNAT --to-destination %s", prefix_format(&prefix, host),
                      ip_format(&pairs[i].internal, internal));
        }
    }
    /* A pod that calls itself has to be answered under the address it called. */
    chain = ruleset_chain(set, "nat", FLOATING_ITSELF_CHAIN);
    for (size_t i = 0; i < n; i++) {
        const struct prefix prefix = prefix_of_ip(&pairs[i].internal);
        if (pairs[i].external.family == family) {
            prefix_format(&prefix, host);
            chain_add(chain, "-s %s -d %s -j SNAT --to-source %s", host, host,
                      ip_format(&pairs[i].external, external));
        }
    }
}

static void
nat(const struct static_rules_config *config, uint8_t family, struct ruleset *set)
{
    /* Behind kube-proxy's own masquerade, which must come first (Calico issue 9091). */
    const struct hook hook = {"nat", "POSTROUTING", "cali-POSTROUTING", true};
    struct chain *chain = ruleset_chain(set, "nat", "cali-POSTROUTING");

    if (config->has_floating) {
        chain_add(chain, "-j " FLOATING_ITSELF_CHAIN);
    }
    nat_outgoing(config, family, chain);
    if (family == 4 && config->has_tunnel) {
        /* What the node itself sends into the tunnel with an address of another interface (host to
         * service to remote pod) would be answered around the tunnel. */
        chain_add(chain,
                  "-o " TUNNEL_NAME " -m addrtype ! --src-type LOCAL --limit-iface-out "
                  "-m addrtype --src-type LOCAL -j MASQUERADE%s",
                  config->has_random_fully ? " --random-fully" : "");
    }
    ruleset_hook(set, &hook);
}

void
static_rules(const struct static_rules_config *config, uint8_t family, struct ruleset *set)
{
    anti_spoofing(config, family, set);
    node_traffic(config, family, set);
    if (config->policy) {
        policy_rules_static(config->policy, family, set);
        limit_rules(config->policy, family, set);
    } else {
        forward(config, family, set);
    }
    floating_hooks(config, set);
    nat(config, family, set);
}
