/* crd.projectcalico.org/v1 BGPPeer. Exactly one of peer_ip and peer_selector is given; selectors
 * have been parsed once and are good. A peer with any bad field is refused whole: half a session is
 * worse than none. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/net/ip.h"

struct json_object;
struct kind_issues;

enum next_hop_mode {
    NEXT_HOP_AUTO, /* eBGP: self; iBGP: kept for what this node did not originate */
    NEXT_HOP_SELF,
    NEXT_HOP_KEEP
};

struct bgp_peer {
    char *name;
    char *node;                       /* spec.node: one node only; NULL */
    char *node_selector;              /* selector text; NULL. node and node_selector NULL: global */
    char *peer_selector;              /* cluster nodes as peers; NULL */
    struct ip peer_ip;                /* family 0 with peer_selector */
    uint16_t peer_port;               /* 0 = the default 179 or the listen port of a cluster node */
    uint32_t as_number;               /* 0 with peer_selector */
    enum next_hop_mode next_hop_mode; /* nextHopMode, or Keep by keepOriginalNextHop */
    bool has_ttl_security;
    uint8_t ttl_security;
    uint8_t num_allowed_local_as;
    bool has_source_address;
    char *source_address;       /* "UseNodeIP" or "None" */
    uint64_t max_restart_ms;    /* maxRestartTime; 0 = default */
    struct ip reachable_by;     /* gateway towards a peer that is not on a connected subnet */
    char *password_secret_name; /* password.secretKeyRef; NULL */
    char *password_secret_key;
    char **filters;
    size_t n_filters;
    uint32_t local_as_number; /* localASNumber; 0 absent */
};

/* The row of the kind's table, see kind.h; equal compares what the struct holds. */
void *bgp_peer_decode(struct json_object *json, const struct kind_issues *issues, struct err *err);
void bgp_peer_free(void *object); /* NULL is fine */
bool bgp_peer_equal(const void *a, const void *b);
