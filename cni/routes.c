/* Reads route lists and decides which routes a pod gets. Pure; called by config.c and verbs.c. */
#include "cni/routes.h"

#include <json-c/json.h>

#include "lib/json/json.h"

static bool
read_dst(const struct json_at *at, struct prefix *ret_dst, struct err *err)
{
    const char *text = NULL;

    if (!json_get_string(at, "dst", JSON_REQUIRED, &text, err)) {
        return false;
    }
    if (!prefix_parse_host(text, ret_dst, err)) {
        return json_wrap(at, "dst", err);
    }
    *ret_dst = prefix_network(ret_dst);
    /* The way to the gateway itself: replaced, the pod would reach nothing. */
    if (ret_dst->len == ip_bits(&ret_dst->ip) && ip_is_link_local(&ret_dst->ip)) {
        err_set_code(err, 0, "%s is a link-local address; the pod's gateway is one", text);
        return json_wrap(at, "dst", err);
    }
    return true;
}

static bool
check_gateway(const struct json_at *at, uint8_t family, struct err *err)
{
    const char *text = NULL;
    struct ip gateway;

    if (!json_get_string(at, "gw", JSON_OPTIONAL, &text, err)) {
        return false;
    }
    if (text && !ip_parse(text, &gateway, err)) {
        return json_wrap(at, "gw", err);
    }
    if (text && gateway.family != family) {
        err_set_code(err, 0, "%s is not of the family of dst", text);
        return json_wrap(at, "gw", err);
    }
    return true;
}

static bool
read_number(const struct json_at *at, const char *key, int64_t max, uint32_t *ret_value,
            struct err *err)
{
    int64_t value = 0;

    if (!json_get_int(at, key, (struct json_range){0, max, JSON_OPTIONAL}, &value, err)) {
        return false;
    }
    *ret_value = (uint32_t)value;
    return true;
}

static bool
read_route(const struct json_at *at, struct cni_route *ret_route, struct err *err)
{
    uint32_t scope = 0;

    *ret_route = (struct cni_route){0};
    return json_as_object(at, err) && read_dst(at, &ret_route->dst, err) &&
           check_gateway(at, ret_route->dst.ip.family, err) &&
           read_number(at, "mtu", 65535, &ret_route->mtu, err) &&
           read_number(at, "advmss", 65535, &ret_route->advmss, err) &&
           read_number(at, "priority", UINT32_MAX, &ret_route->priority, err) &&
           read_number(at, "table", UINT32_MAX, &ret_route->table, err) &&
           /* 0 is global; all others mean that dst is on the link. */
           read_number(at, "scope", 0, &scope, err);
}

static bool
is_same_route(const struct cni_route *a, const struct cni_route *b)
{
    return prefix_equal(&a->dst, &b->dst) && a->table == b->table && a->priority == b->priority;
}

static bool
has_route(const struct cni_routes *routes, const struct cni_route *route)
{
    for (size_t i = 0; i < routes->n; i++) {
        if (is_same_route(&routes->items[i], route)) {
            return true;
        }
    }
    return false;
}

bool
routes_read(const struct json_at *list, struct cni_routes *ret_routes, struct err *err)
{
    ret_routes->n = 0;
    for (size_t i = 0; i < json_len(list); i++) {
        struct json_at item = json_item(list, i);
        struct cni_route route;
        if (!read_route(&item, &route, err)) {
            return false;
        }
        if (has_route(ret_routes, &route)) {
            err_set_code(err, 0, "there are two routes to this destination");
            return json_wrap(&item, "dst", err);
        }
        if (ret_routes->n == CNI_ROUTES_MAX) {
            err_set_code(err, 0, "more than %d routes", CNI_ROUTES_MAX);
            return json_wrap(&item, NULL, err);
        }
        ret_routes->items[ret_routes->n++] = route;
    }
    return true;
}

static bool
add_route(struct cni_routes *routes, const struct cni_route *route, struct err *err)
{
    if (has_route(routes, route)) {
        return true;
    }
    if (routes->n == CNI_ROUTES_MAX) {
        return err_code(err, CNI_BAD_CONFIG, "more than %d routes", CNI_ROUTES_MAX);
    }
    routes->items[routes->n++] = *route;
    return true;
}

static bool
has_family(const struct cni_attachment *attachment, uint8_t family)
{
    for (size_t i = 0; i < attachment->n_ips; i++) {
        if (attachment->ips[i].ip.family == family) {
            return true;
        }
    }
    return false;
}

bool
routes_settle(const struct cni_routes *given, bool with_defaults, struct cni_attachment *attachment,
              struct err *err)
{
    static const uint8_t families[] = {4, 6};

    attachment->routes.n = 0;
    attachment->are_routes_given = given->n > 0;
    for (size_t i = 0; i < given->n; i++) {
        if (has_family(attachment, given->items[i].dst.ip.family) &&
            !add_route(&attachment->routes, &given->items[i], err)) {
            return false;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(families) && (given->n == 0 || with_defaults); i++) {
        const struct cni_route route = {.dst = {.ip = {.family = families[i]}}};
        if (has_family(attachment, families[i]) && !add_route(&attachment->routes, &route, err)) {
            return false;
        }
    }
    return true;
}

static void
put_number(struct json_object *item, const char *key, uint32_t value)
{
    if (value > 0) {
        json_object_object_add(item, key, json_object_new_int64(value));
    }
}

struct json_object *
route_to_json(const struct cni_route *route, bool is_1_1)
{
    struct json_object *item = json_object_new_object();
    char text[PREFIX_TEXT_MAX];

    json_object_object_add(item, "dst", json_object_new_string(prefix_format(&route->dst, text)));
    if (is_1_1) {
        put_number(item, "mtu", route->mtu);
        put_number(item, "advmss", route->advmss);
        put_number(item, "priority", route->priority);
        put_number(item, "table", route->table);
    }
    return item;
}
