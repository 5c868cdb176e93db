/* The network configuration on standard input. Field names are Calico's or host-local's where the
 * meaning is equal; unknown fields are ignored, as the specification demands. The text is never
 * logged. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cni/plugin.h"
#include "cni/routes.h"
#include "lib/base/alloc.h"
#include "lib/base/str.h"
#include "lib/json/json.h"

#define CONFIG_MAX (4 * 1024 * 1024)
#define TIMEOUT_DEFAULT_S 5

const char *const cni_versions[] = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0", NULL};

void
cni_config_done(struct cni_config *config)
{
    json_object_put(config->json);
    free(config->version);
    free(config->name);
    free(config->felix_socket);
    free(config->state_dir);
    free(config->ipam_type);
    free(config->data_dir);
    for (size_t i = 0; i < ARRAY_LEN(config->ranges); i++) {
        VEC_DONE(&config->ranges[i]);
    }
    VEC_DONE(&config->requested);
    memset(config, 0, sizeof *config);
}

static bool
read_version(const struct json_at *root, struct cni_config *config, struct err *err)
{
    const char *version = NULL;

    if (!json_get_string(root, "cniVersion", JSON_OPTIONAL, &version, err)) {
        return false;
    }
    for (size_t i = 0; version && cni_versions[i]; i++) {
        if (strcmp(cni_versions[i], version) == 0) {
            config->version = xstrdup(version);
            return true;
        }
    }
    return err_code(err, CNI_BAD_VERSION,
                    "cniVersion: '%.32s' is not supported (0.3.1 to 1.1.0 are)",
                    version ? version : "");
}

static bool
is_network_name(const char *name)
{
    size_t len = strlen(name);

    /* It names a directory. */
    return len > 0 && len <= 128 && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == len;
}

static char *
text_or(const char *text, const char *otherwise)
{
    return xstrdup(text && *text ? text : otherwise);
}

static bool
read_basics(const struct json_at *root, struct cni_config *config, struct err *err)
{
    const char *name = NULL;
    const char *socket = NULL;
    const char *state_dir = NULL;
    int64_t mtu = 0;
    int64_t timeout_s = TIMEOUT_DEFAULT_S;
    struct json_at container;
    const char *run_dir = getenv("CANAL_RUN_DIR");
    AUTO(str) struct str socket_default = STR_INIT;

    str_addf(&socket_default, "%s/felix.sock", run_dir && *run_dir ? run_dir : "/run/canal");
    if (!json_get_string(root, "name", JSON_REQUIRED, &name, err) ||
        !json_get_int(root, "mtu", (struct json_range){0, 65535, JSON_OPTIONAL}, &mtu, err) ||
        !json_get_int(root, "policy_setup_timeout_seconds",
                      (struct json_range){0, 600, JSON_OPTIONAL}, &timeout_s, err) ||
        !json_get_string(root, "felix_socket", JSON_OPTIONAL, &socket, err) ||
        !json_get_string(root, "state_dir", JSON_OPTIONAL, &state_dir, err) ||
        !json_get_bool(root, "include_default_routes", JSON_OPTIONAL,
                       &config->include_default_routes, err) ||
        !json_get_object(root, "container_settings", JSON_OPTIONAL, &container, err) ||
        !json_get_bool(&container, "allow_ip_forwarding", JSON_OPTIONAL, &config->allow_forwarding,
                       err)) {
        return false;
    }
    if (!is_network_name(name)) {
        return err_set(err, "name: '%.64s' is not acceptable", name);
    }
    config->name = xstrdup(name);
    config->mtu = (uint32_t)mtu;
    /* 0 is Calico's default and means "do not wait" there; here a pod without route is no pod. */
    config->timeout_ms = (uint64_t)(timeout_s > 0 ? timeout_s : TIMEOUT_DEFAULT_S) * 1000;
    config->felix_socket = text_or(socket, socket_default.text);
    config->state_dir = text_or(state_dir, "/var/lib/canal");
    return true;
}

static bool
read_ip(const struct json_at *range, const char *key, struct ip *ret_ip, struct err *err)
{
    const char *text = NULL;

    if (!json_get_string(range, key, JSON_OPTIONAL, &text, err)) {
        return false;
    }
    return !text || ip_parse(text, ret_ip, err) || json_wrap(range, key, err);
}

static bool
add_range(const struct json_at *range, const char *subnet, struct cni_config *config,
          struct err *err)
{
    struct ipam_range item = {0};

    if (strcasecmp(subnet, "usePodCidr") == 0 || strcasecmp(subnet, "usePodCidrIPv6") == 0) {
        config->use_pod_cidrs = true;
        return true;
    }
    if (!prefix_parse_host(subnet, &item.subnet, err)) {
        return json_wrap(range, "subnet", err);
    }
    item.subnet = prefix_network(&item.subnet);
    if (!read_ip(range, "rangeStart", &item.start, err) ||
        !read_ip(range, "rangeEnd", &item.end, err)) {
        return false;
    }
    if ((item.start.family && !prefix_contains_ip(&item.subnet, &item.start)) ||
        (item.end.family && !prefix_contains_ip(&item.subnet, &item.end))) {
        err_set_code(err, 0, "rangeStart and rangeEnd must lie in %s", subnet);
        return json_wrap(range, NULL, err);
    }
    VEC_PUSH(&config->ranges[item.subnet.ip.family == 4 ? 0 : 1], item);
    return true;
}

/* ipam.ranges, runtimeConfig.ipRanges */
static bool
read_range_sets(const struct json_at *at, const char *key, struct cni_config *config,
                struct err *err)
{
    struct json_at sets;
    const char *subnet = NULL;

    if (!json_get_array(at, key, JSON_OPTIONAL, &sets, err)) {
        return false;
    }
    for (size_t i = 0; i < json_len(&sets); i++) {
        struct json_at set = json_item(&sets, i);
        if (!json_object_is_type(set.json, json_type_array)) {
            err_set_code(err, 0, "a list of ranges is wanted");
            return json_wrap(&set, NULL, err);
        }
        for (size_t j = 0; j < json_len(&set); j++) {
            struct json_at range = json_item(&set, j);
            if (!json_as_object(&range, err) ||
                !json_get_string(&range, "subnet", JSON_REQUIRED, &subnet, err) ||
                !add_range(&range, subnet, config, err)) {
                return false;
            }
        }
    }
    return true;
}

static bool
read_ranges(const struct json_at *root, const struct json_at *ipam, struct cni_config *config,
            struct err *err)
{
    const char *subnet = NULL;
    struct json_at runtime;

    return json_get_object(root, "runtimeConfig", JSON_OPTIONAL, &runtime, err) &&
           read_range_sets(&runtime, "ipRanges", config, err) &&
           json_get_string(ipam, "subnet", JSON_OPTIONAL, &subnet, err) &&
           (!subnet || add_range(ipam, subnet, config, err)) &&
           read_range_sets(ipam, "ranges", config, err);
}

static bool
read_ipam(const struct json_at *root, struct cni_config *config, struct err *err)
{
    struct json_at ipam, routes;
    const char *type = NULL;
    const char *data_dir = NULL;

    if (!json_get_object(root, "ipam", JSON_OPTIONAL, &ipam, err) ||
        !json_get_string(&ipam, "type", JSON_OPTIONAL, &type, err) ||
        !json_get_string(&ipam, "dataDir", JSON_OPTIONAL, &data_dir, err)) {
        return false;
    }
    config->ipam_type = text_or(type, "canal");
    config->data_dir = text_or(data_dir, "/var/lib/cni/networks");
    config->is_delegated =
        strcmp(config->ipam_type, "canal") != 0 && strcmp(config->ipam_type, "host-local") != 0;
    if (config->is_delegated) {
        return !strchr(config->ipam_type, '/') || err_set(err, "ipam.type: a name is wanted");
    }
    if (!read_ranges(root, &ipam, config, err) ||
        !json_get_array(&ipam, "routes", JSON_OPTIONAL, &routes, err) ||
        !routes_read(&routes, &config->routes, err)) {
        return false;
    }
    config->use_pod_cidrs |= config->ranges[0].n == 0 && config->ranges[1].n == 0;
    return true;
}

static bool
add_requested(const struct json_at *array, struct cni_config *config, struct err *err)
{
    for (size_t i = 0; i < json_len(array); i++) {
        struct json_at item = json_item(array, i);
        const char *text = NULL;
        struct prefix ip;
        if (!json_as_string(&item, &text, err) || !prefix_parse_host(text, &ip, err)) {
            return json_wrap(&item, NULL, err);
        }
        VEC_PUSH(&config->requested, ip.ip);
    }
    return true;
}

static bool
read_mac(const char *text, uint8_t mac[6])
{
    /* Six pairs of digits, each but the last with a colon: scanf() takes signs and blanks, too. */
    if (strlen(text) != 17) {
        return false;
    }
    for (size_t i = 0; i < 6; i++) {
        const char *pair = text + 3 * i;
        char digits[3] = {pair[0], pair[1], '\0'};
        if (strspn(digits, "0123456789abcdefABCDEF") != 2 || pair[2] != (i < 5 ? ':' : '\0')) {
            return false;
        }
        mac[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return !(mac[0] & 1);
}

static bool
read_runtime(const struct json_at *root, struct cni_config *config, struct err *err)
{
    struct json_at runtime, args, cni, ips, args_ips;
    const char *mac = NULL;

    if (!json_get_object(root, "runtimeConfig", JSON_OPTIONAL, &runtime, err) ||
        !json_get_array(&runtime, "ips", JSON_OPTIONAL, &ips, err) ||
        !json_get_string(&runtime, "mac", JSON_OPTIONAL, &mac, err) ||
        !json_get_object(root, "args", JSON_OPTIONAL, &args, err) ||
        !json_get_object(&args, "cni", JSON_OPTIONAL, &cni, err) ||
        !json_get_array(&cni, "ips", JSON_OPTIONAL, &args_ips, err) ||
        !add_requested(&ips, config, err) || !add_requested(&args_ips, config, err)) {
        return false;
    }
    if (mac && !read_mac(mac, config->mac)) {
        return err_set(err, "runtimeConfig.mac: '%.32s' is not a unicast MAC address", mac);
    }
    config->has_mac = mac != NULL;
    return true;
}

bool
cni_config_parse(const char *text, size_t len, struct cni_config *ret_config, struct err *err)
{
    struct cni_config config = {0};

    if (!json_parse(text, len, &config.json, err)) {
        err_set_code(err, CNI_BAD_JSON, "network configuration: %s", err ? err->text : "");
        return false;
    }
    struct json_at root = json_root(config.json);
    bool good = json_as_object(&root, err) && read_version(&root, &config, err);
    if (good && !(read_basics(&root, &config, err) && read_ipam(&root, &config, err) &&
                  read_runtime(&root, &config, err))) {
        err_set_code(err, CNI_BAD_CONFIG, "network configuration: %s", err ? err->text : "");
        good = false;
    }
    if (!good) {
        if (err && err->code == 0) {
            err->code = CNI_BAD_CONFIG;
        }
        cni_config_done(&config);
        return false;
    }
    *ret_config = config;
    return true;
}

bool
cni_config_read(struct cni_config *ret_config, struct err *err)
{
    AUTO(str) struct str text = STR_INIT;

    for (;;) {
        ssize_t n = read(STDIN_FILENO, str_reserve(&text, 16384), 16384);
        if (n < 0) {
            return err_code(err, CNI_IO, "standard input cannot be read");
        }
        if (n == 0) {
            break;
        }
        text.len += (size_t)n;
        text.text[text.len] = '\0';
        if (text.len > CONFIG_MAX) {
            return err_code(err, CNI_BAD_JSON, "network configuration: more than %d bytes",
                            CONFIG_MAX);
        }
    }
    return cni_config_parse(str_text(&text), text.len, ret_config, err);
}
