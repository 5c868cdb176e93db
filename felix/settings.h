/* felix's settings, one row each in settings.c; names are Calico's where the meaning is equal. */
#pragma once

#include "lib/settings/settings.h"

enum felix_backend {
    FELIX_BACKEND_AUTO,
    FELIX_BACKEND_LEGACY,
    FELIX_BACKEND_NFT
};

struct felix_settings {
    char *node_name;
    char *kubeconfig;
    char *run_dir;
    char *state_dir;
    char *address_dir;
    char *ip, *ip6;
    char *ip_method, *ip6_method;
    char *as_number;
    bool disable_ip_check;
    uint64_t detect_interval_ms;
    unsigned networking_backend; /* 0 bird, 1 none */
    uint64_t unavailable_after_ms;
    char *interface_prefix;
    bool ipv6;
    unsigned chain_insert_mode; /* 0 insert, 1 append */
    unsigned iptables_backend;  /* enum felix_backend */
    uint64_t iptables_refresh_ms, ipsets_refresh_ms, route_refresh_ms, interface_refresh_ms;
    uint32_t iptables_lock_s;
    uint32_t max_ipset_size;
    uint32_t route_protocol;
    uint32_t ipip_mtu;
    bool ip_forwarding;
    char *external_nodes;
    bool health_enabled;
    char *health_host;
    uint32_t health_port;
    bool metrics_enabled;
    char *metrics_host;
    uint32_t metrics_port;
    char *log_level;
    unsigned log_format; /* 0 text, 1 json */
};

extern const struct settings_spec felix_settings_spec;
