/* Collects the objects, asks pools.c and peers.c, and puts the context together. Called by
 * confd.c at every change. */
#include "confd/context/context.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confd/context/parts.h"
#include "confd/quote.h"
#include "lib/base/alloc.h"
#include "lib/model/store.h"

void
issue(const struct build *build, const char *format, ...)
{
    AUTO(str) struct str text = STR_INIT;
    struct err err = ERR_INIT;
    va_list args;

    va_start(args, format);
    str_vaddf(&text, format, args);
    va_end(args);
    (void)err_set(&err, "%s", str_text(&text));
    kind_issue(build->issues, &err);
}

void
put(struct json_object *object, const char *key, struct json_object *value)
{
    /* Keys are literals: there are twenty per peer, and copying each would cost more than its
     * value. */
    json_object_object_add_ex(object, key, value, JSON_C_OBJECT_ADD_CONSTANT_KEY);
}

void
put_text(struct json_object *object, const char *key, const char *text)
{
    put(object, key, text != NULL ? json_object_new_string(text) : NULL);
}

void
put_int(struct json_object *object, const char *key, int64_t value)
{
    put(object, key, json_object_new_int64(value));
}

void
put_bool(struct json_object *object, const char *key, bool value)
{
    put(object, key, json_object_new_boolean(value));
}

struct json_object *
new_list(void)
{
    return json_object_new_array();
}

void
put_ip(struct json_object *object, const char *key, const struct ip *ip)
{
    char text[IP_TEXT_MAX];

    put_text(object, key, ip_format(ip, text));
}

void
put_prefix(struct json_object *object, const char *key, const struct prefix *prefix)
{
    char text[PREFIX_TEXT_MAX];

    put_text(object, key, prefix_format(prefix, text));
}

void
put_origin(struct json_object *object, const char *format, ...)
{
    AUTO(str) struct str text = STR_INIT;
    AUTO(str) struct str safe = STR_INIT;
    va_list args;

    va_start(args, format);
    str_vaddf(&text, format, args);
    va_end(args);
    quote_comment(str_text(&text), &safe);
    /* The template engine refuses double quotes wherever they stand. */
    for (size_t i = 0; i < safe.len; i++) {
        safe.text[i] = safe.text[i] == '"' ? '\'' : safe.text[i];
    }
    put_text(object, "origin", str_text(&safe));
}

const char *
family_name(uint8_t family)
{
    return family == 4 ? "ipv4" : "ipv6";
}

uint32_t
node_as(const struct build *build, const struct node *node)
{
    if (node->asn != 0) {
        return node->asn;
    }
    char name[300];
    snprintf(name, sizeof name, "node.%s", node->name);
    const struct bgp_configuration *own = store_get(build->store, KIND_BGPCONFIGURATION, name);
    if (own != NULL && own->has_as_number) {
        return own->as_number;
    }
    return build->global != NULL && build->global->has_as_number ? build->global->as_number
                                                                 : build->spec->default_as;
}

uint16_t
node_port(const struct build *build, const struct node *node)
{
    char name[300];

    snprintf(name, sizeof name, "node.%s", node->name);
    const struct bgp_configuration *own = store_get(build->store, KIND_BGPCONFIGURATION, name);
    if (own != NULL && own->has_listen_port) {
        return own->listen_port;
    }
    return build->global != NULL && build->global->has_listen_port ? build->global->listen_port
                                                                   : BGP_PORT;
}

struct sortable {
    const char *key;
    const void *object;
};

static int
compare_keys(const void *a, const void *b)
{
    return strcmp(((const struct sortable *)a)->key, ((const struct sortable *)b)->key);
}

/* All objects of a kind by key; the caller frees the array. */
static const void **
collect(const struct store *store, enum kind kind, size_t *ret_n)
{
    size_t n = store_count(store, kind);
    struct sortable *sorted = xcalloc(n + 1, sizeof(*sorted));
    const void **objects = xcalloc(n + 1, sizeof(*objects));

    for (size_t i = 0; i < n; i++) {
        sorted[i] = (struct sortable){.key = store_key_at(store, kind, i),
                                      .object = store_at(store, kind, i)};
    }
    qsort(sorted, n, sizeof(*sorted), compare_keys);
    for (size_t i = 0; i < n; i++) {
        objects[i] = sorted[i].object;
    }
    free(sorted);
    *ret_n = n;
    return objects;
}

/* Keeps those of 'pools' that overlap none kept before. */
static void
keep_pools(struct build *build, const struct ippool **pools, size_t n, bool is_disabled)
{
    for (size_t i = 0; i < n; i++) {
        const struct ippool *pool = pools[i], *other = NULL;
        if (pool->is_disabled != is_disabled) {
            continue;
        }
        for (size_t j = 0; j < build->n_pools && other == NULL; j++) {
            if (prefix_overlaps(&pool->cidr, &build->pools[j]->cidr)) {
                other = build->pools[j];
            }
        }
        if (other != NULL) {
            issue(build, "IPPool %s: spec.cidr: overlaps IPPool %s; %s is left out", pool->name,
                  other->name, pool->name);
        } else {
            build->pools[build->n_pools++] = pool;
        }
    }
}

/* Overlapping pools would make the way of a packet depend on their order: the first by name is
 * used. A disabled one stands behind all others, whatever its name: laid over a wide range to keep
 * it from masquerading it may contain the pods' own pool. */
static void
pools_select(struct build *build)
{
    size_t n = build->n_pools;
    AUTO_FREE const struct ippool **all = xmemdup(build->pools, n * sizeof(*all));

    build->n_pools = 0;
    keep_pools(build, all, n, false);
    keep_pools(build, all, n, true);
}

/* BIRD wants an IPv4-shaped number. A node without IPv4 gets one from its name, as Calico's
 * CALICO_ROUTER_ID=hash. */
static void
put_router_id(const struct build *build, struct json_object *context)
{
    struct prefix address = node_address(build->self, 4);
    uint32_t hash = 2166136261u;

    if (address.ip.family == 0) {
        for (const char *c = build->self->name; *c != '\0'; c++) {
            hash = (hash ^ (uint8_t)*c) * 16777619u;
        }
        uint8_t bytes[4] = {(uint8_t)(hash >> 24), (uint8_t)(hash >> 16), (uint8_t)(hash >> 8),
                            (uint8_t)hash};
        bytes[0] = (uint8_t)(1 + bytes[0] % 223);
        address.ip = ip_from_bytes(4, bytes);
    }
    put_ip(context, "router_id", &address.ip);
}

static const char *
log_classes(const struct build *build)
{
    static const char *const levels[][2] = {
        {"debug", "all"},
        {"info", "{ info, remote, warning, error, auth, fatal, bug }"},
        {"warning", "{ warning, error, auth, fatal, bug }"},
        {"error", "{ error, auth, fatal, bug }"},
        {"fatal", "{ fatal, bug }"},
    };
    const struct bgp_configuration *from =
        build->per_node != NULL && build->per_node->has_log_severity ? build->per_node
                                                                     : build->global;

    if (from != NULL && from->has_log_severity) {
        for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
            if (strcasecmp(levels[i][0], from->log_severity) == 0) {
                return levels[i][1];
            }
        }
        issue(build, "BGPConfiguration %s: spec.logSeverityScreen: '%.32s' is not known",
              from->name, from->log_severity);
    }
    return levels[1][1];
}

/* "eth*", "docker0": what BIRD takes as an interface pattern. */
static bool
is_interface_pattern(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                              "_.:@-*?");
    return len > 0 && len < 16 && text[len] == '\0';
}

static struct json_object *
ignored_interfaces(const struct build *build)
{
    static const char *const always[] = {"cali*", "kube-ipvs*", "tunl0"};
    struct json_object *list = new_list();
    const struct bgp_configuration *from =
        build->per_node != NULL && build->per_node->n_ignored_interfaces > 0 ? build->per_node
                                                                             : build->global;

    for (size_t i = 0; i < ARRAY_LEN(always); i++) {
        json_object_array_add(list, json_object_new_string(always[i]));
    }
    for (size_t i = 0; from != NULL && i < from->n_ignored_interfaces; i++) {
        if (is_interface_pattern(from->ignored_interfaces[i])) {
            json_object_array_add(list, json_object_new_string(from->ignored_interfaces[i]));
        } else {
            issue(build,
                  "BGPConfiguration %s: spec.ignoredInterfaces[%zu]: is not a pattern of "
                  "interface names",
                  from->name, i);
        }
    }
    return list;
}

static struct json_object *
includes_context(const struct build *build)
{
    struct json_object *list = new_list();
    struct err err = ERR_INIT;

    for (size_t i = 0; build->spec->includes != NULL && build->spec->includes[i] != NULL; i++) {
        if (!quote_string_ok(build->spec->includes[i], &err)) {
            issue(build, "local addition: %s", err.text);
            continue;
        }
        struct json_object *item = json_object_new_object();
        put_text(item, "path", build->spec->includes[i]);
        json_object_array_add(list, item);
    }
    return list;
}

static void
build_done(struct build *build)
{
    free(build->nodes);
    free(build->peers);
    free(build->pools);
}

bool
context_build(const struct store *store, const struct context_spec *spec,
              const struct kind_issues *issues, struct json_object **ret_context, struct err *err)
{
    AUTO(build) struct build build = {.store = store, .spec = spec, .issues = issues};
    char name[300];

    build.self = store_get(store, KIND_NODE, spec->node_name);
    if (build.self == NULL) {
        return err_set(err, "Node %s is not in the API", spec->node_name);
    }
    snprintf(name, sizeof name, "node.%s", spec->node_name);
    build.global = store_get(store, KIND_BGPCONFIGURATION, "default");
    build.per_node = store_get(store, KIND_BGPCONFIGURATION, name);
    build.nodes = (const struct node **)collect(store, KIND_NODE, &build.n_nodes);
    build.peers = (const struct bgp_peer **)collect(store, KIND_BGPPEER, &build.n_peers);
    build.pools = (const struct ippool **)collect(store, KIND_IPPOOL, &build.n_pools);
    build.self_as = node_as(&build, build.self);
    pools_select(&build);

    struct json_object *context = json_object_new_object();
    put_text(context, "node", build.self->name);
    put_text(context, "log_classes", log_classes(&build));
    put_router_id(&build, context);
    put_int(context, "graceful_restart_wait_s", spec->graceful_restart_s);
    put(context, "ignored_interfaces", ignored_interfaces(&build));
    struct json_object *families = families_context(&build);
    put(context, "families", families);
    put(context, "peers", peers_context(&build, families));
    put(context, "includes", includes_context(&build));
    *ret_context = context;
    return true;
}
