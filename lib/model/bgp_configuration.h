/* crd.projectcalico.org/v1 BGPConfiguration: "default" is cluster-wide, "node.<name>" overrides for
 * one node. Optional scalars carry a has_ flag so that overriding is exact. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/net/prefix.h"

struct json_object;
struct kind_issues;

struct bgp_community {
    char *name;  /* may be NULL for a bare value in prefixAdvertisements */
    char *value; /* validated "a:b" (RFC 1997) or "a:b:c" (RFC 8092) */
};

struct bgp_advertisement {
    struct prefix cidr;
    char **communities; /* names or values, n_communities of them */
    size_t n_communities;
};

struct bgp_configuration {
    char *name;
    bool has_as_number;
    uint32_t as_number;
    bool has_node_mesh;
    bool is_node_mesh_enabled;
    bool has_listen_port;
    uint16_t listen_port;
    bool has_log_severity;
    char *log_severity;
    struct prefix *service_cluster_ips, *service_external_ips, *service_load_balancer_ips;
    size_t n_service_cluster_ips, n_service_external_ips, n_service_load_balancer_ips;
    struct bgp_community *communities;
    size_t n_communities;
    struct bgp_advertisement *advertisements;
    size_t n_advertisements;
    uint64_t mesh_max_restart_ms; /* nodeMeshMaxRestartTime; 0 = default */
    char *bind_mode;              /* "NodeIP", "None" or NULL */
    char **ignored_interfaces;
    size_t n_ignored_interfaces;
    bool has_mesh_password; /* nodeMeshPassword names a Secret */
};

/* The row of the kind's table, see kind.h; equal compares what the struct holds. */
void *bgp_configuration_decode(struct json_object *json, const struct kind_issues *issues,
                               struct err *err);
void bgp_configuration_free(void *object); /* NULL is fine */
bool bgp_configuration_equal(const void *a, const void *b);
