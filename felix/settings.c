/* The table of felix's settings. */
#include "felix/settings.h"

#include <regex.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "felix/node/detect.h"
#include "felix/settings_parse.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"

static bool
check_method(const char *value, struct err *err)
{
    struct detect_method method;

    return *value == '\0' || detect_parse(value, &method, err);
}

static bool
check_ip(const char *value, struct err *err)
{
    struct prefix prefix;

    return *value == '\0' || strcmp(value, "autodetect") == 0 || strcmp(value, "none") == 0 ||
           prefix_parse_host(value, &prefix, err);
}

static bool
check_asn(const char *value, struct err *err)
{
    uint32_t asn = 0;

    return *value == '\0' || parse_asn(value, &asn, err);
}

static bool
check_level(const char *value, struct err *err)
{
    enum log_level level;

    return log_level_parse(value, &level, err);
}

/* "none" and nothing switch these off. */
static bool
is_off(const char *value)
{
    return *value == '\0' || strcasecmp(value, "none") == 0;
}

static bool
check_level_or_none(const char *value, struct err *err)
{
    return is_off(value) || check_level(value, err);
}

static bool
check_path(const char *value, struct err *err)
{
    return is_off(value) || *value == '/' || err_set(err, "'%.64s' is not a whole path", value);
}

static bool
check_mask(const char *value, struct err *err)
{
    struct policy_marks marks;
    uint32_t mask = 0;

    return parse_mask(value, &mask, err) && policy_marks_of_mask(mask, &marks, err);
}

static bool
check_rate(const char *value, struct err *err)
{
    struct rate_limit limit;

    return is_off(value) || rate_limit_parse(value, &limit, err);
}

static bool
check_features(const char *value, struct err *err)
{
    struct feature_overrides features;

    return feature_overrides_parse(value, &features, err);
}

static bool
check_failsafe(const char *value, struct err *err)
{
    failsafe_vec ports = VEC_INIT;
    bool is_good = failsafe_ports_parse(value, &ports, err);

    VEC_DONE(&ports);
    return is_good;
}

static bool
check_ip4(const char *value, struct err *err)
{
    struct ip ip;

    return is_off(value) || (ip_parse(value, &ip, err) &&
                             (ip.family == 4 || err_set(err, "'%s' is not IPv4", value)));
}

static bool
check_ip6(const char *value, struct err *err)
{
    struct ip ip;

    return is_off(value) || (ip_parse(value, &ip, err) &&
                             (ip.family == 6 || err_set(err, "'%s' is not IPv6", value)));
}

static bool
check_port_range(const char *value, struct err *err)
{
    uint16_t first, last;

    return is_off(value) || port_range_parse(value, &first, &last, err);
}

static bool
check_port_ranges(const char *value, struct err *err)
{
    char text[PORT_RANGES_TEXT_MAX];

    return port_ranges_parse(value, text, err);
}

static bool
check_interface(const char *value, struct err *err)
{
    size_t len = strlen(value);

    /* It stands in iptables rules. */
    return is_off(value) ||
           (len < 16 && strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789:._+-") == len) ||
           err_set(err, "'%.32s' is not an interface name", value);
}

/* It stands in iptables rules, where a line ends the rule. */
static bool
check_log_prefix(const char *value, struct err *err)
{
    for (const char *c = value; *c; c++) {
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e || strchr("\"\\", *c)) {
            return err_set(err, "'%.32s' has characters that a prefix cannot have", value);
        }
    }
    return true;
}

static bool
check_regex(const char *value, struct err *err)
{
    regex_t regex;

    if (is_off(value)) {
        return true;
    }
    if (regcomp(&regex, value, REG_EXTENDED | REG_NOSUB) != 0) {
        return err_set(err, "'%.64s' is not a regular expression", value);
    }
    regfree(&regex);
    return true;
}

static bool
check_interface_prefix(const char *value, struct err *err)
{
    struct interface_prefixes prefixes;

    return interface_prefixes_parse(value, &prefixes, err);
}

static const char *const backends[] = {"auto", "legacy", "nft", NULL};
static const char *const insert_modes[] = {"insert", "append", NULL};
static const char *const any_actions[] = {"Accept", "Drop", "Reject", "Return", NULL};
static const char *const allow_actions[] = {"Accept", "Return", NULL};
static const char *const deny_actions[] = {"Drop", "Reject", NULL};
static const char *const loop_actions[] = {"Drop", "Reject", "Disabled", NULL};
static const char *const exclusions[] = {"IPPoolsOnly", "IPPoolsAndHostIPs", NULL};
static const char *const ipip[] = {"auto", "true", "false", NULL};
static const char *const cluster_routes[] = {"Disabled", NULL};
static const char *const spoofing[] = {"Disabled", "Any", NULL};
static const char *const floating[] = {"Disabled", "Enabled", NULL};
static const char *const networking[] = {"bird", "none", NULL};
static const char *const formats[] = {"text", "json", NULL};

#define AT(field) .offset = offsetof(struct felix_settings, field)

static const struct setting rows[] = {
    {.name = "NodeName",
     .env = "NODENAME",
     .type = SETTING_TEXT,
     AT(node_name),
     .initial = "",
     .help = "Name of this node's Node object; empty: nodename file, HOSTNAME, the host's name."},
    {.name = "FelixHostname",
     .env = "FELIX_FELIXHOSTNAME",
     .type = SETTING_TEXT,
     AT(felix_hostname),
     .initial = "",
     .is_local = true,
     .help = "The same, where NodeName is empty."},
    {.name = "Kubeconfig",
     .env = "KUBECONFIG",
     .type = SETTING_TEXT,
     AT(kubeconfig),
     .initial = "",
     .help = "kubeconfig file; empty: the pod's service account."},
    {.name = "RunDir",
     .env = "CANAL_RUN_DIR",
     .type = SETTING_TEXT,
     AT(run_dir),
     .initial = "/run/canal",
     .help = "Sockets and endpoint files."},
    {.name = "StateDir",
     .env = "CANAL_STATE_DIR",
     .type = SETTING_TEXT,
     AT(state_dir),
     .initial = "/var/lib/canal",
     .help = "Node name, MTU and pod CIDRs for the CNI plugin."},
    {.name = "AddressDir",
     .env = "CANAL_ADDRESS_DIR",
     .type = SETTING_TEXT,
     AT(address_dir),
     .initial = "/var/lib/cni/networks",
     .help = "host-local's directory; only files below it are released for the CNI plugin."},
    {.name = "EndpointStatusPathPrefix",
     .env = "FELIX_ENDPOINTSTATUSPATHPREFIX",
     .type = SETTING_TEXT,
     AT(status_dir),
     .initial = "",
     .check = check_path,
     .is_local = true,
     .help = "In endpoint-status below it is a file for every pod that the kernel holds, for other "
             "plugins to wait for; empty: no files. Canal's own plugin needs none."},
    {.name = "IP",
     .env = "IP",
     .type = SETTING_TEXT,
     AT(ip),
     .initial = "autodetect",
     .check = check_ip,
     .help = "IPv4 address of this node: autodetect, none, an address or address/length."},
    {.name = "IP6",
     .env = "IP6",
     .type = SETTING_TEXT,
     AT(ip6),
     .initial = "autodetect",
     .check = check_ip,
     .help = "IPv6 address of this node: autodetect, none, an address or address/length."},
    {.name = "IPAutodetectionMethod",
     .env = "IP_AUTODETECTION_METHOD",
     .type = SETTING_TEXT,
     AT(ip_method),
     .initial = "",
     .check = check_method,
     .help = "first-found, interface=RE, skip-interface=RE, cidr=CIDR, can-reach=ADDRESS or "
             "kubernetes-internal-ip; empty: the last, then first-found."},
    {.name = "IP6AutodetectionMethod",
     .env = "IP6_AUTODETECTION_METHOD",
     .type = SETTING_TEXT,
     AT(ip6_method),
     .initial = "",
     .check = check_method,
     .help = "The same for IPv6."},
    {.name = "ASNumber",
     .env = "AS",
     .type = SETTING_TEXT,
     AT(as_number),
     .initial = "",
     .check = check_asn,
     .help = "AS number of this node, written to its annotation."},
    {.name = "DisableNodeIpCheck",
     .env = "DISABLE_NODE_IP_CHECK",
     .type = SETTING_BOOL,
     AT(disable_ip_check),
     .initial = "false",
     .help = "Do not look for another node with the same address."},
    {.name = "AutodetectPollInterval",
     .env = "AUTODETECT_POLL_INTERVAL",
     .type = SETTING_DURATION,
     AT(detect_interval_ms),
     .initial = "60s",
     .help =
         "How often the address is detected anew; changes of links and addresses do it at once."},
    {.name = "NetworkingBackend",
     .env = "CALICO_NETWORKING_BACKEND",
     .type = SETTING_CHOICE,
     AT(networking_backend),
     .initial = "bird",
     .choices = networking,
     .help = "none: BIRD's health does not count."},
    {.name = "NetworkUnavailableAfter",
     .env = "CANAL_NETWORK_UNAVAILABLE_AFTER",
     .type = SETTING_DURATION,
     AT(unavailable_after_ms),
     .initial = "30s",
     .help = "How long this node must be unhealthy before NetworkUnavailable becomes true."},
    {.name = "InterfacePrefix",
     .env = "FELIX_INTERFACEPREFIX",
     .type = SETTING_TEXT,
     AT(interface_prefix),
     .initial = "cali",
     .check = check_interface_prefix,
     .effect = FELIX_STARTS_ANEW,
     .help =
         "What names of pods' interfaces begin with. Interfaces that begin with one of the others "
         "of a list (cali,tap) are pods', too, but not felix's: they are closed."},
    {.name = "Ipv6Support",
     .env = "FELIX_IPV6SUPPORT",
     .type = SETTING_BOOL,
     AT(ipv6),
     .initial = "true",
     .effect = FELIX_STARTS_ANEW,
     .help = "IPv6 rules, sets and routes."},
    {.name = "ChainInsertMode",
     .env = "FELIX_CHAININSERTMODE",
     .type = SETTING_CHOICE,
     AT(chain_insert_mode),
     .initial = "insert",
     .choices = insert_modes,
     .effect = FELIX_CHANGES_RULES,
     .help = "Whether hooks go in front of other rules or behind them."},
    {.name = "IptablesBackend",
     .env = "FELIX_IPTABLESBACKEND",
     .type = SETTING_CHOICE,
     AT(iptables_backend),
     .initial = "auto",
     .choices = backends,
     .effect = FELIX_STARTS_ANEW,
     .help = "auto: where kubelet and kube-proxy left their rules."},
    {.name = "IptablesRefreshInterval",
     .env = "FELIX_IPTABLESREFRESHINTERVAL",
     .type = SETTING_DURATION,
     AT(iptables_refresh_ms),
     .initial = "180s",
     .effect = FELIX_TAKES_UP,
     .help =
         "How often rules are read back; with the nft backend changes are seen at once; 0: never."},
    {.name = "IpsetsRefreshInterval",
     .env = "FELIX_IPSETSREFRESHINTERVAL",
     .type = SETTING_DURATION,
     AT(ipsets_refresh_ms),
     .initial = "90s",
     .effect = FELIX_TAKES_UP,
     .help = "How often ipsets are read back; 0: never."},
    {.name = "RouteRefreshInterval",
     .env = "FELIX_ROUTEREFRESHINTERVAL",
     .type = SETTING_DURATION,
     AT(route_refresh_ms),
     .initial = "90s",
     .effect = FELIX_TAKES_UP,
     .help = "How often pod routes are read back; deletions are seen at once; 0: never."},
    {.name = "InterfaceRefreshInterval",
     .env = "FELIX_INTERFACEREFRESHINTERVAL",
     .type = SETTING_DURATION,
     AT(interface_refresh_ms),
     .initial = "90s",
     .effect = FELIX_TAKES_UP,
     .help = "How often tunl0 and interface settings are looked at; changes are seen at once; 0: "
             "never."},
    {.name = "IptablesLockTimeout",
     .env = "FELIX_IPTABLESLOCKTIMEOUTSECS",
     .type = SETTING_SECONDS,
     AT(iptables_lock_s),
     .initial = "10",
     .min = 1,
     .max = 600,
     .effect = FELIX_CHANGES_TABLES,
     .help = "How long to wait for the xtables lock."},
    {.name = "MaxIpsetSize",
     .env = "FELIX_MAXIPSETSIZE",
     .type = SETTING_U32,
     AT(max_ipset_size),
     .initial = "1048576",
     .min = 1024,
     .max = 16777216,
     .effect = FELIX_STARTS_ANEW,
     .help = "Members an ipset may hold."},
    {.name = "DeviceRouteProtocol",
     .env = "FELIX_DEVICEROUTEPROTOCOL",
     .type = SETTING_U32,
     AT(route_protocol),
     .initial = "3",
     .min = 1,
     .max = 255,
     .effect = FELIX_STARTS_ANEW,
     .help = "Protocol number of pod routes, by which felix knows its own."},
    {.name = "IpInIpEnabled",
     .env = "FELIX_IPINIPENABLED",
     .type = SETTING_CHOICE,
     AT(ipip),
     .initial = "auto",
     .choices = ipip,
     .field = "ipipEnabled",
     .effect = FELIX_CHANGES_NODE,
     .help = "Have tunl0 and its rules; auto: while an IPv4 pool uses IPIP. Which routes lead into "
             "it, pools say."},
    {.name = "IpInIpTunnelAddr",
     .env = "FELIX_IPINIPTUNNELADDR",
     .type = SETTING_TEXT,
     AT(ipip_address),
     .initial = "",
     .check = check_ip4,
     .effect = FELIX_CHANGES_NODE,
     .help = "Address of tunl0; empty: the first of this node's pod CIDR in a pool with IPIP."},
    {.name = "ProgramClusterRoutes",
     .env = "FELIX_PROGRAMCLUSTERROUTES",
     .type = SETTING_CHOICE,
     AT(program_cluster_routes),
     .initial = "Disabled",
     .choices = cluster_routes,
     .effect = FELIX_TAKES_UP,
     .help = "Routes to other nodes are BIRD's; felix writes none."},
    {.name = "IpInIpMtu",
     .env = "FELIX_IPINIPMTU",
     .type = SETTING_U32,
     AT(ipip_mtu),
     .initial = "0",
     .max = 65535,
     .field = "ipipMTU",
     .effect = FELIX_CHANGES_NODE,
     .help = "MTU of tunl0; 0: that of the node's interface less 20."},
    {.name = "IPForwarding",
     .env = "FELIX_IPFORWARDING",
     .type = SETTING_BOOL,
     AT(ip_forwarding),
     .initial = "Enabled",
     .effect = FELIX_CHANGES_NODE,
     .help = "Keep forwarding switched on."},
    {.name = "ExternalNodesCIDRList",
     .env = "FELIX_EXTERNALNODESCIDRLIST",
     .type = SETTING_TEXT,
     AT(external_nodes),
     .initial = "",
     .field = "externalNodesList",
     .effect = FELIX_CHANGES_SETS,
     .help = "Comma-separated prefixes outside the cluster that may send IPIP."},
    {.name = "DefaultEndpointToHostAction",
     .env = "FELIX_DEFAULTENDPOINTTOHOSTACTION",
     .type = SETTING_CHOICE,
     AT(to_host_action),
     .initial = "Drop",
     .choices = any_actions,
     .effect = FELIX_CHANGES_RULES,
     .help = "What becomes of a pod's packets to its own node once its policies let them out."},
    {.name = "IptablesMarkMask",
     .env = "FELIX_IPTABLESMARKMASK",
     .type = SETTING_MASK,
     AT(mark_mask),
     .initial = "0xffff0000",
     .check = check_mask,
     .effect = FELIX_CHANGES_RULES,
     .help = "Bits of packet and connection marks that felix may use; it takes the seven lowest."},
    {.name = "IptablesFilterAllowAction",
     .env = "FELIX_IPTABLESFILTERALLOWACTION",
     .type = SETTING_CHOICE,
     AT(filter_allow_action),
     .initial = "Accept",
     .choices = allow_actions,
     .effect = FELIX_CHANGES_RULES,
     .help = "Return: rules behind ours decide on what policy allows."},
    {.name = "IptablesMangleAllowAction",
     .env = "FELIX_IPTABLESMANGLEALLOWACTION",
     .type = SETTING_CHOICE,
     AT(mangle_allow_action),
     .initial = "Accept",
     .choices = allow_actions,
     .effect = FELIX_CHANGES_RULES,
     .help = "The same in table mangle."},
    {.name = "IptablesFilterDenyAction",
     .env = "FELIX_IPTABLESFILTERDENYACTION",
     .type = SETTING_CHOICE,
     AT(deny_action),
     .initial = "Drop",
     .choices = deny_actions,
     .effect = FELIX_CHANGES_RULES,
     .help = "Reject: who is refused is told."},
    {.name = "LogPrefix",
     .env = "FELIX_LOGPREFIX",
     .type = SETTING_TEXT,
     AT(log_prefix),
     .initial = "calico-packet",
     .check = check_log_prefix,
     .effect = FELIX_CHANGES_RULES,
     .help = "What lines of Log rules begin with; %t tier, %k kind, %n name, %p namespace/name."},
    {.name = "LogActionRateLimit",
     .env = "FELIX_LOGACTIONRATELIMIT",
     .type = SETTING_TEXT,
     AT(log_limit),
     .initial = "",
     .check = check_rate,
     .effect = FELIX_CHANGES_RULES,
     .help = "At most so many lines of a Log rule, such as 10/minute; empty: no limit."},
    {.name = "LogActionRateLimitBurst",
     .env = "FELIX_LOGACTIONRATELIMITBURST",
     .type = SETTING_U32,
     AT(log_burst),
     .initial = "5",
     .max = 10000,
     .effect = FELIX_CHANGES_RULES,
     .help = "So many lines at once before the limit counts."},
    {.name = "FailsafeInboundHostPorts",
     .env = "FELIX_FAILSAFEINBOUNDHOSTPORTS",
     .type = SETTING_TEXT,
     AT(failsafe_in),
     .initial = "tcp:22,udp:68,tcp:179,tcp:2379,tcp:2380,tcp:5473,tcp:6443,tcp:6666,tcp:6667",
     .check = check_failsafe,
     .effect = FELIX_CHANGES_RULES,
     .help = "Ports of this node that no policy of a host endpoint closes: protocol:port or "
             "protocol:net:port, separated by commas; none: no such ports."},
    {.name = "FailsafeOutboundHostPorts",
     .env = "FELIX_FAILSAFEOUTBOUNDHOSTPORTS",
     .type = SETTING_TEXT,
     AT(failsafe_out),
     .initial = "udp:53,udp:67,tcp:179,tcp:2379,tcp:2380,tcp:5473,tcp:6443,tcp:6666,tcp:6667",
     .check = check_failsafe,
     .effect = FELIX_CHANGES_RULES,
     .help = "Ports this node may always reach."},
    {.name = "DisableConntrackInvalidCheck",
     .env = "FELIX_DISABLECONNTRACKINVALIDCHECK",
     .type = SETTING_BOOL,
     AT(keeps_invalid),
     .initial = "false",
     .effect = FELIX_CHANGES_RULES,
     .help = "Let packets pass that conntrack finds invalid (asymmetric routes)."},
    {.name = "ServiceLoopPrevention",
     .env = "FELIX_SERVICELOOPPREVENTION",
     .type = SETTING_CHOICE,
     AT(service_loop),
     .initial = "Drop",
     .choices = loop_actions,
     .effect = FELIX_CHANGES_RULES,
     .help = "What becomes of packets to a service address that no service has; the addresses are "
             "those of the BGPConfiguration."},
    {.name = "WorkloadSourceSpoofing",
     .env = "FELIX_WORKLOADSOURCESPOOFING",
     .type = SETTING_CHOICE,
     AT(source_spoofing),
     .initial = "Disabled",
     .choices = spoofing,
     .effect = FELIX_CHANGES_RULES,
     .help = "Any: pods may send from networks that their annotation "
             "cni.projectcalico.org/allowedSourcePrefixes lists, whoever else has them."},
    {.name = "FloatingIPs",
     .env = "FELIX_FLOATINGIPS",
     .type = SETTING_CHOICE,
     AT(floating_ips),
     .initial = "Disabled",
     .choices = floating,
     .effect = FELIX_CHANGES_RULES,
     .help = "Enabled: pods are reached under addresses that their annotation "
             "cni.projectcalico.org/floatingIPs lists, too."},
    {.name = "AllowIPIPPacketsFromWorkloads",
     .env = "FELIX_ALLOWIPIPPACKETSFROMWORKLOADS",
     .type = SETTING_BOOL,
     AT(allows_ipip_from_pods),
     .initial = "false",
     .effect = FELIX_CHANGES_RULES,
     .help = "Let pods send IPIP."},
    {.name = "AllowVXLANPacketsFromWorkloads",
     .env = "FELIX_ALLOWVXLANPACKETSFROMWORKLOADS",
     .type = SETTING_BOOL,
     AT(allows_vxlan_from_pods),
     .initial = "false",
     .effect = FELIX_CHANGES_RULES,
     .help = "Let pods send VXLAN."},
    {.name = "RevokeConnections",
     .env = "CANAL_REVOKE_CONNECTIONS",
     .type = SETTING_BOOL,
     AT(revokes_connections),
     .initial = "true",
     .effect = FELIX_CHANGES_RULES,
     .help = "End open connections that policy no longer allows."},
    {.name = "DropLogGroup",
     .env = "CANAL_DROP_LOG",
     .type = SETTING_U32,
     AT(drop_log_group),
     .initial = "77",
     .max = 65535,
     .effect = FELIX_CHANGES_RULES | FELIX_CHANGES_DROPS,
     .help =
         "NFLOG group in which refused packets are told to felix, for `canalctl drops`; 0: none "
         "are told."},
    {.name = "DropLogRateLimit",
     .env = "CANAL_DROP_LOG_RATE_LIMIT",
     .type = SETTING_TEXT,
     AT(drop_log_limit),
     .initial = "10/second",
     .check = check_rate,
     .effect = FELIX_CHANGES_RULES,
     .help = "At most so many refused packets of each rule are told; empty: all."},
    {.name = "DropLogBurst",
     .env = "CANAL_DROP_LOG_BURST",
     .type = SETTING_U32,
     AT(drop_log_burst),
     .initial = "20",
     .max = 10000,
     .effect = FELIX_CHANGES_RULES,
     .help = "So many at once before the limit counts."},
    {.name = "NATOutgoingAddress",
     .env = "FELIX_NATOUTGOINGADDRESS",
     .type = SETTING_TEXT,
     AT(nat_address),
     .initial = "",
     .check = check_ip4,
     .effect = FELIX_CHANGES_RULES,
     .help = "IPv4 address that pods leave the cluster with; empty: that of the interface."},
    {.name = "NATPortRange",
     .env = "FELIX_NATPORTRANGE",
     .type = SETTING_TEXT,
     AT(nat_ports),
     .initial = "",
     .check = check_port_range,
     .effect = FELIX_CHANGES_RULES,
     .help = "Ports that pods leave the cluster with, such as 32768:65535; empty: any."},
    {.name = "KubeNodePortRanges",
     .env = "FELIX_KUBENODEPORTRANGES",
     .type = SETTING_TEXT,
     AT(node_ports),
     .initial = "30000:32767",
     .check = check_port_ranges,
     .effect = FELIX_CHANGES_RULES,
     .help = "Where node ports may be. With kube-proxy in IPVS mode pods reach those of their own "
             "node, whatever DefaultEndpointToHostAction says of the node itself."},
    {.name = "IptablesNATOutgoingInterfaceFilter",
     .env = "FELIX_IPTABLESNATOUTGOINGINTERFACEFILTER",
     .type = SETTING_TEXT,
     AT(nat_interface),
     .initial = "",
     .check = check_interface,
     .effect = FELIX_CHANGES_RULES,
     .help = "Only what leaves by this interface is masqueraded; a + at the end stands for the "
             "rest of a name."},
    {.name = "NATOutgoingExclusions",
     .env = "FELIX_NATOUTGOINGEXCLUSIONS",
     .type = SETTING_CHOICE,
     AT(nat_exclusions),
     .initial = "IPPoolsOnly",
     .choices = exclusions,
     .effect = FELIX_CHANGES_RULES,
     .help = "Where pods keep their addresses: in pools, or in pools and (IPv4) at nodes."},
    {.name = "RouteSyncDisabled",
     .env = "FELIX_ROUTESYNCDISABLED",
     .type = SETTING_BOOL,
     AT(no_route_sync),
     .initial = "false",
     .effect = FELIX_CHANGES_ROUTES,
     .help = "Leave pod routes to somebody else."},
    {.name = "RemoveExternalRoutes",
     .env = "FELIX_REMOVEEXTERNALROUTES",
     .type = SETTING_BOOL,
     AT(removes_foreign_routes),
     .initial = "true",
     .effect = FELIX_CHANGES_ROUTES,
     .help = "Remove routes of protocols boot and static on workload interfaces that are not to "
             "addresses of the pod."},
    {.name = "DeviceRouteSourceAddress",
     .env = "FELIX_DEVICEROUTESOURCEADDRESS",
     .type = SETTING_TEXT,
     AT(route_source),
     .initial = "",
     .check = check_ip4,
     .effect = FELIX_CHANGES_ROUTES,
     .help = "IPv4 address this node uses towards its own pods; empty: the kernel chooses."},
    {.name = "DeviceRouteSourceAddressIPv6",
     .env = "FELIX_DEVICEROUTESOURCEADDRESSIPV6",
     .type = SETTING_TEXT,
     AT(route_source6),
     .initial = "",
     .check = check_ip6,
     .effect = FELIX_CHANGES_ROUTES,
     .help = "The same for IPv6."},
    {.name = "IPv4NormalRoutePriority",
     .env = "FELIX_IPV4NORMALROUTEPRIORITY",
     .type = SETTING_U32,
     AT(route_metric),
     .initial = "1024",
     .min = 1,
     .max = 2147483646,
     .effect = FELIX_CHANGES_ROUTES,
     .help = "Metric of pod routes; the new one is there before the old one goes."},
    {.name = "IPv6NormalRoutePriority",
     .env = "FELIX_IPV6NORMALROUTEPRIORITY",
     .type = SETTING_U32,
     AT(route_metric6),
     .initial = "1024",
     .min = 1,
     .max = 2147483646,
     .effect = FELIX_CHANGES_ROUTES,
     .help = "The same for IPv6."},
    {.name = "InterfaceExclude",
     .env = "FELIX_INTERFACEEXCLUDE",
     .type = SETTING_TEXT,
     AT(excluded_interfaces),
     .initial = "kube-ipvs0",
     .effect = FELIX_CHANGES_NODE,
     .help = "Interfaces that are no host endpoint: names or /regular expressions/, separated by "
             "commas."},
    {.name = "MTUIfacePattern",
     .env = "FELIX_MTUIFACEPATTERN",
     .type = SETTING_TEXT,
     AT(mtu_interfaces),
     .initial = "",
     .check = check_regex,
     .effect = FELIX_CHANGES_NODE,
     .help = "Pods get the smallest MTU of the interfaces this matches; empty: that of the "
             "interface with the node's address."},
    {.name = "IptablesPostWriteCheckInterval",
     .env = "FELIX_IPTABLESPOSTWRITECHECKINTERVALSECS",
     .type = SETTING_DURATION,
     AT(iptables_recheck_ms),
     .initial = "5s",
     .effect = FELIX_CHANGES_TABLES,
     .help = "How long after a write rules are read back, where the kernel does not tell."},
    {.name = "IptablesLockProbeInterval",
     .env = "FELIX_IPTABLESLOCKPROBEINTERVALMILLIS",
     .type = SETTING_MILLIS,
     AT(iptables_lock_probe_ms),
     .initial = "50",
     .effect = FELIX_CHANGES_TABLES,
     .help = "How often the xtables lock is tried for (iptables-legacy before 1.8.8; later ones "
             "wait for it without trying again)."},
    {.name = "FeatureDetectOverride",
     .env = "FELIX_FEATUREDETECTOVERRIDE",
     .type = SETTING_TEXT,
     AT(feature_overrides),
     .initial = "",
     .check = check_features,
     .effect = FELIX_CHANGES_RULES,
     .help =
         "MASQFullyRandom=false, SNATFullyRandom=false, separated by commas: ports of what leaves "
         "the cluster are not chosen at random; true: they are, though trying says that iptables "
         "cannot."},
    {.name = "NetlinkTimeout",
     .env = "FELIX_NETLINKTIMEOUTSECS",
     .type = SETTING_SECONDS,
     AT(netlink_timeout_s),
     .initial = "10",
     .min = 1,
     .max = 600,
     .effect = FELIX_STARTS_ANEW,
     .help = "How long to wait for an answer of the kernel."},
    {.name = "DataplaneWatchdogTimeout",
     .env = "FELIX_DATAPLANEWATCHDOGTIMEOUT",
     .type = SETTING_DURATION,
     AT(watchdog_ms),
     .initial = "90s",
     .effect = FELIX_TAKES_UP,
     .help = "When reading or writing rules takes longer, /liveness fails and kubelet begins felix "
             "anew; 0: never."},
    {.name = "HealthEnabled",
     .env = "FELIX_HEALTHENABLED",
     .type = SETTING_BOOL,
     AT(health_enabled),
     .initial = "true",
     .effect = FELIX_CHANGES_HTTP,
     .help = "Serve /liveness and /readiness."},
    {.name = "HealthHost",
     .env = "FELIX_HEALTHHOST",
     .type = SETTING_TEXT,
     AT(health_host),
     .initial = "localhost",
     .effect = FELIX_CHANGES_HTTP,
     .help = "Address to serve health on."},
    {.name = "HealthPort",
     .env = "FELIX_HEALTHPORT",
     .type = SETTING_U32,
     AT(health_port),
     .initial = "9099",
     .min = 1,
     .max = 65535,
     .effect = FELIX_CHANGES_HTTP,
     .help = "Port to serve health on."},
    {.name = "PrometheusMetricsEnabled",
     .env = "FELIX_PROMETHEUSMETRICSENABLED",
     .type = SETTING_BOOL,
     AT(metrics_enabled),
     .initial = "true",
     .effect = FELIX_CHANGES_HTTP,
     .help = "Serve /metrics."},
    {.name = "PrometheusMetricsHost",
     .env = "FELIX_PROMETHEUSMETRICSHOST",
     .type = SETTING_TEXT,
     AT(metrics_host),
     .initial = "localhost",
     .effect = FELIX_CHANGES_HTTP,
     .help = "Address to serve metrics on."},
    {.name = "PrometheusMetricsPort",
     .env = "FELIX_PROMETHEUSMETRICSPORT",
     .type = SETTING_U32,
     AT(metrics_port),
     .initial = "9091",
     .min = 1,
     .max = 65535,
     .effect = FELIX_CHANGES_HTTP,
     .help = "Port to serve metrics on."},
    {.name = "LogSeverityScreen",
     .env = "FELIX_LOGSEVERITYSCREEN",
     .type = SETTING_TEXT,
     AT(log_level),
     .initial = "info",
     .check = check_level,
     .effect = FELIX_CHANGES_LOG,
     .help = "error, warn, info or debug."},
    {.name = "LogFilePath",
     .env = "FELIX_LOGFILEPATH",
     .type = SETTING_TEXT,
     AT(log_file),
     .initial = "",
     .check = check_path,
     .is_local = true,
     .help = "File that the log is appended to as well; empty: none. Rotate it by copying."},
    {.name = "LogSeverityFile",
     .env = "FELIX_LOGSEVERITYFILE",
     .type = SETTING_TEXT,
     AT(log_file_level),
     .initial = "info",
     .check = check_level,
     .effect = FELIX_CHANGES_LOG,
     .help = "The level of that file."},
    {.name = "LogSeveritySys",
     .env = "FELIX_LOGSEVERITYSYS",
     .type = SETTING_TEXT,
     AT(log_syslog_level),
     .initial = "",
     .check = check_level_or_none,
     .effect = FELIX_CHANGES_LOG,
     .help = "The level of what goes to the system's log as well; empty: nothing."},
    {.name = "LogDebugFilenameRegex",
     .env = "FELIX_LOGDEBUGFILENAMEREGEX",
     .type = SETTING_TEXT,
     AT(log_debug_modules),
     .initial = "",
     .check = check_regex,
     .effect = FELIX_CHANGES_LOG,
     .help = "Of the level debug, only lines of modules (the word behind the level) that match."},
    {.name = "LogFormat",
     .env = "CANAL_LOG_FORMAT",
     .type = SETTING_CHOICE,
     AT(log_format),
     .initial = "text",
     .choices = formats,
     .effect = FELIX_CHANGES_LOG,
     .help = "Lines for people or JSON lines."},
};

_Static_assert(ARRAY_LEN(rows) <= FELIX_SETTINGS_MAX, "struct felix_settings has too few 'given'");

const struct settings_spec felix_settings_spec = {
    .program = "canal-felix",
    .summary =
        "keeps this node's pod routes, tunnel, NAT and anti-spoofing as the cluster wants them",
    .file_env = "FELIX_CONFIG",
    .file = "/etc/calico/felix.cfg",
    .env_prefix = "FELIX_",
    .restarts = FELIX_STARTS_ANEW,
    .given = offsetof(struct felix_settings, given),
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
};
