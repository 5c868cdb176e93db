/* Shared by the files of confd/context: the objects in a stable order and what was concluded about
 * this node. Borrowed from the store for one build. */
#pragma once

#include <json-c/json.h>

#include "confd/context/context.h"
#include "lib/model/bgp_configuration.h"
#include "lib/model/bgp_peer.h"
#include "lib/model/ippool.h"
#include "lib/model/kind.h"
#include "lib/model/node.h"

#define BGP_PORT 179
#define RESTART_S 120 /* BIRD's default graceful restart time, and Calico's */

struct build {
    const struct store *store;
    const struct context_spec *spec;
    const struct kind_issues *issues;
    const struct node *self;
    const struct node **nodes; /* by name */
    size_t n_nodes;
    const struct bgp_peer **peers; /* by name */
    size_t n_peers;
    const struct ippool **pools; /* enabled, then disabled, by name; none overlaps an earlier one */
    size_t n_pools;
    const struct bgp_configuration *global;   /* "default"; NULL when absent */
    const struct bgp_configuration *per_node; /* "node.<name>"; NULL when absent */
    uint32_t self_as;
};

void issue(const struct build *build, const char *format, ...) PRINTF_LIKE(2, 3);
/* Setters that take the value. */
void put_text(struct json_object *object, const char *key, const char *text); /* NULL gives null */
void put_int(struct json_object *object, const char *key, int64_t value);
void put_bool(struct json_object *object, const char *key, bool value);
void put(struct json_object *object, const char *key, struct json_object *value);
struct json_object *new_list(void);
void put_ip(struct json_object *object, const char *key, const struct ip *ip);
void put_prefix(struct json_object *object, const char *key, const struct prefix *prefix);
/* "origin": a comment that names the object; the text is made safe. */
void put_origin(struct json_object *object, const char *format, ...) PRINTF_LIKE(2, 3);

uint32_t node_as(const struct build *build, const struct node *node);
uint16_t node_port(const struct build *build, const struct node *node);
const char *family_name(uint8_t family); /* "ipv4", "ipv6" */

/* pools.c: families, blocks, pools, services. peers.c: sessions; 'reachable' gets static routes. */
struct json_object *families_context(struct build *build);
struct json_object *peers_context(struct build *build, struct json_object *families);
