/* Decodes crd.projectcalico.org/v1 IPPool. */
#include "lib/model/ippool.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/model/field.h"
#include "lib/model/kind.h"
#include "lib/model/meta.h"

static bool
cidr_decode(struct json_object *json, struct ippool *pool, struct err *err)
{
    const char *text = NULL;

    if (!field_text(json, "spec.cidr", &text, err)) {
        return false;
    }
    if (text == NULL) {
        return err_set(err, "spec.cidr: is missing");
    }
    if (!prefix_parse(text, &pool->cidr, err)) {
        return err_wrap(err, "spec.cidr");
    }
    if (!ip_is_global_unicast(&pool->cidr.ip)) {
        return err_set(err, "spec.cidr: '%.64s' cannot hold pods", text);
    }
    return true;
}

static bool
ipip_decode(struct json_object *json, struct ippool *pool, const struct kind_issues *issues,
            struct err *err)
{
    const char *mode = "", *vxlan = "Never";
    struct err issue = ERR_INIT;

    if (!field_text(json, "spec.ipipMode", &mode, err) ||
        !field_text(json, "spec.vxlanMode", &vxlan, err)) {
        return false;
    }
    if (strcmp(mode, "Always") == 0) {
        pool->ipip_mode = IPIP_ALWAYS;
    } else if (strcmp(mode, "CrossSubnet") == 0) {
        pool->ipip_mode = IPIP_CROSS_SUBNET;
    } else if (strcmp(mode, "Never") != 0 && mode[0] != '\0') {
        return err_set(err, "spec.ipipMode: '%.64s' is not Never, Always or CrossSubnet", mode);
    }
    if (pool->cidr.ip.family == 6 && pool->ipip_mode != IPIP_NEVER) {
        pool->ipip_mode = IPIP_NEVER;
        (void)err_set(&issue, "spec.ipipMode: IPIP carries IPv4 only; the pool is routed natively");
        kind_issue(issues, &issue);
    }
    if (vxlan[0] != '\0' && strcmp(vxlan, "Never") != 0) {
        (void)err_set(&issue, "spec.vxlanMode: VXLAN is not built; the pool is routed natively");
        kind_issue(issues, &issue);
    }
    return true;
}

void *
ippool_decode(struct json_object *json, const struct kind_issues *issues, struct err *err)
{
    struct ippool *pool = NEW(struct ippool);
    bool is_good = meta_name(json, &pool->name, err) && cidr_decode(json, pool, err) &&
                   ipip_decode(json, pool, issues, err) &&
                   field_bool(json, "spec.natOutgoing", &pool->nat_outgoing, NULL, err) &&
                   field_bool(json, "spec.disabled", &pool->is_disabled, NULL, err) &&
                   field_bool(json, "spec.disableBGPExport", &pool->disable_bgp_export, NULL, err);
    if (is_good) {
        bool is_v4 = pool->cidr.ip.family == 4;
        struct field_range range = {.min = is_v4 ? 20 : 116, .max = is_v4 ? 32 : 128};
        int64_t block_size = is_v4 ? 26 : 122;
        const char *selector = "";

        is_good = field_int(json, "spec.blockSize", range, &block_size, NULL, err) &&
                  field_text(json, "spec.nodeSelector", &selector, err);
        pool->block_size = (uint8_t)block_size;
        pool->node_selector = xstrdup(selector);
    }
    if (!is_good) {
        ippool_free(pool);
        return NULL;
    }
    return pool;
}

void
ippool_free(void *object)
{
    struct ippool *pool = object;

    if (pool == NULL) {
        return;
    }
    free(pool->name);
    free(pool->node_selector);
    free(pool);
}

bool
ippool_equal(const void *one, const void *other)
{
    const struct ippool *a = one, *b = other;

    return text_equal(a->name, b->name) && prefix_equal(&a->cidr, &b->cidr) &&
           a->ipip_mode == b->ipip_mode && a->nat_outgoing == b->nat_outgoing &&
           a->is_disabled == b->is_disabled && a->disable_bgp_export == b->disable_bgp_export &&
           text_equal(a->node_selector, b->node_selector) && a->block_size == b->block_size;
}
