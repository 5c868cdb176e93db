/* Decodes crd.projectcalico.org/v1 BGPConfiguration. What sessions depend on (AS number, mesh,
 * port) refuses the whole object, so the last good one stays; the rest is left out and reported. */
#include "lib/model/bgp_configuration.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/parse.h"
#include "lib/model/field.h"
#include "lib/model/kind.h"
#include "lib/model/meta.h"

/* asNumber is a number or, as Calico's v3 API allows, text in either notation. */
static bool
as_number_decode(struct json_object *json, struct bgp_configuration *config, struct err *err)
{
    struct json_object *value = field_find(json, "spec.asNumber");
    int64_t number = 0;

    if (json_object_is_type(value, json_type_string)) {
        config->has_as_number = true;
        return parse_asn(json_object_get_string(value), &config->as_number, err) ||
               err_wrap(err, "spec.asNumber");
    }
    if (!field_int(json, "spec.asNumber", (struct field_range){1, UINT32_MAX}, &number,
                   &config->has_as_number, err)) {
        return false;
    }
    config->as_number = (uint32_t)number;
    return true;
}

/* A list of {cidr: ...}; bad items are reported and left out. */
static void
cidrs_decode(struct json_object *json, const char *path, struct prefix **ret_cidrs, size_t *ret_n,
             const struct kind_issues *issues)
{
    struct json_object *array = NULL;
    struct err err = ERR_INIT;

    if (!field_array(json, path, &array, &err)) {
        kind_issue(issues, &err);
    }
    size_t n = array != NULL ? json_object_array_length(array) : 0;
    struct prefix *cidrs = n > 0 ? xcalloc(n, sizeof(*cidrs)) : NULL;
    size_t n_good = 0;
    for (size_t i = 0; i < n; i++) {
        const char *text = NULL;
        if (!field_text(json_object_array_get_idx(array, i), "cidr", &text, &err) ||
            !prefix_parse(text != NULL ? text : "", &cidrs[n_good], &err)) {
            (void)err_wrap(&err, "%s[%zu].cidr", path, i);
            kind_issue(issues, &err);
        } else {
            n_good++;
        }
    }
    *ret_cidrs = cidrs;
    *ret_n = n_good;
}

/* "a:b" of 16 bits each (RFC 1997) or "a:b:c" of 32 bits each (RFC 8092). */
static bool
is_community(const char *text)
{
    AUTO_FREE char *copy = xstrdup(text);
    char *rest = copy;
    uint32_t parts[3];
    size_t n = 0;

    for (char *part = strsep(&rest, ":"); part != NULL; part = strsep(&rest, ":")) {
        if (n == 3 || !parse_u32(part, 0, UINT32_MAX, &parts[n++], NULL)) {
            return false;
        }
    }
    return n == 3 || (n == 2 && parts[0] <= UINT16_MAX && parts[1] <= UINT16_MAX);
}

static void
communities_decode(struct json_object *json, struct bgp_configuration *config,
                   const struct kind_issues *issues)
{
    struct json_object *array = NULL;
    struct err err = ERR_INIT;

    if (!field_array(json, "spec.communities", &array, &err)) {
        kind_issue(issues, &err);
    }
    size_t n = array != NULL ? json_object_array_length(array) : 0;
    config->communities = n > 0 ? xcalloc(n, sizeof(*config->communities)) : NULL;
    for (size_t i = 0; i < n; i++) {
        struct json_object *item = json_object_array_get_idx(array, i);
        struct bgp_community *community = &config->communities[config->n_communities];
        const char *name = NULL, *value = NULL;

        if (!field_text(item, "name", &name, NULL) || !field_text(item, "value", &value, NULL) ||
            name == NULL || value == NULL || !is_community(value)) {
            (void)err_set(&err, "spec.communities[%zu]: is not a name and a value like 64512:1", i);
            kind_issue(issues, &err);
            continue;
        }
        community->name = xstrdup(name);
        community->value = xstrdup(value);
        config->n_communities++;
    }
}

static void
advertisements_decode(struct json_object *json, struct bgp_configuration *config,
                      const struct kind_issues *issues)
{
    struct json_object *array = NULL;
    struct err err = ERR_INIT;

    if (!field_array(json, "spec.prefixAdvertisements", &array, &err)) {
        kind_issue(issues, &err);
    }
    size_t n = array != NULL ? json_object_array_length(array) : 0;
    config->advertisements = n > 0 ? xcalloc(n, sizeof(*config->advertisements)) : NULL;
    for (size_t i = 0; i < n; i++) {
        struct json_object *item = json_object_array_get_idx(array, i);
        struct bgp_advertisement *to = &config->advertisements[config->n_advertisements];
        const char *cidr = NULL;

        if (!field_text(item, "cidr", &cidr, &err) ||
            !prefix_parse(cidr != NULL ? cidr : "", &to->cidr, &err) ||
            !field_copy_texts(item, "communities", &to->communities, &to->n_communities, &err)) {
            (void)err_wrap(&err, "spec.prefixAdvertisements[%zu]", i);
            kind_issue(issues, &err);
            continue;
        }
        config->n_advertisements++;
    }
}

static void
rest_decode(struct json_object *json, struct bgp_configuration *config,
            const struct kind_issues *issues)
{
    const char *restart = NULL;
    struct err err = ERR_INIT;

    if (!field_copy(json, "spec.logSeverityScreen", &config->log_severity, &err)) {
        kind_issue(issues, &err);
    }
    config->has_log_severity = config->log_severity != NULL;
    cidrs_decode(json, "spec.serviceClusterIPs", &config->service_cluster_ips,
                 &config->n_service_cluster_ips, issues);
    cidrs_decode(json, "spec.serviceExternalIPs", &config->service_external_ips,
                 &config->n_service_external_ips, issues);
    cidrs_decode(json, "spec.serviceLoadBalancerIPs", &config->service_load_balancer_ips,
                 &config->n_service_load_balancer_ips, issues);
    communities_decode(json, config, issues);
    advertisements_decode(json, config, issues);
    if (!field_text(json, "spec.nodeMeshMaxRestartTime", &restart, &err) ||
        (restart != NULL && !parse_duration_ms(restart, &config->mesh_max_restart_ms, &err))) {
        (void)err_wrap(&err, "spec.nodeMeshMaxRestartTime");
        kind_issue(issues, &err);
    }
    if (!field_copy(json, "spec.bindMode", &config->bind_mode, &err)) {
        kind_issue(issues, &err);
    }
    if (config->bind_mode != NULL && strcmp(config->bind_mode, "NodeIP") != 0 &&
        strcmp(config->bind_mode, "None") != 0) {
        (void)err_set(&err, "spec.bindMode: '%.64s' is not NodeIP or None", config->bind_mode);
        kind_issue(issues, &err);
        free(config->bind_mode);
        config->bind_mode = NULL;
    }
    if (!field_copy_texts(json, "spec.ignoredInterfaces", &config->ignored_interfaces,
                          &config->n_ignored_interfaces, &err)) {
        kind_issue(issues, &err);
    }
    config->has_mesh_password = field_find(json, "spec.nodeMeshPassword") != NULL;
}

void *
bgp_configuration_decode(struct json_object *json, const struct kind_issues *issues,
                         struct err *err)
{
    struct bgp_configuration *config = NEW(struct bgp_configuration);
    int64_t port = 0;

    if (!meta_name(json, &config->name, err) || !as_number_decode(json, config, err) ||
        !field_bool(json, "spec.nodeToNodeMeshEnabled", &config->is_node_mesh_enabled,
                    &config->has_node_mesh, err) ||
        !field_int(json, "spec.listenPort", (struct field_range){1, UINT16_MAX}, &port,
                   &config->has_listen_port, err)) {
        bgp_configuration_free(config);
        return NULL;
    }
    config->listen_port = (uint16_t)port;
    rest_decode(json, config, issues);
    return config;
}

void
bgp_configuration_free(void *object)
{
    struct bgp_configuration *config = object;

    if (config == NULL) {
        return;
    }
    for (size_t i = 0; i < config->n_communities; i++) {
        free(config->communities[i].name);
        free(config->communities[i].value);
    }
    for (size_t i = 0; i < config->n_advertisements; i++) {
        texts_free(config->advertisements[i].communities, config->advertisements[i].n_communities);
    }
    texts_free(config->ignored_interfaces, config->n_ignored_interfaces);
    free(config->communities);
    free(config->advertisements);
    free(config->service_cluster_ips);
    free(config->service_external_ips);
    free(config->service_load_balancer_ips);
    free(config->log_severity);
    free(config->bind_mode);
    free(config->name);
    free(config);
}

static bool
lists_equal(const struct bgp_configuration *a, const struct bgp_configuration *b)
{
    if (a->n_communities != b->n_communities || a->n_advertisements != b->n_advertisements) {
        return false;
    }
    for (size_t i = 0; i < a->n_communities; i++) {
        if (!text_equal(a->communities[i].name, b->communities[i].name) ||
            !text_equal(a->communities[i].value, b->communities[i].value)) {
            return false;
        }
    }
    for (size_t i = 0; i < a->n_advertisements; i++) {
        const struct bgp_advertisement *x = &a->advertisements[i], *y = &b->advertisements[i];
        if (!prefix_equal(&x->cidr, &y->cidr) ||
            !texts_equal(x->communities, x->n_communities, y->communities, y->n_communities)) {
            return false;
        }
    }
    return prefixes_equal(a->service_cluster_ips, a->n_service_cluster_ips, b->service_cluster_ips,
                          b->n_service_cluster_ips) &&
           prefixes_equal(a->service_external_ips, a->n_service_external_ips,
                          b->service_external_ips, b->n_service_external_ips) &&
           prefixes_equal(a->service_load_balancer_ips, a->n_service_load_balancer_ips,
                          b->service_load_balancer_ips, b->n_service_load_balancer_ips) &&
           texts_equal(a->ignored_interfaces, a->n_ignored_interfaces, b->ignored_interfaces,
                       b->n_ignored_interfaces);
}

bool
bgp_configuration_equal(const void *one, const void *other)
{
    const struct bgp_configuration *a = one, *b = other;

    return text_equal(a->name, b->name) && a->has_as_number == b->has_as_number &&
           a->as_number == b->as_number && a->has_node_mesh == b->has_node_mesh &&
           a->is_node_mesh_enabled == b->is_node_mesh_enabled &&
           a->has_listen_port == b->has_listen_port && a->listen_port == b->listen_port &&
           text_equal(a->log_severity, b->log_severity) &&
           a->mesh_max_restart_ms == b->mesh_max_restart_ms &&
           text_equal(a->bind_mode, b->bind_mode) && a->has_mesh_password == b->has_mesh_password &&
           lists_equal(a, b);
}
