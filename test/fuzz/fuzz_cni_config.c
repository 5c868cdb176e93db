/* The CNI plugin's standard input: configuration, prevResult, and an IPAM plugin's answer. */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cni/plugin.h"
#include "cni/result.h"
#include "lib/json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_result(struct json_object *json, const char *ifname)
{
    struct cni_attachment attachment = {0};
    struct err err = ERR_INIT;

    if (!result_addresses(json, ifname, &attachment, &err)) {
        if (err.text[0] == '\0') {
            abort();
        }
        return;
    }
    if (attachment.n_ips > CNI_ADDRESSES_MAX) {
        abort();
    }
    for (size_t i = 0; i < attachment.n_ips; i++) {
        if (attachment.ips[i].len != ip_bits(&attachment.ips[i].ip)) {
            abort();
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cni_config config = {0};
    struct json_object *json = NULL;
    struct err err = ERR_INIT;

    if (json_parse((const char *)data, size, &json, NULL)) {
        check_result(json, NULL);
        check_result(json, "eth0");
        json_object_put(json);
    }
    if (!cni_config_parse((const char *)data, size, &config, &err)) {
        if (err.code == 0 || err.text[0] == '\0' || config.json) {
            abort();
        }
        return 0;
    }
    /* The name becomes a directory's. */
    if (strchr(config.name, '/') || config.name[0] == '.' || config.timeout_ms == 0 ||
        (config.is_delegated && strchr(config.ipam_type, '/'))) {
        abort();
    }
    struct json_object *previous = NULL;
    if (json_object_object_get_ex(config.json, "prevResult", &previous) &&
        json_object_is_type(previous, json_type_object)) {
        check_result(previous, "eth0");
    }
    cni_config_done(&config);
    return 0;
}
