/* felix's settings, one row each in settings.c; names are Calico's where the meaning is equal. */
#pragma once

#include "lib/settings/settings.h"

enum felix_backend {
    FELIX_BACKEND_AUTO,
    FELIX_BACKEND_LEGACY,
    FELIX_BACKEND_NFT
};

/* What a changed setting wants done. */
enum felix_effect {
    FELIX_TAKES_UP = 1,        /* nothing: it is read whenever it is needed */
    FELIX_CHANGES_LOG = 2,     /* log_setup() */
    FELIX_CHANGES_RULES = 4,   /* a new rules_config */
    FELIX_CHANGES_SETS = 8,    /* the sets that do not come from policy */
    FELIX_CHANGES_ROUTES = 16, /* pod routes */
    FELIX_CHANGES_NODE = 32,   /* MTU, tunnel, forwarding, host endpoints' interfaces */
    FELIX_CHANGES_TABLES = 64, /* how rules are written */
    FELIX_CHANGES_HTTP = 128,  /* where health and metrics are served */
    FELIX_CHANGES_DROPS = 256, /* the group that felix listens to */
    FELIX_STARTS_ANEW = 512,   /* all else: felix ends and begins, in the same process */
};

#define FELIX_SETTINGS_MAX 128

struct felix_settings {
    char *node_name;
    char *felix_hostname; /* Calico's name of the same */
    char *kubeconfig;
    char *run_dir;
    char *state_dir;
    char *address_dir;
    char *status_dir; /* "": no files */
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
    unsigned ipip; /* 0 as pools have it, 1 on, 2 off */
    char *ipip_address;
    uint32_t ipip_mtu;
    unsigned program_cluster_routes; /* there is one choice */
    bool ip_forwarding;
    char *external_nodes;
    bool health_enabled;
    char *health_host;
    uint32_t health_port;
    bool metrics_enabled;
    char *metrics_host;
    uint32_t metrics_port;

    /* policy */
    unsigned to_host_action;                           /* enum rules_action */
    uint32_t mark_mask;                                /* has the bits that policy needs */
    unsigned filter_allow_action, mangle_allow_action; /* 0 accept, 1 return */
    unsigned deny_action;                              /* 0 drop, 1 reject */
    char *log_prefix;
    char *log_limit; /* "10/minute", "none" or "" */
    uint32_t log_burst;
    char *failsafe_in, *failsafe_out; /* for failsafe_ports_parse() */
    unsigned source_spoofing;         /* 0 off, 1 any */
    unsigned floating_ips;            /* 0 off, 1 on */
    bool keeps_invalid;
    unsigned service_loop; /* 0 drop, 1 reject, 2 nothing is done */
    bool allows_ipip_from_pods, allows_vxlan_from_pods;
    bool revokes_connections;
    uint32_t drop_log_group; /* 0: none */
    char *drop_log_limit;
    uint32_t drop_log_burst;

    /* NAT */
    char *nat_address;       /* an IPv4 address, "none" or "" */
    char *nat_ports;         /* "1024:65535", "none" or "" */
    char *node_ports;        /* "30000:32767,…", "none" or "" */
    char *nat_interface;     /* "eth+", "none" or "" */
    unsigned nat_exclusions; /* 0 pools, 1 pools and nodes */

    /* routes and interfaces */
    bool no_route_sync;
    bool removes_foreign_routes;
    char *route_source, *route_source6; /* addresses, "none" or "" */
    uint32_t route_metric, route_metric6;
    char *excluded_interfaces; /* "kube-ipvs0,/^veth/" */
    char *mtu_interfaces;      /* a regular expression; "": the node address's interface */

    uint64_t iptables_recheck_ms; /* after a write */
    uint64_t iptables_lock_probe_ms;
    char *feature_overrides; /* for feature_overrides_parse() */
    uint32_t netlink_timeout_s;
    uint64_t watchdog_ms; /* 0: none */
    char *log_level;
    char *log_file; /* a path or "" */
    char *log_file_level;
    char *log_syslog_level; /* "": nothing goes there */
    char *log_debug_modules;
    unsigned log_format; /* 0 text, 1 json */

    bool given[FELIX_SETTINGS_MAX]; /* by row: FelixConfiguration cannot overrule it */
};

extern const struct settings_spec felix_settings_spec;
