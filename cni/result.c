/* Results and errors as JSON. */
#include "cni/result.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "cni/routes.h"
#include "lib/json/json.h"

static bool
is_before_1_0(const char *version)
{
    return version[0] == '0';
}

static struct json_object *
array_of(struct json_object *result, const char *key)
{
    struct json_object *array = NULL;

    if (!json_object_object_get_ex(result, key, &array) ||
        !json_object_is_type(array, json_type_array)) {
        array = json_object_new_array();
        json_object_object_add(result, key, array);
    }
    return array;
}

static void
add_interface(struct json_object *interfaces, const char *name, const uint8_t mac[6],
              const char *sandbox, uint32_t mtu)
{
    struct json_object *item = json_object_new_object();
    char text[18];

    snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
             mac[4], mac[5]);
    json_object_object_add(item, "name", json_object_new_string(name));
    json_object_object_add(item, "mac", json_object_new_string(text));
    if (sandbox) {
        json_object_object_add(item, "sandbox", json_object_new_string(sandbox));
    }
    if (mtu > 0) {
        json_object_object_add(item, "mtu", json_object_new_int64(mtu));
    }
    json_object_array_add(interfaces, item);
}

/* ips[].version exists below 1.0.0 only; a runtime may give prevResult in either form. */
static void
fix_ip_versions(struct json_object *ips, bool wants_version)
{
    for (size_t i = 0; i < json_object_array_length(ips); i++) {
        struct json_object *item = json_object_array_get_idx(ips, i);
        struct json_object *address = NULL;
        if (!json_object_is_type(item, json_type_object)) {
            continue;
        }
        json_object_object_del(item, "version");
        if (wants_version && json_object_object_get_ex(item, "address", &address)) {
            bool is_v6 = strchr(json_object_get_string(address), ':') != NULL;
            json_object_object_add(item, "version", json_object_new_string(is_v6 ? "6" : "4"));
        }
    }
}

static struct json_object *
base_result(const struct cni_config *config)
{
    struct json_object *previous = NULL;
    struct json_object *copy = NULL;

    if (json_object_object_get_ex(config->json, "prevResult", &previous) &&
        json_object_is_type(previous, json_type_object) &&
        json_object_deep_copy(previous, &copy, NULL) == 0) {
        return copy;
    }
    return json_object_new_object();
}

bool
result_print(const struct cni_env *env, const struct cni_config *config,
             const struct cni_attachment *attachment, struct err *err)
{
    struct json_object *result = base_result(config);
    struct json_object *interfaces = array_of(result, "interfaces");
    struct json_object *ips = array_of(result, "ips");
    struct json_object *dns = NULL;
    struct json_object *routes = array_of(result, "routes");
    bool is_1_1 = strcmp(config->version, "1.1.0") == 0;
    uint32_t mtu = is_1_1 ? attachment->mtu : 0;
    int first = (int)json_object_array_length(interfaces);

    json_object_object_add(result, "cniVersion", json_object_new_string(config->version));
    add_interface(interfaces, attachment->host_ifname, (const uint8_t *)CNI_HOST_MAC, NULL, mtu);
    add_interface(interfaces, env->ifname, attachment->pod_mac, env->netns, mtu);
    for (size_t i = 0; i < attachment->n_ips; i++) {
        struct json_object *item = json_object_new_object();
        char text[PREFIX_TEXT_MAX];
        json_object_object_add(item, "address",
                               json_object_new_string(prefix_format(&attachment->ips[i], text)));
        json_object_object_add(item, "interface", json_object_new_int(first + 1));
        json_object_array_add(ips, item);
    }
    fix_ip_versions(ips, is_before_1_0(config->version));
    for (size_t i = 0; attachment->are_routes_given && i < attachment->routes.n; i++) {
        json_object_array_add(routes, route_to_json(&attachment->routes.items[i], is_1_1));
    }
    if (!json_object_object_get_ex(result, "dns", &dns)) {
        struct json_object *own = NULL;
        if (!json_object_object_get_ex(config->json, "dns", &own)) {
            own = attachment->dns;
        }
        json_object_object_add(result, "dns",
                               own ? json_object_get(own) : json_object_new_object());
    }
    const char *text = json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN |
                                                                  JSON_C_TO_STRING_NOSLASHESCAPE);
    bool good = printf("%s\n", text) > 0 && fflush(stdout) == 0;
    json_object_put(result);
    return good || err_code(err, CNI_IO, "the result could not be written");
}

void
result_print_error(const char *version, const struct err *err)
{
    struct json_object *json = json_object_new_object();
    static const char *const names[] = {[CNI_BAD_VERSION] = "incompatible CNI version",
                                        [CNI_BAD_ENVIRONMENT] = "invalid environment",
                                        [CNI_IO] = "I/O failure",
                                        [CNI_BAD_JSON] = "cannot decode the configuration",
                                        [CNI_BAD_CONFIG] = "invalid network configuration",
                                        [CNI_TRY_LATER] = "try again later",
                                        [CNI_NOT_AVAILABLE] = "pods cannot be added",
                                        [CNI_LIMITED] =
                                            "pods cannot be added, and others may be cut off"};
    size_t code = err->code > 0 ? (size_t)err->code : CNI_IO;
    const char *name = code < ARRAY_LEN(names) && names[code] ? names[code] : "failed";

    json_object_object_add(json, "cniVersion", json_object_new_string(version ? version : "1.0.0"));
    json_object_object_add(json, "code", json_object_new_int((int)code));
    json_object_object_add(json, "msg", json_object_new_string(name));
    json_object_object_add(json, "details", json_object_new_string(err->text));
    printf("%s\n", json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(json);
}

void
result_print_versions(void)
{
    printf("{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[");
    for (size_t i = 0; cni_versions[i]; i++) {
        printf("%s\"%s\"", i ? "," : "", cni_versions[i]);
    }
    printf("]}\n");
}

/* The index of the interface 'ifname' that has a sandbox, -1 when there is none. */
static int
interface_index(const struct json_at *result, const char *ifname, struct err *err)
{
    struct json_at interfaces;

    if (!json_get_array(result, "interfaces", JSON_OPTIONAL, &interfaces, err)) {
        return -1;
    }
    for (size_t i = 0; i < json_len(&interfaces); i++) {
        struct json_at item = json_item(&interfaces, i);
        const char *name = NULL;
        const char *sandbox = NULL;
        if (json_as_object(&item, NULL) &&
            json_get_string(&item, "name", JSON_REQUIRED, &name, NULL) &&
            json_get_string(&item, "sandbox", JSON_OPTIONAL, &sandbox, NULL) && sandbox &&
            *sandbox && strcmp(name, ifname) == 0) {
            return (int)i;
        }
    }
    return -1;
}

bool
result_addresses(struct json_object *result, const char *ifname,
                 struct cni_attachment *ret_attachment, struct err *err)
{
    struct json_at root = json_root(result);
    struct json_at ips;
    int index = ifname ? interface_index(&root, ifname, err) : -1;

    ret_attachment->n_ips = 0;
    if (ifname && index < 0) {
        return err_code(err, CNI_BAD_CONFIG, "prevResult: no interface %s with a sandbox", ifname);
    }
    if (!json_get_array(&root, "ips", JSON_OPTIONAL, &ips, err)) {
        return false;
    }
    for (size_t i = 0; i < json_len(&ips); i++) {
        struct json_at item = json_item(&ips, i);
        const char *text = NULL;
        int64_t on = index;
        struct prefix prefix;
        if (!json_as_object(&item, err) ||
            !json_get_string(&item, "address", JSON_REQUIRED, &text, err) ||
            !json_get_int(&item, "interface", (struct json_range){0, 1000, JSON_OPTIONAL}, &on,
                          err)) {
            return false;
        }
        if (ifname && on != index) {
            continue;
        }
        if (!prefix_parse_host(text, &prefix, err)) {
            return json_wrap(&item, "address", err);
        }
        if (ret_attachment->n_ips == CNI_ADDRESSES_MAX) {
            return err_set(err, "more than %d addresses", CNI_ADDRESSES_MAX);
        }
        ret_attachment->ips[ret_attachment->n_ips++] = prefix_of_ip(&prefix.ip);
    }
    return true;
}

bool
result_routes(struct json_object *result, struct cni_routes *ret_routes, struct err *err)
{
    struct json_at root = json_root(result);
    struct json_at list;

    return json_get_array(&root, "routes", JSON_OPTIONAL, &list, err) &&
           routes_read(&list, ret_routes, err);
}
