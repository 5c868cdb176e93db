/* projectcalico HostEndpoint: an interface of a node, or all of them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/model/labels.h"
#include "lib/model/named_port.h"
#include "lib/net/prefix.h"

struct kind_issues;

struct host_endpoint {
    char *name;
    char *node;
    char *interface_name; /* "*": all; NULL: the one with one of expected_ips */
    struct ip *expected_ips;
    size_t n_expected_ips;
    struct labels labels;
    char **profiles; /* names; only "projectcalico-default-allow" and kns.* are known */
    size_t n_profiles;
    struct named_port *ports;
    size_t n_ports;
    uint8_t dscp; /* + 1, of what the node sends out of the cluster; 0: none. See pod_asks.h */
};

/* The row of the kind's table, see kind.h. */
void *host_endpoint_decode(struct json_object *json, const struct kind_issues *issues,
                           struct err *err);
void host_endpoint_free(void *object);
bool host_endpoint_equal(const void *a, const void *b);
