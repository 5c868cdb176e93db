/* The table of felix's settings. */
#include "felix/settings.h"

#include <stddef.h>
#include <string.h>

#include "felix/node/detect.h"
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

static bool
check_interface_prefix(const char *value, struct err *err)
{
    size_t len = strlen(value);

    /* It is followed by 11 digits in 15 characters and stands in iptables rules. */
    return (len > 0 && len <= 4 && strspn(value, "abcdefghijklmnopqrstuvwxyz") == len) ||
           err_set(err, "'%.32s' is not one to four lower-case letters", value);
}

static const char *const backends[] = {"auto", "legacy", "nft", NULL};
static const char *const insert_modes[] = {"insert", "append", NULL};
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
     .help = "What names of workload interfaces begin with."},
    {.name = "Ipv6Support",
     .env = "FELIX_IPV6SUPPORT",
     .type = SETTING_BOOL,
     AT(ipv6),
     .initial = "true",
     .help = "IPv6 rules, sets and routes."},
    {.name = "ChainInsertMode",
     .env = "FELIX_CHAININSERTMODE",
     .type = SETTING_CHOICE,
     AT(chain_insert_mode),
     .initial = "insert",
     .choices = insert_modes,
     .help = "Whether hooks go in front of other rules or behind them."},
    {.name = "IptablesBackend",
     .env = "FELIX_IPTABLESBACKEND",
     .type = SETTING_CHOICE,
     AT(iptables_backend),
     .initial = "auto",
     .choices = backends,
     .help = "auto: where kubelet and kube-proxy left their rules."},
    {.name = "IptablesRefreshInterval",
     .env = "FELIX_IPTABLESREFRESHINTERVAL",
     .type = SETTING_DURATION,
     AT(iptables_refresh_ms),
     .initial = "180s",
     .help = "How often rules are read back; with the nft backend changes are seen at once."},
    {.name = "IpsetsRefreshInterval",
     .env = "FELIX_IPSETSREFRESHINTERVAL",
     .type = SETTING_DURATION,
     AT(ipsets_refresh_ms),
     .initial = "90s",
     .help = "How often ipsets are read back."},
    {.name = "RouteRefreshInterval",
     .env = "FELIX_ROUTEREFRESHINTERVAL",
     .type = SETTING_DURATION,
     AT(route_refresh_ms),
     .initial = "90s",
     .help = "How often pod routes are read back; deletions are seen at once."},
    {.name = "InterfaceRefreshInterval",
     .env = "FELIX_INTERFACEREFRESHINTERVAL",
     .type = SETTING_DURATION,
     AT(interface_refresh_ms),
     .initial = "90s",
     .help = "How often tunl0 and interface settings are looked at; changes are seen at once."},
    {.name = "IptablesLockTimeout",
     .env = "FELIX_IPTABLESLOCKTIMEOUTSECS",
     .type = SETTING_U32,
     AT(iptables_lock_s),
     .initial = "10",
     .min = 1,
     .max = 600,
     .help = "Seconds to wait for the xtables lock."},
    {.name = "MaxIpsetSize",
     .env = "FELIX_MAXIPSETSIZE",
     .type = SETTING_U32,
     AT(max_ipset_size),
     .initial = "1048576",
     .min = 1024,
     .max = 16777216,
     .help = "Members an ipset may hold."},
    {.name = "DeviceRouteProtocol",
     .env = "FELIX_DEVICEROUTEPROTOCOL",
     .type = SETTING_U32,
     AT(route_protocol),
     .initial = "3",
     .min = 1,
     .max = 255,
     .help = "Protocol number of pod routes, by which felix knows its own."},
    {.name = "IpInIpMtu",
     .env = "FELIX_IPINIPMTU",
     .type = SETTING_U32,
     AT(ipip_mtu),
     .initial = "0",
     .max = 65535,
     .help = "MTU of tunl0; 0: that of the node's interface less 20."},
    {.name = "IPForwarding",
     .env = "FELIX_IPFORWARDING",
     .type = SETTING_BOOL,
     AT(ip_forwarding),
     .initial = "Enabled",
     .help = "Keep forwarding switched on."},
    {.name = "ExternalNodesCIDRList",
     .env = "FELIX_EXTERNALNODESCIDRLIST",
     .type = SETTING_TEXT,
     AT(external_nodes),
     .initial = "",
     .help = "Comma-separated prefixes outside the cluster that may send IPIP."},
    {.name = "HealthEnabled",
     .env = "FELIX_HEALTHENABLED",
     .type = SETTING_BOOL,
     AT(health_enabled),
     .initial = "true",
     .help = "Serve /liveness and /readiness."},
    {.name = "HealthHost",
     .env = "FELIX_HEALTHHOST",
     .type = SETTING_TEXT,
     AT(health_host),
     .initial = "localhost",
     .help = "Address to serve health on."},
    {.name = "HealthPort",
     .env = "FELIX_HEALTHPORT",
     .type = SETTING_U32,
     AT(health_port),
     .initial = "9099",
     .min = 1,
     .max = 65535,
     .help = "Port to serve health on."},
    {.name = "PrometheusMetricsEnabled",
     .env = "FELIX_PROMETHEUSMETRICSENABLED",
     .type = SETTING_BOOL,
     AT(metrics_enabled),
     .initial = "true",
     .help = "Serve /metrics."},
    {.name = "PrometheusMetricsHost",
     .env = "FELIX_PROMETHEUSMETRICSHOST",
     .type = SETTING_TEXT,
     AT(metrics_host),
     .initial = "localhost",
     .help = "Address to serve metrics on."},
    {.name = "PrometheusMetricsPort",
     .env = "FELIX_PROMETHEUSMETRICSPORT",
     .type = SETTING_U32,
     AT(metrics_port),
     .initial = "9091",
     .min = 1,
     .max = 65535,
     .help = "Port to serve metrics on."},
    {.name = "LogSeverityScreen",
     .env = "FELIX_LOGSEVERITYSCREEN",
     .type = SETTING_TEXT,
     AT(log_level),
     .initial = "info",
     .check = check_level,
     .help = "error, warn, info or debug."},
    {.name = "LogFormat",
     .env = "CANAL_LOG_FORMAT",
     .type = SETTING_CHOICE,
     AT(log_format),
     .initial = "text",
     .choices = formats,
     .help = "Lines for people or JSON lines."},
};

const struct settings_spec felix_settings_spec = {
    .program = "canal-felix",
    .summary =
        "keeps this node's pod routes, tunnel, NAT and anti-spoofing as the cluster wants them",
    .file_env = "FELIX_CONFIG",
    .file = "/etc/calico/felix.cfg",
    .env_prefix = "FELIX_",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
};
