/* A Pod as it stands in its text: what pod_decode() would look at, found without a tree. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/json/plain.h"
#include "lib/net/ip.h"

#define POD_TEXT_LABELS_MAX 48
#define POD_TEXT_PORTS_MAX 24

struct pod_text_label {
    struct json_span key, value;
};

struct pod_text_port {
    struct json_span name; /* text NULL: none */
    struct json_span protocol;
    uint32_t number; /* 0: none */
};

/* Ports of the containers of one list. */
struct pod_text_ports {
    struct pod_text_port items[POD_TEXT_PORTS_MAX];
    size_t n;
};

struct pod_text {
    struct json_span name, ns, version, deleted_at;
    struct pod_text_label labels[POD_TEXT_LABELS_MAX]; /* in the order of the text */
    size_t n_labels;
    struct json_span annotated_ips, annotated_ip;
    struct json_span node_name, service_account;
    bool is_host_network;
    struct pod_text_ports containers, sidecars;
    struct json_span phase, ip;
    struct ip ip4, ip6; /* of status.podIPs; family 0: none */
    bool has_ips;       /* the list has an item */
};

/* False: the text is not plain, or not plainly a Pod. The spans point into 'text'. */
bool pod_text_read(const char *text, size_t len, struct pod_text *ret_pod);
/* The first address of each family stays. False: not an address. */
bool pod_text_add_ip(struct pod_text *pod, struct json_span text);
